"""What noise is to a compiled circuit."""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError


def require(module: str, package: str) -> ModuleType:
    """The module of an optional package.

    Raises:
        DeviceError: not installed; names the pip line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        what = f"{package} is not installed: {problem}"
        raise DeviceError(what, where="device qiskit.aer", valid=f"pip install {package}") from problem


class Noise(ABC):
    """Errors after gates and in readout, on the physical qubits of a machine; compared by identity."""

    @abstractmethod
    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        """Aer's quantum error after `gate` on physical `qubits`, always the same object; None where it is noiseless."""

    @abstractmethod
    def assignment(self, qubit: int) -> np.ndarray | None:
        """The assignment matrix [2, 2] of a physical qubit, row the true bit, column the bit read; None: read without error."""

    @abstractmethod
    def check(self, compiled: Any) -> None:
        """Refuse noise that does not act on a transpiled circuit, or that cannot be scaled there as asked for.

        Raises:
            DeviceError: an error that never fires, or a probability above 1.
        """

    def duration(self, gate: str, qubits: tuple[int, ...]) -> float | None:
        """Seconds that `gate` (or `measure`) takes on physical `qubits`; None where that is not known."""
        return None

    def wait(self, qubit: int, seconds: float) -> Any:
        """Aer's quantum error of a physical qubit that waits, the same object for equal times; None where it does not decay."""
        return None

    def coupled(self) -> frozenset[tuple[int, int]] | None:
        """The pairs of physical qubits (a < b) that are coupled; None where any two may be."""
        return None

    def noisy_gates(self, compiled: Any) -> list[tuple[str, tuple[int, ...]]]:
        """The gates of a transpiled circuit that carry an error: name and physical qubits of each, in order."""
        gates = [(called(step.operation), positions(compiled, step)) for step in compiled.data]
        return [gate for gate in gates if self.error(*gate) is not None]

    def model(self, compiled: Any) -> Any:
        """Aer's noise model with the gate errors of a transpiled circuit only: Aer reads all of it anew in every job."""
        model = require("qiskit_aer.noise", "qiskit-aer").NoiseModel(basis_gates=sorted(compiled.count_ops()))
        for name, qubits in sorted(set(self.noisy_gates(compiled))):
            model.add_quantum_error(self.error(name, qubits), name, list(qubits))
        return model

    def read(self, probabilities: np.ndarray, layout: list[int]) -> np.ndarray:
        """Probabilities [N, 2**Q] as read, from true ones; `layout` is the physical qubit of each wire, wire 0 leftmost."""
        return along_wires(probabilities, [self.assignment(qubit) for qubit in layout])


def along_wires(rows: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """Rows [N, 2**Q], wire 0 leftmost, times a matrix [2, 2] on each wire; None changes nothing."""
    shaped = rows.reshape(-1, *[2] * len(matrices))
    for wire, matrix in enumerate(matrices):
        if matrix is not None:
            shaped = np.moveaxis(np.tensordot(shaped, matrix, axes=([wire + 1], [0])), -1, wire + 1)
    return shaped.reshape(rows.shape)


@functools.lru_cache(maxsize=4096)
def relaxation(t1: float, t2: float, time: float) -> Any:
    """Aer's thermal relaxation towards |0> for a time, all in the same unit; one object for equal times."""
    return require("qiskit_aer.noise", "qiskit-aer").thermal_relaxation_error(t1, t2, time)


def called(operation: Any) -> str:
    """By what name Aer, and we, look for the error of an instruction: its label, where it has one."""
    return str(operation.label or operation.name)


def positions(compiled: Any, step: Any) -> tuple[int, ...]:
    """The physical qubits of an instruction."""
    return tuple(compiled.find_bit(qubit).index for qubit in step.qubits)
