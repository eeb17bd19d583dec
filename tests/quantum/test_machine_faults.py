"""Machines of users and snapshots whose numbers would act in silence, or not at all: each is refused, or acts."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.quantum_info import Operator, Pauli
from qiskit.transpiler import InstructionProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from scipy.linalg import expm

from hqc_ray import circuits, devices
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise import own, snapshots
from hqc_ray.quantum.noise.running import EXCESS

CIRCUIT = circuits.get("vqc1", 2)
QUBIT = {"t1_us": 90.0, "t2_us": 70.0, "readout_01": 0.01, "readout_10": 0.02, "readout_ns": 800}
ON = {"one": [{"on": [q], "error": 1e-3, "ns": 35} for q in (0, 1)], "two": [{"on": [0, 1], "error": 0.01, "ns": 80}]}


class Misread(InstructionProperties):
    """Takes both probabilities of a readout."""


def readout(up: float, down: float) -> Callable[[], Any]:
    """A machine of two qubits with these on the first."""

    def machine() -> Any:
        target = Target(num_qubits=2)
        for gate in (SXGate(), XGate(), RZGate(Parameter("angle"))):
            target.add_instruction(gate, {(q,): InstructionProperties(error=1e-3) for q in (0, 1)})
        target.add_instruction(CXGate(), {on: InstructionProperties(error=0.01) for on in ((0, 1), (1, 0))})
        first = Misread(error=0.02)
        first.prob_meas1_prep0, first.prob_meas0_prep1 = up, down  # type: ignore[attr-defined]
        target.add_instruction(Measure(), {(0,): first, (1,): InstructionProperties(error=0.02)})
        return own.simulated("readout", target)

    return machine


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], str]:
    """Makes a callable a machine of the user's, and gives its name."""
    module, made = types.ModuleType("faulty_lab"), []

    def name(make: Callable[[], Any]) -> str:
        made.append(make)
        setattr(module, f"machine{len(made)}", make)
        return f"faulty_lab:machine{len(made)}"

    monkeypatch.setitem(sys.modules, "faulty_lab", module)
    return name


def digest(name: str) -> str:
    return own.canonical(name).partition("@")[2]


def test_both_probabilities_of_a_readout_are_in_the_name(lab: Any) -> None:
    assert digest(lab(readout(0.01, 0.02))) == digest(lab(readout(0.01, 0.02)))
    assert digest(lab(readout(0.01, 0.02))) != digest(lab(readout(0.3, 0.2)))


@pytest.mark.parametrize("flips", [(1.4, -0.2), (float("nan"), 0.1)])
def test_a_readout_that_is_no_probability_is_refused(lab: Any, flips: tuple[float, float]) -> None:
    with pytest.raises(DeviceError, match="misreads qubit 0 with probabilities"):
        devices.get("qiskit.aer", noise=lab(readout(*flips)))


def carrying(*gates: str) -> Callable[[], Any]:
    def machine() -> Any:
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), list(gates))
        return AerSimulator(noise_model=model, n_qubits=4)

    return machine


def test_a_carried_error_of_the_measurement_is_refused_since_it_would_not_act(lab: Any) -> None:
    devices.get("qiskit.aer", noise=lab(carrying("sx", "h", "rx", "ry", "rz"))).check(CIRCUIT)
    with pytest.raises(DeviceError, match="has a quantum error on measure, which would not act"):
        devices.get("qiskit.aer", noise=lab(carrying("measure", "sx", "h", "rx", "ry", "rz"))).check(CIRCUIT)


def test_a_machine_that_cannot_be_found_again_is_refused(lab: Any) -> None:
    class Nameless(type(FakeManilaV2())):  # type: ignore[misc]
        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(DeviceError, match="unhashable"):
        devices.get("qiskit.aer", noise=lab(Nameless))


