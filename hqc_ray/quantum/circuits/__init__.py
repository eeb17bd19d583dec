"""The table of circuits, and `get`: a name, a number of qubits and an embedding become a `Circuit`."""

from __future__ import annotations

import functools
from typing import Any

from hqc_ray.entries import lookup
from hqc_ray.errors import CircuitError, unknown
from hqc_ray.guard import guarded, wrong
from hqc_ray.quantum.circuits import own
from hqc_ray.quantum.circuits.ansatze import SIM, TEMPLATES, VQC, Ansatz
from hqc_ray.quantum.circuits.ir import EMBEDDINGS, GATES, MAX_QUBITS, READOUTS, Angle, Builder, Circuit, Gate, Weight

__all__ = ["CIRCUITS", "EMBEDDINGS", "GATES", "READOUTS", "Angle", "Builder", "Circuit", "Gate", "Weight", "get"]

CIRCUITS: dict[str, Ansatz] = {**VQC, **SIM, **TEMPLATES}


def get(
    name: str, n_qubits: int | None = None, embedding: str = "rx", layers: int = 1, reuploads: int = 1, readout: str = "z"
) -> Circuit:
    """The circuit `name`: a name in `CIRCUITS`, or a user's own `package.module:name`.

    That is a function `f(weights, wires)` of PennyLane's gates, which is run and decomposed to the gates of `GATES`; a list of
    gates; or a function that takes a `Builder`, which already holds the embedding, and adds gates to it. Always the same ones.

    Args:
        name: see above.
        n_qubits: Q, 2 to 16; None for the number that the ansatz is drawn with (4 for a user's own).
        embedding: a name in `EMBEDDINGS`; angle i enters on wire i. With "own" the gates of the circuit itself take the angles.
        layers: repetitions of the ansatz.
        reuploads: r, how often the embedding and all layers after it are repeated, each time with fresh weights: each angle
            enters r times, and outcome probabilities are of degree r in it (Pérez-Salinas et al., Quantum 4, 226, 2020).
        readout: the Pauli operator that is measured on every wire: x, y or z.

    Raises:
        CircuitError: an unknown name, embedding or readout, an embedding without input gradient, a count out of range; of a
            user's function whatever it raises, gates that it changes, no weights, or other gates when it is called again.
    """
    ansatz = described(name)
    _check_embedding(embedding)
    if readout not in READOUTS:
        raise unknown("readout", readout, READOUTS, CircuitError)
    qubits = ansatz.n_qubits if n_qubits is None else n_qubits
    _check_count("n_qubits", qubits, 2, MAX_QUBITS, name)
    _check_count("layers", layers, 1, 100, name)
    _check_count("reuploads", reuploads, 1, 100, name)
    make = functools.partial(_built, name, ansatz, qubits, embedding, layers, reuploads, readout)
    if name in CIRCUITS:
        return make()
    with guarded("circuit", name, CircuitError, to="build", valid=ansatz.valid or "", by=ansatz.layer):
        made, again = make(), make()
    if made != again:
        what, valid = "adds other gates when it is called again", "a function that draws nothing, or with a seed of its own"
        raise wrong("circuit", name, what, CircuitError, by=ansatz.layer, valid=valid)
    if not made.n_weights:
        what, valid = "adds no gate with a weight, so nothing would be trained", "gates such as RY on every wire"
        raise wrong("circuit", name, what, CircuitError, by=ansatz.layer, valid=valid)
    return made


def _built(name: str, ansatz: Ansatz, qubits: int, embedding: str, layers: int, reuploads: int, readout: str) -> Circuit:
    builder = Builder(qubits, embedding)
    if ansatz.first is not None:
        ansatz.first(builder)
    for upload in range(reuploads):
        if upload:
            builder.embed()
        for layer in range(layers):
            builder.layer, before = layer, list(builder.gates)
            ansatz.layer(builder)
            if builder.gates[: len(before)] != before:
                what = f"changes gates that were there before it: the embedding {embedding!r}, or an earlier layer"
                raise CircuitError(what, where=f"circuit {name!r}", valid="gates that are added; embedding: own for another one")
    builder.read(readout)
    return Circuit(name, qubits, embedding, layers, builder.n_weights, tuple(builder.gates), reuploads, readout)


def described(name: str) -> Ansatz:
    """The table's entry, or a user's own circuit as one.

    Raises:
        CircuitError: an unknown name, or nothing that is a circuit.
    """
    found: Any = lookup("circuit", CIRCUITS, name, CircuitError)
    return found if isinstance(found, Ansatz) else own.ansatz(name, found)


def _check_embedding(embedding: str) -> None:
    if embedding == "rz":
        raise CircuitError(
            "embedding 'rz' acts on |0...0> as a phase only: every input gradient would be exactly zero, which fakes robustness",
            valid=", ".join(EMBEDDINGS),
        )
    if embedding not in EMBEDDINGS:
        raise unknown("embedding", embedding, EMBEDDINGS, CircuitError)


def _check_count(what: str, value: int, low: int, high: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise CircuitError(f"{what} {value!r}", where=f"circuit {name!r}", valid=f"a whole number from {low} to {high}")
