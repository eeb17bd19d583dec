from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits, devices
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.cores import noisy_layer
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.pennylane import DefaultQubit
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.transfer import blocks as symbolic
from hqc_ray.quantum.transfer.ptm import UnsupportedError

MANILA = Aer(noise="fake_manila")
BY_NUMBERS = Aer(depolarizing_1q=0.02, depolarizing_2q=0.05, amplitude_damping=0.03, readout_01=0.02, readout_10=0.1)


class Faded(DefaultQubit):
    """A user's own device, with noise that nobody can see from outside."""

    name = "faded"

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return 0.9 * DefaultQubit().run(circuit, weights, angles) + 0.1 / 2**circuit.n_qubits


class Broken(Faded):
    def run(self, *_: object) -> np.ndarray:
        raise OSError("out of order")


def layer_of(circuit: Circuit, device: Aer = MANILA, seed: int = 0) -> NoisyLayer:
    return NoisyLayer(circuit, device, torch.Generator().manual_seed(seed))


def distant() -> Circuit:
    """Five qubits whose gates join the ends."""
    embedding = [Gate("RX", (wire,), (Angle(wire),)) for wire in range(5)]
    gates = [Gate("CNOT", (0, 4)), Gate("RY", (4,), (Weight(0),)), Gate("CNOT", (4, 2)), Gate("RX", (2,), (Weight(1),))]
    return Circuit("distant", 5, "rx", 1, 2, (*embedding, *gates, Gate("CZ", (3, 1))))


def assert_equals_device(circuit: Circuit, device: Aer, batch: int = 5) -> None:
    """Values, and gradients against the device's own parameter shift."""
    layer, (_, angles) = layer_of(circuit, device), inputs(circuit, batch)
    ours, theirs = layer(angles.requires_grad_()), device.expectations(circuit, layer.weights, angles)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    our_gradients = torch.autograd.grad((ours * direction).sum(), [layer.weights, angles])
    their_gradients = torch.autograd.grad((theirs * direction).sum(), [layer.weights, angles])
    for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
        assert our_gradient.abs().max() > 1e-3
        torch.testing.assert_close(our_gradient, their_gradient, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    "device",
    [MANILA, Aer(noise="fake_london", noise_scale=3), Aer(noise="fake_sherbrooke", optimization_level=0), BY_NUMBERS],
    ids=["rz, sx, cx", "u1, u2, u3", "ecr, 127 qubits", "by numbers"],
)
def test_equals_the_device_on_every_gate(device: Aer) -> None:
    assert_equals_device(asymmetric(), device)


def test_equals_the_device_on_four_qubits() -> None:
    assert_equals_device(circuits.get("vqc1", 4, "h+ry"), MANILA, batch=3)


def test_equals_the_device_with_weights_that_enter_by_halves() -> None:
    circuit = circuits.get("sim14", 3)  # CRX, of which a compiler makes rotations by +w/2 and -w/2
    assert any(abs(dial.by_weight).max() == 0.5 for block in opened(circuit)[1] for chain in block.chains for dial in chain)
    assert_equals_device(circuit, MANILA)


def test_equals_the_device_where_angles_enter_twice_behind_weights(user: Callable[..., Circuit]) -> None:
    assert_equals_device(user("reuploading", n_qubits=3), MANILA)


def test_equals_the_device_where_routing_borrows_qubits() -> None:
    circuit, device = distant(), Aer(noise="fake_jakarta", optimization_level=0)
    layer = layer_of(circuit, device)
    assert not set(layer.begin) <= set(layer.layout)  # one is left behind: it is traced out
    assert any(layer.leaving.values())  # and another is |0> until then
    assert_equals_device(circuit, device, batch=2)


def opened(circuit: Circuit) -> tuple[list[symbolic.Block], list[symbolic.Block]]:
    program = MANILA.noisy_program(circuit)
    assert program is not None
    compiled, noise = program
    return symbolic.blocks(compiled.gates, compiled.weights, compiled.angles, noise)


def test_fixed_gates_are_multiplied_ahead_of_time() -> None:
    circuit = circuits.get("vqc1", 4)
    gates = MANILA.facts(circuit)
    first, rest = opened(circuit)
    assert [len(block.qubits) for block in first] == [1, 1, 1, 1]  # only the embedding sees the batch
    assert len(rest) < gates.two_qubit_gates < gates.gates / 2


