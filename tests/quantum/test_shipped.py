"""Fake backends by the files of their package, and devices that a plan need not look at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import qiskit_ibm_runtime

from hqc_ray import circuits, devices
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise import machines, shipped
from hqc_ray.quantum.study import trial

BACKENDS = Path(qiskit_ibm_runtime.__file__).parent / "fake_provider" / "backends"


def test_fake_backends_are_known_by_their_files_as_the_package_knows_them() -> None:
    assert shipped.sizes().keys() == machines.known().keys()
    for name in ("fake_manila", "fake_guadalupe"):
        size = machines.backend(name).num_qubits
        assert shipped.takes(name, size)
        assert not shipped.takes(name, size + 1)
    assert not any(shipped.takes(name, 1) for name in ("fake_cambridge", "manila.json", "lab:machine", "fake_nowhere"))


@pytest.mark.parametrize("name", sorted(shipped.sizes().keys() - shipped.QUIET))
def test_every_pulse_of_a_fake_backend_carries_an_error(name: str) -> None:
    folder = BACKENDS / name
    (described,) = folder.glob("conf_*.json")
    (calibrated,) = folder.glob("props_*.json")
    known, measured = json.loads(described.read_text()), json.loads(calibrated.read_text())
    errors = {
        (gate["gate"], *gate["qubits"]) for gate in measured["gates"] for one in gate["parameters"]
        if one["name"] == "gate_error" and one["value"] > 0
    }  # fmt: skip
    pulses = {"sx", "u2", "u3"} & set(known["basis_gates"])
    assert pulses
    assert {(pulse, qubit) for pulse in pulses for qubit in range(known["n_qubits"])} <= errors


def test_a_plan_and_a_sweep_agree_on_a_machine_that_is_known_by_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    device, circuit = devices.get("qiskit.aer", noise="fake_manila", shots=10), circuits.get("vqc1", 3)
    trial.tried("qiskit.aer", device, circuit, connect=True)
    with monkeypatch.context() as patched:
        patched.setattr(type(device), "check", lambda *_: pytest.fail("looked at"))
        trial.tried("qiskit.aer", device, circuit)
        for other in ({"noise_scale": 2.0}, {"idle": True}, {"optimization_level": 3}):
            with pytest.raises(pytest.fail.Exception):
                trial.tried("qiskit.aer", devices.get("qiskit.aer", noise="fake_manila", **other), circuit)
    with pytest.raises(DeviceError, match="more qubits than fake_manila"):
        trial.tried("qiskit.aer", device, circuits.get("vqc1", 6))
