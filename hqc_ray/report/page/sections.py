"""The sections of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from hqc_ray.columns import counted
from hqc_ray.evaluation import dictionary
from hqc_ray.report.content import reference
from hqc_ray.report.content.view import Report
from hqc_ray.report.page.parts import nested, plain, row, section, soft, table, words
from hqc_ray.report.tables import cards, controls, notes
from hqc_ray.report.tables.results import TRANSFERS, cells, header, transfer_tables

CHARTS = (  # name, title, what it shows
    ("accuracy", "Accuracy against epsilon",
     "Images right in the worst case, with the 95 % interval over the images of all seeds; coloured by attack: under that "
     "attack. Where the filter leaves out attacks, under the strongest that is left. Hollow: flagged, be it of one seed."),
    ("heat", "Head against attack",
     "Robust accuracy in percent at the chosen epsilon; !: flagged by the audit, be it of one seed; the worst case, if every "
     "attack of a seed is."),
    ("clean", "Clean against robust", "Each model and device: clean accuracy, and the worst case at the chosen epsilon."),
    ("devices", "Device against device", "The same model, attack and epsilon on two devices; on the line both agree."),
    ("cost", "Cost", "What the searches of the chosen rows took; work that several rows share is shared evenly."),
    ("levels", "Which stage holds an attack back",
     "How many times as far as the reference head attacks must go, level by level, until the same share of the right images "
     "falls. A line that rises towards the pixels rises in the stage between."),
    ("certificate", "Certificate beside attack",
     "From what is certified up to what the worst case leaves: the truth lies between."),
    ("training", "How the models were trained",
     "Mean over seeds, epoch by epoch, on the training part while weights move; where there is a validation part that is solid, "
     "and the training part dashed."),
)  # fmt: skip
MANY = 40  # raised flags beyond which the first screen names no more
FEW = 24  # circuits that have a sentence each; of more, the table says the same


def top(report: Report, title: str, unfinished: str, pictures: bool = False) -> str:
    """The first screen: title, banner, the answer in words, tiles, flags, links to the sections; whether there are pictures."""
    told = next((sentence for sentence in report.answer if unfinished and unfinished in sentence), f"Unfinished: {unfinished}.")
    banner = f'<p class="banner" role="status">{words(told)}</p>' if unfinished else ""
    said = "".join(f"<p>{words(sentence)}</p>" for sentence in report.answer if not unfinished or sentence != told)
    suffix = ' <small class="unfinished">unfinished</small>' if unfinished else ""
    return (
        f'<header><p class="kicker">Adversarial robustness of hybrid quantum-classical classifiers</p>'
        f"<h1>{escape(title)}{suffix}</h1>{banner}"
        + (f'<div class="answer" id="answer">{said}</div>' if said else "")
        + _tiles(report, unfinished)
        + _flags(report)
        + "</header>"
        + _navigation(report, pictures)
    )


def sections(report: Report, pictures: Sequence[str], provenance: Mapping[str, Any], sweep: str) -> Iterator[str]:
    """All that follows the first screen, in order."""
    yield section("results", "Results", *_results(report))
    so_far = _so_far(report)
    yield section("models", "Model by model", so_far, *_lines(report))
    if report.controls:
        yield section("controls", "Paired controls", so_far, *_controls(report))
    if report.transfers:
        yield section("transfers", "Transferred attacks", so_far, *_transfers(report))
    yield section("audit", "What the audit says", so_far, *_audit(report))
    if pictures:
        yield section("images", "Images before and after", so_far, *_pictures(pictures))
    if _on_its_data(report):
        yield section("reference", "The reference study", *_reference())
    yield section("columns", "Columns of the data files", *_columns())
    yield section("provenance", "Where the numbers come from", *_provenance(provenance, sweep))


def _so_far(report: Report) -> str:
    """What a section says first while cells are still to come; its reader may have come by a link past the banner."""
    return f'<p class="unfinished">Unfinished: {escape(report.unfinished)}.</p>' if report.unfinished else ""


def _on_its_data(report: Report) -> bool:
    """Whether anything stands on the data of the reference study; elsewhere its numbers compare with nothing."""
    return any(model.data_source == reference.DATA_SOURCE for model in report.models.values())


def _navigation(report: Report, pictures: bool) -> str:
    names = {"results": "Results", "models": "Model by model", "controls": "Controls", "transfers": "Transfer", "audit": "Audit",
             "images": "Images", "reference": "Reference", "columns": "Columns", "provenance": "Provenance"}  # fmt: skip
    known = {"controls": report.controls, "transfers": report.transfers, "images": pictures, "reference": _on_its_data(report)}
    absent = {name for name, there in known.items() if not there}
    links = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in names.items() if name not in absent)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _tiles(report: Report, unfinished: str) -> str:
    facts = report.facts
    tiles = [
        (f"{facts.failed:,} failed", facts.failed > 0),
        (counted(facts.flagged, "flagged cell"), facts.flagged > 0),
        (counted(facts.models, "trained model"), False),
        (counted(facts.seeds, "seed"), False),
        (counted(facts.searches, "search", "searches"), False),
        (counted(facts.gradients, "input gradient"), False),
    ]
    told = [(*text.split(" ", 1), warn) for text, warn in tiles]
    told.insert(0, (unfinished, "", True) if unfinished else (*counted(facts.cells, "cell").split(" ", 1), False))
    inner = (f"<li{' class=warn' if warn else ''}><b>{number}</b> {text}</li>" for number, text, warn in told)
    return f'<ul class="tiles">{"".join(inner)}</ul>'


def _flags(report: Report) -> str:
    """The flags that were raised, how often, and what each one says in short."""
    if not report.raised:
        return '<p class="soft">The audit raised no flag.</p>'
    meanings = notes.flag_meanings(report)
    items = (
        f'<li><a href="#flag-{escape(flag)}"><code>{escape(flag)}</code></a> <b>{count:,}</b> '
        f"<span>{words(meanings.get(flag, '').partition(':')[0])}.</span></li>"
        for flag, count in list(report.raised.items())[:MANY]
    )
    return (
        f'<details class="flags" open><summary>What is flagged, and what that means</summary><ul>{"".join(items)}</ul></details>'
    )


def _results(report: Report) -> Iterator[str]:
    if not report.lines:
        yield "<p>No rows yet.</p>"
        return
    yield (
        '<p class="soft">Filter by these lists, or by a click into a chart or its legend; charts and table always show the same '
        "cells. The address of this page keeps what is chosen, so that it can be sent.</p>"
    )
    yield '<noscript><p class="banner">Charts and the table of all cells need JavaScript; all else is below.</p></noscript>'
    yield '<div id="filters" role="group" aria-label="Filters"></div><div id="chosen" role="status"></div>'
    yield '<div id="choices" role="group" aria-label="What the charts show"></div><div id="charts">'
    for name, title, told in CHARTS:
        yield (
            f'<figure id="chart-{name}"><figcaption><h3>{title}</h3><p class="soft">{told}</p></figcaption>'
            f'<div class="drawing" role="img" aria-label="{title}"></div><div class="tools"></div></figure>'
        )
    yield "</div>"
    yield '<h3 id="cells-title">All cells</h3>'
    yield (
        '<div class="scroll" tabindex="0" role="region" aria-label="All cells"><table id="cells" class="display compact">'
        '<caption class="hidden">One line per cell: model, device, attack, epsilon, seed</caption></table></div>'
    )


def _lines(report: Report) -> Iterator[str]:
    if not report.lines:
        return
    models = [line.model for line in report.lines]
    firsts = [i == 0 or model != models[i - 1] for i, model in enumerate(models)]
    study = ", as in the reference study's Table II, with its numbers" if _on_its_data(report) else ""
    yield soft(f"One line per model, number of images, device and epsilon{study}.")
    yield table("table", "Results, model by model", header(report), [cells(line, report) for line in report.lines], firsts)
    yield from (f'<p class="note">{words(note)}</p>' for note in notes.reading(report))


def _controls(report: Report) -> Iterator[str]:
    yield soft(controls.CONTROLS)
    if len({one.circuit for one in report.controls}) <= FEW:
        yield "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in controls.sentences(report)) + "</ul>"
    firsts = [i == 0 or one.circuit != report.controls[i - 1].circuit for i, one in enumerate(report.controls)]
    yield table("controls", "Circuits against their controls", controls.HEADER, controls.controls_lines(report), firsts)


def _transfers(report: Report) -> Iterator[str]:
    yield soft(TRANSFERS)
    yield (
        '<figure id="chart-transfer"><figcaption><h3>Found on one model, judged by another</h3></figcaption>'
        '<div class="drawing" role="img" aria-label="Transferred attacks"></div><div class="tools"></div></figure>'
    )
    for i, (title, head, lines) in enumerate(transfer_tables(report), 1):
        firsts = [k == 0 or line[:2] != lines[k - 1][:2] for k, line in enumerate(lines)]
        yield f"<h3>{escape(title)}, judged by</h3>" + table(
            f"transfers-{i}", f"Transferred attacks, {title}", head, lines, firsts
        )


def _audit(report: Report) -> Iterator[str]:
    meanings = notes.flag_meanings(report)
    if not meanings:
        yield "<p>No flag was raised.</p>"
    else:
        often = {flag: f" <span>{counted(number, 'cell')}</span>" for flag, number in report.raised.items()}
        items = (
            f'<dt id="flag-{escape(flag)}"><code>{escape(flag)}</code>{often.get(flag, "")}</dt><dd>{words(text)}</dd>'
            for flag, text in meanings.items()
        )
        yield f'<dl class="meanings">{"".join(items)}</dl>'
    if report.cards:
        firsts = [i == 0 or one.model.name != report.cards[i - 1].model.name for i, one in enumerate(report.cards)]
        yield f"<h3>Models on their devices</h3>{soft(cards.CARDS)}"
        yield table("cards", "Models on their devices", cards.HEADER, cards.cards_lines(report), firsts)
    if failures := notes.failures(report):
        yield "<h3>Failed cells</h3><ul>" + "".join(f"<li>{words(text)}</li>" for text in failures) + "</ul>"


def _pictures(pictures: Sequence[str]) -> Iterator[str]:
    sure = ", with the probability that it gives to it" if any(" %</small>" in one for one in pictures) else ""
    yield soft(
        "Images of the test part that were right before: the clean image, then of each attack what it added "
        "(magnified by the factor below, around grey) and what came of it. Beside each image stands the class that the "
        f"model predicts{sure}, × where it is wrong."
    )
    yield from pictures


def _reference() -> Iterator[str]:
    """The paper's own table under the same audit."""
    audits = reference.audit_reference(), reference.audit_reference(("fgsm", "pgd"))
    flagged, without = (sum(map(bool, audit["flags"])) for audit in audits)
    records = audits[0].to_dict("records")
    yield soft(
        f"{reference.SOURCE}: {flagged} of its {len(records)} rows would be flagged; {without} without DeepFool, whose "
        "accuracies hardly fall as epsilon grows. It prints percentages only, so only what these settle is flagged:"
    )
    rules = (f"<dt><code>{escape(flag)}</code></dt><dd>{words(text)}</dd>" for flag, text in reference.RULES.items())
    yield f'<dl class="meanings">{"".join(rules)}</dl>'
    names = ["Model", "Images", "Clean", "VQC", "Epsilon", *(reference.NAMES[a] for a in reference.ATTACKS), "Flags"]
    lines = (
        row([r["model"], f"{r['images']:,}", f"{r['clean_accuracy']:.2f}", r["head"] if r["computation"] == "hybrid" else "–",
             f"{r['epsilon']:g}", *(f"{r[f'{a}_accuracy']:.2f}" for a in reference.ATTACKS), "; ".join(r["flags"])])
        for r in records
    )  # fmt: skip
    inner = plain("reference", "The reference study", names, lines)
    yield f"<details><summary>The paper's table with flags</summary>{inner}</details>"


def _columns() -> Iterator[str]:
    yield soft("rows.csv and rows.parquet have one row per cell. Accuracies and shares are fractions there, not percent.")
    lines = [row([one.name, one.kind.replace("`", ""), one.unit, one.about]) for one in dictionary.columns()]
    lines.append(row(["flags", "list of texts", "", dictionary.FLAG_COLUMN.replace("`", "")]))
    inner = plain("columns", "Columns of the data files", ["Column", "Type", "Unit", "Meaning"], lines)
    yield f"<details><summary>All columns</summary>{inner}</details>"


def _provenance(provenance: Mapping[str, Any], sweep: str) -> Iterator[str]:
    if sweep:
        yield f'<h3 id="sweep">The sweep file</h3><pre tabindex="0" aria-label="The sweep file">{escape(sweep)}</pre>'
    if provenance:
        yield f'<h3>Versions, machine, runs</h3><div class="nested">{nested(provenance)}</div>'
    yield soft(
        "Files beside this page: table.md, summary.csv, training.csv, rows.csv, rows.parquet; in figures/ at most a dozen "
        "drawings, the most important ones. Whatever else there is to draw, the charts above draw, each as PNG or SVG."
    )
