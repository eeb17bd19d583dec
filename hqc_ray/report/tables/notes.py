"""What stands under a table: how to read it, where its numbers come from, what is suspect, what failed."""

from __future__ import annotations

from collections.abc import Iterable

from hqc_ray.columns import counted
from hqc_ray.evaluation.flags import FLAGS, NOTES
from hqc_ray.report.content import reference
from hqc_ray.report.content.view import Report
from hqc_ray.report.style import epsilon_text

SHOWN_FAILURES = 20
CERTIFIED = (
    "Certified: images that are right and that nothing within epsilon can change, whoever attacks; the true robust accuracy lies "
    "between it and the worst case (hatched in the figures). Certified radius: the median over the right images, from what is "
    "certified to what is known to break them. Angles and features only: pixels are not certified, where bounds that are "
    "propagated through a backbone say nothing (they are vacuous)."
)
UNITS = {
    "features": "of features, in units of their standard deviation as the head standardises them",
    "angles": "of angles, in radians",
}


def notes(report: Report) -> list[str]:
    """Every note of a table, as plain sentences."""
    return [*reading(report), *(f"{flag}: {text}" for flag, text in flag_meanings(report).items()), *failures(report)]


def reading(report: Report) -> list[str]:
    """How to read the table, what was evaluated, and whose weights."""
    levels = [UNITS[level] for level in UNITS if any(line.ball and line.ball.level == level for line in report.lines)]
    units = "".join(f"; {unit}, where the line says so" for unit in levels)
    others = "noise and, on the same images, attacks found on other models"
    included = others if report.transfers else "noise"
    texts = [
        f"{_accuracies(report.facts.seeds)} Robust accuracy counts images that are right before and after.",
        f"Epsilon is in pixel units of [0, 1]{units}; in the L∞ norm unless another is named. Worst case: images that no "
        f"attack of the line, {included} included, fooled at this epsilon or a smaller one.",
        *([CERTIFIED] if report.certified else []),
        *_evaluated(report),
        *_weights(report),
    ]
    values = [v for line in report.lines for v in (line.clean, *line.attacks.values()) if v.paper is not None]
    if values:
        texts.append(f"(paper ...): the same cell in {reference.SOURCE}; its settings beyond those columns are not all known.")
    if any(v.paper_flagged for v in values):
        texts.append("!: the paper's own number would be flagged: it rises with epsilon, or PGD is weaker than others, or stuck.")
    return texts


def flag_meanings(report: Report) -> dict[str, str]:
    """The meaning of every flag and note that the report's rows raise."""
    meanings = {flag: FLAGS.get(flag, "raised by the cell itself.") for flag in report.raised}
    return meanings | {note: NOTES[note] for note in report.notes}


def failures(report: Report) -> list[str]:
    """One note per failed cell with the last line of its error; beyond twenty, how many more."""
    failed = report.rows[report.rows["status"] != "ok"]
    texts = []
    for r in failed.head(SHOWN_FAILURES).to_dict("records"):
        model, attack = report.models[r["key"]], report.shown[r["key"]]
        cell = f"{model.name} {model.full_head}, {model.images}, {r['device']}, {attack.text}"
        strength = f"at epsilon {epsilon_text(r['epsilon'], r['level'])}, seed {r['seed']} (key {r['key']})"
        texts.append(f"failed: {cell} {strength}: {_last_line(r['error'])}")
    more = len(failed) - len(texts)
    have = "its row has" if more == 1 else "their rows have"
    return [*texts, f"{counted(more, 'more cell')} failed: {have} status `failed` and an error."] if more > 0 else texts


def _accuracies(seeds: int) -> str:
    if seeds <= 1:
        return "Accuracies in percent, of one seed; in brackets the 95 % Wilson interval over its evaluated images."
    return (
        "Accuracies in percent: mean over seeds, ± standard deviation over seeds where there are several, in brackets the 95 % "
        "Wilson interval over the evaluated images of all seeds."
    )


def _evaluated(report: Report) -> list[str]:
    good = report.rows[report.rows["status"] == "ok"]
    if good.empty:
        return ["Nothing was evaluated: every cell failed."]
    least, most = int(good["n_evaluated"].min()), int(good["n_evaluated"].max())
    images = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    facts, seeds = report.facts, sorted(set(good["seed"]))
    searches, gradients = counted(facts.searches, "search", "searches"), counted(facts.gradients, "input gradient")
    return [
        f"Evaluated: {images} test images per seed; {'seeds' if len(seeds) > 1 else 'seed'} {_listed(seeds)}. {searches} took "
        f"{gradients} of single images; a search that several models or devices judge counts once."
    ]


def _weights(report: Report) -> list[str]:
    known = report.rows[["backbone", "weights", "weights_origin", "key"]].drop_duplicates(
        ["backbone", "weights", "weights_origin"]
    )
    origins: dict[str, None] = {}
    for _, weights, origin, key in known.sort_values(["backbone", "weights"]).itertuples(index=False, name=None):
        told = origin if isinstance(origin, str) and origin else weights
        if told not in ("", "none"):
            origins.setdefault(f"{report.models[key].backbone_name}: {told}", None)
    return [f"Weights of the backbones: {'; '.join(origins)}."] if origins else []


def _listed(numbers: Iterable[object]) -> str:
    texts = [str(n) for n in numbers]
    return ", ".join(texts) if len(texts) <= 10 else f"{', '.join(texts[:3])} ... {texts[-1]} ({len(texts)})"


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no error was recorded"
