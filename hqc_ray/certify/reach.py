"""What lies within a radius of an image's input, in angles: the cube around angles, and the ball around features."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from hqc_ray.certify.basis import Array
from hqc_ray.certify.margins import CUBE, UNIT

FARTHEST = 5.0  # features: half their root mean square norm, and several times what changes a decision
ENDLESS = 1e6  # a pre-activation where tanh has ended
SWEEPS = 8  # over the wires, of the quadratic program of a box; its bound holds after any number


class Reach(Protocol):
    """The inputs around one image, by how the angles that they give move.

    Moves are what angles are made of: the angles themselves, or pre-activations, relative to the image's. Their length is
    that of the smallest perturbation that makes them.

    Attributes:
        start: [Q] radians, the angles of the image.
        farthest: nothing is said beyond this radius.
        blur: [Q] radians, by how much float32 may miss each angle within `farthest`.
    """

    start: Array
    farthest: float
    blur: Array

    def box(self, radius: float) -> tuple[Array, Array]:
        """The angles from low to high [Q] that hold all that lies within `radius`."""

    def moves(self, angles: Array) -> Array:
        """Moves [..., Q] to angles [..., Q]."""

    def angles(self, moves: Array) -> Array:
        """Angles [..., Q] in the cube of moves [..., Q]."""

    def inputs(self, moves: Array) -> Array:
        """The nearest input [...] that makes moves [Q]: angles [Q], or features [F]."""

    def length(self, moves: Array) -> Array:
        """[...] of moves [..., Q]."""

    def nearest(self, normals: Array, offsets: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """The shortest moves from `low` to `high` [n, Q] with normals . move <= -offsets, for normals [M, n, Q], offsets [M, n].

        Returns:
            A lower bound of their length [M, n], inf where there is none; moves [M, n, Q] that are about the shortest.
        """

    def stretch(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Bounds [n, Q] of d angle / d move and of the second derivative over boxes of angles [n, Q]."""


