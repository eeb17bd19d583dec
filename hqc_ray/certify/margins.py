"""The margins of a head as exact functions of the angles, and by how much float arithmetic may miss them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from hqc_ray.certify.basis import Array, Basis, Line, Waves
from hqc_ray.errors import ModelError
from hqc_ray.models.functions import Direct, Fourier
from hqc_ray.models.head import Bottleneck, Head
from hqc_ray.quantum.cores.estimated import Estimated
from hqc_ray.quantum.cores.mitigated import Mitigated
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices import get
from hqc_ray.quantum.ideal.layer import CircuitLayer

UNIT = 2.0**-24  # of rounding to float32
CUBE = float(np.float32(np.pi / 2))  # half the side of the cube of angles, as float32 has it: a little more than pi / 2


@dataclass(frozen=True)
class Margins:
    """z[label] - z[other] for M other classes, each a sum of products of one function per angle.

    Args:
        basis: the P functions of each angle.
        coefficients: [M, P, ..., P], an axis for each of Q wires.
        slack: [M], in logits: where a margin is above it, the head is right in float32 as well; below minus it, wrong.
    """

    basis: Basis
    coefficients: Array
    slack: Array

    @property
    def n_wires(self) -> int:
        """Q."""
        return self.coefficients.ndim - 1

    def at(self, angles: Array) -> Array:
        """[M, n] of angles [n, Q]."""
        return self._product(self.basis.functions(angles)[:, :, None])

    def slopes(self, angles: Array) -> Array:
        """The derivatives [M, n, Q] at angles [n, Q]."""
        there, along = self.basis.functions(angles), self.basis.slopes(angles)
        wires = range(self.n_wires)
        parts = [np.where((np.arange(self.n_wires) == i)[None, :, None], along, there) for i in wires]
        return np.stack([self._product(part[:, :, None]) for part in parts], -1)

    def over(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Over n boxes of angles from `low` to `high` [n, Q].

        A margin is affine in the functions of each wire, so over the product of their hulls its smallest value is at a corner.

        Returns:
            A lower bound of each margin [M, n], -inf where a box is too wide; the margins in the corners of the boxes
            [M, 2^Q, n], in the order of `corners`.
        """
        with np.errstate(all="ignore"):
            hulls = self.basis.hull(low, high)
            values, v = self._contracted(hulls), hulls.shape[-2]
        real = values[(slice(None), *[slice(None, None, v - 1)] * self.n_wires)]
        (m, *_, n), wide = values.shape, (high - low).max(1) > 2 * self.basis.widest
        return np.where(wide, -np.inf, values.reshape(m, -1, n).min(1)), real.reshape(m, -1, n)

    def _product(self, points: Array) -> Array:
        """[M, n] of one vector per wire, [n, Q, 1, P]."""
        return self._contracted(points).reshape(len(self.coefficients), len(points))

    def _contracted(self, points: Array) -> Array:
        """[M, V, ..., V, n] of V points per wire, [n, Q, V, P]. The boxes are the last axis, along which a CPU is fast."""
        columns = np.ascontiguousarray(points.transpose(1, 3, 2, 0))  # [Q, P, V, n]
        n, v, p, m = len(points), points.shape[2], points.shape[3], len(self.coefficients)
        found = self.coefficients.reshape(m, *self.coefficients.shape[1:], 1)
        for wire in range(self.n_wires):
            left = found.reshape(m * v**wire, p, -1, found.shape[-1])
            found = sum(left[:, k, None] * columns[wire, k][None, :, None] for k in range(p))
        return found.reshape(m, *[v] * self.n_wires, n)

    @cached_property
    def steepness(self) -> Array:
        """Bounds [M, Q] of the derivatives' sizes over the cube: together a Lipschitz constant in linf."""
        return np.stack([self._bound({wire: 1}) for wire in range(self.n_wires)], -1)

    @cached_property
    def curvature(self) -> Array:
        """Bounds [M, Q, Q] of the second derivatives' sizes over the cube."""
        wires = range(self.n_wires)
        rows = [[self._bound({i: 1, j: 1} if i != j else {i: 2}) for j in wires] for i in wires]
        return np.stack([np.stack(row, -1) for row in rows], -2)

    def _bound(self, orders: dict[int, int]) -> Array:
        """A bound [M] of a derivative of these orders, by wire: the sum over products of groups, each by Cauchy and Schwarz."""
        found, sizes = self._lengths, np.array([size for _, size in self.basis.groups])  # [G, 3]
        for wire in range(self.n_wires):
            found = np.tensordot(found, sizes[:, orders.get(wire, 0)], (1, 0))
        return found

    @cached_property
    def _lengths(self) -> Array:
        """The norms [M, G, ..., G] of the coefficients of each product of groups."""
        squares, starts = self.coefficients**2, [start for start, _ in self.basis.groups]
        for axis in range(1, squares.ndim):
            squares = np.add.reduceat(squares, starts, axis)
        return np.sqrt(squares)


