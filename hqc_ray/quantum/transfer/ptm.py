"""Gates and their errors as Pauli transfer matrices [4^k, 4^k], in the basis I, X, Y, Z over root 2.

A density matrix of n qubits is a real vector [4^n] in this basis, and every step of a noisy circuit a real matrix on the axes of
its qubits, errors included (Greenbaum, arXiv 1509.02921). One kind of object for gates and noise, and no complex numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

THIRDS = 2 * np.pi * np.arange(3) / 3
AER_THRESHOLD = 1e-10  # Aer drops rarer terms of an error, without renormalising; so does this, to be the same function
ZERO, TRACE = np.array([1, 0, 0, 1]) / np.sqrt(2), np.array([np.sqrt(2), 0, 0, 0])
BASIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]) / np.sqrt(2)


class UnsupportedError(Exception):
    """The circuit has no transfer matrices, or too large ones: Aer has to run it at each angle."""


def unitary_transfer(matrix: np.ndarray) -> np.ndarray:
    """The Pauli transfer matrix [4^k, 4^k] of a unitary [2^k, 2^k] on one or two qubits, in the basis I, X, Y, Z over root 2."""
    paulis = BASIS if len(matrix) == 2 else np.einsum("aij,bkl->abikjl", BASIS, BASIS).reshape(16, 4, 4)
    if len(matrix) > 4:
        raise UnsupportedError("a gate of more than two qubits")
    turned = matrix @ paulis @ matrix.conj().T
    return (paulis.conj().reshape(len(paulis), -1) @ turned.reshape(len(paulis), -1).T).real


def error_transfer(error: Any, n_qubits: int) -> np.ndarray:
    """The transfer matrix [4^k, 4^k] of Aer's error on k qubits, last qubit most significant; None is no error.

    An error is a mixture of circuits, of some hundred terms for two qubits; their few instructions are translated once.

    Raises:
        UnsupportedError: more than two qubits.
    """
    if error is None:
        return np.eye(4**n_qubits)
    if n_qubits > 2:
        raise UnsupportedError("a gate of more than two qubits")
    known: dict[tuple[object, ...], np.ndarray] = {}
    total = np.zeros((4**n_qubits, 4**n_qubits))
    for probability, circuit in zip(error.probabilities, error.circuits, strict=True):
        if probability > AER_THRESHOLD:
            total += probability * _term(circuit, tuple(range(n_qubits))[::-1], known)
    return total


def _term(circuit: Any, qubits: tuple[int, ...], known: dict[tuple[object, ...], np.ndarray]) -> np.ndarray:
    """The transfer matrix of one circuit of an error on `qubits`; `known` keeps that of each instruction where it acts."""
    from qiskit.quantum_info import PTM, SuperOp

    done = np.eye(4 ** len(qubits))
    for step in circuit.data:
        instruction = step.operation
        there = tuple(circuit.find_bit(qubit).index for qubit in step.qubits)[::-1]
        key = (there, instruction.name, *(np.asarray(value).tobytes() for value in instruction.params))
        if key not in known:
            known[key] = widen(there, PTM(SuperOp(instruction)).data.real, qubits)
        done = known[key] @ done
    return done


def widen(qubits: tuple[int, ...], matrix: np.ndarray, wide: tuple[int, ...]) -> np.ndarray:
    """`matrix` on `qubits` as a matrix on `wide`, which contains them: at most two."""
    if qubits == wide:
        return matrix
    if len(qubits) == 2:
        return matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16)
    return np.kron(matrix, np.eye(4)) if qubits[0] == wide[0] else np.kron(np.eye(4), matrix)
