"""What stands under a table: how to read it, where its numbers come from, what is suspect, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from hqc_ray.evaluation import audit
from hqc_ray.report import reference
from hqc_ray.report.lines import Line
from hqc_ray.report.style import backbone_name

SHOWN_FAILURES = 20


def notes(rows: pd.DataFrame, lines: Sequence[Line]) -> list[str]:
    """Every note of a table, as plain sentences; `rows` carry the column `flags`."""
    return [*reading(rows, lines), *(f"{flag}: {text}" for flag, text in flag_meanings(rows).items()), *failures(rows)]


def reading(rows: pd.DataFrame, lines: Sequence[Line]) -> list[str]:
    """How to read the table, what was evaluated, and whose weights."""
    texts = [
        "Accuracies in percent: mean over seeds, ± standard deviation over seeds where there are several, in brackets the 95 % "
        "Wilson interval over the evaluated images of all seeds. Robust accuracy counts images that are right before and after.",
        "Epsilon is in pixel units of [0, 1], in the largest norm unless another is named. Worst case: images that no attack of "
        "the line, noise included, fooled at this epsilon or a smaller one.",
        *_evaluated(rows),
        *_weights(rows),
    ]
    values = [v for line in lines for v in (line.clean, *line.attacks.values()) if v.paper is not None]
    if values:
        texts.append(f"(paper ...): the same cell in {reference.SOURCE}; its settings beyond those columns are not all known.")
    if any(v.paper_flagged for v in values):
        texts.append("!: the paper's own number would be flagged: it lies above a smaller epsilon's, or PGD's above FGSM's.")
    return texts


def flag_meanings(rows: pd.DataFrame) -> dict[str, str]:
    """The meaning of every flag and note that these rows raise."""
    mine = raised(rows)
    meanings = {flag: audit.FLAGS.get(flag, "raised by the cell itself.") for flag in mine}
    return meanings | {note: audit.NOTES[note] for note in audit.notes(rows)}


def raised(rows: pd.DataFrame) -> dict[str, int]:
    """Flag -> number of rows that carry it, in the audit's order."""
    counts = Counter(flag for its in rows["flags"] for flag in its)
    return {flag: counts[flag] for flag in [*audit.FLAGS, *sorted(set(counts) - set(audit.FLAGS))] if flag in counts}


def failures(rows: pd.DataFrame) -> list[str]:
    """One note a failed cell with the last line of its error; beyond twenty, how many more."""
    failed = rows[rows["status"] != "ok"]
    texts = [
        f"failed: {backbone_name(r['backbone'])} {r['head']}, {r['data_size']} images, {r['device']}, {r['attack_label']} at "
        f"epsilon {r['epsilon']:g}, seed {r['seed']} (key {r['key']}): {_last_line(r['error'])}"
        for r in failed.head(SHOWN_FAILURES).to_dict("records")
    ]
    more = len(failed) - len(texts)
    return [*texts, f"{more} more cells failed: their rows have status `failed` and an error."] if more > 0 else texts


def _evaluated(rows: pd.DataFrame) -> list[str]:
    good = rows[rows["status"] == "ok"]
    if good.empty:
        return ["Nothing was evaluated: every cell failed."]
    least, most = int(good["n_evaluated"].min()), int(good["n_evaluated"].max())
    images = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return [f"Evaluated: {images} test images a seed; seeds {_listed(sorted(set(good['seed'])))}."]


def _weights(rows: pd.DataFrame) -> list[str]:
    known = rows[["backbone", "weights", "weights_origin"]].drop_duplicates().sort_values(["backbone", "weights"])
    origins: dict[str, None] = {}
    for backbone, weights, origin in known.itertuples(index=False, name=None):
        told = origin if isinstance(origin, str) and origin else weights
        if told not in ("", "none"):
            origins.setdefault(f"{backbone_name(backbone)}: {told}", None)
    return [f"Weights of the backbones: {'; '.join(origins)}."] if origins else []


def _listed(numbers: Iterable[object]) -> str:
    texts = [str(n) for n in numbers]
    return ", ".join(texts) if len(texts) <= 10 else f"{', '.join(texts[:3])} ... {texts[-1]} ({len(texts)})"


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no error was recorded"
