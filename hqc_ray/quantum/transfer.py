"""A transpiled circuit with its noise as Pauli transfer matrices: the many angles of a surrogate's grid at once.

The angles enter the first gates only. What comes after them is propagated once, backwards, from the 2^Q outcomes (the Heisenberg
picture); what comes before is a small state for each angle. On 7 qubits this replaces 2,187 density matrices by 128 effects.
A qubit that routing passes through costs only while it is in use: before, it is |0>, and afterwards it is traced out.
Aer, which the surrogate is checked against at random angles, computes the same from the other end.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqc_ray.quantum.noise import Noise, positions

Step = tuple[tuple[int, ...], np.ndarray]  # qubits, and their transfer matrix [4^k, 4^k] or [N, 4, 4]; first most significant
MAX_ENTRIES = 2**26  # of the effects where the angles act: 512 MiB
MAX_WORK = 2**28  # entries of the effects where the most qubits are in use; they exist in blocks
BLOCK = 2**20  # entries of the effects that are propagated together: 8 MiB, and as much for each of two copies
STATES = 2**22  # entries of the Pauli vectors of all angles that are evolved together: 32 MiB, and as much for each of two copies
THIRDS = 2 * np.pi * np.arange(3) / 3
AER_THRESHOLD = 1e-10  # Aer drops rarer terms of an error, without renormalising; so does this, to be the same function
ZERO, TRACE = np.array([1, 0, 0, 1]) / np.sqrt(2), np.array([np.sqrt(2), 0, 0, 0])
BASIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]) / np.sqrt(2)


class UnsupportedError(Exception):
    """The circuit has no such form, or too large a one: ask Aer for each angle instead."""


@dataclass(frozen=True)
class Turn:
    """A gate of one angle: its transfer matrix is constant + cosine * cos(angle) + sine * sin(angle).

    Args:
        qubit: where it acts.
        angle: index of the angle.
        parts: [3, 4, 4] constant, cosine, sine.
    """

    qubit: int
    angle: int
    parts: np.ndarray

    def at(self, angles: np.ndarray) -> Step:
        """The step [N, 4, 4] for angles [N, Q]."""
        x = angles[:, self.angle]
        return (self.qubit,), np.einsum("kn,kij->nij", np.stack([np.ones_like(x), np.cos(x), np.sin(x)]), self.parts)


def probabilities(bound: Any, angles: np.ndarray, parameters: Any, noise: Noise, layout: list[int]) -> np.ndarray:
    """True (not yet read) outcome probabilities [N, 2**Q] of a transpiled circuit with bound weights, for angles [N, Q].

    Args:
        bound: the transpiled circuit, not measured.
        angles: [N, Q], radians.
        parameters: Qiskit's parameters of the Q angles.
        noise: acts after the gates.
        layout: physical qubit of each wire at the end.

    Raises:
        UnsupportedError: a gate of several angles or of an unknown kind, or too many qubits.
    """
    transfers: dict[tuple[int, int], np.ndarray] = {}
    steps = [_step(bound, step, parameters, noise, transfers) for step in bound.data if step.operation.name != "barrier"]
    first, rest = _split(steps)
    begin = sorted({qubit for step in first for qubit in _qubits(step)})
    effects = _effects(fuse([step for step in rest if not isinstance(step, Turn)]), begin, layout)
    size = max(STATES // 4 ** len(begin), 1)
    chunks = [angles[start : start + size] for start in range(0, len(angles), size)]
    return np.concatenate([_states(first, begin, chunk) @ effects for chunk in chunks])


def _qubits(step: Step | Turn) -> tuple[int, ...]:
    return (step.qubit,) if isinstance(step, Turn) else step[0]


def _step(bound: Any, step: Any, parameters: Any, machine: Noise, transfers: dict[tuple[int, int], np.ndarray]) -> Step | Turn:
    """One instruction and the error after it; `transfers` keeps the transfer matrix of each error by its identity."""
    gate, qubits = step.operation, positions(bound, step)
    key = id(error := machine.error(gate.name, qubits)), len(qubits)
    if key not in transfers:
        transfers[key] = _transfer(error, len(qubits))
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
    elsewhere = turn.at(np.full((1, len(parameters)), 0.7))[1][0]
    if not np.allclose(elsewhere, noise @ unitary_transfer(_at(gate, parameter, 0.7)), atol=1e-12):
        raise UnsupportedError(f"{gate.name} is not of the first degree in {parameter}")
    return turn


def _at(gate: Any, parameter: Any, angle: float) -> np.ndarray:
    """The matrix of `gate` with its angle bound."""
    bound = gate.to_mutable()
    bound.params = [float(v.bind({parameter: angle})) if getattr(v, "parameters", ()) else v for v in gate.params]
    return np.asarray(bound.to_matrix())


def _transfer(error: Any, n_qubits: int) -> np.ndarray:
    """The transfer matrix [4^k, 4^k] of an error on k qubits, last qubit most significant."""
    from qiskit.quantum_info import PTM, SuperOp

    if error is None:
        return np.eye(4**n_qubits)
    terms = [(p, circuit) for p, circuit in zip(error.probabilities, error.circuits, strict=True) if p > AER_THRESHOLD]
    return PTM(SuperOp(sum(p * SuperOp(circuit).data for p, circuit in terms))).data.real


def unitary_transfer(matrix: np.ndarray) -> np.ndarray:
    """The Pauli transfer matrix [4^k, 4^k] of a unitary [2^k, 2^k] on one or two qubits, in the basis I, X, Y, Z over root 2."""
    paulis = BASIS if len(matrix) == 2 else np.einsum("aij,bkl->abikjl", BASIS, BASIS).reshape(16, 4, 4)
    if len(matrix) > 4:
        raise UnsupportedError("a gate of more than two qubits")
    return np.einsum("aij,jk,bkl,il->ab", paulis.conj().transpose(0, 2, 1), matrix, paulis, matrix.conj(), optimize=True).real


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


def fuse(steps: list[Step]) -> list[Step]:
    """The same map in fewer steps: one-qubit steps go into their two-qubit neighbours, equal pairs into one."""
    fused: list[Step | None] = []
    last: dict[int, int] = {}  # position of the latest step on a qubit
    for qubits, matrix in steps:
        before = {last[qubit] for qubit in qubits if qubit in last}
        covering = [at for at in before if set(qubits) <= set(fused[at][0])]  # type: ignore[index]  # latest steps are never None
        if covering and len(before) == 1:
            at = covering[0]
            wide, done = fused[at]  # type: ignore[misc]
            fused[at] = wide, widen(qubits, matrix, wide) @ done
            continue
        for at in before:
            narrow, done = fused[at]  # type: ignore[misc]
            if len(narrow) == 1:
                matrix, fused[at] = matrix @ widen(narrow, done, qubits), None
        fused.append((qubits, matrix))
        last.update(dict.fromkeys(qubits, len(fused) - 1))
    return [step for step in fused if step is not None]


def widen(qubits: tuple[int, ...], matrix: np.ndarray, wide: tuple[int, ...]) -> np.ndarray:
    """`matrix` on `qubits` as a matrix on `wide`, which contains them: at most two."""
    if qubits == wide:
        return matrix
    if len(qubits) == 2:
        return matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
    return np.kron(matrix, np.eye(4)) if qubits[0] == wide[0] else np.kron(np.eye(4), matrix)


def _effects(steps: list[Step], begin: list[int], layout: list[int]) -> np.ndarray:
    """[4^n, 2**Q]: each outcome's effect, carried back to before `steps`, as a Pauli vector over the n qubits `begin`.

    Raises:
        UnsupportedError: too many qubits.
    """
    widest, total = 4 ** _width(steps, begin), 2 ** len(layout)
    if widest * total > MAX_WORK or 4 ** len(begin) * total > MAX_ENTRIES:
        raise UnsupportedError(f"{len(begin)} qubits with angles, {widest} Pauli strings")
    fixed = 0  # wires whose outcome is one for a whole block
    while fixed < len(layout) and widest * total >> fixed > BLOCK:
        fixed += 1
    blocks = [_block(steps, begin, layout, prefix) for prefix in itertools.product((0, 1), repeat=fixed)]
    return np.concatenate(blocks, axis=1)


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
    """`_effects` of the outcomes that begin with the bits `prefix`: a Pauli axis for each qubit in use, outcomes last."""
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


def _states(steps: list[Step | Turn], active: list[int], angles: np.ndarray) -> np.ndarray:
    """[N, 4^n]: the Pauli vectors after `steps`, kept as a product of as many factors as the steps allow."""
    factors: dict[tuple[int, ...], np.ndarray] = {(qubit,): np.tile(ZERO, (len(angles), 1)) for qubit in active}
    for step in steps:
        qubits, matrix = step.at(angles) if isinstance(step, Turn) else step
        touched = [key for key in factors if set(key) & set(qubits)]
        group = tuple(qubit for key in touched for qubit in key)
        state = _product([factors.pop(key) for key in touched]).reshape(len(angles), *[4] * len(group))
        factors[group] = _apply(state, matrix, [1 + group.index(qubit) for qubit in qubits]).reshape(len(angles), -1)
    order = [qubit for key in factors for qubit in key]
    state = _product(list(factors.values())).reshape(len(angles), *[4] * len(active))
    return state.transpose(0, *(1 + order.index(qubit) for qubit in active)).reshape(len(angles), -1)


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
