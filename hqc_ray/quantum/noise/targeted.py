"""What a backend's target says of its machine: how long gates take and qubits live, which are coupled, how they are misread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.base import Noise, relaxation


class Targeted(Noise):
    """The noise of a backend with a target; `scale` s makes its lives 1/s as long.

    Args:
        backend: Qiskit's backend: gates, coupling map, calibration.
        scale: see above, above 0.
    """

    def __init__(self, backend: Any, scale: float) -> None:
        from qiskit.transpiler import QubitProperties

        self.backend, self.scale = backend, scale
        known = backend.target.qubit_properties or [None] * backend.target.num_qubits
        lives = [QubitProperties() if life is None else life for life in known]
        self._lives = [
            QubitProperties(t1=qubit.t1 and qubit.t1 / scale, t2=qubit.t2 and qubit.t2 / scale, frequency=qubit.frequency)
            for qubit in lives
        ]

    def _calibration(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """Properties of `gate` on physical `qubits`; None where the target has none."""
        target = self.backend.target
        known = target[gate] if gate in target.operation_names else None
        return known.get(qubits) if known else None

    def infidelity(self, gate: str, qubits: tuple[int, ...]) -> float | None:
        """One minus the average fidelity of `gate` (or of `measure`) on physical `qubits`; None where it is not there."""
        if not has(self.backend.target, gate, qubits):
            return None
        return misread(self.assignment(qubits[0])) if gate == "measure" else self._infidelity(gate, qubits)

    @abstractmethod
    def _infidelity(self, gate: str, qubits: tuple[int, ...]) -> float:
        """The same of a gate that is there."""

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


def has(target: Any, gate: str, qubits: tuple[int, ...]) -> bool:
    """Whether a target has `gate` on `qubits`; what it lists without qubits, it has on any."""
    if gate not in target.operation_names:
        return gate == "measure"  # some early machines do not list it
    known = target[gate]
    return known is None or qubits in known or None in known


def misread(assignment: np.ndarray | None) -> float:
    """The mean probability that a bit is read wrongly."""
    return 0.0 if assignment is None else float(1 - assignment.diagonal().mean())


def readouts(target: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Assignment matrices of the qubits whose readout error is known, as Aer reads them from a target."""
    known = (target["measure"] or {}) if "measure" in target.operation_names else {}
    for qubits, found in known.items():
        if qubits is not None and found is not None and found.error is not None:
            up, down = getattr(found, "prob_meas1_prep0", found.error), getattr(found, "prob_meas0_prep1", found.error)
            yield qubits[0], np.array([[1 - up, up], [down, 1 - down]])
