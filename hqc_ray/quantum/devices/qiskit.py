"""The way to Qiskit: a circuit in its gates, compiled once with angles and weights as parameters."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.guard import said
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Parameter, Weight
from hqc_ray.quantum.devices import layouts
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.noise.base import Noise, positions
from hqc_ray.quantum.noise.machines import Calibrated
from hqc_ray.quantum.noise.parametric import BASIS

OUTCOME = "outcome"  # the register that is read
ROUTES = 4  # seeds of the transpiler that are tried where a circuit goes to its best qubits
METHODS = {
    "H": "h",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "PhaseShift": "p",
    "U1": "p",
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
def compiled(circuit: Circuit, backend: Any, level: int, seed: int, noise: Calibrated | None = None) -> Compiled:
    """`circuit` for a machine of Qiskit's, or (None) for the gates of `parametric.BASIS` on any pair of qubits.

    Args:
        circuit: what to compile.
        backend: see above; told from others by identity.
        level: optimization level of the transpiler.
        seed: of the transpiler.
        noise: of the machine: the circuit goes to the qubits where it is least likely to fail; None: to those of Qiskit's choice.

    Raises:
        DeviceError: the machine cannot run it.
    """
    if noise is None:
        return _compiled(circuit, backend, level, seed)
    return _at_its_best(circuit, backend, level, seed, noise)


def _at_its_best(circuit: Circuit, backend: Any, level: int, seed: int, noise: Calibrated) -> Compiled:
    """Some ways to route the circuit, each where it is least likely to fail, and of these the best."""
    tried: list[tuple[float, int, Compiled]] = []
    for more in range(ROUTES):
        made = _compiled(circuit, backend, level, seed + more)
        used = layouts.touched(made.measured)
        if found := layouts.best(layouts.Uses.of(made.measured, used), noise):
            made = _moved(made, dict(zip(used, found[0], strict=True)), backend, level, seed)
        tried.append((layouts.expected_error(made.measured, noise), more, made))
    return min(tried, key=lambda one: one[:2])[-1]


def _moved(made: Compiled, to: dict[int, int], backend: Any, level: int, seed: int) -> Compiled:
    """A compiled circuit on other qubits of the machine: `to` says which, for each that it acts on."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    small = QuantumCircuit(QuantumRegister(len(to), "wire"), ClassicalRegister(len(made.layout), OUTCOME))
    number = {qubit: i for i, qubit in enumerate(to)}
    for step in made.gates.data:
        small.append(step.operation, [number[qubit] for qubit in positions(made.gates, step)])
    moved = transpiled(small, backend, level, seed, made.measured.name, initial_layout=list(to.values()))
    ends = moved.layout.final_index_layout()
    layout = [ends[number[qubit]] for qubit in made.layout]
    moved.global_phase = 0
    measured = moved.copy()
    measured.measure(layout, range(len(layout)))
    measured.name = made.measured.name
    return Compiled(measured, moved, made.angles, made.weights, layout)


def _compiled(circuit: Circuit, backend: Any, level: int, seed: int) -> Compiled:
    written, angles, weights = _written(circuit)
    wires = range(circuit.n_qubits)
    measures = backend is None or "measure" in backend.operation_names  # some early machines know none
    if measures:
        written.measure(wires, wires)
    made = transpiled(written, backend, level, seed, repr(circuit))
    layout = made.layout.final_index_layout() if made.layout else list(wires)
    if not measures:
        made.measure(layout, wires)
    made.name, made.global_phase = repr(circuit), 0  # no outcome knows the phase, whose sum over all gates Qiskit is slow to bind
    return Compiled(made, _unmeasured(made), angles, weights, layout)


def transpiled(written: Any, backend: Any, level: int, seed: int, name: str, **options: Any) -> Any:
    """What Qiskit's compiler makes of a circuit that is `written` in its gates, `name` in errors; see `compiled`.

    Raises:
        DeviceError: the machine cannot run it.
    """
    from qiskit import transpile

    target = {"basis_gates": [*BASIS, "measure"]} if backend is None else {"backend": backend}
    try:
        return transpile(written, **target, optimization_level=level, seed_transpiler=seed, **options)
    except Exception as problem:  # of the compiler, or of the stages that a machine brings along
        what = f"Qiskit cannot compile {name} for {backend.name if backend else 'its basis'}: {said(problem)}"
        raise DeviceError(what, where="noise", valid="a machine whose working qubits and gates suffice") from problem


def _written(circuit: Circuit) -> tuple[Any, Any, Any]:
    """The circuit in Qiskit's gates, not measured yet, with its parameters."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    from qiskit.circuit import ParameterVector

    angles, weights = ParameterVector("angle", circuit.n_qubits), ParameterVector("weight", circuit.n_weights)
    written = QuantumCircuit(QuantumRegister(circuit.n_qubits, "wire"), ClassicalRegister(circuit.n_qubits, OUTCOME))

    def value(parameter: Parameter) -> Any:
        if isinstance(parameter, Angle):
            return angles[parameter.index]
        return parameter.of(weights[parameter.index]) if isinstance(parameter, Weight) else parameter

    for gate in circuit.gates:
        values = [value(parameter) for parameter in gate.parameters]
        if gate.name == "U2":
            _turn(written, math.pi / 2, *values, *gate.wires)
        elif gate.name == "U3":
            _turn(written, *values, *gate.wires)
        else:
            getattr(written, METHODS[gate.name])(*values, *gate.wires)
    return written, angles, weights


def _turn(written: Any, theta: Any, phi: Any, lam: Any, wire: int) -> None:
    """U3, up to its phase.

    From 2.6 on, Qiskit takes twice as long for each further `u` with parameters, whose phases it adds up; of thirty it does not
    see the end (Qiskit/qiskit#16520): there it is written as three rotations, of which the compiler makes another circuit.
    """
    if _version() < (2, 6):
        written.u(theta, phi, lam, wire)
        return
    written.rz(lam, wire)
    written.ry(theta, wire)
    written.rz(phi, wire)


@functools.cache
def _version() -> tuple[int, ...]:
    """Major and minor of the Qiskit that is installed."""
    return tuple(int(number) for number in metadata.version("qiskit").split(".")[:2])


def _unmeasured(made: Any) -> Any:
    gates = made.copy_empty_like()
    for step in made.data:
        if step.operation.name != "measure":
            gates.append(step)
    return gates
