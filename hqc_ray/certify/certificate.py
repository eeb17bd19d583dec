"""Certificates of images: how far each may move before the head decides otherwise, at least and at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.certify import NORMS
from hqc_ray.certify.basis import Array
from hqc_ray.certify.margins import UNIT, covers, decision
from hqc_ray.certify.reach import FARTHEST, Ball, Cube, Reach
from hqc_ray.certify.search import Bracket, bracket
from hqc_ray.errors import ModelError
from hqc_ray.models.head import Dense, Head
from hqc_ray.spec import Level

TOLERANCES: dict[Level, float] = {"angles": 1e-3, "features": 1e-2}  # of a bracket, relative
BOXES = 20_000  # that are bounded for an image, before its bracket is left open
ROUNDING = 1e-5  # of the largest logit; those of one input differ by less between batches
LARGE = 3**7  # terms; of a core with more of them there are so many fewer boxes that an image costs no more


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of N images, in the unit of the level.

    Attributes:
        level: of the inputs.
        lower: [N] float64; every input within this radius is classified correctly. 0 for an image that is not.
        upper: [N] float64; the input `counterexamples` [N, ...], at this radius, is not; inf and NaN where none was found.
        counterexamples: see `upper`; angles [N, Q] or features [N, F], float64.
        boxes: [N] int64, that were bounded.
        open: [N] bool; boxes ran out, so that the two ends are farther apart than they need be.
    """

    level: Level
    lower: Array
    upper: Array
    counterexamples: Array
    boxes: np.ndarray
    open: np.ndarray

    @property
    def norm(self) -> str:
        """Of the radii: linf of angles, l2 of features."""
        return NORMS[self.level]


def certifiable(head: Head, level: Level) -> bool:
    """Whether `certify` knows the head at a level: a circuit, Fourier and tanh at both; linear at features."""
    return (level in NORMS and covers(head)) or (level == "features" and _is_linear(head))


def certify(head: Head, level: Level, values: Tensor, labels: Sequence[int] | Tensor, boxes: int | None = None) -> Certificate:
    """The largest radius within which each image stays right, between two bounds.

    At `angles` the radius is in linf, within the cube that tanh can reach, and the search ends when it is known to 0.1 %; at
    `features`, as the head standardises them, it is in l2, to 1 %, and nothing is said beyond `reach.FARTHEST`. The bracket is
    wider by the float rounding of the head, in whatever order it sums; each counterexample was run through the head. Where boxes
    run out it is wider still (`Certificate.open`). The limit is a number of boxes, not of seconds: the same on every machine.

    The certificate is of the head as it stands: of a circuit on a noisy device with its noise, of a measured one of the function
    that was fitted, and of a sampled one of its expectations.

    Args:
        head: with an exact core, see `certifiable`.
        level: angles or features.
        values: angles [N, Q] or standardised features [N, F].
        labels: [N], the true classes.
        boxes: of an image, at most; None: `BOXES`, fewer of large cores.

    Raises:
        ModelError: the head has no certificate at this level.
    """
    if not certifiable(head, level):
        valid = "angles or features of tanh, fourier, or a circuit as its surrogate; features of linear"
        raise ModelError(f"no certificate at {level!r} of this head", where="level", valid=valid)
    asked = [int(label) for label in labels]
    judge = _Judge(head, level, values)
    found = _linear if _is_linear(head) else _bottleneck
    return found(judge, values.detach().cpu().double().numpy(), asked, boxes)


def nearest_wrong(
    head: Head, points: Tensor, factors: Tensor, labels: Sequence[int] | Tensor, tolerance: float = 0.1, boxes: int = 200
) -> Array:
    """For each image about the nearest pre-activations at which the head is wrong, [N, Q] float64; NaN where none was found.

    The search of `certify`, in any metric, and for an attack: it ends early, and says nothing of what is nearer.

    Args:
        head: with a bottleneck and an exact core, see `margins.covers`.
        points: [N, Q], pre-activations, at which the search begins.
        factors: [N, Q, Q], invertible: the points at a distance of 1 are those plus `factors` times vectors of length 1. What
            is farther than `reach.FARTHEST` may be missed.
        labels: [N], the true classes.
        tolerance: relative; the search ends when nothing can be nearer by more.
        boxes: of an image, at most.

    Raises:
        ModelError: the head is none that `covers` knows.
    """
    decided, found = decision(head), []
    margins = {label: decided.margins(label) for label in {int(label) for label in labels}}
    for point, factor, label in zip(points, factors, [int(label) for label in labels], strict=True):
        judge = _Behind(head, point, factor)
        reach = Ball(_plain(factor), _plain(point), np.zeros(len(point)))
        ended = bracket(margins[label], reach, partial(judge.wrong, label=label), tolerance, boxes)
        found.append(_plain(point) + _plain(factor) @ ended.counterexample)
    return np.stack(found)


