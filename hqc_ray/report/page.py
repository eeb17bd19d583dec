"""One self-contained HTML page: nothing is fetched when it is opened, and it can be mailed."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from hqc_ray.report.content import reference
from hqc_ray.report.content.lines import Line
from hqc_ray.report.content.view import Report
from hqc_ray.report.tables import cards, controls, notes
from hqc_ray.report.tables.cell import Cell
from hqc_ray.report.tables.results import TRANSFERS, cells, header, transfer_tables

FIGURES = 60  # inside the page; the rest stay beside it
DPI = 150  # of the figures, on the page
CSS = """
:root { --ink: #1a1a1a; --soft: #5f6368; --line: #dfe1e5; --warn: #9a3b00; --warnback: #fff3e6; }
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1700px;
  padding: 1.5rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p, ul, dl { max-width: 75rem; } .soft, .note { color: var(--soft); font-size: .88rem; } .note { margin: .15rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .5rem 1rem; min-width: 6rem; }
.tile b { display: block; font-size: 1.35rem; }
.tile.warn { background: var(--warnback); color: var(--warn); border-color: #f0c9a6; }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .32rem .45rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: #f6f7f9; z-index: 1; vertical-align: bottom; }
td small { color: var(--soft); display: block; white-space: nowrap; } td.flagged { background: var(--warnback); }
td.flagged b, td.flags { color: var(--warn); } td b { font-weight: 600; } tr.model td { border-top: 2px solid #b9bec6; }
td.number { white-space: nowrap; }
td.flags { min-width: 11rem; overflow-wrap: anywhere; } td.device { max-width: 9.5rem; }
dt { font-weight: 600; color: var(--warn); font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .88rem;
  margin-top: .5rem; }
dd { margin: 0 0 0 1rem; } figure { margin: 1.2rem 0; } figure img { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .8rem; } details summary { cursor: pointer; font-weight: 600; margin: 1rem 0; }
.provenance th { position: static; width: 18rem; background: none; font-weight: 600; } .provenance td { word-break: break-word; }
@media print { .scroll { max-height: none; overflow: visible; } }
"""


def page(report: Report, figures: Sequence[tuple[str, bytes]], provenance: Mapping[str, Any], title: str) -> str:
    """The page's HTML.

    Args:
        report: of the sweep's rows.
        figures: their names and PNGs, put into the page as data.
        provenance: versions, commit, hardware; nested mappings and lists are written out.
        title: of the page.
    """
    body = [
        f"<h1>{escape(title)}</h1>",
        '<p class="soft">Adversarial robustness, one line per model, number of images, device and epsilon.</p>',
    ]
    body += [_tiles(report), "<h2>Results</h2>", _results(report), *_notes(report)]
    body += [*_controls(report), *_transfers(report), *_flags(report), *_cards(report), *_failures(report), *_figures(figures)]
    body += ["<h2>The reference study</h2>", *_reference(), *_provenance(provenance)]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{CSS}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _tiles(report: Report) -> str:
    facts = report.facts
    tiles = [
        (facts.cells, "cells", False),
        (facts.failed, "failed", facts.failed > 0),
        (facts.models, "trained models", False),
        (facts.seeds, "seeds", False),
        (len(report.lines), "lines", False),
        (facts.searches, "searches", False),
        (facts.gradients, "input gradients", False),
        (facts.flagged, "flagged cells", facts.flagged > 0),
    ]
    inner = (f'<div class="tile{" warn" if warn else ""}"><b>{number:,}</b>{text}</div>' for number, text, warn in tiles)
    return f'<div class="tiles">{"".join(inner)}</div>'


def _results(report: Report) -> str:
    if not report.lines:
        return "<p>No rows yet.</p>"
    rows: list[str] = []
    before: Line | None = None
    for line in report.lines:
        rows.append(_row(cells(line, report), first=before is None or line.model != before.model))
        before = line
    return _table(header(report), rows)


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>\n' + "\n".join(rows) + "\n</tbody></table></div>"


def _row(line: Sequence[Cell], first: bool) -> str:
    """One line of a table; the first one of a model is set off."""
    tds = []
    for cell in line:
        inner = _stacked(cell) if cell.kind == "number" else _breakable(cell.text)
        tds.append(f'<td class="{cell.kind}{" flagged" if cell.flagged else ""}">{inner}</td>')
    return f"<tr{' class=model' if first else ''}>{''.join(tds)}</tr>"


def _breakable(text: str) -> str:
    """A device's options may go on to the next line, but its words stay whole."""
    return escape(text).replace("[", "<wbr>[").replace(",", ",<wbr>")


def _stacked(cell: Cell) -> str:
    """The mean on one line, interval and the paper's number below it."""
    mean, *rest = map(escape, cell.parts)
    return f"<b>{mean}</b>" + "".join(f"<small>{part}</small>" for part in rest)


def _notes(report: Report) -> Iterator[str]:
    yield from (f'<p class="note">{escape(note)}</p>' for note in notes.reading(report))


def _controls(report: Report) -> Iterator[str]:
    if report.controls:
        yield f'<h2>Paired controls</h2><p class="soft">{escape(controls.CONTROLS)}</p>'
        yield "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in controls.sentences(report)) + "</ul>"
        lines = controls.controls_lines(report)
        firsts = [i == 0 or one.circuit != report.controls[i - 1].circuit for i, one in enumerate(report.controls)]
        yield _table(controls.HEADER, [_row(line, first) for line, first in zip(lines, firsts, strict=True)])


def _transfers(report: Report) -> Iterator[str]:
    if report.transfers:
        yield f'<h2>Transferred attacks</h2><p class="soft">{escape(TRANSFERS)}</p>'
    for title, head, lines in transfer_tables(report):
        firsts = [i == 0 or line[:2] != lines[i - 1][:2] for i, line in enumerate(lines)]
        yield f"<p>{escape(title)}, judged by:</p>"
        yield _table(head, [_row(line, first) for line, first in zip(lines, firsts, strict=True)])


def _flags(report: Report) -> Iterator[str]:
    meanings = notes.flag_meanings(report)
    yield "<h2>What the audit says</h2>"
    if not meanings:
        yield "<p>No flag was raised.</p>"
        return
    items = (
        f"<dt>{escape(flag)}{f' · {report.raised[flag]} cells' if flag in report.raised else ''}</dt><dd>{escape(text)}</dd>"
        for flag, text in meanings.items()
    )
    yield f"<dl>{''.join(items)}</dl>"


def _cards(report: Report) -> Iterator[str]:
    if report.cards:
        yield f'<h2>Models on their devices</h2><p class="soft">{escape(cards.CARDS)}</p>'
        firsts = [i == 0 or one.model.name != report.cards[i - 1].model.name for i, one in enumerate(report.cards)]
        yield _table(cards.HEADER, [_row(line, first) for line, first in zip(cards.cards_lines(report), firsts, strict=True)])


def _failures(report: Report) -> Iterator[str]:
    failures = notes.failures(report)
    if failures:
        yield "<h2>Failed cells</h2><ul>" + "".join(f"<li>{escape(f)}</li>" for f in failures) + "</ul>"


def _figures(figures: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    if figures:
        yield "<h2>Figures</h2>"
    for title, png in figures[:FIGURES]:
        name = escape(title)
        width = int.from_bytes(png[16:20], "big") * 96 // DPI  # as large as it was drawn, and sharp on dense screens
        image = f'<img alt="{name}" width="{width}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
        yield f"<figure>{image}<figcaption>{name}</figcaption></figure>"
    if len(figures) > FIGURES:
        yield f'<p class="note">{len(figures) - FIGURES} more figures lie in the folder figures/.</p>'


def _reference() -> Iterator[str]:
    """The paper's own table under the same audit."""
    table = reference.audit_reference()
    records = table.to_dict("records")
    flagged = sum(bool(r["flags"]) for r in records)
    yield (
        f'<p class="soft">{escape(reference.SOURCE)}: {flagged} of its {len(records)} rows would be flagged. It prints '
        "percentages only, so that a rise counts where the 95 % interval of the difference of two independent samples, of a "
        "fifth of the images each, lies above 0.</p>"
    )
    names = ["Model", "Images", "Clean", "VQC", "Epsilon", *(reference.NAMES[a] for a in reference.ATTACKS), "Flags"]
    body = []
    for r in records:
        left = [r["model"], f"{r['images']:,}", f"{r['clean_accuracy']:.2f}", r["head"] if r["computation"] == "hybrid" else "–"]
        tds = [f"<td>{escape(text)}</td>" for text in [*left, f"{r['epsilon']:g}"]]
        for a in reference.ATTACKS:
            bad = any(f.startswith(reference.NAMES[a]) for f in r["flags"])
            tds.append(f'<td class="number{" flagged" if bad else ""}"><b>{r[f"{a}_accuracy"]:.2f}</b></td>')
        body.append(f'<tr>{"".join(tds)}<td class="flags">{escape("; ".join(r["flags"]))}</td></tr>')
    head = "".join(f"<th>{n}</th>" for n in names)
    yield f"<details><summary>The paper's table with flags</summary><table><tr>{head}</tr>{''.join(body)}</table></details>"


def _provenance(provenance: Mapping[str, Any]) -> Iterator[str]:
    if provenance:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _flat(provenance))
        yield f'<h2>Where the numbers come from</h2><table class="provenance">{"".join(rows)}</table>'


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
