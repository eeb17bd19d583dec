"""The parameter-shift rules against derivatives known otherwise, and what they cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from quantum_cases import inputs

from hqc_ray import devices
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.devices.shift import Rule, Shifted, halved, rule
from hqc_ray.quantum.ideal.simulate import Program


def by_rule(terms: Rule, frequencies: list[float], at: float) -> tuple[float, float]:
    """The derivative of a polynomial with these frequencies at a place, by the rule and by calculus."""
    cosines, sines = [0.7 + k for k in range(len(frequencies))], [-1.1 * k + 0.4 for k in range(len(frequencies))]

    def value(x: float) -> float:
        return 0.3 + sum(c * math.cos(f * x) + s * math.sin(f * x) for f, c, s in zip(frequencies, cosines, sines, strict=True))

    slope = sum(f * (s * math.cos(f * at) - c * math.sin(f * at)) for f, c, s in zip(frequencies, cosines, sines, strict=True))
    return sum(coefficient * value(at + shift) for shift, coefficient in terms), slope


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_the_rule_of_a_degree_is_exact_up_to_it_and_no_further(degree: int) -> None:
    found, slope = by_rule(rule(degree), list(range(1, degree + 1)), at=0.83)
    assert found == pytest.approx(slope, abs=1e-12)
    found, slope = by_rule(rule(degree), list(range(1, degree + 2)), at=0.83)
    assert abs(found - slope) > 0.1
    assert len(rule(degree)) == 2 * degree


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_the_rule_of_halves_is_exact_for_half_frequencies(degree: int) -> None:
    halves = [k / 2 for k in range(1, 2 * degree + 1)]
    found, slope = by_rule(halved(degree), halves, at=-2.1)
    assert found == pytest.approx(slope, abs=1e-12)
    found, slope = by_rule(halved(degree), [*halves, degree + 0.5], at=-2.1)
    assert abs(found - slope) > 0.1


def test_the_four_terms_are_those_of_the_paper() -> None:
    near, far = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
    known = {0.5: near, -0.5: -near, 1.5: -far, -1.5: far}  # shifts in units of pi; their period is 4 pi
    found = {(shift / math.pi + 2) % 4 - 2: coefficient for shift, coefficient in halved(1)}
    assert {round(shift, 9): coefficient for shift, coefficient in found.items()} == pytest.approx(known)


def repeated() -> Circuit:
    """Angle 0 enters three times, angle 1 once; weight 0 enters alone twice, weight 1 alone and controlled, weight 2 twice so."""
    gates = [Gate("RX", (0,), (Angle(0),)), Gate("RX", (1,), (Angle(1),)), Gate("RY", (0,), (Weight(0),)), Gate("CNOT", (0, 1))]
    gates += [Gate("RY", (1,), (Angle(0),)), Gate("CRX", (1, 0), (Weight(1),)), Gate("U2", (1,), (Weight(0), Weight(3)))]
    gates += [Gate("CRZ", (0, 1), (Weight(2),)), Gate("PhaseShift", (0,), (Angle(0),)), Gate("RX", (0,), (Weight(1),))]
    gates += [Gate("CRX", (0, 1), (Weight(2),)), Gate("RY", (1,), (0.4,))]
    return Circuit("repeated", 2, "rx", 1, 4, tuple(gates))


@pytest.mark.parametrize("options", [{}, {"noise": "fake_manila"}], ids=str)
def test_gradients_of_repeated_angles_and_shared_weights_are_finite_differences(options: dict[str, str]) -> None:
    device, circuit = devices.get("qiskit.aer", **options), repeated()
    weights, angles = (values.requires_grad_() for values in inputs(circuit, batch=3))
    direction = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = torch.autograd.grad((device.probabilities(circuit, weights, angles) * direction).sum(), [weights, angles])
    step = 1e-5
    for which, gradient in enumerate(found):
        for at in np.ndindex(*gradient.shape):
            values = []
            for sign in (1, -1):
                moved = [weights.detach().clone(), angles.detach().clone()]
                moved[which][at] += sign * step
                values.append(float((device.probabilities(circuit, *moved) * direction).sum()))
            assert float(gradient[at]) == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)
    assert (found[0].abs() > 1e-3).all()


def test_gradients_of_shared_weights_are_those_of_autograd_through_the_ideal_program() -> None:
    circuit, device = repeated(), devices.get("default.qubit")
    weights, angles = (values.requires_grad_() for values in inputs(circuit, batch=5, seed=7))
    direction = torch.randn(5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((device.probabilities(circuit, weights, angles) * direction).sum(), [weights, angles]),
        torch.autograd.grad((Program(circuit)(weights, angles) * direction).sum(), [weights, angles]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0)


def test_only_what_is_asked_for_is_evaluated_and_all_shifts_of_the_angles_at_once() -> None:
    circuit, calls = repeated(), []

    def evaluate(_: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        calls.append(len(angles))
        return np.stack([np.cos(angles[:, 0]), np.sin(angles[:, 1]), weights.sum() * angles[:, 0], angles[:, 1]], -1)

    weights, angles = inputs(circuit, batch=5)
    Shifted.apply(weights, angles.clone().requires_grad_(), circuit, evaluate).sum().backward()
    assert calls == [5, 5 * 2 * (2 * 3)]  # two angles, each with two shifts per degree
    calls.clear()
    Shifted.apply(weights.clone().requires_grad_(), angles, circuit, evaluate).sum().backward()
    assert calls == [5] * (1 + 4 + 8 + 8 + 2)  # weight 0 is of degree 2; in halves weights 1 and 2; weight 3 is alone
    calls.clear()
    assert not Shifted.apply(weights, angles, circuit, evaluate).requires_grad
    assert calls == [5]


def test_there_is_no_second_derivative() -> None:
    circuit, device = repeated(), devices.get("default.qubit")
    weights, angles = inputs(circuit, batch=1)
    angles.requires_grad_()
    squares = device.expectations(circuit, weights, angles).square().sum()
    (first,) = torch.autograd.grad(squares, angles, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
