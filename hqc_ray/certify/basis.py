"""The functions of one angle that a core is made of, and points whose convex hull holds them over an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Sizes(NamedTuple):
    """Bounds of the length of a vector of functions, of its first and of its second derivative, over the cube of angles."""

    value: float
    slope: float
    bend: float


class Basis(Protocol):
    """P functions of an angle, the first of which is 1."""

    @property
    def widest(self) -> float:
        """Radians: the largest half width of an interval whose hull is a bound."""

    @property
    def groups(self) -> tuple[tuple[int, Sizes], ...]:
        """The functions in groups, such as (cos, sin): where each begins, and the sizes of its vector."""

    def functions(self, angles: Array) -> Array:
        """The values [..., P] at angles [...], radians."""

    def slopes(self, angles: Array) -> Array:
        """The derivatives [..., P] at angles [...], radians."""

    def hull(self, low: Array, high: Array) -> Array:
        """V points [..., V, P] whose convex hull holds the values over each interval [low, high], radians, [...].

        The first and the last are the values at its ends.
        """


@dataclass(frozen=True)
class Line:
    """1 and the angle: what tanh as a core is made of. Over an interval it is a segment."""

    widest: ClassVar[float] = math.inf
    groups: ClassVar[tuple[tuple[int, Sizes], ...]] = ((0, Sizes(1, 0, 0)), (1, Sizes(math.pi / 2, 1, 0)))

    def functions(self, angles: Array) -> Array:
        """See `Basis`."""
        return np.stack([np.ones_like(angles), angles], -1)

    def slopes(self, angles: Array) -> Array:
        """See `Basis`."""
        return np.stack([np.zeros_like(angles), np.ones_like(angles)], -1)

    def hull(self, low: Array, high: Array) -> Array:
        """See `Basis`."""
        return np.stack([self.functions(low), self.functions(high)], -2)


@dataclass(frozen=True)
class Waves:
    """1, cos x, sin x, ..., cos dx, sin dx: what an angle that enters a circuit d times gives, on any device.

    An arc of the circle (d = 1) lies in the triangle of its ends and of the point where their tangents meet. In general the
    curve is a rational Bezier curve of degree 2 d in the half angle, with positive weights up to a half width of pi / 2, so
    that it lies in the hull of its 2 d + 1 control points (J. M. Pena, Comput. Aided Geom. Des. 14, 5 (1997)).

    Args:
        degree: d.
    """

    widest: ClassVar[float] = 1.3  # at pi / 2 the hull is unbounded, and shortly before that it is no use
    degree: int

    @property
    def groups(self) -> tuple[tuple[int, Sizes], ...]:
        """See `Basis`."""
        return ((0, Sizes(1, 0, 0)), *((2 * k - 1, Sizes(1, k, k * k)) for k in range(1, self.degree + 1)))

    def functions(self, angles: Array) -> Array:
        """See `Basis`."""
        waves = [wave for k in range(1, self.degree + 1) for wave in (np.cos(k * angles), np.sin(k * angles))]
        return np.stack([np.ones_like(angles), *waves], -1)

    def slopes(self, angles: Array) -> Array:
        """See `Basis`."""
        waves = [wave for k in range(1, self.degree + 1) for wave in (-k * np.sin(k * angles), k * np.cos(k * angles))]
        return np.stack([np.zeros_like(angles), *waves], -1)

    def hull(self, low: Array, high: Array) -> Array:
        """See `Basis`.

        With s = sin((h - x) / 2) and t = sin((h + x) / 2) about the middle of an interval of half width h, and a = exp(-ih / 2):
        exp(ikx) sin(h)^2d = (a s + a* t)^(d + k) (a* s + a t)^(d - k), a polynomial of s and t. Divided by that of k = 0,
        coefficient by coefficient, these are the control points.
        """
        middle, half = (low + high) / 2, (high - low) / 2
        turn, d = np.exp(-0.5j * half), self.degree
        ahead, behind = (turn, turn.conj()), (turn.conj(), turn)
        weights = _expanded([ahead] * d + [behind] * d).real
        points = [np.ones_like(weights)]
        for k in range(1, d + 1):
            controls = _expanded([ahead] * (d + k) + [behind] * (d - k)) / weights * np.exp(1j * k * middle)[..., None]
            points += [controls.real, controls.imag]
        return np.stack(points, -1)


def _expanded(factors: list[tuple[NDArray[np.complex128], NDArray[np.complex128]]]) -> NDArray[np.complex128]:
    """The coefficients [..., N + 1] of s^(N - k) t^k in a product of N factors a s + b t."""
    first, second = factors[0]
    product = [first, second]
    for a, b in factors[1:]:
        product = [a * product[0], *(a * u + b * v for u, v in zip(product[1:], product, strict=False)), b * product[-1]]
    return np.stack(product, -1)