def _misses(logits: Tensor, label: int) -> np.ndarray:
    """Which of logits [n, K] are wrong by more than rounding, [n]."""
    exact = logits.cpu().double().numpy()
    others = np.delete(exact, label, 1).max(1)
    return np.asarray(others - exact[:, label] > ROUNDING * np.abs(exact).max(1))


@dataclass(frozen=True)
class _Behind:
    """The head itself, behind its pre-activations `point` [Q]."""

    head: Head
    point: Tensor
    factor: Tensor

    def wrong(self, moves: Array, label: int) -> np.ndarray:
        """Which of `point` + `factor` @ moves [n, Q] it gets wrong, [n]."""
        points = _plain(self.point) + moves @ _plain(self.factor).T
        with torch.no_grad():
            return _misses(self.head.concluded(torch.from_numpy(points).to(self.point)), label)


@dataclass(frozen=True)
class _Judge:
    """The head itself, in the precision in which it runs: `values` are of that."""

    head: Any
    level: Level
    values: Tensor

    def wrong(self, points: Array, label: int) -> np.ndarray:
        """Which of inputs [n, ...] it gets wrong by more than rounding, [n]."""
        given = torch.from_numpy(points).to(self.values)
        with torch.no_grad():
            return _misses(self.head.decided(given) if self.level == "angles" else self.head.logits(given), label)


def _bottleneck(judge: _Judge, values: Array, labels: list[int], boxes: int | None) -> Certificate:
    head, decided = judge.head, decision(judge.head)
    margins = {label: decided.margins(label) for label in set(labels)}
    terms = decided.coefficients[0].size
    most = boxes or max(1, BOXES * min(terms, LARGE) // terms)
    linear = [_plain(head.reduce.weight), _plain(head.reduce.bias)]
    brackets = []
    for value, label in zip(values, labels, strict=True):
        reach: Reach = Cube(value) if judge.level == "angles" else Ball(linear[0], linear[1], value)
        wrong = partial(judge.wrong, label=label)
        brackets.append(bracket(margins[label], reach, wrong, TOLERANCES[judge.level], most))
    return _together(judge.level, brackets)


def _is_linear(head: Head) -> bool:
    return type(head) is Dense and type(head.layers) is nn.Linear


def _linear(judge: _Judge, values: Array, labels: list[int], boxes: int | None) -> Certificate:
    """Of a linear head the nearest wrong input lies straight across the nearest of K - 1 planes."""
    weight, bias = _plain(judge.head.layers.weight), _plain(judge.head.layers.bias)
    brackets = []
    for value, label in zip(values, labels, strict=True):
        ways = weight[label] - np.delete(weight, label, 0)
        margins, lengths = ways @ value + bias[label] - np.delete(bias, label), np.linalg.norm(ways, axis=1).clip(1e-300)
        summed = np.abs(weight) @ np.abs(value) + np.linalg.norm(weight, axis=1) * FARTHEST + np.abs(bias)
        slack = (len(value) + 2) * UNIT * (summed[label] + np.delete(summed, label))
        way = int(np.argmin(margins / lengths))
        radii = max(float(margins[way] / lengths[way]), 0) * (1 + np.concatenate([[0], np.geomspace(1e-7, 1, 41)]))
        points = value - radii[:, None] * ways[way] / lengths[way]
        found = judge.wrong(points, label)
        lower = float(((margins - slack) / lengths).min().clip(0, FARTHEST))
        if found.any():
            first = int(np.argmax(found))
            brackets.append(Bracket(lower, max(lower, float(radii[first])), points[first], 0))
        else:
            brackets.append(Bracket(lower, np.inf, np.full_like(value, np.nan), 0))
    return _together("features", brackets)


def _together(level: Level, brackets: list[Bracket]) -> Certificate:
    columns = [
        np.array([getattr(one, name) for one in brackets]) for name in ("lower", "upper", "counterexample", "boxes", "open")
    ]
    return Certificate(level, *columns)


def _plain(tensor: Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()
