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
import torch

from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.transfer.blocks import Block, blocks, leaving, width
from hqc_ray.quantum.transfer.ptm import TRACE, ZERO, UnsupportedError
from hqc_ray.quantum.transfer.track import Track

MAX_WIDTH = 13  # qubits in use at the same time: one outcome's effect is 512 MiB
MAX_WORK = 2**32  # entries of the effects at their widest, of which only a block exists at a time; about 15 minutes
BLOCK = 2**18  # entries of the effects that are propagated together: 2 MiB, and as much for each of two copies
HELD = 2**25  # entries of the effects that meet the states together: 256 MiB
STATES = 2**22  # entries of the Pauli vectors of a group that are evolved together: 32 MiB, and as much for each of two copies


@dataclass(frozen=True)
class Group:
    """Qubits that meet before the last angle, and what happens to them until then."""

    qubits: tuple[int, ...]
    angles: tuple[int, ...]
    blocks: tuple[Block, ...]


def probabilities(bound: Any, axis: np.ndarray, parameters: Any, noise: Noise, layout: list[int]) -> np.ndarray:
    """True (not yet read) outcome probabilities [P**Q, 2**Q] of a transpiled circuit with bound weights, on a grid of angles.

    Args:
        bound: the transpiled circuit, not measured.
        axis: [P] radians, the values that each of the Q angles takes; angle 0 slowest.
        parameters: Qiskit's parameters of the Q angles.
        noise: acts after the gates.
        layout: physical qubit of each wire at the end.

    Raises:
        UnsupportedError: a gate without a transfer matrix that is linear in waves of the angles, or too many qubits.
    """
    first, rest = blocks(bound, (), parameters, noise)
    groups = _groups(first)
    begin = tuple(qubit for group in groups for qubit in group.qubits)
    table = np.empty((len(axis) ** len(layout), 2 ** len(layout)))
    at = 0
    prefixes = _prefixes(rest, begin, layout)
    together = max(HELD * len(prefixes) // (4 ** len(begin) * 2 ** len(layout)), 1)
    for start in range(0, len(prefixes), together):
        effects = np.concatenate([_effects(rest, begin, layout, p) for p in prefixes[start : start + together]], axis=1)
        table[:, at : at + effects.shape[1]] = _on_grid(groups, effects, axis, len(layout))
        at += effects.shape[1]
    return table


def _groups(first: list[Block]) -> list[Group]:
    """The blocks that angles depend on, in as many groups as share neither a qubit nor an angle."""
    together: list[set[tuple[str, int]]] = []
    marked = [{*(("qubit", qubit) for qubit in block.qubits), *(("angle", angle) for angle in _angles(block))} for block in first]
    for marks in marked:
        met = [group for group in together if group & marks]
        together = [group for group in together if group not in met] + [marks.union(*met)]
    return [
        Group(
            tuple(sorted(number for kind, number in marks if kind == "qubit")),
            tuple(sorted(number for kind, number in marks if kind == "angle")),
            tuple(block for block, own in zip(first, marked, strict=True) if own <= marks),
        )
        for marks in together
    ]


def _angles(block: Block) -> list[int]:
    """The angles that a block depends on."""
    return [int(angle) for chain in block.chains for dial in chain for angle in np.flatnonzero(dial.by_angle)]


def _on_grid(groups: list[Group], effects: np.ndarray, axis: np.ndarray, n_angles: int) -> np.ndarray:
    """[P**Q, B]: probabilities of B outcomes, from their effects [4^n, B] over the qubits of the groups, in order."""
    tensor = effects.reshape(*[4 ** len(group.qubits) for group in groups], -1)
    for group in groups:  # its qubits are the first axis, its angles become the last
        matrix = tensor.reshape(len(tensor), -1)
        done = np.concatenate([states @ matrix for states in _states(group, axis, n_angles)])
        tensor = np.moveaxis(done.reshape(len(done), *tensor.shape[1:]), 0, -1)
    wires = [angle for group in groups for angle in group.angles]
    dead = [angle for angle in range(n_angles) if angle not in wires]  # the compiler found that they change nothing
    grid = tensor.reshape(effects.shape[1], *[len(axis)] * len(wires), *[1] * len(dead))
    grid = grid.transpose(*(1 + np.argsort([*wires, *dead])), 0)
    return np.broadcast_to(grid, (*[len(axis)] * n_angles, effects.shape[1])).reshape(-1, effects.shape[1])


def _prefixes(rest: list[Block], begin: tuple[int, ...], layout: list[int]) -> list[tuple[int, ...]]:
    """The bits of the first wires that the outcomes of a block have in common, for each block.

    Raises:
        UnsupportedError: too many qubits.
    """
    most, total = width(rest, begin), 2 ** len(layout)
    widest = 4**most
    if most > MAX_WIDTH or widest * total > MAX_WORK:
        raise UnsupportedError(f"{widest} Pauli strings for {total} outcomes")
    fixed = 0
    while fixed < len(layout) and widest * total >> fixed > BLOCK:
        fixed += 1
    return list(itertools.product((0, 1), repeat=fixed))


def _effects(rest: list[Block], begin: tuple[int, ...], layout: list[int], prefix: tuple[int, ...]) -> np.ndarray:
    """[4^n, B]: the effects of the B outcomes that begin with the bits `prefix`, carried back to before `rest`, over `begin`."""
    both = np.stack([ZERO, ZERO * [1, 1, 1, -1]], -1)  # [4, 2]: read 0, read 1
    bras = {qubit: both[:, [prefix[wire]]] if wire < len(prefix) else both for wire, qubit in enumerate(layout)}
    gone, live, seen, tensor = leaving(rest, begin), list[int](), list[int](), np.ones(1)
    for at in reversed(range(-1, len(rest))):
        qubits = rest[at].qubits if at >= 0 else (*begin, *layout)  # before the first block: whatever has not been met
        for qubit in (qubit for qubit in qubits if qubit not in seen):
            bra = bras.get(qubit, TRACE[:, None])
            tensor = (tensor[..., None, :, None] * bra[:, None, :]).reshape(*tensor.shape[:-1], 4, -1)
            live.append(qubit)
            seen.append(qubit)
        if at >= 0:
            tensor = _pull(tensor, rest[at].matrix, [live.index(qubit) for qubit in qubits])
        for qubit in gone.get(at, ()) if at >= 0 else [qubit for qubit in live if qubit not in begin]:
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


def _states(group: Group, axis: np.ndarray, n_angles: int) -> Iterator[np.ndarray]:
    """The Pauli vectors [P**A, 4^k] of a group after its blocks, in chunks; A angles, the first slowest."""
    track, plain = Track(group.blocks, 0, n_angles), torch.empty(0, dtype=torch.float64)
    combinations, size = len(axis) ** len(group.angles), max(STATES // 4 ** len(group.qubits), 1)
    for start in range(0, combinations, size):
        number = np.arange(start, min(start + size, combinations))
        digits = np.unravel_index(number, [len(axis)] * len(group.angles))
        values = np.zeros((len(number), n_angles))
        values[:, group.angles] = axis[np.stack(digits, -1)]
        with torch.no_grad():
            yield track.states(plain, torch.from_numpy(values), list(group.qubits)).numpy()
