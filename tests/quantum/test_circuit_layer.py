from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits, devices
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.ideal.layer import CircuitLayer

IDEAL = devices.get("default.qubit")


def layer_of(circuit: Circuit, seed: int = 0) -> CircuitLayer:
    return CircuitLayer(circuit, torch.Generator().manual_seed(seed))


def assert_equals_default_qubit(circuit: Circuit, batch: int) -> None:
    layer, (_, angles) = layer_of(circuit), inputs(circuit, batch)
    angles.requires_grad_()
    ours, theirs = layer.probabilities(angles), IDEAL.probabilities(circuit, layer.weights, angles)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    our_gradients = torch.autograd.grad((ours * direction).sum(), [layer.weights, angles])
    their_gradients = torch.autograd.grad((theirs * direction).sum(), [layer.weights, angles])
    for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
        assert our_gradient.abs().max() > 1e-3
        torch.testing.assert_close(our_gradient, their_gradient, atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", circuits.CIRCUITS)
def test_equals_default_qubit(name: str) -> None:
    assert_equals_default_qubit(circuits.get(name, 3, "h+ry"), batch=5)


@pytest.mark.parametrize("batch", [3, 8, 9])  # fewer, as many, more columns than the basis has
def test_equals_default_qubit_in_any_batch(batch: int) -> None:
    assert_equals_default_qubit(asymmetric(), batch)


def test_equals_default_qubit_with_reuploading(user: Callable[..., Circuit]) -> None:
    assert_equals_default_qubit(user("reuploading", n_qubits=3), batch=9)


def test_expectations_and_dtype() -> None:
    circuit = asymmetric()
    layer, (_, angles) = layer_of(circuit), inputs(circuit)
    expected = IDEAL.expectations(circuit, layer.weights, angles)
    torch.testing.assert_close(layer(angles), expected, atol=1e-12, rtol=0)
    single = layer(angles.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, atol=1e-6, rtol=0)


def test_state_dict_holds_the_weights_only_and_the_generator_decides_them() -> None:
    circuit = circuits.get("vqc1", 3)
    one, same, other = layer_of(circuit), layer_of(circuit), layer_of(circuit, seed=1)
    assert list(one.state_dict()) == ["weights"]
    assert torch.equal(one.weights, same.weights)
    assert not torch.equal(one.weights, other.weights)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(torch.ones(5, 3)), one(torch.ones(5, 3)))


def test_learns() -> None:
    circuit = circuits.get("vqc6", 3)
    layer, (_, angles) = layer_of(circuit), inputs(circuit, 20)
    target = torch.sign(angles[:, 0] * angles[:, 2])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(30):
        loss = (layer(angles)[:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