class Cube:
    """Angles within a radius in linf, in the cube that tanh can reach.

    Args:
        start: [Q] radians.
    """

    def __init__(self, start: Array) -> None:
        self.start, self.blur = start, np.zeros_like(start)
        self.farthest = float(np.abs(start).max()) + CUBE

    def box(self, radius: float) -> tuple[Array, Array]:
        """See `Reach`."""
        return np.maximum(self.start - radius, -CUBE), np.minimum(self.start + radius, CUBE)

    def moves(self, angles: Array) -> Array:
        """See `Reach`."""
        return angles - self.start

    def angles(self, moves: Array) -> Array:
        """See `Reach`."""
        return np.clip(self.start + moves, -CUBE, CUBE)

    def inputs(self, moves: Array) -> Array:
        """See `Reach`."""
        return self.angles(moves)

    def length(self, moves: Array) -> Array:
        """See `Reach`."""
        return np.abs(moves).max(-1)

    def nearest(self, normals: Array, offsets: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """See `Reach`.

        Within a radius r a wire takes normals . move down by |normal| min(r, b), where b is how far the box lets it go that way.
        The sum is concave in r: Newton's steps from below stay below.
        """
        sizes, bounds = np.abs(normals), np.where(normals > 0, -low, high)
        radii = np.maximum(low, -high).max(-1).clip(0) + np.zeros_like(offsets)
        for _ in range(self.start.size):
            free = bounds > radii[..., None]
            lacking = offsets - (sizes * np.minimum(bounds, radii[..., None])).sum(-1)
            radii = radii + np.where(lacking > 0, lacking / (sizes * free).sum(-1), 0)  # nothing is free: inf
        ends = np.minimum(bounds, radii[..., None])
        return radii, np.where(normals > 0, -ends, ends)

    def stretch(self, low: Array, high: Array) -> tuple[Array, Array]:
        """See `Reach`."""
        return np.ones_like(low), np.zeros_like(low)


class Ball:
    """Standardised features within a radius in l2, seen through the head's linear layer and tanh.

    Pre-activations move by v = W d, so that v' (W W')^-1 v <= radius^2: an ellipsoid. tanh is monotone, so that a box of angles
    is a box of moves.

    Args:
        weight: W, [Q, F], of the linear layer.
        bias: [Q].
        features: [F], standardised.
    """

    def __init__(self, weight: Array, bias: Array, features: Array) -> None:
        self.weight, self.features, self.centre = weight, features, weight @ features + bias
        self.start = np.tanh(self.centre) * (math.pi / 2)
        squares = weight @ weight.T
        # a little larger an ellipsoid, so that it is none without width where rows depend on each other
        self.spread = squares + 1e-10 * np.eye(len(bias)) * squares.diagonal().max()
        self.metric = np.linalg.inv(self.spread)
        self.rows = np.linalg.norm(weight, axis=1)
        self.farthest = FARTHEST
        sizes = np.abs(weight) @ np.abs(features) + self.rows * self.farthest + np.abs(bias)
        self.blur = CUBE * UNIT * ((weight.shape[1] + 2) * sizes + 8)  # in whatever order float32 sums

    def box(self, radius: float) -> tuple[Array, Array]:
        """See `Reach`."""
        return self.angles(-radius * self.rows), self.angles(radius * self.rows)

    def moves(self, angles: Array) -> Array:
        """See `Reach`."""
        with np.errstate(divide="ignore"):
            return np.arctanh(np.clip(angles * (2 / math.pi), -1, 1)).clip(-ENDLESS, ENDLESS) - self.centre

    def angles(self, moves: Array) -> Array:
        """See `Reach`."""
        return np.tanh(self.centre + moves) * (math.pi / 2)

    def inputs(self, moves: Array) -> Array:
        """See `Reach`."""
        return self.features + self.weight.T @ (self.metric @ moves)

    def length(self, moves: Array) -> Array:
        """See `Reach`."""
        return np.sqrt(np.einsum("...q,qr,...r->...", moves, self.metric, moves).clip(0))

    def nearest(self, normals: Array, offsets: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """See `Reach`.

        A quadratic program, solved wire by wire for two multipliers of the plane: none, and that of the plane without a box. Of a
        convex function the tangent at any point is a lower bound, however far the solution is.
        """
        limit = self.farthest * self.rows
        first, last = np.maximum(low, -limit), np.minimum(high, limit)
        beyond = (first > last).any(-1)
        first = np.minimum(first, last)
        free = 2 * offsets.clip(0) / np.einsum("...q,qr,...r->...", normals, self.spread, normals).clip(1e-300)
        multipliers = np.stack([np.zeros_like(free), free])[..., None]
        pulls = multipliers * normals / 2
        moves = np.clip(-pulls @ self.spread, first, last)
        for wire in [*range(moves.shape[-1])] * SWEEPS:
            rest = moves @ self.metric[wire] - moves[..., wire] * self.metric[wire, wire] + pulls[..., wire]
            moves[..., wire] = np.clip(-rest / self.metric[wire, wire], first[:, wire], last[:, wire])
        slopes = moves @ self.metric + pulls
        values = (moves * (slopes + pulls)).sum(-1) + multipliers[..., 0] * offsets
        squares = values + 2 * np.minimum(slopes * (first - moves), slopes * (last - moves)).sum(-1)
        return np.where(beyond, np.inf, np.sqrt(squares.max(0).clip(0))), moves[1]

    def stretch(self, low: Array, high: Array) -> tuple[Array, Array]:
        """See `Reach`."""
        values = np.stack([low, high]) * (2 / math.pi)
        across = (low < 0) & (high > 0)
        steep = 1 - np.where(across, 0.0, np.abs(values).min(0)) ** 2
        return math.pi / 2 * steep, math.pi * np.minimum(np.abs(values).max(0) * steep, 0.385)
