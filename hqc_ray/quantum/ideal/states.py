"""State vectors of an ideal circuit at many weights at once, for statistics over weights; no gradient.

`simulate` runs many angles through one set of weights, which is what models need; here every column has weights of its own.
"""

from __future__ import annotations

import numpy as np

from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Parameter, Weight
from hqc_ray.quantum.ideal.rotations import PAULI, rotations

PAULIS = {axis: np.array(matrix, dtype=np.complex128)[..., None] for axis, matrix in PAULI.items()}  # [2, 2, 1]
FIXED = {"CNOT": PAULIS["X"], "CZ": PAULIS["Z"]}  # what a gate without parameters does to its target


def states(circuit: Circuit, weights: np.ndarray, angles: np.ndarray | None = None) -> np.ndarray:
    """State vectors [B, 2**Q] complex128, up to global phases, of weights [B, W], angles [B, Q], radians; wire 0 leftmost.

    Without angles, of the weighted gates alone on |0...0>: the embedding, and every other gate that takes an angle, is left out.
    """
    gates = circuit.gates
    if angles is None:
        gates = tuple(gate for gate in gates[circuit.n_embedding_gates :] if not _takes_angle(gate))
    columns = np.zeros((2**circuit.n_qubits, len(weights)), dtype=np.complex128)
    columns[0] = 1
    for gate in gates:
        (a, b), (c, d) = _matrix(gate, weights, angles)
        low, high = _rows(gate.wires, circuit.n_qubits)
        zero, one = columns[low], columns[high]
        columns[low], columns[high] = a * zero + b * one, c * zero + d * one
    return columns.T


def _takes_angle(gate: Gate) -> bool:
    return any(isinstance(p, Angle) for p in gate.parameters)


def _rows(wires: tuple[int, ...], n_qubits: int) -> tuple[np.ndarray, np.ndarray]:
    """The outcomes in which the controls are 1, with the target 0, and with it 1."""
    *controls, target = (1 << (n_qubits - 1 - wire) for wire in wires)
    outcomes = np.arange(2**n_qubits)
    low = outcomes[(outcomes & (sum(controls) | target)) == sum(controls)]
    return low, low | target


def _matrix(gate: Gate, weights: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    """What `gate` does to its target, [2, 2, B] or [2, 2, 1]."""
    if gate.name in FIXED:
        return FIXED[gate.name]
    matrix = np.eye(2, dtype=np.complex128)[..., None]
    for axis, parameter in rotations(gate):
        half = _value(parameter, weights, angles) / 2
        turn = np.cos(half) * np.eye(2)[..., None] - 1j * np.sin(half) * PAULIS[axis]
        matrix = np.einsum("ijb,jkb->ikb", turn, matrix)
    return matrix


def _value(parameter: Parameter, weights: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    if isinstance(parameter, Weight):
        return parameter.of(weights[:, parameter.index])
    if isinstance(parameter, Angle):
        return np.asarray(angles)[:, parameter.index]
    return np.full(1, parameter)
