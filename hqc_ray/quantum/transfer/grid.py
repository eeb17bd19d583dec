"""A transpiled circuit with its noise as Pauli transfer matrices: all angles of a surrogate's grid at once.

The angles enter the first gates only. What comes after them is propagated once, backwards, from the 2^Q outcomes (the Heisenberg
picture); what comes before is a product of small states, one for each group of qubits that have met by then, and each has a
value for each of its own angles only. On 7 qubits this replaces 2,187 density matrices by 128 effects and 7 times 3 states.
A qubit that routing passes through costs only while it is in use: before, it is |0>, and afterwards it is traced out.
Aer, which the surrogate is checked against at random angles, computes the same from the other end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqc_ray.quantum.noise.base import Noise, positions
from hqc_ray.quantum.transfer.ptm import THIRDS, TRACE, ZERO, Step, Turn, UnsupportedError, error_transfer, fuse, unitary_transfer

MAX_WIDTH = 13  # qubits in use at the same time: one outcome's effect is 512 MiB
MAX_WORK = 2**32  # entries of the effects where the most qubits are in use; they exist in blocks. A quarter of an hour
BLOCK = 2**18  # entries of the effects that are propagated together: 2 MiB, and as much for each of two copies
HELD = 2**25  # entries of the effects that meet the states together: 256 MiB
STATES = 2**22  # entries of the Pauli vectors of a group that are evolved together: 32 MiB, and as much for each of two copies


@dataclass(frozen=True)
class Group:
    """Qubits that meet before the last angle, and what happens to them until then."""

    qubits: tuple[int, ...]
    angles: tuple[int, ...]
    steps: tuple[Step | Turn, ...]


def probabilities(bound: Any, axis: np.ndarray, parameters: Any, noise: Noise, layout: list[int]) -> np.ndarray:
    """True (not yet read) outcome probabilities [P**Q, 2**Q] of a transpiled circuit with bound weights, on a grid of angles.

    Args:
        bound: the transpiled circuit, not measured.
        axis: [P] radians, the values that each of the Q angles takes; angle 0 slowest.
        parameters: Qiskit's parameters of the Q angles.
        noise: acts after the gates.
        layout: physical qubit of each wire at the end.

    Raises:
        UnsupportedError: a gate of several angles or of an unknown kind, or too many qubits.
    """
    transfers: dict[tuple[int, int], np.ndarray] = {}
    steps = [_step(bound, step, parameters, noise, transfers) for step in bound.data if step.operation.name != "barrier"]
    first, rest = _split(steps)
    groups = _groups(first)
    begin = [qubit for group in groups for qubit in group.qubits]
    later = fuse([step for step in rest if not isinstance(step, Turn)])
    table = np.empty((len(axis) ** len(layout), 2 ** len(layout)))
    at = 0
    prefixes = _prefixes(later, begin, layout)
    together = max(HELD * len(prefixes) // (4 ** len(begin) * 2 ** len(layout)), 1)
    for start in range(0, len(prefixes), together):
        effects = np.concatenate([_block(later, begin, layout, p) for p in prefixes[start : start + together]], axis=1)
        table[:, at : at + effects.shape[1]] = _on_grid(groups, effects, axis, len(layout))
        at += effects.shape[1]
    return table


def _qubits(step: Step | Turn) -> tuple[int, ...]:
    return (step.qubit,) if isinstance(step, Turn) else step[0]


def _step(bound: Any, step: Any, parameters: Any, machine: Noise, transfers: dict[tuple[int, int], np.ndarray]) -> Step | Turn:
    """One instruction and the error after it; `transfers` keeps the transfer matrix of each error by its identity."""
    gate, qubits = step.operation, positions(bound, step)
    key = id(error := machine.error(gate.name, qubits)), len(qubits)
    if key not in transfers:
        transfers[key] = error_transfer(error, len(qubits))
    noise = transfers[key]
    symbolic = [value for value in gate.params if getattr(value, "parameters", ())]
    if not symbolic:
        return qubits[::-1], noise @ unitary_transfer(gate.to_matrix())  # Qiskit's last qubit is the most significant
    if len(symbolic) > 1 or len(symbolic[0].parameters) > 1 or len(qubits) > 1:
        raise UnsupportedError(f"{gate.name} of several angles")
    (parameter,) = symbolic[0].parameters
    values = np.stack([noise @ unitary_transfer(_at(gate, parameter, angle)) for angle in THIRDS])
    features = np.stack([np.ones(3), np.cos(THIRDS), np.sin(THIRDS)], -1)
    turn = Turn(qubits[0], list(parameters).index(parameter), np.tensordot(np.linalg.inv(features), values, 1))
    elsewhere = turn.at(np.array([0.7]))[1][0]
    if not np.allclose(elsewhere, noise @ unitary_transfer(_at(gate, parameter, 0.7)), atol=1e-12):
        raise UnsupportedError(f"{gate.name} is not of the first degree in {parameter}")
    return turn


def _at(gate: Any, parameter: Any, angle: float) -> np.ndarray:
    """The matrix of `gate` with its angle bound."""
    bound = gate.to_mutable()
    bound.params = [float(v.bind({parameter: angle})) if getattr(v, "parameters", ()) else v for v in gate.params]
    return np.asarray(bound.to_matrix())


def _split(steps: list[Step | Turn]) -> tuple[list[Step | Turn], list[Step | Turn]]:
    """The steps that an angle's gate depends on, itself included, and the others; each in order."""
    first: list[Step | Turn] = []
    rest: list[Step | Turn] = []
    past: set[int] = set()
    for step in reversed(steps):
        if isinstance(step, Turn) or past & set(_qubits(step)):
            past |= set(_qubits(step))
            first.append(step)
        else:
            rest.append(step)
    return first[::-1], rest[::-1]


