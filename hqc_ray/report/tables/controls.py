"""Paired controls as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from hqc_ray.report.content.controls import Compared, Verdict
from hqc_ray.report.content.view import Report
from hqc_ray.report.tables.cell import Cell, ball_text, number

CONTROLS = (
    "Each circuit against its classical controls, on the same images, seeds and attacks: images right in the worst case, that is "
    "fooled by no attack which both had, at this epsilon or a smaller one. Difference: circuit minus control, in percentage "
    "points, with its 95 % interval over images and seeds (hierarchical bootstrap; of one seed over its images). McNemar: "
    "the exact paired test of each seed. p: the larger one of the bootstrap's and McNemar's over the images of all seeds, "
    "corrected for all lines of this table (Holm). Models that judge by shots are left out."
)
HEADER = (
    "Circuit", "Images", "Device", "Control", "Epsilon", "Seeds", "Circuit right", "Control right", "Difference", "McNemar", "p",
    "The circuit is",
)  # fmt: skip
WORDS: dict[Verdict, str] = {
    "more": "more robust", "less": "less robust", "none": "not judged, its attacks are in doubt,", "not": "not distinguishable",
}  # fmt: skip


def controls_lines(report: Report) -> list[list[Cell]]:
    """The lines under `HEADER`."""
    return [_line(one) for one in report.controls]


def _line(one: Compared) -> list[Cell]:
    c, found = one.circuit, one.found
    verdict = WORDS[one.verdict].rstrip(",") + (f": {', '.join(one.doubts)}" if one.doubts else "")
    texts = (c.full_head, f"{c.name}, {c.images}", c.device, one.control.full_head, ball_text(one.ball), str(len(one.seeds)))
    numbers = (_points(one), ", ".join(p_text(p) for p in found.per_seed), p_text(one.p))
    return [
        *(Cell("text", (text,)) for text in texts),
        number(one.circuit_value),
        number(one.control_value),
        *(Cell("text", (text,)) for text in numbers),
        Cell("flags" if one.doubts else "text", (verdict,)),
    ]


def sentences(report: Report) -> list[str]:
    """One sentence per circuit: against which controls it is more robust, less, or not distinguishable, and at which epsilon."""
    circuits = list(dict.fromkeys(one.circuit for one in report.controls))
    return [_sentence([one for one in report.controls if one.circuit == circuit]) for circuit in circuits]


def _sentence(its: Sequence[Compared]) -> str:
    c, seeds = its[0].circuit, sorted({seed for one in its for seed in one.seeds})
    told = []
    for control in dict.fromkeys(one.control for one in its):
        mine = [one for one in its if one.control == control]
        parts = [f"{WORDS[v]} at {', '.join(map(_place, some))}" for v in WORDS if (some := [o for o in mine if o.verdict == v])]
        told.append(f"against {control.full_head} {', '.join(parts)}")
    fewest = min(len(one.seeds) for one in its)
    basis = f"from {len(seeds)} seeds"
    if fewest == 1:
        basis = f"{'in part ' if len(seeds) > 1 else ''}from one seed alone, which another training may not repeat"
    return f"{c.full_head} ({c.name}, {c.images}, {c.device}), {basis}: {'; '.join(told)}."


def _place(one: Compared) -> str:
    """'1/255 (-6.1 [-9.0, -3.2] points, p = 0.002)'; without p where nothing is distinguished."""
    p = "" if one.verdict == "not" else f", p {_with_sign(one.p)}"
    doubt = f"; {', '.join(one.doubts)}" if one.verdict == "none" else ""
    return f"{ball_text(one.ball)} ({_points(one)} points{p}{doubt})"


def _points(one: Compared) -> str:
    low, high = (100 * bound for bound in one.found.interval)
    return f"{100 * one.found.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


def p_text(p: float) -> str:
    """'0.34', '0.0012', '< 0.0001'."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.9995 else "1"


def _with_sign(p: float) -> str:
    return p_text(p) if p < 1e-4 else f"= {p_text(p)}"