def test_a_machine_that_carries_its_noise_has_the_durations_and_lives_of_its_target(lab: Any) -> None:
    carried = devices.get("qiskit.aer", noise=lab(lambda: AerSimulator.from_backend(FakeManilaV2())), idle=True)
    fake = devices.get("qiskit.aer", noise="fake_manila", idle=True)
    circuit = circuits.get("vqc1", 4)
    weights = np.linspace(0, 3, circuit.n_weights)
    angles = np.linspace(-1, 1, 8).reshape(2, 4)
    facts = carried.facts(circuit)
    assert facts.idle is not None
    assert facts.idle > 1
    assert facts.idle == fake.facts(circuit).idle
    np.testing.assert_allclose(carried.run(circuit, weights, angles), fake.run(circuit, weights, angles), atol=1e-9)
    plain = devices.get("qiskit.aer", noise=str(carried.noise))  # type: ignore[attr-defined]
    assert np.abs(plain.run(circuit, weights, angles) - carried.run(circuit, weights, angles)).max() > 1e-3


def snapshot(gates: dict[str, Any], date: str = "2026-11-01T00:00:00Z", qubits: int = 2) -> str:
    content = {"calibration": 1, "machine": "ibm_two", "date": date, "qubits": [QUBIT] * qubits, "gates": gates}
    return snapshots.give(json.dumps(content))


def test_a_gate_without_a_place_is_not_there() -> None:
    both = {"rz": ON["one"], "sx": ON["one"], "x": [], "ecr": [], "cz": ON["two"]}
    device = devices.get("qiskit.aer", noise=snapshot(both))
    assert set(device.compiled(CIRCUIT, torch.zeros(CIRCUIT.n_weights)).count_ops()) <= {"rz", "sx", "cz", "measure", "barrier"}
    with pytest.raises(DeviceError, match="Qiskit cannot compile"):
        devices.get("qiskit.aer", noise=snapshot({"rz": ON["one"], "sx": [], "cz": ON["two"]})).check(CIRCUIT)


def test_a_gate_that_aer_does_not_simulate_is_refused() -> None:
    both = [{**ON["two"][0], "on": on} for on in ([0, 1], [1, 0])]
    device = devices.get("qiskit.aer", noise=snapshot({"rz": ON["one"], "sx": ON["one"], "iswap": both}))
    with pytest.raises(DeviceError, match="Aer does not simulate the gate iswap"):
        device.check(CIRCUIT)


def test_a_year_of_one_digit_is_a_date() -> None:
    name = snapshot({"rz": ON["one"], "sx": ON["one"], "cz": ON["two"]}, date="0001-01-01T00:00:00Z")
    assert name.startswith("ibm_two@0001-01-01-")
    devices.get("qiskit.aer", noise=name).check(CIRCUIT)


def test_what_is_read_without_error_has_no_readout_to_mitigate() -> None:
    device = devices.get("qiskit.aer", overrotation_1q=0.1, mitigation={"readout": True})
    with pytest.raises(DeviceError, match=r"mitigation\.readout: no qubit is misread"):
        device.check(CIRCUIT)


def test_the_order_of_scales_is_no_other_device() -> None:
    one, two = (devices.get("qiskit.aer", noise="fake_manila", mitigation={"zne": zne}) for zne in ([1, 1.5, 2], [2, 1, 1.5]))
    assert one == two
    assert one.label == two.label


def test_what_a_coupling_lacks_is_said_of_the_coupling(lab: Any) -> None:
    with pytest.raises(DeviceError, match=r"^zz_khz: the machine does not say how long"):
        devices.get("qiskit.aer", noise=lab(readout(0.1, 0.1)), zz_khz=10).check(CIRCUIT)
    still = devices.get("qiskit.aer", zz_khz=10, gate_time_1q_ns=0, gate_time_2q_ns=0)
    with pytest.raises(DeviceError, match="no time passes while two of its qubits are coupled"):
        still.check(circuits.get("vqc1", 3))


@pytest.mark.parametrize(
    ("gate", "axis"), [("cx", "XZ"), ("ecr", "XZ"), ("cz", "ZZ"), ("rzz", "ZZ"), ("rxx", "XX"), ("sx", "X"), ("ry", "Y")]
)
def test_an_excess_turn_is_about_the_axis_in_its_positive_sense(gate: str, axis: str) -> None:
    """exp(-i e P / 2) of Qiskit's Pauli P (the second qubit's letter first), which commutes with the gate but for local turns."""
    excess = 0.3
    found = Operator(EXCESS[gate](excess, ())).data
    expected = expm(-0.5j * excess * Pauli(axis).to_matrix())
    np.testing.assert_allclose(found, expected, atol=1e-12)
