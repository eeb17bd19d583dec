from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.devices import pennylane as plugins
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.noise import machines, shipped

CIRCUIT = asymmetric()
WEIGHTS, ANGLES = inputs(CIRCUIT)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vqc7", {}, r"unknown circuit 'vqc7'; did you mean 'vqc6'\? .*vqc1, vqc2"),
        ("vqc1", {"embedding": "rz"}, "every input gradient would be exactly zero.*valid: rx, ry, h"),
        ("vqc1", {"embedding": "zz"}, r"unknown embedding 'zz' .*h\+ry, own, rx, ry"),
        ("vqc1", {"n_qubits": 1}, "n_qubits 1 .*from 2 to 16"),
        ("vqc1", {"n_qubits": 17}, "n_qubits 17 .*from 2 to 16"),
        ("vqc1", {"n_qubits": 4.0}, "n_qubits 4.0 .*a whole number"),
        ("vqc1", {"n_qubits": True}, "n_qubits True .*a whole number"),
        ("sim1", {"layers": 0}, "layers 0 .*from 1 to 100"),
        ("no_such_module:circuit", {}, "cannot import circuit 'no_such_module:circuit'"),
    ],
)
def test_bad_circuits(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        circuits.get(name, **options)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "has no attribute 'missing'"),
        ("number", "is not a function .*Builder"),
        ("wrong", r"CNOT on wires \(0, 7\) .*2 different wires below 4"),
    ],
)
def test_bad_circuits_of_a_user(name: str, message: str, user: Callable[..., Circuit]) -> None:
    with pytest.raises(CircuitError, match=message):
        user(name)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate("SWAP", (0, 1)), "unknown gate 'SWAP' .*CNOT"),
        (Gate("CNOT", (1, 1)), r"CNOT on wires \(1, 1\)"),
        (Gate("RX", (0,)), "RX with 0 parameters .*1"),
        (Gate("CRX", (0, 1), (Angle(0),)), r"Angle\(index=0\) in CRX .*RX, RY, RZ"),
        (Gate("RX", (0,), (Angle(2),)), r"Angle\(index=2\) in RX .*angles 0..1"),
        (Gate("RX", (0,), (Weight(1),)), "1 weights in use, 0 declared"),
    ],
)
def test_bad_gates(gate: Gate, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Circuit("own", 2, "rx", 1, 0, (gate,))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lightnin.qubit", {}, "unknown device 'lightnin.qubit'; did you mean 'lightning.qubit'.*qiskit.aer"),
        ("default.qubit", {"shot": 5}, "unknown option 'shot'; did you mean 'shots'.*shots=None, seed=0"),
        ("default.qubit", {"shots": 0}, "greater than or equal to 1, not 0"),
        ("qiskit.aer", {"shots": 2.5}, "shots"),
        ("qiskit.aer", {"noise": "fake_manilla"}, "unknown fake backend 'fake_manilla'; did you mean 'fake_manila'"),
        ("qiskit.aer", {"noise": "xyzzy"}, "unknown fake backend 'xyzzy' .*fake_"),
        ("qiskit.aer", {"optimization_level": 9}, "optimization_level"),
    ],
)
def test_bad_devices(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get(name, **options)
    assert "\n" not in str(caught.value)


def test_more_qubits_than_the_machine_has_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    device, circuit = devices.get("qiskit.aer", noise="fake_manila"), circuits.get("vqc1", 6)
    weights, angles = inputs(circuit)
    monkeypatch.setattr(type(device), "_compile", lambda *_: pytest.fail("compiled"))
    calls: list[Callable[[], Any]] = [
        lambda: device.check(circuit),
        lambda: device.facts(circuit),
        lambda: device.compiled(circuit, weights),
        lambda: device.probabilities(circuit, weights, angles),
        lambda: surrogate.fit(circuit, weights, device),
    ]
    for call in calls:
        with pytest.raises(DeviceError, match=r"more qubits than fake_manila .*up to 5 qubits"):
            call()


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_aer", None)
    with pytest.raises(DeviceError, match=r"qiskit-aer is not installed.*pip install qiskit-aer"):
        devices.get("qiskit.aer").check(CIRCUIT)
    machines.known.cache_clear()
    shipped.sizes.cache_clear()
    for name in ("qiskit_ibm_runtime", "qiskit_ibm_runtime.fake_provider"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DeviceError, match=r"qiskit-ibm-runtime is not installed.*pip install qiskit-ibm-runtime"):
        devices.get("qiskit.aer", noise="fake_manila")
    shipped.sizes.cache_clear()


@pytest.mark.parametrize("name", sorted(set(plugins.PACKAGES) - plugins.plugin_names()))
def test_a_device_whose_plugin_is_missing_is_named_with_its_pip_line(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"device {name}: .* is not installed \(valid: pip install {plugins.PACKAGES[name]}\)"):
        devices.get(name, shots=10)


def test_a_plugin_that_cannot_be_exact() -> None:
    pytest.importorskip("pennylane_qiskit", reason="PennyLane's plugin, which holds qiskit back, is not installed")
    with pytest.raises(DeviceError, match="turns shots=None into 1,024 shots"):
        devices.get("pennylane", plugin="qiskit.aer").check(CIRCUIT)


def test_devices_that_pennylane_cannot_open() -> None:
    with pytest.raises(DeviceError, match=r"unknown PennyLane device 'none.qubit'"):
        devices.get("pennylane", plugin="none.qubit").check(CIRCUIT)
    with pytest.raises(DeviceError, match=r"cannot open PennyLane device 'default.mixed'.*bogus"):
        devices.get("default.mixed", options={"bogus": 1}).check(CIRCUIT)


@pytest.mark.parametrize("name", ["default.qubit", "qiskit.aer"])
@pytest.mark.parametrize(
    ("weights", "angles", "message"),
    [
        (WEIGHTS[:-1], ANGLES, r"weights of shape \[11\] .*\[12\]"),
        (WEIGHTS, ANGLES[:, :2], r"angles of shape \[5, 2\] .*\[B, 3\]"),
        (WEIGHTS, ANGLES[0], r"angles of shape \[3\] .*\[B, 3\]"),
        (WEIGHTS, ANGLES * torch.tensor(float("nan")), "angles hold NaN"),
        (WEIGHTS * float("inf"), ANGLES, "weights hold NaN or infinity"),
    ],
)
def test_bad_values(name: str, weights: torch.Tensor, angles: torch.Tensor, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        devices.get(name).expectations(CIRCUIT, weights, angles)


def test_the_layer_refuses_angles_of_another_width() -> None:
    with pytest.raises(CircuitError, match=r"angles of shape \[5, 2\] .*\[B, 3\]"):
        CircuitLayer(CIRCUIT, torch.Generator())(ANGLES[:, :2])


def test_a_surrogate_too_large_is_refused() -> None:
    circuit = circuits.get("sim1", 12)
    with pytest.raises(CircuitError, match=r"coefficients .*native"):
        surrogate.fit(circuit, inputs(circuit)[0], devices.get("default.qubit"))
