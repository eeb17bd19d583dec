"""The way to Qiskit: a circuit in its gates, compiled once with angles and weights as parameters."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqc_ray.quantum.circuits.ir import Angle, Circuit, Parameter, Weight
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.noise.parametric import BASIS

METHODS = {
    "H": "h",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "PhaseShift": "p",
    "U1": "p",
    "U3": "u",
    "CNOT": "cx",
    "CZ": "cz",
    "CRX": "crx",
    "CRZ": "crz",
}


@dataclass(frozen=True, eq=False)
class Compiled:
    """A circuit for a machine; compared by identity.

    Args:
        measured: the transpiled circuit; classical bit i is wire i.
        gates: the same without its measurements.
        angles: Qiskit's parameters of the angles.
        weights: and of the weights.
        layout: physical qubit of each wire at the end.
    """

    measured: Any
    gates: Any
    angles: Sequence[Any]
    weights: Sequence[Any]
    layout: list[int]

    def bound(self, weights: np.ndarray, measured: bool = False) -> Any:
        """The transpiled circuit with its weights bound."""
        # the compiler may have removed a weight that cannot change the outcome, as a phase before the measurement
        values = dict(zip(self.weights, weights, strict=True))
        return (self.measured if measured else self.gates).assign_parameters(values, strict=False)

    def facts(self, noise: Noise | None = None, backend: str | None = None) -> CompiledFacts:
        """What the compiler made of the circuit, with `noise` on the machine `backend`."""
        return CompiledFacts(
            qubits=len(self.layout),
            gates=self.gates.size(),
            two_qubit_gates=self.gates.num_nonlocal_gates(),
            depth=self.gates.depth(),
            layout=tuple(self.layout),
            noisy_gates=len(noise.noisy_gates(self.gates)) if noise else 0,
            noisy_readouts=sum(noise.assignment(qubit) is not None for qubit in self.layout) if noise else 0,
            backend=backend,
        )


@functools.lru_cache(maxsize=256)
def compiled(circuit: Circuit, backend: Any, level: int, seed: int) -> Compiled:
    """`circuit` for a machine of Qiskit's, or (None) for the gates of `parametric.BASIS` on any pair of qubits.

    Args:
        circuit: what to compile.
        backend: see above; told from others by identity.
        level: optimization level of the transpiler.
        seed: of the transpiler.
    """
    from qiskit import transpile

    written, angles, weights = _written(circuit)
    wires = range(circuit.n_qubits)
    target = {"basis_gates": [*BASIS, "measure"]} if backend is None else {"backend": backend}
    measures = backend is None or "measure" in backend.operation_names  # some early machines know none
    if measures:
        written.measure(wires, wires)
    made = transpile(written, **target, optimization_level=level, seed_transpiler=seed)
    layout = made.layout.final_index_layout() if made.layout else list(wires)
    if not measures:
        made.measure(layout, wires)
    made.name = repr(circuit)
    return Compiled(made, _unmeasured(made), angles, weights, layout)


def _written(circuit: Circuit) -> tuple[Any, Any, Any]:
    """The circuit in Qiskit's gates, not measured yet, with its parameters."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    from qiskit.circuit import ParameterVector

    angles, weights = ParameterVector("angle", circuit.n_qubits), ParameterVector("weight", circuit.n_weights)
    written = QuantumCircuit(QuantumRegister(circuit.n_qubits, "wire"), ClassicalRegister(circuit.n_qubits, "outcome"))

    def value(parameter: Parameter) -> Any:
        if isinstance(parameter, Angle):
            return angles[parameter.index]
        return parameter.of(weights[parameter.index]) if isinstance(parameter, Weight) else parameter

    for gate in circuit.gates:
        values = [value(parameter) for parameter in gate.parameters]
        if gate.name == "U2":
            written.u(math.pi / 2, *values, *gate.wires)
        else:
            getattr(written, METHODS[gate.name])(*values, *gate.wires)
    return written, angles, weights


def _unmeasured(made: Any) -> Any:
    gates = made.copy_empty_like()
    for step in made.data:
        if step.operation.name != "measure":
            gates.append(step)
    return gates
