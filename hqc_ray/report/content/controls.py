"""Circuits against their classical controls, image by image: on the same images, seeds and attacks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from hqc_ray.evaluation.comparisons import CONTROL, TRAPPED_SHARE
from hqc_ray.evaluation.paired import LEVEL, Paired, holm, paired
from hqc_ray.evaluation.statistics import Outcomes, unpack, worst_case
from hqc_ray.report.content.attacks import Row, is_clean, is_transfer
from hqc_ray.report.content.lines import Ball, Value, ball_of, of_counts
from hqc_ray.report.content.models import Model

Verdict = Literal["more", "less", "not", "none"]
UNKNOWN = "trapped is not known"  # a doubt: rows of before, and no attack that aims
_SAME = (  # of two models of a seed, so that nothing but their heads differs
    "data_digest", "data_source", "n_evaluated", "backbone", "weights", "weights_origin", "image_size", "train_epochs",
    "train_batch_size", "train_learning_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A circuit and one control in one ball: images that no attack which both had fooled there, or in a smaller ball."""

    circuit: Model
    control: Model
    ball: Ball
    seeds: tuple[int, ...]
    circuit_value: Value
    control_value: Value
    found: Paired
    p: float  # Holm's correction for all comparisons of the report
    doubts: tuple[str, ...]  # why a difference is not to be believed: flags on every attack on one of the two in this ball

    @property
    def verdict(self) -> Verdict:
        """Whether the circuit is more robust, less, or not distinguishable; none, where the attacks are in doubt."""
        if self.p >= LEVEL:
            return "not"
        if self.doubts:
            return "none"
        return "more" if self.found.difference > 0 else "less"


def compared(rows: Sequence[Row], model: Callable[[Row], Model]) -> tuple[Compared, ...]:
    """Every circuit with each of its controls in each ball, in the table's order.

    A control has no circuit, and a bottleneck as wide as the circuit's, or none but as many parameters. Circuits that are judged
    by shots are left out: of each image every further look fools some.

    Args:
        rows: one per cell, with the column `flags`.
        model: the model that judged a row.
    """
    heads: dict[Model, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["status"] == "ok" and row["n_evaluated"] and row["search_seed"] == row["seed"] and pd.isna(row["shots"]):
            heads[model(row)][int(row["seed"])].append(row)
    ordered = sorted(heads, key=lambda m: m.order)
    pairs = ((a, b) for a in ordered if a.hybrid for b in ordered if not b.hybrid and a.place == b.place)
    found = [one for a, b in pairs for one in _pair(a, b, heads[a], heads[b])]
    adjusted = holm([one.found.p for one in found])
    return tuple(Compared(**{**vars(one), "p": p}) for one, p in zip(found, adjusted, strict=True))


def _pair(circuit: Model, control: Model, mine: Mapping[int, list[Row]], its: Mapping[int, list[Row]]) -> Iterator[Compared]:
    """The comparisons of two models, p-values as they are."""
    seeds = [s for s in sorted(mine) if s in its and _alone(mine[s]) and _alone(its[s]) and _matched(mine[s][0], its[s][0])]
    balls = {ball_of(row) for s in seeds for row in mine[s] if not is_clean(row)}
    for ball in sorted(balls, key=lambda b: b.order):
        both = {s: (_right(mine[s], its[s], ball), _right(its[s], mine[s], ball)) for s in seeds}
        known = {s: (a, b) for s, (a, b) in both.items() if a is not None and b is not None}
        if known:
            first, second = [a for a, _ in known.values()], [b for _, b in known.values()]
            doubts = sorted({flag for s in known for some in (mine[s], its[s]) for flag in _doubts(some, ball)})
            found = paired(first, second)
            yield Compared(circuit, control, ball, tuple(known), _rate(first), _rate(second), found, found.p, tuple(doubts))


def _alone(rows: Sequence[Row]) -> bool:
    """Whether these are rows of one trained model; several of one seed differ in what no row says, and none is the control."""
    return len({row["model_key"] for row in rows}) == 1


def _matched(circuit: Row, control: Row) -> bool:
    """Whether the second is a control of the first: see `compared`."""
    if any(str(circuit[name]) != str(control[name]) for name in _SAME):
        return False
    mine, its = (json.loads(row["model_options"] or "{}") for row in (circuit, control))
    if any(mine[name] != its[name] for name in (mine.keys() & its.keys()) - {"n_qubits"}):  # of the backbone
        return False
    if not pd.isna(control["n_qubits"]):
        return bool(control["n_qubits"] == circuit["n_qubits"])
    if pd.isna(circuit["head_parameters"]) or pd.isna(control["head_parameters"]):
        return False
    step = circuit["head_parameters"] / circuit["n_qubits"]  # roughly those of one hidden unit
    return bool(abs(circuit["head_parameters"] - control["head_parameters"]) <= step / 2)


def _right(rows: Sequence[Row], others: Sequence[Row], ball: Ball) -> Outcomes | None:
    """Which images [n] nothing fooled within the ball: no attack that the other model had as well, none found elsewhere."""
    common = {_attack(row) for row in others if not is_transfer(row)}
    tried = [row for row in rows if not is_clean(row) and _inside(row, ball) and (is_transfer(row) or _attack(row) in common)]
    if not any(row["attack_kind"] != CONTROL for row in tried):
        return None
    bits = [(float(row["epsilon"]), unpack(row["robust_correct"], int(row["n_evaluated"]))) for row in tried]
    return worst_case(bits, ball.epsilon)


def _attack(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("attack", "attack_options", "level", "norm", "epsilon"))


def _inside(row: Row, ball: Ball) -> bool:
    return (row["level"], row["norm"]) == (ball.level, ball.norm) and float(row["epsilon"]) <= ball.epsilon


def _doubts(rows: Sequence[Row], ball: Ball) -> set[str]:
    """The flags of the attacks on the model itself in this ball, where none of them is free of flags."""
    own = [row for row in rows if ball_of(row) == ball and row["attack_kind"] != CONTROL and not is_transfer(row)]
    if all(row["flags"] for row in own):
        return {flag for row in own for flag in row["flags"]}
    narrow: bool = not pd.isna(rows[0]["n_qubits"]) and ball.level != "angles"
    if not narrow or any(row["aims"] for row in own):
        return set()
    shares = [float(row["trapped_share"]) for row in own if not pd.isna(row["trapped_share"])]
    if not shares:
        return {UNKNOWN}
    return {"trapped"} if max(shares) > TRAPPED_SHARE else set()  # also where the flag waits for what is still to come


def _rate(outcomes: Sequence[Outcomes]) -> Value:
    return of_counts([(int(bits.sum()), len(bits)) for bits in outcomes])
