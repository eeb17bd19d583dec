"""A device is tried on a circuit before a sweep: what it runs, without its noise, is what is trained."""

from __future__ import annotations

import numpy as np
import pytest
from quantum_cases import asymmetric

from hqc_ray import circuits, devices
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.devices import Device, qiskit
from hqc_ray.quantum.study import trial

NOISY = {"noise": "fake_guadalupe"}


@pytest.mark.parametrize(
    ("name", "options"), [("default.qubit", {}), ("qiskit.aer", NOISY), ("qiskit.aer", {"noise": "fake_manila"})]
)
@pytest.mark.parametrize("circuit", [asymmetric(), circuits.get("vqc1", 4, "h+ry", reuploads=2, readout="x")], ids=str)
def test_devices_of_the_table_pass(name: str, options: dict[str, str], circuit: circuits.Circuit) -> None:
    trial.tried(name, devices.get(name, **options), circuit, connect=True)


@pytest.mark.parametrize("n_qubits", [4, 9])
def test_a_compiler_that_makes_another_circuit_is_refused_under_any_noise(n_qubits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = circuits.get("sim14", n_qubits)
    trial.tried("qiskit.aer", devices.get("qiskit.aer", **NOISY), circuit, connect=True)
    qiskit.compiled.cache_clear()
    monkeypatch.setitem(qiskit.METHODS, "CRX", "crz")
    with pytest.raises(DeviceError, match=r"qiskit.aer\[fake_guadalupe\] runs another circuit than the one that is trained"):
        trial.tried("qiskit.aer", devices.get("qiskit.aer", **NOISY), circuit, connect=True)
    qiskit.compiled.cache_clear()


def test_a_device_that_only_counts_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    device = devices.get("ibm", backend="fake_manila", shots=100)
    monkeypatch.setattr(type(device), "run", lambda *_: pytest.fail("ran"))
    trial.tried("ibm", device, asymmetric())
    trial.fits("ibm", device)


class Given(Device):
    """Gives what it is told to."""

    found: object = None

    def run(self, circuit: circuits.Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return self.found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "run gives NoneType"),
        ((np.ones((1, 8)) / 8, 0), "run gives tuple"),
        (np.ones((1, 3)), r"gives float64\[1, 3\] for 1 circuits of 3 qubits"),
        (np.ones((1, 8), np.float32) / 8, r"gives float32\[1, 8\]"),
        (np.full((1, 8), np.nan), "NaN or infinity"),
        (np.ones((1, 8)), "gives 1 to 1, which add up to 8"),
        (np.array([[2.0, -1.0, 0, 0, 0, 0, 0, 0]]), "gives -1 to 2, which add up to 1"),
    ],
)
def test_what_is_no_probability_is_refused_wherever_a_device_runs(found: object, message: str) -> None:
    device = Given(found=found)
    with pytest.raises(DeviceError, match=message) as caught:
        device.checked(device.run(asymmetric(), np.zeros(12), np.zeros((1, 3))), asymmetric(), 1)
    assert "test_trial.py, line 48" in str(caught.value)