def _groups(first: list[Step | Turn]) -> list[Group]:
    """The steps that angles depend on, in as many groups as share neither a qubit nor an angle."""
    together: list[set[tuple[str, int]]] = []
    for step in first:
        marks = {("qubit", qubit) for qubit in _qubits(step)} | ({("angle", step.angle)} if isinstance(step, Turn) else set())
        met = [group for group in together if group & marks]
        together = [group for group in together if group not in met] + [marks.union(*met)]
    return [
        Group(
            tuple(sorted(number for kind, number in marks if kind == "qubit")),
            tuple(sorted(number for kind, number in marks if kind == "angle")),
            tuple(step for step in first if ("qubit", _qubits(step)[0]) in marks),
        )
        for marks in together
    ]


def _on_grid(groups: list[Group], effects: np.ndarray, axis: np.ndarray, n_angles: int) -> np.ndarray:
    """[P**Q, B]: probabilities of B outcomes, from their effects [4^n, B] over the qubits of the groups, in order."""
    tensor = effects.reshape(*[4 ** len(group.qubits) for group in groups], -1)
    for group in groups:  # its qubits are the first axis, its angles become the last
        matrix = tensor.reshape(len(tensor), -1)
        done = np.concatenate([states @ matrix for states in _states(group, axis)])
        tensor = np.moveaxis(done.reshape(len(done), *tensor.shape[1:]), 0, -1)
    wires = [angle for group in groups for angle in group.angles]
    dead = [angle for angle in range(n_angles) if angle not in wires]  # the compiler found that they change nothing
    grid = tensor.reshape(effects.shape[1], *[len(axis)] * len(wires), *[1] * len(dead))
    grid = grid.transpose(*(1 + np.argsort([*wires, *dead])), 0)
    return np.broadcast_to(grid, (*[len(axis)] * n_angles, effects.shape[1])).reshape(-1, effects.shape[1])


def _prefixes(steps: list[Step], begin: list[int], layout: list[int]) -> list[tuple[int, ...]]:
    """The bits of the first wires that the outcomes of a block have in common, for each block.

    Raises:
        UnsupportedError: too many qubits.
    """
    width, total = _width(steps, begin), 2 ** len(layout)
    widest = 4**width
    if width > MAX_WIDTH or widest * total > MAX_WORK:
        raise UnsupportedError(f"{widest} Pauli strings for {total} outcomes")
    fixed = 0
    while fixed < len(layout) and widest * total >> fixed > BLOCK:
        fixed += 1
    return list(itertools.product((0, 1), repeat=fixed))


def _leaving(steps: list[Step], begin: list[int]) -> dict[int, list[int]]:
    """For each step the qubits that are |0> before it: it is their first, and no angle acts on them."""
    first = {qubit: at for at, step in reversed(list(enumerate(steps))) for qubit in step[0] if qubit not in begin}
    return {at: [qubit for qubit in first if first[qubit] == at] for at in first.values()}


def _width(steps: list[Step], begin: list[int]) -> int:
    """How many qubits are in use at the same time, at most."""
    leaving, live, width = _leaving(steps, begin), set[int](), len(begin)
    for at in reversed(range(len(steps))):
        live |= set(steps[at][0])
        width = max(width, len(live))
        live -= set(leaving.get(at, ()))
    return width