def test_batches_do_not_matter_and_the_dtype_is_kept() -> None:
    circuit = asymmetric()
    layer, (_, angles) = layer_of(circuit), inputs(circuit, 4)
    whole = layer(angles)
    torch.testing.assert_close(torch.cat([layer(row[None]) for row in angles]), whole, atol=1e-14, rtol=0)
    assert layer(angles[:0]).shape == (0, 3)
    single = layer(angles.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), whole, atol=1e-6, rtol=0)


def test_a_circuit_without_weights_has_no_weight_gradient_and_the_right_values() -> None:
    fixed = circuits.get("vqc1", 3)
    circuit = Circuit("embedding", 3, "rx", 1, 0, fixed.gates[: fixed.n_embedding_gates])
    layer, (_, angles) = layer_of(circuit), inputs(circuit)
    torch.testing.assert_close(layer(angles), MANILA.expectations(circuit, layer.weights, angles), atol=1e-9, rtol=0)


def test_its_state_is_that_of_the_ideal_layer() -> None:
    circuit = circuits.get("vqc1", 3)
    noisy, ideal = layer_of(circuit), CircuitLayer(circuit, torch.Generator().manual_seed(0))
    assert list(noisy.state_dict()) == list(ideal.state_dict())
    assert torch.equal(noisy.weights, ideal.weights)
    other = layer_of(circuit, seed=1)
    ideal.load_state_dict(other.state_dict())
    assert torch.equal(ideal.weights, other.weights)
    assert repr(circuit) in repr(noisy)
    assert "fake_manila" in repr(noisy)


def test_learns_what_the_device_computes() -> None:
    circuit = circuits.get("vqc1", 3)
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


@pytest.mark.parametrize(
    "device",
    [
        devices.get("default.qubit"),
        devices.get("lightning.qubit"),
        devices.get("qiskit.aer"),
        devices.get("qiskit.aer", noise="fake_manila", noise_scale=0),
        devices.get("default.mixed"),
    ],
    ids=lambda device: device.label,
)
def test_an_ideal_device_trains_the_ideal_layer(device: devices.Device) -> None:
    ideal = CircuitLayer(asymmetric(), torch.Generator())
    assert not noisy_layer.is_noisy(ideal.circuit, device)
    assert noisy_layer.on(ideal, device) is ideal


def test_a_noisy_device_trains_from_the_same_weights() -> None:
    ideal = CircuitLayer(asymmetric(), torch.Generator().manual_seed(3))
    noisy = noisy_layer.on(ideal, MANILA)
    assert isinstance(noisy, NoisyLayer)
    assert torch.equal(noisy.weights, ideal.weights)
    assert noisy.weights.requires_grad


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (devices.get("default.qubit", shots=100), r"training takes exact gradients, and default.qubit\[shots=100\] samples"),
        (Aer(noise="fake_manila", shots=100), "samples shots"),
        (Faded(), "training under the noise of faded needs its transfer matrices"),
        (Broken(), "faded failed: OSError: out of order"),
        (Aer(noise="fake_armonk"), "more qubits than fake_armonk"),
    ],
    ids=["shots", "noisy shots", "noise without matrices", "broken", "too small"],
)
def test_a_device_without_exact_gradients_is_refused(device: devices.Device, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        noisy_layer.is_noisy(asymmetric(), device)
    with pytest.raises(DeviceError):
        layer_of(asymmetric(), device)  # type: ignore[arg-type]


def test_a_circuit_too_large_for_memory_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"needs \d+ numbers per step .*fewer qubits"):
        noisy_layer.is_noisy(circuits.get("vqc1", 10), BY_NUMBERS)


def test_ideal_devices_and_wrong_shapes_are_no_business_of_this_layer() -> None:
    with pytest.raises(DeviceError, match="CircuitLayer"):
        layer_of(asymmetric(), DefaultQubit())  # type: ignore[arg-type]
    with pytest.raises(CircuitError, match=r"angles of shape \[5, 4\].*\[B, 3\]"):
        layer_of(asymmetric())(torch.zeros(5, 4))


def test_gates_without_a_linear_rotation_are_refused() -> None:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    weight, silent = Parameter("w"), SimpleNamespace(error=lambda *_: None)
    controlled, square = QuantumCircuit(2), QuantumCircuit(1)
    controlled.crx(weight, 0, 1)
    square.rz(weight * weight, 0)
    with pytest.raises(UnsupportedError, match="crx"):
        symbolic.blocks(controlled, [weight], [], silent)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="not linear"):
        symbolic.blocks(square, [weight], [], silent)  # type: ignore[arg-type]
