"""The noise of real machines: a backend's calibration, or the noise model that it carries; which machines there are.

A machine's name is that of a fake backend of qiskit-ibm-runtime (`fake_torino`), the file of a snapshot (`torino.json`), a user's
own backend (`package.module:callable`), or one that AQT or IQM ships (`aqt:...`, `iqm:...`).
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from hqc_ray.errors import FEW, DeviceError, close, nearest, shown
from hqc_ray.quantum.noise import own, shipped, snapshots
from hqc_ray.quantum.noise.base import positions, require
from hqc_ray.quantum.noise.carried import Carried, carried, lost, refuse_silent
from hqc_ray.quantum.noise.shipped import plain
from hqc_ray.quantum.noise.targeted import Targeted, readouts

OTHERS = "; a snapshot's FILE.json, your own package.module:callable, aqt:NAME, iqm:NAME"


class Machine(Targeted):
    """A backend and the noise that Aer derives from its calibration: depolarizing and thermal relaxation of each gate.

    `scale` s multiplies the calibration, not the channels: gate errors and readout errors become s times as probable, T1 and T2
    1/s as long, and from these the channels are derived anew. At 1 they are those of Aer's `NoiseModel.from_backend`.

    Args:
        backend: Qiskit's backend: gates, coupling map, calibration.
        scale: see above, above 0.
    """

    def __init__(self, backend: Any, scale: float = 1.0) -> None:
        super().__init__(backend, scale)
        self._errors: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._readout = dict(readouts(backend.target))

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """See `Noise.error`; derived when it is first asked for: a machine of 127 qubits has thousands."""
        if (gate, qubits) not in self._errors:
            self._errors[gate, qubits] = self._derived(gate, qubits)
        return self._errors[gate, qubits]

    def _derived(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """What Aer makes of a target that knows this gate only."""
        from qiskit.transpiler import InstructionProperties, Target

        calibration = self._calibration(gate, qubits)
        if calibration is None:
            return None
        target = Target(num_qubits=len(self._lives), qubit_properties=self._lives)
        scaled = calibration.error and calibration.error * self.scale
        properties = InstructionProperties(duration=calibration.duration, error=scaled)
        target.add_instruction(self.backend.target.operation_from_name(gate), {qubits: properties})
        derive = require("qiskit_aer.noise.device", "qiskit-aer").basic_device_gate_errors
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            errors = [error for _, _, error in derive(target=target) if not error.ideal()]
        return errors[0] if errors else None

    def assignment(self, qubit: int) -> np.ndarray | None:
        """See `Noise.assignment`."""
        matrix = self._readout.get(qubit)
        return None if matrix is None else np.eye(2) + self.scale * (matrix - np.eye(2))

    def _infidelity(self, gate: str, qubits: tuple[int, ...]) -> float:
        known = self._calibration(gate, qubits)
        return self.scale * known.error if known and known.error is not None else lost(self.error(gate, qubits))

    def check(self, compiled: Any) -> None:
        """See `Noise.check`."""
        refuse_silent(self, compiled)
        if self.scale > 1:  # what is calibrated is taken as it is
            self._check_scale(compiled)

    def _check_scale(self, compiled: Any) -> None:
        worst = {"readout": 0.0}
        for step in compiled.data:
            if step.operation.name == "measure" and (matrix := self._readout.get(positions(compiled, step)[0])) is not None:
                worst["readout"] = max(worst["readout"], float(1 - matrix.diagonal().min()))
        for gate, qubits in self.noisy_gates(compiled):
            size = 2 ** len(qubits)  # complete depolarizing is an error of size / (size + 1)
            worst[f"{gate} on {list(qubits)}"] = (self._calibration(gate, qubits).error or 0.0) * (size + 1) / size
        name, most = max(worst.items(), key=lambda item: item[1])
        if most * self.scale > 1:
            what = f"noise_scale {self.scale:g} takes the error of {name} on {self.backend.name} above its maximum"
            raise DeviceError(what, where="noise_scale", valid=f"0 to {1 / most:.3g}")


Calibrated = Machine | Carried


def canonical(name: str) -> str:
    """The one name of a machine: fake_manila for FakeManilaV2, Fake-Manila, manila; of a file, that of its snapshot.

    Raises:
        DeviceError: no such machine (near names are listed), or the package is missing; see `snapshots.read`, `own.canonical`.
    """
    if name.lower().endswith(snapshots.SUFFIX):
        return snapshots.read(name)
    if snapshots.NAME.fullmatch(name):
        return snapshots.get(name).name
    if ":" in name:
        return own.canonical(name)
    return fake(name, OTHERS)


def fake(name: str, others: str = "") -> str:
    """The one name of a fake backend; `others` says what else would be valid.

    Raises:
        DeviceError: no such machine (near names are listed), or the package is missing.
    """
    wanted = plain(name)
    if wanted in shipped.sizes() or wanted in (machines := known()):
        return f"fake_{wanted}"
    near = [f"fake_{key}" for key in close(wanted, machines, FEW) or sorted(machines)[:FEW]]
    meant = nearest(f"fake_{wanted}", near if close(wanted, machines) else ())
    raise DeviceError(f"unknown fake backend {shown(name)}{meant}", where="noise", valid=", ".join([*near, "..."]) + others)


@functools.lru_cache(maxsize=16)  # as many as machines: circuits are compiled once for each backend object
def backend(name: str) -> Any:
    """The backend with the canonical `name`."""
    if snapshots.NAME.fullmatch(name):
        return own.simulated(name, snapshots.get(name).target())
    if ":" in name:
        return own.backend(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some machines warn that their calibration is not typical
        return known()[plain(name)]()


@functools.lru_cache(maxsize=16)
def machine(name: str, scale: float = 1.0) -> Calibrated:
    """The noise of the machine with the canonical `name`, scaled."""
    return noise_of(backend(name), scale)


@functools.lru_cache(maxsize=16)
def noise_of(backend: Any, scale: float = 1.0) -> Calibrated:
    """The noise of a backend: derived from its calibration, unless it carries a noise model."""
    return Machine(backend, scale) if carried(backend) is None else Carried(backend, scale)


@functools.cache
def known() -> dict[str, type]:
    """The fake backends by the plain form of their names."""
    provider = require("qiskit_ibm_runtime.fake_provider", "qiskit-ibm-runtime")
    names = [name for name in dir(provider) if name.startswith("Fake") and name not in shipped.NOT_MACHINES]
    return {plain(name): getattr(provider, name) for name in names}
