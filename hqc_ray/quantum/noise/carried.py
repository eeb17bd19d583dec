"""The noise model that a backend carries, instead of a calibration that noise is derived from."""

from __future__ import annotations

from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise.base import positions, require
from hqc_ray.quantum.noise.targeted import Targeted


def carried(backend: Any) -> Any:
    """Aer's noise model that a backend carries; None without one."""
    found = getattr(backend, "noise_model", None) or getattr(getattr(backend, "options", None), "noise_model", None)
    return found if isinstance(found, require("qiskit_aer.noise", "qiskit-aer").NoiseModel) else None


class Carried(Targeted):
    """The noise model of Aer's that a backend carries, as AQT's and IQM's simulators and `AerSimulator(noise_model=...)` do.

    `scale` s makes each error s times as probable; of a machine that knows its numbers, these are scaled as those of `Machine`.

    Args:
        backend: that carries it.
        scale: see above, above 0.
    """

    def __init__(self, backend: Any, scale: float = 1.0) -> None:
        super().__init__(backend, scale)
        by_numbers = hasattr(backend, "scaled")
        self._model = backend.scaled(scale) if by_numbers and scale != 1 else carried(backend)
        self._factor = 1.0 if by_numbers else scale
        self._errors: dict[int, Any] = {}  # scaled, by the identity of the model's: it may have one for all pairs
        self._lost: dict[int, float] = {}  # by the identity of an error

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """See `Noise.error`.

        Raises:
            DeviceError: its scaled probability is above 1.
        """
        local = self._model._local_quantum_errors.get(gate, {})
        found = local.get(qubits) or self._model._default_quantum_errors.get(gate)
        if not found or self._factor == 1:
            return found
        if id(found) not in self._errors:
            self._errors[id(found)] = self._scaled(found)
        return self._errors[id(found)]

    def _scaled(self, error: Any) -> Any:
        """An error of Aer's, `_factor` times as probable."""
        from qiskit import QuantumCircuit

        terms = [(circuit, p) for p, circuit in zip(error.probabilities, error.circuits, strict=True) if not _idle(circuit)]
        happens = float(sum(p for _, p in terms))
        self._refuse_more_than(happens)
        scaled = [(circuit, p * self._factor) for circuit, p in terms]
        make = require("qiskit_aer.noise", "qiskit-aer").QuantumError
        return make([*scaled, (QuantumCircuit(error.num_qubits), 1 - happens * self._factor)])

    def assignment(self, qubit: int) -> np.ndarray | None:
        """See `Noise.assignment`."""
        found = self._model._local_readout_errors.get((qubit,)) or self._model._default_readout_error
        if found is None:
            return None
        flips = np.asarray(found.probabilities) - np.eye(2)
        self._refuse_more_than(float(-flips.diagonal().min()))
        return np.eye(2) + self._factor * flips

    def _infidelity(self, gate: str, qubits: tuple[int, ...]) -> float:
        error = self.error(gate, qubits)
        if id(error) not in self._lost:
            self._lost[id(error)] = lost(error)
        return self._lost[id(error)]

    def check(self, compiled: Any) -> None:
        """See `Noise.check`."""
        if "measure" in self._model._local_quantum_errors or "measure" in self._model._default_quantum_errors:
            what = f"the noise model of {self.backend.name} has a quantum error on measure, which would not act"
            raise DeviceError(what, where="noise", valid="a readout error in its place")
        refuse_silent(self, compiled)
        for step in compiled.data:
            if step.operation.name == "measure":
                self.assignment(positions(compiled, step)[0])

    def _refuse_more_than(self, probability: float) -> None:
        if probability * self._factor > 1:
            what = f"noise_scale {self.scale:g} takes an error of {self.backend.name} above probability 1"
            raise DeviceError(what, where="noise_scale", valid=f"0 to {1 / probability:.3g}")


def lost(error: Any) -> float:
    """One minus the average fidelity of an error of Aer's; None loses nothing."""
    from qiskit.quantum_info import average_gate_fidelity

    return 0.0 if error is None else max(0.0, 1 - float(average_gate_fidelity(error.to_quantumchannel())))


def _idle(circuit: Any) -> bool:
    """Whether a circuit of an error changes nothing."""
    names = (step.operation.params[0] if step.operation.name == "pauli" else step.operation.name for step in circuit.data)
    return all(name == "id" or not name.strip("I") for name in names)


def refuse_silent(noise: Any, compiled: Any) -> None:
    """Refuse the noise of a backend of which no gate of a transpiled circuit has any.

    Raises:
        DeviceError: it would never fire.
    """
    if not noise.noisy_gates(compiled):
        what = f"no gate of {compiled.name} carries an error on {noise.backend.name}: the noise would never fire"
        raise DeviceError(what, where="noise")