def _block(steps: list[Step], begin: list[int], layout: list[int], prefix: tuple[int, ...]) -> np.ndarray:
    """[4^n, B]: the effects of the B outcomes that begin with the bits `prefix`, carried back to before `steps`, over `begin`."""
    both = np.stack([ZERO, ZERO * [1, 1, 1, -1]], -1)  # [4, 2]: read 0, read 1
    bras = {qubit: both[:, [prefix[wire]]] if wire < len(prefix) else both for wire, qubit in enumerate(layout)}
    leaving, live, seen, tensor = _leaving(steps, begin), list[int](), list[int](), np.ones(1)
    for at in reversed(range(-1, len(steps))):
        qubits = steps[at][0] if at >= 0 else (*begin, *layout)  # before the first step: whatever has not been met
        for qubit in (qubit for qubit in qubits if qubit not in seen):
            bra = bras.get(qubit, TRACE[:, None])
            tensor = (tensor[..., None, :, None] * bra[:, None, :]).reshape(*tensor.shape[:-1], 4, -1)
            live.append(qubit)
            seen.append(qubit)
        if at >= 0:
            tensor = _pull(tensor, steps[at][1], [live.index(qubit) for qubit in qubits])
        for qubit in leaving.get(at, ()) if at >= 0 else [qubit for qubit in live if qubit not in begin]:
            tensor = np.tensordot(ZERO, tensor, axes=(0, live.index(qubit)))
            live.remove(qubit)
    measured = [qubit for qubit in seen if qubit in bras]
    shaped = tensor.reshape(*[4] * len(live), *(bras[qubit].shape[1] for qubit in measured))
    order = [*(live.index(qubit) for qubit in begin), *(len(live) + measured.index(qubit) for qubit in layout)]
    return shaped.transpose(order).reshape(4 ** len(begin), -1)


def _pull(tensor: np.ndarray, matrix: np.ndarray, axes: list[int]) -> np.ndarray:
    """The transpose of a transfer matrix on Pauli `axes` of effects."""
    square = matrix.T.reshape([4] * 2 * len(axes))
    return np.moveaxis(np.tensordot(square, tensor, axes=(range(len(axes), 2 * len(axes)), axes)), range(len(axes)), axes)


def _states(group: Group, axis: np.ndarray) -> Iterator[np.ndarray]:
    """The Pauli vectors [P**A, 4^k] of a group after its steps, in chunks; A angles, the first slowest.

    Kept as a product of as many factors as the steps allow.
    """
    combinations, size = len(axis) ** len(group.angles), max(STATES // 4 ** len(group.qubits), 1)
    for start in range(0, combinations, size):
        number = np.arange(start, min(start + size, combinations))
        digits = np.unravel_index(number, [len(axis)] * len(group.angles))
        values = {angle: axis[digit] for angle, digit in zip(group.angles, digits, strict=True)}
        factors: dict[tuple[int, ...], np.ndarray] = {(qubit,): np.tile(ZERO, (len(number), 1)) for qubit in group.qubits}
        for step in group.steps:
            qubits, matrix = step.at(values[step.angle]) if isinstance(step, Turn) else step
            touched = [key for key in factors if set(key) & set(qubits)]
            joint = tuple(qubit for key in touched for qubit in key)
            state = _product([factors.pop(key) for key in touched]).reshape(len(number), *[4] * len(joint))
            factors[joint] = _apply(state, matrix, [1 + joint.index(qubit) for qubit in qubits]).reshape(len(number), -1)
        order = [qubit for key in factors for qubit in key]
        state = _product(list(factors.values())).reshape(len(number), *[4] * len(order))
        yield state.transpose(0, *(1 + order.index(qubit) for qubit in group.qubits)).reshape(len(number), -1)


def _product(factors: list[np.ndarray]) -> np.ndarray:
    state = factors[0]
    for factor in factors[1:]:
        state = (state[:, :, None] * factor[:, None, :]).reshape(len(state), -1)
    return state


def _apply(state: np.ndarray, matrix: np.ndarray, axes: list[int]) -> np.ndarray:
    """A transfer matrix, one for all or one for each of N, on Pauli `axes` of a state [N, 4, 4, ...]."""
    moved = np.moveaxis(state, axes, range(1, 1 + len(axes)))
    done = matrix @ moved.reshape(len(state), 4 ** len(axes), -1)
    return np.moveaxis(done.reshape(moved.shape), range(1, 1 + len(axes)), axes)
