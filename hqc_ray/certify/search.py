"""The distance from an image to the nearest input that its head gets wrong, by branch and bound over boxes of angles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hqc_ray.certify.basis import Array
from hqc_ray.certify.margins import CUBE, Margins, corners
from hqc_ray.certify.reach import Reach

Wrong = Callable[[Array], np.ndarray]  # inputs [n, ...] -> whether the head gets them wrong, [n] bool

STARTS = 32  # points of the cube from which a wrong one is sought
STEPS = 12  # of such a search
SHRINK = 0.6  # of the region in which a tangent is trusted, from step to step
RADII = 33  # that are tried at once
CLOSER = 1e-6  # of a radius: what float64 and a float32 measurement of a distance may differ by


@dataclass(frozen=True)
class Bracket:
    """What is known of one image.

    Attributes:
        lower: every input within this radius is classified correctly.
        upper: an input at this radius is not; inf, if none was found.
        counterexample: that input, angles [Q] or features [F]; NaN where there is none.
        boxes: that were bounded.
        open: boxes ran out before the search had ended.
    """

    lower: float
    upper: float
    counterexample: Array
    boxes: int
    open: bool = False


def bracket(margins: Margins, reach: Reach, wrong: Wrong, tolerance: float, boxes: int) -> Bracket:
    """The largest radius within which an image stays right, between two bounds.

    Best first: of all boxes in which the head may be wrong, the nearest are split, until the nearest is as far as (1 - tolerance)
    times the nearest wrong input. What a box holds is bounded by `Margins.over`; how far it is, by the reach. Where a margin's
    tangent, less the largest curvature, says that it is wrong only beyond a plane, the distance of the plane counts.

    Args:
        margins: of the image's label.
        reach: the inputs around it.
        wrong: whether the head itself gets inputs [n, ...] wrong, [n] bool.
        tolerance: of the bracket, relative.
        boxes: after so many the bracket is left open.
    """
    run = _Run(margins, reach, tolerance)
    lower = run.lower(boxes) if (margins.at(reach.start[None])[:, 0] > run.slack).all() else 0.0
    return run.behind(lower * (1 - CLOSER), wrong)


class _Run:
    """The search about one image."""

    def __init__(self, margins: Margins, reach: Reach, tolerance: float) -> None:
        self.margins, self.reach, self.tolerance = margins, reach, tolerance
        self.slack = margins.slack + margins.steepness @ reach.blur
        self.nearest, self.moves = math.inf, np.zeros(margins.n_wires)  # the nearest that may be wrong, in float arithmetic
        self.batch = int(np.clip(2**17 // margins.coefficients.size, 8, 128))
        self.count, self.open = 0, False

    @property
    def cut(self) -> float:
        """What is farther than this need not be looked at."""
        return min((1 - self.tolerance) * self.nearest, self.reach.farthest)

    def lower(self, boxes: int) -> float:
        """The radius within which nothing is wrong."""
        self._seek(self._starts(), self.reach.farthest)
        certified = self._one_box()
        low, high = (side[None] for side in self.reach.box(min(self.nearest, self.reach.farthest)))
        keys, known = np.array([certified]), math.inf
        while (near := keys < self.cut).any() and self.count < boxes:
            low, high, keys = low[near], high[near], keys[near]
            if self.nearest < (1 - self.tolerance / 4) * known:
                self._seek(self.reach.angles(self.moves)[None], self.nearest / 2)
                known = self.nearest
            order = np.argsort(keys, kind="stable")
            best, rest = order[: self.batch], order[self.batch :]
            new = self._split(low[best], high[best], certified)
            low, high, keys = (np.concatenate([old[rest], more]) for old, more in zip((low, high, keys), new, strict=True))
        self.open = bool(near.any())
        return max(min(float(keys.min(initial=math.inf)), self.cut), certified)

    def _starts(self) -> Array:
        """[S, Q]: the image, and points all over the cube; the same for every image."""
        random = np.random.default_rng(0).uniform(-CUBE, CUBE, (STARTS, self.margins.n_wires))
        return np.concatenate([self.reach.start[None], random])

    def _one_box(self) -> float:
        """The largest radius that one box certifies."""
        first, last = 0.0, min(self.nearest, self.reach.farthest)
        for _ in range(3):
            radii = np.linspace(first, last, RADII)
            sides = [np.stack(side) for side in zip(*(self.reach.box(r) for r in radii[1:]), strict=True)]
            bounds, real = self._over(sides[0], sides[1])
            self._notice(sides[0], sides[1], real)
            safe = np.all(bounds > self.slack[:, None], axis=0)
            n = RADII - 1 if safe.all() else int(np.argmin(safe))
            first, last = radii[n], radii[min(n + 1, RADII - 1)]
        return float(first)

    def _split(self, low: Array, high: Array, certified: float) -> tuple[Array, Array, Array]:
        """The halves of n boxes [n, Q] in which a wrong input may be nearer than the nearest known one, and their distances."""
        n, rows = len(low), np.arange(len(low))
        wire = np.argmax((high - low) * self.weights, 1)
        middle = (low[rows, wire] + high[rows, wire]) / 2
        low, high = np.concatenate([low, low]), np.concatenate([high, high])
        high[rows, wire], low[n + rows, wire] = middle, middle
        bounds, real = self._over(low, high)
        self._notice(low, high, real)
        wrong = ~(bounds > self.slack[:, None])  # [M, n]
        some = wrong.any(0)
        low, high, wrong = low[some], high[some], wrong[:, some]
        if not len(low):
            return low, high, np.zeros(0)
        keys = np.where(wrong, np.maximum(self._distances(low, high), certified), np.inf).min(0)
        near = keys < self.cut
        return low[near], high[near], keys[near]

    @cached_property
    def weights(self) -> Array:
        """[Q]: how much the width of a box matters along each wire."""
        return self.margins.steepness.max(0) + 1e-12

    def _over(self, low: Array, high: Array) -> tuple[Array, Array]:
        self.count += len(low)
        return self.margins.over(low, high)

    def _distances(self, low: Array, high: Array) -> Array:
        """Lower bounds [M, n] of the moves to where each margin may be wrong in boxes of angles [n, Q]."""
        first, last = self.reach.moves(low), self.reach.moves(high)
        with np.errstate(all="ignore"):  # a box that ends where tanh does is endless: its plane says nothing
            middle, half = (first + last) / 2, (last - first) / 2
            values, normals = self._tangents(middle)
            steep, bent = self.reach.stretch(low, high)
            wide = steep * half
            error = np.einsum("mqr,nq,nr->mn", self.margins.curvature, wide, wide) / 2
            error += self.margins.steepness @ (bent * half**2).T / 2
            offsets = values - error - np.einsum("mnq,nq->mn", normals, middle) - self.slack[:, None]
            return self.reach.nearest(normals, offsets, first, last)[0]

    def _tangents(self, moves: Array) -> tuple[Array, Array]:
        """The margins [M, n] at moves [n, Q], and their derivatives [M, n, Q] by the moves."""
        angles = self.reach.angles(moves)
        return self.margins.at(angles), self.margins.slopes(angles) * self.reach.stretch(angles, angles)[0]

    # wrong inputs

    def _seek(self, angles: Array, region: float) -> None:
        """Steps from angles [n, Q] to where the tangent of the smallest margin says that the nearest wrong input is.

        A tangent is trusted in a region that is smaller from step to step.
        """
        moves, rows = self.reach.moves(angles), np.arange(len(angles))
        for _ in range(STEPS):
            values, normals = self._tangents(moves)
            closest = values.argmin(0)
            values, normals = values[closest, rows], normals[closest, rows]
            offsets = values - (normals * moves).sum(-1) + self.slack[closest]
            with np.errstate(all="ignore"):
                _, aims = self.reach.nearest(normals[None], offsets[None], moves - region, moves + region)
            angles = self.reach.angles(aims[0])
            moves, region = self.reach.moves(angles), region * SHRINK
            self._try(moves, self.margins.at(angles))

    def _notice(self, low: Array, high: Array, values: Array) -> None:
        """Look at the corners of boxes [n, Q], at which the margins are `values` [M, 2^Q, n]."""
        some = (values <= self.slack[:, None, None]).any(0)
        if some.any():
            self._try(self.reach.moves(corners(low, high)[some]), values[:, some])

    def _try(self, moves: Array, values: Array) -> None:
        """Keep the nearest of moves [n, Q] to where it may be wrong, by the margins [M, n] there, or a nearer one on the way."""
        lengths = np.where((values <= self.slack[:, None]).any(0), self.reach.length(moves), math.inf)
        best = moves[int(lengths.argmin())]
        if not lengths.min() < self.nearest:
            return
        first, last = 0.0, 1.0
        for _ in range(3):
            parts = np.linspace(first, last, RADII)
            values = self.margins.at(self.reach.angles(parts[:-1, None] * best))
            wrong = np.append(np.any(values <= self.slack[:, None], axis=0), True)
            n = int(np.argmax(wrong))
            first, last = parts[max(n - 1, 0)], parts[n]
        self.moves = last * best
        self.nearest = float(self.reach.length(self.moves))

    def behind(self, lower: float, wrong: Wrong) -> Bracket:
        """The bracket: what the head itself gets wrong is the image, or lies behind the nearest that may be wrong."""
        steps = np.concatenate([[0.0], np.geomspace(1e-7, 1, 41)]) if lower == 0 or math.isfinite(self.nearest) else np.zeros(1)
        moves = self.reach.moves(self.reach.angles((1 + steps[:, None]) * self.moves))
        inputs = np.stack([self.reach.inputs(move) for move in moves])
        found = wrong(inputs)
        if not found.any():
            return Bracket(lower, math.inf, np.full_like(inputs[0], np.nan), self.count, self.open)
        first = int(np.argmax(found))
        return Bracket(lower, max(lower, float(self.reach.length(moves[first]))), inputs[first], self.count, self.open)
