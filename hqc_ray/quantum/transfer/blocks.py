"""A transpiled circuit whose weights and angles are still open, as Pauli transfer matrices: what a noisy layer is made of.

A rotation is constant + cosine * cos(x) + sine * sin(x), with x linear in weights and angles. Everything else is fixed, and is
multiplied together here, once: what is left is a list of blocks, one for two-qubit gates that no open rotation parts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqc_ray.quantum.circuits.ir import Gate
from hqc_ray.quantum.ideal.rotations import PAULI, rotations
from hqc_ray.quantum.noise.base import Noise, called, positions
from hqc_ray.quantum.transfer.ptm import THIRDS, UnsupportedError, error_transfer, unitary_transfer, widen

ROTATIONS = {"rx": "RX", "ry": "RY", "rz": "RZ", "p": "U1", "u1": "U1", "u2": "U2", "u3": "U3", "u": "U3"}  # Qiskit's name: ours


@dataclass(frozen=True)
class Fixed:
    """A transfer matrix [4^k, 4^k] on k qubits, the first of them most significant."""

    qubits: tuple[int, ...]
    matrix: np.ndarray


@dataclass(frozen=True)
class Dial:
    """A rotation by x = weights @ by_weight + angles @ by_angle + offset, fixed gates on the same qubit included.

    Args:
        qubit: where it acts.
        parts: [3, 4, 4] constant, cosine, sine.
        by_weight: [W].
        by_angle: [Q].
        offset: radians.
    """

    qubit: int
    parts: np.ndarray
    by_weight: np.ndarray
    by_angle: np.ndarray
    offset: float

    @property
    def qubits(self) -> tuple[int, ...]:
        """As of a fixed step."""
        return (self.qubit,)


@dataclass
class Block:
    """`matrix` [4^k, 4^k] on `qubits`, after the `chains` of dials: one chain for each of the qubits, in order of time."""

    qubits: tuple[int, ...]
    matrix: np.ndarray
    chains: list[list[Dial]]


Step = Fixed | Dial


def blocks(gates: Any, weights: Any, angles: Any, noise: Noise) -> tuple[list[Block], list[Block]]:
    """The blocks that input angles depend on (those with an angle and those before them), and the later ones.

    Args:
        gates: the transpiled circuit, not measured, as it runs (see `noise.running`).
        weights: Qiskit's parameters of the W weights.
        angles: and of the Q angles.
        noise: acts after the gates.

    Raises:
        UnsupportedError: a gate without such a form.
    """
    reader = _Reader(gates, weights, angles, noise)
    steps = [made for step in gates.data if step.operation.name != "barrier" for made in reader.steps(step)]
    first, rest = _split(steps)
    return arrange(first), arrange(rest)


class _Reader:
    """Instructions of a transpiled circuit to steps."""

    def __init__(self, gates: Any, weights: Any, angles: Any, noise: Noise) -> None:
        self.gates, self.noise, self.n_weights = gates, noise, len(weights)
        self.place = {parameter: at for at, parameter in enumerate([*weights, *angles])}
        self.errors: dict[tuple[int, int], np.ndarray] = {}

    def steps(self, step: Any) -> Iterator[Step]:
        """A gate, then its error; of a delay, which qubits wait for, the error alone."""
        gate, qubits = step.operation, positions(self.gates, step)[::-1]  # Qiskit's last qubit is the most significant
        error = self._error(step, qubits[::-1])
        if gate.name == "delay":
            yield Fixed(qubits, error)
        elif not any(getattr(value, "parameters", ()) for value in gate.params):
            yield Fixed(qubits, error @ unitary_transfer(gate.to_matrix()))
        elif gate.name == "r":  # about an axis in the plane of x and y, at the angle phi to x
            theta, phi = gate.params
            for axis, value in (("Z", -phi), ("X", theta), ("Z", phi)):
                yield self._rotation(qubits[0], axis, value)
            yield Fixed(qubits, error)
        elif gate.name not in ROTATIONS:
            raise UnsupportedError(f"{gate.name} with an open parameter")
        else:
            for axis, value in rotations(Gate(ROTATIONS[gate.name], (0,), tuple(gate.params))):
                yield self._rotation(qubits[0], axis, value)
            yield Fixed(qubits, error)

    def _error(self, step: Any, qubits: tuple[int, ...]) -> np.ndarray:
        gate = step.operation
        waits = gate.name == "delay"
        error = self.noise.wait(qubits[0], gate.duration) if waits else self.noise.error(called(gate), qubits)
        key = id(error), len(qubits)
        if key not in self.errors:
            self.errors[key] = error_transfer(error, len(qubits))
        return self.errors[key]

    def _rotation(self, qubit: int, axis: str, value: Any) -> Step:
        """A rotation by a linear expression, or by a number."""
        if not getattr(value, "parameters", ()):
            return Fixed((qubit,), np.tensordot([1, np.cos(float(value)), np.sin(float(value))], _parts(axis), 1))
        row = np.zeros(len(self.place))
        for parameter in value.parameters:
            slope = value.gradient(parameter)
            if getattr(slope, "parameters", ()):
                raise UnsupportedError(f"the angle {value} is not linear")
            row[self.place[parameter]] = float(slope)
        offset = float(value.bind(dict.fromkeys(value.parameters, 0.0)))
        return Dial(qubit, _parts(axis), row[: self.n_weights], row[self.n_weights :], offset)


@functools.cache
def _parts(axis: str) -> np.ndarray:
    """[3, 4, 4]: constant, cosine and sine of the transfer matrix of a rotation about an axis."""
    pauli = np.array(PAULI[axis])
    matrices = [unitary_transfer(np.cos(x / 2) * np.eye(2) - 1j * np.sin(x / 2) * pauli) for x in THIRDS]
    features = np.stack([np.ones(3), np.cos(THIRDS), np.sin(THIRDS)], -1)
    return np.tensordot(np.linalg.inv(features), np.stack(matrices), 1)


def _split(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """The steps that a dial of an angle depends on, itself included, and the others; each in order."""
    first: list[Step] = []
    rest: list[Step] = []
    past: set[int] = set()
    for step in reversed(steps):
        if past & set(step.qubits) or (isinstance(step, Dial) and step.by_angle.any()):
            past |= set(step.qubits)
            first.append(step)
        else:
            rest.append(step)
    return first[::-1], rest[::-1]


def arrange(steps: list[Step]) -> list[Block]:
    """The same map in as few blocks as the dials allow."""
    arranged: list[Block] = []
    last: dict[int, Block] = {}  # the latest block on a qubit
    chains: dict[int, list[Dial]] = {}  # dials that wait for the next block
    leads: dict[int, np.ndarray] = {}  # fixed gates that nothing stands before
    for step in steps:
        if isinstance(step, Dial):
            lead = leads.pop(step.qubit, np.eye(4))
            chains.setdefault(step.qubit, []).append(dataclasses.replace(step, parts=step.parts @ lead))
        elif len(step.qubits) == 1:
            _absorb(step, chains, last, leads)
        else:
            matrix = step.matrix
            for qubit in step.qubits:
                matrix = matrix @ widen((qubit,), leads.pop(qubit, np.eye(4)), step.qubits)
            waiting = [chains.pop(qubit, []) for qubit in step.qubits]
            before = last.get(step.qubits[0])
            if before and before is last.get(step.qubits[1]) and not any(waiting):
                before.matrix = widen(step.qubits, matrix, before.qubits) @ before.matrix
                continue
            arranged.append(Block(step.qubits, matrix, waiting))
            last.update(dict.fromkeys(step.qubits, arranged[-1]))
    ends = sorted(chains.keys() | leads.keys())
    return arranged + [Block((q,), leads.get(q, np.eye(4)), [chains.get(q, [])]) for q in ends]


def _absorb(step: Fixed, chains: dict[int, list[Dial]], last: dict[int, Block], leads: dict[int, np.ndarray]) -> None:
    """A fixed gate on one qubit goes into what stands right before it."""
    (qubit,) = step.qubits
    if qubit in chains:
        dial = chains[qubit][-1]
        chains[qubit][-1] = dataclasses.replace(dial, parts=step.matrix @ dial.parts)
    elif qubit in last:
        last[qubit].matrix = widen(step.qubits, step.matrix, last[qubit].qubits) @ last[qubit].matrix
    else:
        leads[qubit] = step.matrix @ leads.get(qubit, np.eye(4))


def touched(blocks: list[Block]) -> tuple[int, ...]:
    """The qubits of all blocks."""
    return tuple(sorted({qubit for block in blocks for qubit in block.qubits}))


def leaving(blocks: list[Block], begin: tuple[int, ...]) -> dict[int, list[int]]:
    """For each block the qubits that are |0> before it: it is their first, and no angle acts on them."""
    first = {qubit: at for at, block in reversed(list(enumerate(blocks))) for qubit in block.qubits if qubit not in begin}
    return {at: [qubit for qubit in first if first[qubit] == at] for at in first.values()}


def width(blocks: list[Block], begin: tuple[int, ...], end: Sequence[int] = ()) -> int:
    """How many qubits the observables extend over, at most, where they extend over the qubits `end` after the last block."""
    gone, live = leaving(blocks, begin), set(end)
    most = len(live | set(begin))
    for at in reversed(range(len(blocks))):
        live |= set(blocks[at].qubits)
        most = max(most, len(live))
        live -= set(gone.get(at, ()))
    return most
