"""What a device makes of a circuit, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hqc_ray.quantum.circuits.ir import Circuit


@dataclass(frozen=True)
class CompiledFacts:
    """A circuit as a device runs it: after compilation, where there is one, and without its measurements.

    Args:
        qubits: wires of the circuit.
        gates: gates on any number of qubits.
        two_qubit_gates: gates on two qubits.
        depth: gates on the longest path.
        layout: physical qubit of each wire at the end; None where there is no machine.
        noisy_gates: gates that carry an error in simulation.
        noisy_readouts: wires whose readout carries an error in simulation.
        backend: the machine that it was compiled for, where it is a real or fake one that counts shots.
        expected_error: probability that any gate or readout fails, by the machine's calibration; None: no machine.
        duration: microseconds from the first gate to the end of the readout; None where nothing was scheduled.
        idle: microseconds that a qubit waits in all between its first gate and its readout, the most of any qubit.
    """

    qubits: int
    gates: int
    two_qubit_gates: int
    depth: int
    layout: tuple[int, ...] | None = None
    noisy_gates: int = 0
    noisy_readouts: int = 0
    backend: str | None = None
    expected_error: float | None = None
    duration: float | None = None
    idle: float | None = None

    @classmethod
    def written(cls, circuit: Circuit) -> Self:
        """The facts of `circuit` as it is written, not compiled."""
        two = sum(len(gate.wires) == 2 for gate in circuit.gates)
        return cls(circuit.n_qubits, len(circuit.gates), two, _depth(circuit))

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Self:
        """The facts that were kept as JSON, in which a layout is a list."""
        return cls(**{**record, "layout": None if record["layout"] is None else tuple(record["layout"])})


def _depth(circuit: Circuit) -> int:
    """Gates on the longest path through the circuit as written."""
    at = [0] * circuit.n_qubits
    for gate in circuit.gates:
        level = 1 + max(at[wire] for wire in gate.wires)
        for wire in gate.wires:
            at[wire] = level
    return max(at)
