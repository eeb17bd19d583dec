"""Is it the circuit? One sentence for all comparisons of circuits with their controls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from hqc_ray.columns import counted
from hqc_ray.report.content.controls import UNKNOWN, Compared, Verdict
from hqc_ray.report.content.lines import Ball
from hqc_ray.report.content.models import Model
from hqc_ray.report.style import listed

PLACES = 4  # epsilons that are told one by one
Case = tuple[Model, Ball]  # a circuit in a ball
Cases = dict[Case, list[Compared]]
Kind = Verdict | Literal["mixed"]  # mixed: more than with one control, fewer than with another
_WORDS: dict[Kind, str] = {
    "more": "more images stay right than with any control", "less": "fewer images stay right than with a control",
    "mixed": "more images stay right than with one control and fewer than with another", "none": "there is a difference",
}  # fmt: skip


def verdict(controls: Sequence[Compared]) -> str:
    """The sentence.

    A circuit makes a difference in a ball if it is told from every control that it has there: one that does as well without a
    circuit is enough to say that it is something else.

    Args:
        controls: all comparisons of a report, at least one.
    """
    cases: Cases = defaultdict(list)
    for one in controls:
        cases[one.circuit, one.ball].append(one)
    kinds: dict[Kind, Cases] = {"more": {}, "less": {}, "mixed": {}, "none": {}, "not": {}}
    for case, its in cases.items():
        kinds[_of_one([one.verdict for one in its])][case] = its
    told = [
        f"{words} {_where(some, cases)} ({_points(some, kind)}){_doubts(some) if kind == 'none' else ''}"
        for kind, words in _WORDS.items() if (some := kinds[kind])
    ]  # fmt: skip
    told += [_indistinct(kinds["not"], cases, len(controls))] if kinds["not"] else []
    against = listed(list(dict.fromkeys(one.control.head_title or one.control.head for one in controls)))
    short = _short({kind for kind, some in kinds.items() if some})
    return f"Is it the circuit? {short}, by paired tests on the same images against {against}: {'; '.join(told)}."


def _of_one(found: Sequence[Verdict]) -> Kind:
    """Of a circuit in a ball, from its comparisons with several controls."""
    if "less" in found:
        return "mixed" if "more" in found else "less"
    if "not" in found:
        return "not"
    return "none" if "none" in found else "more"


def _short(kinds: set[Kind]) -> str:
    if kinds == {"not"}:
        return "No sign of it"
    if "none" in kinds:
        return "Undecided"
    if "less" in kinds and "more" in kinds:
        return "It depends on the circuit and the epsilon"
    if "mixed" in kinds and "more" not in kinds:
        return "No: which does better depends on the control"
    if "less" in kinds:
        return "No, and where there is a difference it does harm"
    return "Under these attacks yes" if kinds == {"more"} else "Under these attacks in part"


def _points(cases: Cases, kind: Kind) -> str:
    """'circuit minus control +6.0 to +18.5 points', over the comparisons that came out so."""
    kinds = {"more", "less"} if kind == "mixed" else {kind}
    found = [100 * one.found.difference for its in cases.values() for one in its if one.verdict in kinds]
    low, high = f"{min(found, default=0):+.1f}", f"{max(found, default=0):+.1f}"
    return f"circuit minus control {low}{'' if low == high else f' to {high}'} points"


def _doubts(cases: Cases) -> str:
    doubts = {doubt for its in cases.values() for one in its if one.verdict == "none" for doubt in one.doubts}
    flags = ", ".join(sorted(doubts - {UNKNOWN}))
    told = ["no attack aimed past the corners in which a circuit's gradients may stall"] if UNKNOWN in doubts else []
    told += [f"the attacks on one of the two are in doubt ({flags})"] if flags else []
    return f", not to be believed since {listed(told)}"


def _where(cases: Cases, everything: Cases) -> str:
    """'for 3 of 4 circuits at 1/255 and 1 of 4 at 4/255'; of one circuit alone 'at 1/255'."""
    here, everywhere = (Counter(ball for _, ball in some) for some in (cases, everything))
    balls = sorted(here, key=lambda ball: ball.order)
    more = [f"{len(balls) - PLACES} more epsilons up to {balls[-1].text}"] if len(balls) > PLACES else []
    if len({circuit for circuit, _ in everything}) == 1:
        return f"at {listed([*(ball.text for ball in balls[:PLACES]), *more])}"
    told = [f"{here[ball]} of {everywhere[ball]} at {ball.text}" for ball in balls[:PLACES]]
    return "for " + listed([*told, *(f"some at {text}" for text in more)]).replace(" at ", " circuits at ", 1)


def _indistinct(cases: Cases, everything: Cases, comparisons: int) -> str:
    """'in the other 38 of 60 cases (a circuit at an epsilon) no difference is significant (...)'."""
    found = [one.found.interval for its in cases.values() for one in its if one.verdict == "not"]
    low, high = 100 * min(interval.low for interval in found), 100 * max(interval.high for interval in found)
    several = any(len(its) > 1 for its in cases.values())
    corrected = f", corrected for {comparisons} comparisons" if comparisons > 1 else ""
    all_of_them = {1: "the only case", 2: "both cases"}.get(len(everything), f"all {counted(len(everything), 'case')}")
    which = f"the other {len(cases)} of {counted(len(everything), 'case')}" if len(cases) < len(everything) else all_of_them
    return (
        f"in {which} (a circuit at an epsilon) "
        f"{'the difference from at least one control is not' if several else 'no difference is'} significant{corrected} "
        f"(95 % intervals within {low:+.1f} and {high:+.1f} points)"
    )