def corners(low: Array, high: Array) -> Array:
    """[2^Q, n, Q]: the corners of boxes from `low` to `high` [n, Q], the last wire fastest."""
    q = low.shape[1]
    upper = (np.arange(2**q)[:, None] >> np.arange(q - 1, -1, -1)) & 1
    return np.where(upper[:, None].astype(bool), high, low)


@dataclass(frozen=True)
class Decision:
    """The logits of a head as exact functions of its angles.

    Args:
        basis: the P functions of each angle.
        coefficients: [K, P, ..., P], an axis for each of Q wires.
        error: [K], in logits: by how much the head in float32, at angles that are rounded to float32, may miss them.
    """

    basis: Basis
    coefficients: Array
    error: Array

    def margins(self, label: int) -> Margins:
        """The margins of class `label` over all others."""
        others = np.arange(len(self.coefficients)) != label
        differences = self.coefficients[label] - self.coefficients[others]
        found = Margins(self.basis, differences, self.error[label] + self.error[others])
        rounded = 2 * UNIT * CUBE * found.steepness.sum(-1)  # of the angles themselves
        return Margins(self.basis, differences, found.slack + rounded)


def covers(head: Head) -> bool:
    """Whether `decision` knows a head as a function of its angles: a circuit or its surrogate, Fourier, or tanh.

    A subclass may compute something else.
    """
    return type(head) is Bottleneck and type(head.core) in (CircuitLayer, Surrogate, Mitigated, Estimated, Fourier, Direct)


def decision(head: Head) -> Decision:
    """The logits of a head with a bottleneck.

    An ideal circuit is taken as its surrogate, from which it differs by float rounding. What is known of a measured surrogate
    holds for the function that was fitted, not for its machine.

    Raises:
        ModelError: the head is none that `covers` knows.
    """
    if not isinstance(head, Bottleneck) or not covers(head):
        raise ModelError("no exact function of the angles is known of this head", valid="tanh, fourier, or a circuit on a device")
    if head.ideal is not None:
        return decision(head.on(get("default.qubit")))
    weight, bias = _plain(head.readout.weight), _plain(head.readout.bias)
    core = _waves(head.core) if isinstance(head.core, Surrogate | Fourier) else _line(weight.shape[1])
    flat = core.coefficients @ weight.T  # [P^Q, K]
    flat[0] += bias
    largest = np.abs(core.coefficients).sum(0) * CUBE  # of each output, whatever the functions
    sums = (weight.shape[1] + 2) * UNIT * (np.abs(weight) @ largest + np.abs(bias))
    shape = (core.basis.functions(np.zeros(())).shape[-1],) * weight.shape[1]
    return Decision(core.basis, np.ascontiguousarray(flat.T).reshape(-1, *shape), np.abs(weight) @ core.error + sums)


class _Core(NamedTuple):
    """A core's outputs: coefficients [P^Q, Q], and by how much each may be missed in float32, [Q]."""

    basis: Basis
    coefficients: Array
    error: Array


def _line(n_wires: int) -> _Core:
    """Of tanh: each output is its own angle, in units of pi / 2."""
    coefficients = np.zeros((2**n_wires, n_wires))
    coefficients[2 ** np.arange(n_wires - 1, -1, -1), np.arange(n_wires)] = 2 / np.pi
    return _Core(Line(), coefficients, np.full(n_wires, 4 * UNIT))


def _waves(core: Surrogate | Fourier) -> _Core:
    """Of a surrogate, or of Fourier series."""
    if isinstance(core, Surrogate):
        degree, coefficients = core.degree, _plain(core.readout)
        inexact = 0.0 if core.measured else 2**core.n_qubits * core.max_error
    else:
        degree, coefficients, inexact = 1, _plain(core.coefficients), 0.0
    terms, wires = coefficients.shape
    # each function is rounded a few times, a product of Q of them Q times that, and the sum once for each term
    rounded = (terms + wires * (6 + 2 * degree) + 2) * UNIT * np.abs(coefficients).sum(0)
    return _Core(Waves(degree), coefficients, rounded + inexact)


def _plain(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()
