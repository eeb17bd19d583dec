"""A plain PennyLane function `f(weights, wires)` as gates: it is run, its operations are decomposed to the gates of `GATES`.

What an operation's angle has to do with the weights is found by running the function at a few points. The angle at zero is the
constant; a second point tells which scale each weight would have; two more tell which weight it is, since no other fits all.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from hqc_ray.errors import CircuitError, shown
from hqc_ray.guard import said
from hqc_ray.quantum.circuits.ir import GATES, Gate, Parameter, Weight
from hqc_ray.seeds import rng

MOST = 1024  # weights that a function may take, if it does not say how many
TOLERANCE = 1e-9  # radians, by which an angle may miss scale * weight + constant; float rounding is at 1e-15
SHAPE = "f.shape = (layers, wires), or a function of the number of wires that gives it"
NAMES = {"Hadamard": "H"}  # PennyLane's name: ours, where they differ
NOTHING = ("Identity", "Barrier", "WireCut", "GlobalPhase", "Snapshot")  # move no probability of a whole circuit
HALF = math.pi / 2

_OF_SHAPES = re.compile("shape|dimension|broadcast|iterable|unpack|float64")  # what NumPy and PennyLane say of a wrong one

Traced = tuple[str, tuple[int, ...], tuple[float, ...]]  # a gate's name, wires and parameters at one point
Step = tuple[str, tuple[int, ...], tuple[Any, ...]]  # a gate, the positions of its wires among the operation's, its parameters
# What PennyLane would decompose into more gates, or into matrices; equal but for a phase of the whole circuit
OURS: dict[str, Callable[..., Sequence[Step]]] = {
    "PauliX": lambda: [("RX", (0,), (math.pi,))],
    "PauliY": lambda: [("RY", (0,), (math.pi,))],
    "PauliZ": lambda: [("RZ", (0,), (math.pi,))],
    "S": lambda: [("RZ", (0,), (HALF,))],
    "T": lambda: [("RZ", (0,), (HALF / 2,))],
    "SX": lambda: [("RX", (0,), (HALF,))],
    "Rot": lambda phi, theta, omega: [("RZ", (0,), (phi,)), ("RY", (0,), (theta,)), ("RZ", (0,), (omega,))],
    "CRY": lambda angle: _cry(angle),
    "CY": lambda: [("RZ", (1,), (-HALF,)), ("CNOT", (0, 1), ()), ("RZ", (1,), (HALF,))],
    "CRot": lambda phi, theta, omega: [("CRZ", (0, 1), (phi,)), *_cry(theta), ("CRZ", (0, 1), (omega,))],
    "ControlledPhaseShift": lambda angle: [("PhaseShift", (0,), (angle / 2,)), ("CRZ", (0, 1), (angle,))],
    "SWAP": lambda: [("CNOT", (0, 1), ()), ("CNOT", (1, 0), ()), ("CNOT", (0, 1), ())],
    "IsingXX": lambda angle: [("CNOT", (0, 1), ()), ("RX", (0,), (angle,)), ("CNOT", (0, 1), ())],
    "IsingZZ": lambda angle: [("CNOT", (0, 1), ()), ("RZ", (1,), (angle,)), ("CNOT", (0, 1), ())],
}  # fmt: skip


def _cry(angle: Any) -> list[Step]:
    """A controlled RY: Y is X, turned by a quarter about Z."""
    return [("RZ", (1,), (-HALF,)), ("CRX", (0, 1), (angle,)), ("RZ", (1,), (HALF,))]


@functools.lru_cache(maxsize=64)
def traced(function: Callable[..., Any], n_qubits: int) -> tuple[tuple[Gate, ...], int]:
    """The gates of a quantum function, with their weights, and how many weights there are.

    Args:
        function: `f(weights, wires)`; its attribute `shape` says the shape of the weights (or is a function of the number of
            wires that does, as PennyLane's templates have one); without it they are a row of as many as it uses.
        n_qubits: Q; the wires are 0 to Q - 1.

    Raises:
        CircuitError: something that is no gate, cannot be decomposed, lies off the wires, or whose angle is not scale * weight +
            constant; other gates for other weights.
    """
    import pennylane as qml

    if isinstance(function, qml.QNode):
        raise CircuitError("is a QNode, which has a device of its own", valid="the function alone, without @qml.qnode")
    shape = _shape(function, n_qubits)
    size = math.prod(shape)
    points = np.concatenate([np.zeros((1, size)), rng(0, "tracing").uniform(-3, 3, (3, size))])
    runs = [list(_run(function, point.reshape(shape), n_qubits)) for point in points]
    if any([gate[:2] for gate in run] != [gate[:2] for gate in runs[0]] for run in runs):
        raise CircuitError("adds other gates when it is called again, with other weights", valid="the same gates for all weights")
    gates = [
        Gate(
            name,
            wires,
            tuple(_parameter(name, np.array(seen), points) for seen in zip(*(run[at][2] for run in runs), strict=True)),
        )
        for at, (name, wires, _) in enumerate(runs[0])
    ]
    used = sorted({p.index for gate in gates for p in gate.parameters if isinstance(p, Weight)})
    if len(used) == size == MOST and not hasattr(function, "shape"):
        raise CircuitError(f"uses all of the {MOST:,} weights that it is given", valid=SHAPE)
    place = {index: at for at, index in enumerate(used)}
    return tuple(_with(gate, place.__getitem__) for gate in gates), len(used)


def shape_meant(problem: BaseException) -> str:
    """How a function says the shape of its weights, where an exception of it may be due to that; else nothing."""
    return SHAPE if isinstance(problem, IndexError) or _OF_SHAPES.search(said(problem)) else ""


def shifted(gate: Gate, by: int) -> Gate:
    """`gate` with its weights counted from `by`."""
    return _with(gate, lambda index: index + by)


def _with(gate: Gate, place: Callable[[int], int]) -> Gate:
    moved = (dataclasses.replace(p, index=place(p.index)) if isinstance(p, Weight) else p for p in gate.parameters)
    return Gate(gate.name, gate.wires, tuple(moved))


def _shape(function: Callable[..., Any], n_qubits: int) -> tuple[int, ...]:
    told = getattr(function, "shape", (MOST,))
    told = told(n_qubits) if callable(told) else told
    shape = told if isinstance(told, tuple | list) else (told,)
    if not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape) or math.prod(shape) > 100 * MOST:
        raise CircuitError(f"has the shape {shown(told)}", valid=SHAPE)
    return tuple(shape)


def _run(function: Callable[..., Any], weights: np.ndarray, n_qubits: int) -> Iterator[Traced]:
    import pennylane as qml

    tape = qml.tape.make_qscript(function)(weights, list(range(n_qubits)))
    if tape.measurements:
        what = f"measures by itself: {shown(tape.measurements[0])}"
        raise CircuitError(what, valid="gates alone; <Z> of every wire is read, see the option `readout`")
    for operation in tape.operations:
        yield from _known(operation, n_qubits)


def _known(operation: Any, n_qubits: int) -> Iterator[Traced]:
    """An operation in our gates: itself, as `OURS` says, or as PennyLane decomposes it."""
    name, wires = NAMES.get(operation.name, operation.name), tuple(operation.wires)
    if name in NOTHING:
        return
    if off := [wire for wire in wires if wire not in range(n_qubits)]:
        raise CircuitError(f"{name} on wire {shown(off[0])}", valid=f"wires 0 to {n_qubits - 1}")
    if name in GATES:
        yield name, wires, _numbers(operation)
    elif name in OURS:
        for gate, places, values in OURS[name](*_numbers(operation)):
            yield gate, tuple(wires[place] for place in places), values
    elif not getattr(operation, "has_decomposition", False) or name in ("StatePrep", "BasisState"):
        raise CircuitError(f"{name} is no gate of a circuit here", valid=f"{', '.join([*GATES, *OURS])}, and what they make up")
    else:
        _check_unitary(operation)
        for part in operation.decomposition():
            yield from _known(part, n_qubits)


def _check_unitary(operation: Any) -> None:
    """PennyLane decomposes any matrix."""
    for matrix in operation.parameters if operation.name == "QubitUnitary" else ():
        if not np.allclose(np.conj(matrix).T @ matrix, np.eye(len(matrix)), atol=TOLERANCE):
            raise CircuitError("QubitUnitary of a matrix that is not unitary", valid="a unitary matrix")


def _numbers(operation: Any) -> tuple[float, ...]:
    values = [np.asarray(value) for value in operation.parameters]
    if any(value.ndim for value in values):
        raise CircuitError(f"{operation.name} with an angle of shape {shown(values[0].shape)}", valid="a number for each angle")
    return tuple(float(value) for value in values)


def _parameter(gate: str, seen: np.ndarray, points: np.ndarray) -> Parameter:
    """A constant, or one weight, scaled: what has the values `seen` [4] at the weights `points` [4, W], the first of them 0."""
    if not np.isfinite(seen).all():
        raise CircuitError(f"an angle of {gate} is NaN or infinite", valid="finite radians")
    offset, moved = float(seen[0]), seen[1:] - seen[0]
    if np.abs(moved).max() < TOLERANCE:
        return offset
    scales = moved[0] / points[1]  # [W]
    missed = np.abs(scales * points[2:] - moved[1:, None]).max(0)
    index = int(missed.argmin())
    if not missed[index] < TOLERANCE * max(1.0, abs(float(moved[0]))):
        what = f"an angle of {gate} is neither constant nor a multiple of one weight, plus a constant"
        raise CircuitError(what, valid="such as 2 * w[0] + 0.5; of two weights: two gates")
    return Weight(index, float(f"{scales[index]:.12g}"), offset)
