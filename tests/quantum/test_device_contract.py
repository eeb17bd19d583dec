"""What every device keeps: all of the table with their example options, and a user's own, which nobody lists anywhere else."""

from __future__ import annotations

import itertools
import pickle
import sys
import types
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
import pennylane as qml
import pytest
import torch
from quantum_cases import inputs
from torch import Tensor

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Weight
from hqc_ray.quantum.cores import noisy_layer
from hqc_ray.quantum.devices import DEVICES, parity
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.ideal.simulate import Program

USERS = "user_devices:Faded"


class Faded(Device):
    """A user's own noisy device: states a name and how it runs, and nothing else."""

    name: ClassVar[str] = "faded"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"strength": 0.1}, {"strength": 0.0})
    strength: float = 0.1

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.run`."""
        exact = Program(circuit)(torch.from_numpy(weights), torch.from_numpy(angles)).numpy()
        return (1 - self.strength) * exact + self.strength / 2**circuit.n_qubits


CASES = [(name, options) for name, entry in {**DEVICES, USERS: Faded}.items() for options in entry.examples]


@pytest.fixture(autouse=True)
def _users_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("user_devices")
    module.Faded = Faded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "user_devices", module)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def device(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device that runs here: others are skipped with the reason."""
    name, options = request.param
    monkeypatch.setenv("HQC_JOBS", str(tmp_path))
    for package in DEVICES[name].packages if name in DEVICES else ():
        try:
            version(package)
        except PackageNotFoundError:
            pytest.skip(f"pip install {package}")
    try:
        made = devices.get(name, **options)
        made.prepare(parity.asymmetric())
    except DeviceError as problem:
        pytest.skip(str(problem))
    return made


def by_pennylane(circuit: Circuit, weights: Tensor, angles: Tensor, operator: Any) -> np.ndarray:
    """Expectation values [B, Q] of an operator on each wire, of the gates before the readout."""
    gates = circuit.gates[: -circuit.n_qubits] if circuit.readout != "z" else circuit.gates

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_qubits))
    def qnode(x):  # type: ignore[no-untyped-def]
        for gate in gates:
            values = [
                weights[p.index].item() if isinstance(p, Weight) else x[:, p.index] if isinstance(p, Angle) else p
                for p in gate.parameters
            ]
            getattr(qml, "Hadamard" if gate.name == "H" else gate.name)(*values, wires=gate.wires)
        return [qml.expval(operator(wire)) for wire in range(circuit.n_qubits)]

    return np.stack(qnode(angles.numpy()), -1)


OPERATORS = {"x": qml.X, "y": qml.Y, "z": qml.Z}


@pytest.mark.parametrize("readout", OPERATORS)
def test_every_readout_is_that_of_pennylane(device: Device, readout: str) -> None:
    circuit = circuits.get("quantum_cases:mixed", 3, readout=readout)
    weights, angles = inputs(circuit, batch=4, seed=1)
    angles = angles.remainder(2 * torch.pi)
    ideal = {name: torch.from_numpy(by_pennylane(circuit, weights, angles, op)) for name, op in OPERATORS.items()}
    found = device.expectations(circuit, weights, angles)
    if device.kind == "ideal":
        torch.testing.assert_close(found, ideal[readout], atol=1e-9, rtol=0)
    orders = list(itertools.permutations(range(circuit.n_qubits)))
    distances = {(name, o): (found[:, o] - values).abs().mean().item() for name, values in ideal.items() for o in orders}
    assert min(distances, key=lambda case: distances[case]) == (readout, orders[0])  # also through noise and shots
    assert (distances[readout, orders[0]] > 1e-3) == (device.kind != "ideal")


@pytest.mark.parametrize("readout", OPERATORS)
def test_the_surrogate_is_the_device(device: Device, readout: str) -> None:
    circuit = circuits.get("quantum_cases:mixed", 3, "ry", readout=readout)
    weights, angles = inputs(circuit, seed=2)
    fitted = surrogate.fit(circuit, weights, device)
    theirs = device.expectations(circuit, weights, angles)
    if device.kind == "measured":
        assert fitted.measured
        error = (fitted.standard_error(angles).square() + (1 - theirs.square()) / (device.shots or 1)).sqrt()
        assert ((fitted(angles) - theirs) / error.clamp_min(1e-3)).abs().max() < 4.5  # standard deviations, 15 values
    else:
        torch.testing.assert_close(fitted(angles), theirs, atol=1e-9, rtol=0)
        assert fitted.max_error < 1e-9


def test_facts_stand_on_the_class_and_agree_with_what_it_does(device: Device) -> None:
    assert device.title
    assert device.label.startswith(device.name) or type(device) is DEVICES["pennylane"]
    assert all(entry.packages for entry in DEVICES.values())
    if device.kind == "measured":
        assert device.exactness == "measured"
    else:
        assert (parity.deviation(device) < parity.EQUAL) == (device.kind == "ideal")
        assert device.exact() == device
    facts, written = device.facts(parity.asymmetric()), parity.asymmetric()
    assert facts.qubits == 3
    assert 0 < facts.two_qubit_gates < facts.gates
    assert facts.two_qubit_gates >= sum(gate.name in ("CNOT", "CZ") for gate in written.gates)
    assert 0 < facts.depth <= facts.gates
    assert facts.layout is None or len(set(facts.layout)) == 3
    assert device.executed(written, parity.inputs()[0]) == facts


def test_options_survive_a_round_trip_and_are_all_shown(device: Device) -> None:
    assert type(device)(**device.model_dump(mode="json")) == device
    assert pickle.loads(pickle.dumps(device)) == device  # noqa: S301  # written in this line
    assert all(f"{name}=" in repr(device) for name in type(device).model_fields)


def test_shots_are_seeded_samples_and_draws_are_others(device: Device) -> None:
    circuit, (weights, angles) = parity.asymmetric(), parity.inputs()
    sampled = device.model_copy(update={"shots": 4000, "seed": 3})
    first = sampled.probabilities(circuit, weights, angles)
    torch.testing.assert_close(first.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(first * 4000, (first * 4000).round(), atol=1e-6, rtol=0)
    assert sampled.drawn(0) is sampled
    others = [sampled.drawn(k).probabilities(circuit, weights, angles) for k in (1, 2)]
    assert not torch.equal(first, others[0])
    assert not torch.equal(*others)
    if type(device) is not DEVICES["pennylane"]:  # whose plugins keep their own randomness
        assert torch.equal(sampled.drawn(1).probabilities(circuit, weights, angles), others[0])
    assert (others[0] - first).abs().max() < 8 * (0.5 / 4000) ** 0.5


def test_training_on_it_is_training_the_ideal_circuit_or_its_noise_or_refused(device: Device) -> None:
    circuit = circuits.get("quantum_cases:mixed", 3, readout="y")
    layer = CircuitLayer(circuit, torch.Generator().manual_seed(0))
    if device.kind == "ideal":
        assert noisy_layer.on(layer, device) is layer
    elif device.kind == "noisy" and device.noisy_program(circuit) is not None:
        _, angles = inputs(circuit)
        theirs = device.expectations(circuit, layer.weights.detach(), angles)
        torch.testing.assert_close(noisy_layer.on(layer, device)(angles), theirs, atol=1e-9, rtol=0)
    else:
        with pytest.raises(DeviceError, match=r"samples shots|needs its transfer matrices"):
            noisy_layer.on(layer, device)


def test_a_users_device_is_what_it_does_not_what_it_inherits() -> None:
    noisy, ideal = devices.get(USERS, strength=0.1), devices.get(USERS, strength=0.0)
    assert (noisy.kind, ideal.kind) == ("noisy", "ideal")
    assert noisy.title == "faded"

    class Mine(DEVICES["default.qubit"]):  # type: ignore[misc]
        run = Faded.run
        strength: float = 0.2

    assert Mine().kind == "noisy"
    with pytest.raises(DeviceError, match=r"unknown option .bogus."):
        devices.get(USERS, bogus=1)
