"""Real vectors in Pauli axes, states or observables alike: many at a time, each axis belonging to a physical qubit."""

from __future__ import annotations

from torch import Tensor

Vectors = tuple[Tensor, list[int]]  # Pauli vectors [N, 4^k], and the k physical qubits of their axes


def apply(vectors: Tensor, qubits: list[int], touched: tuple[int, ...], matrix: Tensor) -> Vectors:
    """Vectors [N, 4^k] @ matrix [4^m, .], or one for each of N, on the axes of the m qubits `touched`, which become the last."""
    order = [qubit for qubit in qubits if qubit not in touched] + list(touched)
    rows = ordered(vectors, qubits, order).reshape(len(vectors), 4 ** (len(qubits) - len(touched)), 4 ** len(touched))
    return (rows @ matrix).flatten(1), order


def ordered(vectors: Tensor, qubits: list[int], order: list[int]) -> Tensor:
    """Vectors [N, 4^k] with their axes in another order."""
    if qubits == order:
        return vectors
    axes = vectors.reshape(len(vectors), *[4] * len(qubits))
    return axes.permute(0, *(1 + qubits.index(qubit) for qubit in order)).flatten(1)


def joint(factors: list[Vectors]) -> Vectors:
    """The product of vectors on different qubits."""
    (vectors, qubits), *others = factors
    for other, more in others:
        vectors, qubits = (vectors[:, :, None] * other[:, None, :]).flatten(1), qubits + more
    return vectors, qubits
