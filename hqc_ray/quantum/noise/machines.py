"""The noise of real machines: a backend's calibration, or the noise model that it carries; which machines there are.

A machine's name is that of a fake backend of qiskit-ibm-runtime (`fake_torino`), the file of a snapshot (`torino.json`), a user's
own backend (`package.module:callable`), or one that AQT or IQM ships (`aqt:...`, `iqm:...`).
"""

from __future__ import annotations

import difflib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise import own, shipped, snapshots
from hqc_ray.quantum.noise.base import Noise, positions, relaxation, require
from hqc_ray.quantum.noise.carried import Carried, carried, has, lost, misread, refuse_silent
from hqc_ray.quantum.noise.shipped import plain


class Machine(Noise):
    """A backend and the noise that Aer derives from its calibration: depolarizing and thermal relaxation of each gate.

    `scale` s multiplies the calibration, not the channels: gate errors and readout errors become s times as probable, T1 and T2
    1/s as long, and from these the channels are derived anew. At 1 they are those of Aer's `NoiseModel.from_backend`.

    Args:
        backend: Qiskit's backend: gates, coupling map, calibration.
        scale: see above, above 0.
    """

    def __init__(self, backend: Any, scale: float = 1.0) -> None:
        from qiskit.transpiler import QubitProperties

        self.backend, self.scale = backend, scale
        self._errors: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._readout = dict(_readouts(backend.target))
        known = backend.target.qubit_properties or [None] * backend.target.num_qubits
        lives = [QubitProperties() if life is None else life for life in known]
        self._lives = [
            QubitProperties(t1=qubit.t1 and qubit.t1 / scale, t2=qubit.t2 and qubit.t2 / scale, frequency=qubit.frequency)
            for qubit in lives
        ]

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

    def _calibration(self, gate: str, qubits: tuple[int, ...]) -> Any:
        target = self.backend.target
        known = target[gate] if gate in target.operation_names else None
        return known.get(qubits) if known else None

    def assignment(self, qubit: int) -> np.ndarray | None:
        """See `Noise.assignment`."""
        matrix = self._readout.get(qubit)
        return None if matrix is None else np.eye(2) + self.scale * (matrix - np.eye(2))

    def infidelity(self, gate: str, qubits: tuple[int, ...]) -> float | None:
        """One minus the average fidelity of `gate` (or of `measure`) on physical `qubits`; None where it is not there."""
        if not has(self.backend.target, gate, qubits):
            return None
        if gate == "measure":
            return misread(self.assignment(qubits[0]))
        known = self._calibration(gate, qubits)
        return self.scale * known.error if known and known.error is not None else lost(self.error(gate, qubits))

    def duration(self, gate: str, qubits: tuple[int, ...]) -> float | None:
        """See `Noise.duration`."""
        calibration = self._calibration(gate, qubits)
        return None if calibration is None else calibration.duration

    def wait(self, qubit: int, seconds: float) -> Any:
        """See `Noise.wait`; where T2 is above 2 T1 it is 2 T1, as Aer has it."""
        life = self._lives[qubit]
        if not life.t1 or not life.t2:
            what = f"T1 and T2 of qubit {qubit} of {self.backend.name} are not known"
            raise DeviceError(what, where="idle", valid="false, or a machine with T1 and T2 of each qubit")
        return relaxation(life.t1, min(life.t2, 2 * life.t1), seconds)

    def coupled(self) -> frozenset[tuple[int, int]] | None:
        """See `Noise.coupled`."""
        coupling = self.backend.coupling_map
        return None if coupling is None else frozenset((min(pair), max(pair)) for pair in coupling.get_edges())

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


def _readouts(target: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Assignment matrices of the qubits whose readout error is known, as Aer reads them from a target."""
    known = target["measure"] if "measure" in target.operation_names else {}
    for qubits, found in known.items():
        if qubits is not None and found is not None and found.error is not None:
            up, down = getattr(found, "prob_meas1_prep0", found.error), getattr(found, "prob_meas0_prep1", found.error)
            yield qubits[0], np.array([[1 - up, up], [down, 1 - down]])


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
    wanted = plain(name)
    if wanted in shipped.sizes() or wanted in (machines := known()):
        return f"fake_{wanted}"
    near = difflib.get_close_matches(wanted, machines, n=5, cutoff=0.4) or sorted(machines)
    raise DeviceError(f"unknown fake backend {name!r}", where="noise", valid=", ".join(f"fake_{key}" for key in near) + ", ...")


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
