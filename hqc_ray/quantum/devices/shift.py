"""Exact gradients from evaluations alone, the same for every device: the parameter-shift rule.

The general rule for equidistant frequencies: Wierichs, Izaac, Wang, Lin, Quantum 6, 677 (2022), eq. (6); it serves angles that
enter several times. A weight of a controlled rotation has the frequencies 1/2 and 1: the same rule over twice the period is the
four-term rule, eq. (7) there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqc_ray.quantum.circuits.ir import Circuit, Gate, Parameter, Weight

Evaluate = Callable[[Circuit, np.ndarray, np.ndarray], np.ndarray]  # weights [W], angles [N, Q] -> probabilities [N, 2**Q]
Rule = list[tuple[float, float]]  # (shift in radians, coefficient)


def rule(degree: int) -> Rule:
    """The derivative of a trigonometric polynomial with the frequencies 1, ..., `degree`."""
    shifts = [(2 * k + 1) * math.pi / (2 * degree) for k in range(2 * degree)]
    return [(shift, (-1) ** k / (4 * degree * math.sin(shift / 2) ** 2)) for k, shift in enumerate(shifts)]


def halved(degree: int) -> Rule:
    """The same with the frequencies 1/2, 1, 3/2, ..., `degree`."""
    return [(2 * shift, coefficient / 2) for shift, coefficient in rule(2 * degree)]


class Shifted(torch.autograd.Function):
    """Probabilities of a device with the gradients of the parameter-shift rule; no second derivatives."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, angles: Tensor, circuit: Circuit, evaluate: Evaluate) -> Tensor:
        """[B, 2**Q] float64 of weights [W], angles [B, Q]."""
        ctx.save_for_backward(weights, angles)
        ctx.circuit, ctx.evaluate = circuit, evaluate
        return torch.from_numpy(evaluate(circuit, _array(weights), _array(angles))).to(angles.device)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients to weights and angles, each evaluated only where it is asked for."""
        weights, angles = ctx.saved_tensors
        given = (_array(weights), _array(angles), gradient.detach().cpu().double().numpy(), ctx.circuit, ctx.evaluate)
        to_weights = torch.from_numpy(_weight_gradient(*given)).to(weights) if ctx.needs_input_grad[0] else None
        to_angles = torch.from_numpy(_angle_gradient(*given)).to(angles) if ctx.needs_input_grad[1] else None
        return to_weights, to_angles, None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _angle_gradient(weights: np.ndarray, angles: np.ndarray, out: np.ndarray, circuit: Circuit, evaluate: Evaluate) -> np.ndarray:
    """[B, Q]; all shifts of all angles in one evaluation of a batch."""
    terms = rule(max(circuit.degree, 1))
    moves = np.array([shift * axis for axis in np.eye(circuit.n_qubits) for shift, _ in terms])  # [Q * terms, Q]
    values = evaluate(circuit, weights, (angles[:, None] + moves).reshape(-1, circuit.n_qubits))
    along = np.einsum("bkd,bd->bk", values.reshape(len(angles), len(moves), -1), out)
    return along.reshape(len(angles), circuit.n_qubits, -1) @ np.array([coefficient for _, coefficient in terms])


def _weight_gradient(
    weights: np.ndarray, angles: np.ndarray, out: np.ndarray, circuit: Circuit, evaluate: Evaluate
) -> np.ndarray:
    """[W]; one evaluation of the batch for each shift of each weight, or of each gate where gates scale their weights."""
    alone, taken = unshared(circuit)
    if any(weight.scale != 1 for weight in taken):  # frequencies of any size: each gate is shifted on its own
        values = np.array([weight.of(weights[weight.index]) for weight in taken])
        slopes = _weight_gradient(values, angles, out, alone, evaluate) * [weight.scale for weight in taken]
        return np.bincount([weight.index for weight in taken], slopes, circuit.n_weights)
    gradient = np.zeros(circuit.n_weights)
    for index in range(circuit.n_weights):
        for shift, coefficient in _weight_rule(circuit, index):
            moved = weights.copy()
            moved[index] += shift
            gradient[index] += coefficient * float(np.sum(evaluate(circuit, moved, angles) * out))
    return gradient


def _weight_rule(circuit: Circuit, index: int) -> Rule:
    """That of a weight: its degree is how often it enters, and a controlled rotation brings frequencies that are not whole."""
    wires = [len(gate.wires) for gate in circuit.gates for p in gate.parameters if isinstance(p, Weight) and p.index == index]
    return halved(len(wires)) if max(wires) == 2 else rule(len(wires))


def unshared(circuit: Circuit) -> tuple[Circuit, list[Weight]]:
    """The circuit in which every angle of a gate is a weight of its own, and what `circuit` puts in place of each of them."""
    taken: list[Weight] = []

    def alone(parameter: Parameter) -> Parameter:
        if isinstance(parameter, Weight):
            taken.append(parameter)
            return Weight(len(taken) - 1)
        return parameter

    gates = tuple(Gate(gate.name, gate.wires, tuple(map(alone, gate.parameters))) for gate in circuit.gates)
    return dataclasses.replace(circuit, gates=gates, n_weights=len(taken)), taken
