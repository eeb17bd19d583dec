"""Where robustness lives: which stage of a model holds an attack back, from the same attacks at pixels, features and angles.

Epsilons of two levels have different units, and no factor turns grey levels into radians. What can be compared is two models
at the *same* level: the distance over which attacks have to move half of the right images (or the share that fell at every
level, where that is less), as a multiple of that distance of a reference: a head without a circuit on the same backbone and
images (`tanh`, where the sweep has it). These multiples have no unit, so they can be compared across levels, and what changes
from one level to the next is the work of the stage between them:

    circuit                  the multiple at angles
    linear layer and tanh    the multiple at features, over that at angles
    backbone                 the multiple at pixels, over that at features

Their product is the multiple at pixels, which is what a table shows. The backbone is the same for both heads: a factor above
one says that attacks come through it to this head less well than to the reference (gradients that lead nowhere), not that the
head bears more. Multiples of the certified radius would be the other choice, but pixels have none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hqc_ray.report.content.lines import Ball, Line
from hqc_ray.report.content.models import Model

Level = tuple[str, str]  # level and norm
Point = tuple[float, float, float, float]  # epsilon; share of the right images that stay right, its low and high end
BEHIND = {"pixels": "backbone", "features": "linear layer and tanh", "angles": "circuit"}  # what an attack at a level meets first


@dataclass(frozen=True)
class Distance:
    """Where a share of the right images has fallen, in the unit of the level; `low` and `high` by the shares' 95 % intervals.

    Infinite: not within the largest epsilon that was tried.
    """

    middle: float
    low: float
    high: float
    tried: float  # the largest epsilon

    @property
    def open(self) -> bool:
        """Whether only a lower end is known, `tried`."""
        return math.isinf(self.middle)

    @property
    def least(self) -> float:
        """The distance, or what it is at least."""
        return min(self.middle, self.tried)


@dataclass(frozen=True)
class Stages:
    """The models of one data set and backbone that were attacked at several levels."""

    reference: Model
    levels: tuple[Level, ...]  # from the pixels inwards
    fallen: float  # the share of the right images whose distance is compared
    curves: Mapping[tuple[Model, Level], tuple[Line, ...]]  # in the order of epsilon
    distances: Mapping[tuple[Model, Level], Distance]

    @property
    def models(self) -> tuple[Model, ...]:
        """All of them, the reference first."""
        found = dict.fromkeys([self.reference, *(model for model, _ in self.curves)])
        return tuple(found)

    def multiple(self, model: Model, level: Level) -> float | None:
        """How much farther than the reference its images must be moved (at least, where `open`); None: not attacked there."""
        mine, its = self.distances.get((model, level)), self.distances.get((self.reference, level))
        return None if mine is None or its is None or its.open or not its.middle else mine.least / its.middle

    def factors(self, model: Model) -> dict[str, tuple[float, bool]]:
        """What each stage contributes, and whether that is a least; without stages that are not known at their inner end."""
        found: dict[str, tuple[float, bool]] = {}
        for level, inner in zip(self.levels, [*self.levels[1:], None], strict=True):
            mine, its = self.multiple(model, level), self.multiple(model, inner) if inner else 1.0
            if mine and its and not (inner and self.distances[model, inner].open):
                found[self.stage(level)] = mine / its, self.distances[model, level].open
        return found

    def stage(self, level: Level) -> str:
        """What lies between a level and the next one inwards."""
        i = self.levels.index(level)
        until = self.levels[i + 1][0] if i + 1 < len(self.levels) else ""
        names = list(BEHIND)
        inside = names[names.index(level[0]) : names.index(until) if until else None]
        return " + ".join(BEHIND[name] for name in inside)


def stages(lines: Iterable[Line]) -> list[Stages]:
    """Those of each data set and backbone where two models or more were attacked at two levels or more.

    At a level that was attacked in several norms, the norm of most models and epsilons counts.
    """
    places: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        if line.ball and line.ball.epsilon > 0 and line.worst and line.worst.seeds and line.clean.mean > 0:
            places.setdefault(line.model.place, []).append(line)
    found = []
    for its in places.values():
        levels = _levels([line.ball for line in its if line.ball])
        curves: dict[tuple[Model, Level], list[Line]] = {}
        for line in its:
            if line.ball and (level := (line.ball.level, line.ball.norm)) in levels:
                curves.setdefault((line.model, level), []).append(line)
        ordered = {key: tuple(sorted(one, key=lambda line: line.epsilon)) for key, one in curves.items()}
        models = sorted({model for model, _ in ordered}, key=lambda m: m.order)
        reference = min(models, key=lambda m: (-sum((m, level) in ordered for level in levels), m.hybrid, m.order))
        if len(levels) > 1 and len(models) > 1 and any((reference, level) in ordered for level in levels[1:]):
            points = {key: shares(one) for key, one in ordered.items()}
            fallen = min([0.5, *(_fallen(points[key]) for key in points if key[0] == reference)])
            distances = {key: distance(one, fallen) for key, one in points.items()}
            found.append(Stages(reference, levels, fallen, ordered, distances))
    return found


def _levels(balls: Sequence[Ball]) -> tuple[Level, ...]:
    chosen: dict[str, Level] = {}
    for level in BEHIND:
        norms = [ball.norm for ball in balls if ball.level == level]
        if norms:
            chosen[level] = level, max(sorted(set(norms)), key=norms.count)
    return tuple(chosen.values())


def shares(lines: Sequence[Line]) -> list[Point]:
    """The share of the right images that no attack has moved to a wrong class, at each epsilon."""
    found = [(line.epsilon, line.worst, line.clean.mean) for line in lines]
    return [(e, v.mean / clean, v.low / clean, min(v.high / clean, 1.0)) for e, v, clean in found if v]


def _fallen(points: Sequence[Point]) -> float:
    """How many had fallen at the largest epsilon, in whole twentieths; at least a tenth, which tells something."""
    return max(math.floor(20 * (1 - min(point[1] for point in points)) + 1e-9) / 20, 0.1)


def distance(points: Sequence[Point], fallen: float = 0.5) -> Distance:
    """Where that share has fallen, linear between the epsilons that were tried, from none at 0."""
    middle, low, high = (_where([(0.0, 1.0), *((p[0], p[i]) for p in points)], 1 - fallen) for i in (1, 2, 3))
    return Distance(middle, low, high, max(point[0] for point in points))


def _where(curve: Sequence[tuple[float, float]], level: float) -> float:
    """Where a curve first comes down to a level; infinite where it does not."""
    for (left, before), (right, after) in itertools.pairwise(curve):
        if after <= level + 1e-9 < before:
            return left + (before - level) / (before - after) * (right - left)
    return math.inf


def sentence(found: Stages, model: Model) -> str:
    """'vqc1: 1.40 times as far as tanh (4) at pixels: backbone x 1.30, linear layer and tanh x 1.20, circuit x 0.90.'"""
    first = found.levels[0]
    whole = found.multiple(model, first)
    if whole is None:
        return f"{label(model)}: nothing to compare at {first[0]}."
    least = "at least " if found.distances[model, first].open else ""
    known = found.factors(model).items()
    factors = ", ".join(f"{stage} {'at least ' * least_known}× {factor:.2f}" for stage, (factor, least_known) in known)
    return f"{label(model)}: {least}{whole:.2f} times as far as {label(found.reference)} at {first[0]}" + (
        f": {factors}." if factors else "."
    )


def label(model: Model) -> str:
    """The head and, of a circuit, its device."""
    return model.full_head + (f" on {model.device}" if model.hybrid else "")
