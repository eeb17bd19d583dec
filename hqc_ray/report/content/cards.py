"""A card per model and device: what was measured of it whatever the attack, the worst of its seeds, and what the audit says."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hqc_ray.evaluation.comparisons import CONTROL
from hqc_ray.evaluation.flags import FLAGS
from hqc_ray.report.content.models import Model

# fact -> which of several seeds is the worst one
FACTS: dict[str, Callable[[Sequence[float]], float]] = {
    "test_accuracy": min, "trapped_share": max, "gradient_error": max, "dead_input_share": max, "random_share": max,
    "batch_dependent_share": max, "noise_effect": min, "linear_distance_linf": min,
}  # fmt: skip
MEASURED = tuple(FACTS)[1:]  # by the card itself; rows of before have none of them


@dataclass(frozen=True)
class Flagged:
    """Of some rows, those that the audit flags."""

    of: int
    rows: int
    flags: tuple[str, ...]  # as `FLAGS` orders them, then others


@dataclass(frozen=True)
class Card:
    """A model on a device at a level.

    Args:
        model: apart from its seed; the device is in it.
        level: of the values that the facts are about.
        seeds: how many there are.
        facts: of `FACTS`, the worst over the seeds; NaN: unknown.
        attacks: its flagged rows of attacks, over all seeds.
        others: those without an attack whose flags no attack has.
    """

    model: Model
    level: str
    seeds: int
    facts: Mapping[str, float]
    attacks: Flagged
    others: Flagged


def cards(rows: Sequence[Mapping[str, Any]], model: Callable[[Mapping[str, Any]], Model]) -> tuple[Card, ...]:
    """The cards of these rows, in the order of the table; models of which nothing was measured have none.

    Args:
        rows: with the column `flags`.
        model: that judged a row.
    """
    groups: dict[tuple[Model, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["status"] == "ok":
            groups.setdefault((model(row), row["level"]), []).append(row)
    made = [_card(of, level, its) for (of, level), its in groups.items()]
    known = [card for card in made if any(not math.isnan(card.facts[name]) for name in MEASURED)]
    return tuple(sorted(known, key=lambda card: (card.model.order, card.level != "pixels", card.level)))


def _card(model: Model, level: str, rows: Sequence[Mapping[str, Any]]) -> Card:
    facts = {}
    for name, worst in FACTS.items():
        known = [value for row in rows if not math.isnan(value := _number(row[name]))]
        facts[name] = worst(known) if known else math.nan
    attacks = _flagged([row["flags"] for row in rows if row["attack_kind"] != CONTROL])
    others = _flagged([set(row["flags"]) - {*attacks.flags} for row in rows if row["attack_kind"] == CONTROL])
    return Card(model, level, len({row["seed"] for row in rows}), facts, attacks, others)


def _flagged(raised: Sequence[Collection[str]]) -> Flagged:
    found = {flag for flags in raised for flag in flags}
    flags = tuple(flag for flag in [*FLAGS, *sorted(found - {*FLAGS})] if flag in found)
    return Flagged(len(raised), sum(bool(its) for its in raised), flags)


def _number(value: Any) -> float:
    return math.nan if pd.isna(value) else float(value)
