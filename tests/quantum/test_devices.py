from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from quantum_cases import asymmetric, inputs
from torch import Tensor

from hqc_ray import circuits, devices
from hqc_ray.quantum.circuits.ir import Builder, Circuit
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.devices.facts import CompiledFacts

REFERENCE = devices.get("default.qubit")
OTHERS = ["lightning.qubit", "qiskit.aer", "default.mixed"]
VQC = [f"vqc{number}" for number in range(1, 7)]


def flip_wire_0() -> Circuit:
    builder = Builder(3, "rx")
    builder.add("CNOT", 0, 1)
    return Circuit("flip", 3, "rx", 1, 0, tuple(builder.gates))


@pytest.mark.parametrize("name", ["default.qubit", *OTHERS])
def test_wire_0_is_the_leftmost_bit(name: str) -> None:
    device, angles = devices.get(name), torch.tensor([[torch.pi, 0, 0], [0, torch.pi, 0]])
    outcome = device.probabilities(flip_wire_0(), torch.zeros(0), angles)
    assert outcome.dtype == torch.float64
    assert outcome.argmax(1).tolist() == [0b110, 0b010]
    expected = torch.tensor([[-1.0, -1, 1], [1, -1, 1]], dtype=torch.float64)
    torch.testing.assert_close(device.expectations(flip_wire_0(), torch.zeros(0), angles), expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("circuit", [asymmetric(), *(circuits.get(vqc, 3, "h+ry") for vqc in VQC)], ids=repr)
def test_equals_default_qubit(name: str, circuit: Circuit) -> None:
    weights, angles = inputs(circuit)
    theirs = devices.get(name).probabilities(circuit, weights, angles)
    torch.testing.assert_close(theirs, REFERENCE.probabilities(circuit, weights, angles), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["lightning.qubit", "qiskit.aer"])
@pytest.mark.parametrize("vqc", VQC)
def test_equals_default_qubit_at_full_size(name: str, vqc: str) -> None:
    circuit = circuits.get(vqc)
    weights, angles = inputs(circuit)
    theirs = devices.get(name).probabilities(circuit, weights, angles)
    torch.testing.assert_close(theirs, REFERENCE.probabilities(circuit, weights, angles), atol=1e-10, rtol=0)


@pytest.mark.parametrize("vqc", ["vqc1", "vqc2", "vqc3"])
def test_a_turn_is_the_same_written_as_rotations(vqc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a Qiskit that does not end at many turns with parameters; nor may a phase be left that it is slow to bind."""
    circuit = circuits.get(vqc, 3)
    weights, angles = inputs(circuit)
    for version, turns in (((2, 3), True), ((2, 6), False)):
        monkeypatch.setattr(qiskit, "_version", lambda version=version: version)
        qiskit.compiled.cache_clear()
        assert ("u" in qiskit._written(circuit)[0].count_ops()) == turns
        assert qiskit.compiled(circuit, None, 1, 0).gates.global_phase == 0
        theirs = devices.get("qiskit.aer").probabilities(circuit, weights, angles)
        torch.testing.assert_close(theirs, REFERENCE.probabilities(circuit, weights, angles), atol=1e-10, rtol=0)
    qiskit.compiled.cache_clear()


def differences(function: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-4) -> Tensor:
    """Central differences of a scalar function."""
    gradient = torch.zeros_like(at).reshape(-1)
    for index in range(at.numel()):
        move = torch.zeros_like(gradient)
        move[index] = step
        gradient[index] = (function(at + move.view_as(at)) - function(at - move.view_as(at))) / (2 * step)
    return gradient.view_as(at)


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit", "qiskit.aer"])
@pytest.mark.parametrize("reuploaded", [False, True])
def test_gradients_are_exact(name: str, reuploaded: bool, user: Callable[..., Circuit]) -> None:
    device, circuit = devices.get(name), user("reuploading", n_qubits=3) if reuploaded else asymmetric()
    weights, angles = (tensor.requires_grad_() for tensor in inputs(circuit, batch=2))
    direction = torch.randn(2, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def loss(w: Tensor, a: Tensor) -> Tensor:
        return (device.probabilities(circuit, w, a) * direction).sum()

    to_weights, to_angles = torch.autograd.grad(loss(weights, angles), [weights, angles])
    with torch.no_grad():
        torch.testing.assert_close(to_angles, differences(lambda a: loss(weights, a), angles), atol=1e-6, rtol=0)
        torch.testing.assert_close(to_weights, differences(lambda w: loss(w, angles), weights), atol=1e-6, rtol=0)


def test_angles_keep_their_dtype_in_the_gradient() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    single = angles.float().requires_grad_()
    REFERENCE.expectations(circuit, weights, single).sum().backward()
    assert single.grad is not None
    assert single.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit", "qiskit.aer"])
def test_shots_are_seeded_samples(name: str) -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    exact = devices.get(name).probabilities(circuit, weights, angles)

    def sampled(shots: int, seed: int) -> Tensor:
        return devices.get(name, shots=shots, seed=seed).probabilities(circuit, weights, angles)

    first = sampled(1000, 1)
    assert torch.equal(first, sampled(1000, 1))
    assert not torch.equal(first, sampled(1000, 2))
    torch.testing.assert_close(first * 1000, (first * 1000).round())
    torch.testing.assert_close(first.sum(1), torch.ones(5, dtype=torch.float64))
    deviation = ((sampled(100_000, 1) - exact) / (exact * (1 - exact) / 100_000).sqrt().clamp_min(1e-9)).abs()
    assert deviation.max() < 4.5  # standard deviations, 40 outcomes
    assert deviation.max() > 0.5  # samples they are


def test_a_sample_does_not_depend_on_the_rest_of_the_batch() -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", shots=200, seed=7)
    weights, angles = inputs(circuit)
    together = device.probabilities(circuit, weights, angles)
    alone = torch.cat([device.probabilities(circuit, weights, row[None]) for row in angles.flip(0)]).flip(0)
    assert torch.equal(together, alone)


def test_devices_of_different_settings_do_not_change_each_other() -> None:
    circuit = circuits.get("vqc1", 3)
    weights, angles = inputs(circuit)
    makers: list[Callable[[], Device]] = [
        lambda: devices.get("qiskit.aer"),
        lambda: devices.get("qiskit.aer", noise="fake_manila"),
        lambda: devices.get("qiskit.aer", noise="fake_lima"),
        lambda: devices.get("qiskit.aer", noise="fake_manila", shots=50),
        lambda: devices.get("default.qubit", shots=50),
        lambda: devices.get("pennylane", plugin="lightning.qubit"),
    ]
    first = [make().probabilities(circuit, weights, angles) for make in makers]
    opened = [make() for make in makers]
    again = [device.probabilities(circuit, weights, angles) for device in reversed(opened)][::-1]
    for before, after in zip(first, again, strict=True):
        assert torch.equal(before, after)
    different = [(i, j) for i in range(6) for j in range(i) if not torch.allclose(first[i], first[j], atol=1e-4)]
    assert len(different) == 14  # all pairs but the two ideal ones


@pytest.mark.filterwarnings("ignore")
def test_the_plugins_own_way_to_aer_agrees_within_shots() -> None:
    pytest.importorskip("pennylane_qiskit", reason="PennyLane's plugin, which holds qiskit back, is not installed")
    circuit = asymmetric()
    weights, angles = inputs(circuit, batch=2)
    plugin = devices.get("pennylane", plugin="qiskit.aer", shots=20_000, options={"seed_simulator": 5})
    exact = REFERENCE.probabilities(circuit, weights, angles)
    deviation = (plugin.probabilities(circuit, weights, angles) - exact) / (exact * (1 - exact) / 20_000).sqrt()
    assert deviation.abs().max() < 4.5  # standard deviations, 16 outcomes
    assert plugin.label == "pennylane:qiskit.aer[seed_simulator=5,shots=20000]"


def test_labels_and_exact_twins() -> None:
    assert devices.get("default.qubit").label == "default.qubit"
    assert devices.get("default.mixed").label == "default.mixed"
    noisy = devices.get("qiskit.aer", noise="FakeManilaV2", shots=4096)
    assert noisy.label == "qiskit.aer[fake_manila,shots=4096]"
    assert noisy.exact().label == "qiskit.aer[fake_manila]"
    assert noisy.exact() == devices.get("qiskit.aer", noise="fake_manila")
    assert devices.get("qiskit.aer", noise="manila", optimization_level=2).label == "qiskit.aer[fake_manila,optimization_level=2]"


def test_an_empty_batch() -> None:
    circuit = asymmetric()
    assert REFERENCE.expectations(circuit, inputs(circuit)[0], torch.zeros(0, 3)).shape == (0, 3)


def test_facts_of_a_circuit_as_written() -> None:
    assert REFERENCE.facts(asymmetric()) == CompiledFacts(qubits=3, gates=17, two_qubit_gates=5, depth=10)
