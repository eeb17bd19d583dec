"""Circuits as data: a tuple of gates whose parameters are input angles, weights, or constants. No device, no numerics."""

from __future__ import annotations

import functools
import hashlib
import math
import operator
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from hqc_ray.errors import CircuitError, unknown

GATES: dict[str, tuple[int, int]] = {  # name: (wires, parameters); the names and conventions are PennyLane's
    "H": (1, 0),
    "RX": (1, 1),
    "RY": (1, 1),
    "RZ": (1, 1),
    "PhaseShift": (1, 1),
    "U1": (1, 1),
    "U2": (1, 2),
    "U3": (1, 3),
    "CNOT": (2, 0),
    "CZ": (2, 0),
    "CRX": (2, 1),
    "CRZ": (2, 1),
}
ANGLE_GATES = ("RX", "RY", "RZ", "PhaseShift", "U1")  # frequency 1: keeps the surrogate's degree whole
EMBEDDINGS: dict[str, tuple[str, ...]] = {  # the gates on every wire, in turn; own: none, the circuit adds its own
    "rx": ("RX",),
    "ry": ("RY",),
    "h+ry": ("H", "RY"),
    "own": (),
}
READOUTS: dict[str, tuple[str, float] | None] = {  # the Pauli operator that is read: the gate that turns it into Z, and its angle
    "x": ("RY", -math.pi / 2),
    "y": ("RX", math.pi / 2),
    "z": None,
}
MAX_QUBITS = 16  # dense unitaries and 3^Q features end well before this


@dataclass(frozen=True)
class Angle:
    """Input angle `index` (the one of wire `index`), radians."""

    index: int


@dataclass(frozen=True)
class Weight:
    """Trainable weight `index`, radians, of which a gate takes scale * weight + offset; several gates may take the same."""

    index: int
    scale: float = 1.0
    offset: float = 0.0

    def __repr__(self) -> str:
        """The index alone, where the gate takes the weight itself."""
        return f"Weight(index={self.index}{'' if self.plain else f', scale={self.scale}, offset={self.offset}'})"

    @property
    def plain(self) -> bool:
        """Whether a gate takes the weight itself."""
        return (self.scale, self.offset) == (1.0, 0.0)

    def of(self, value: Any) -> Any:
        """What a gate takes of the weight's `value`: a number, an array, a tensor, or a symbol."""
        return value if self.plain else self.scale * value + self.offset


Parameter = Angle | Weight | float  # a float is a constant, radians


@dataclass(frozen=True)
class Gate:
    """One gate: a name of `GATES`, its wires (control first) and its parameters; NumPy's numbers become Python's own."""

    name: str
    wires: tuple[int, ...]
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        """Equal gates are to be equal, hashable and written alike, whoever made them."""
        object.__setattr__(self, "wires", tuple(operator.index(wire) for wire in self.wires))
        object.__setattr__(self, "parameters", tuple(float(p) if isinstance(p, Real) else p for p in self.parameters))


@dataclass(frozen=True)
class Circuit:
    """Embedding + weighted gates + readout; a pure function of (angles, weights) that gives outcome probabilities.

    Wire 0 is the leftmost bit of an outcome. Angles [B, Q] and weights [W] are radians. Every wire is measured in the Z basis
    after all gates. A readout of X or Y is made of gates, too: the last gate of each wire turns that basis into Z, so that <Z>
    after all gates is <X> or <Y> before them.

    Args:
        name: the name it was asked for by.
        n_qubits: Q.
        embedding: name of the embedding that the gates begin with; "own" where it is none of `EMBEDDINGS`.
        layers: repetitions of the ansatz.
        n_weights: W.
        gates: all gates in order, embedding and readout included.
        reuploads: how often the embedding, and all layers after it, are repeated.
        readout: the Pauli operator of each wire that is read, a name in `READOUTS`.

    Raises:
        CircuitError: a gate that is unknown, lies off the wires, or takes a parameter it cannot; gates that are not those of
            the embedding and the readout that are declared.
    """

    name: str
    n_qubits: int
    embedding: str
    layers: int
    n_weights: int
    gates: tuple[Gate, ...] = field(repr=False)
    reuploads: int = 1
    readout: str = "z"

    def __post_init__(self) -> None:
        """Hold every gate, also a user's own, to the gate table, and all of them to what is declared."""
        where = f"circuit {self.name!r}"
        object.__setattr__(self, "gates", tuple(self.gates))
        for gate in self.gates:
            _check(gate, self.n_qubits, where)
        used = {p.index for gate in self.gates for p in gate.parameters if isinstance(p, Weight)}
        if used != set(range(self.n_weights)):
            raise CircuitError(f"{len(used)} weights in use, {self.n_weights} declared", where=where)
        self._check_declared(where)

    def _check_declared(self, where: str) -> None:
        """What trains, draws and writes down a circuit goes by these names."""
        if self.embedding not in EMBEDDINGS:
            raise unknown("embedding", self.embedding, EMBEDDINGS, CircuitError, where)
        if self.readout not in READOUTS:
            raise unknown("readout", self.readout, READOUTS, CircuitError, where)
        first = embedding_gates(self.embedding, self.n_qubits)
        uploads, at = 0, 0
        while first and uploads < self.reuploads and at < len(self.gates):
            found = self.gates[at : at + len(first)] == first
            uploads, at = uploads + found, at + (len(first) if found else 1)
        if self.gates[: len(first)] != first or (first and uploads < self.reuploads):
            often = "begin with" if self.reuploads == 1 else f"begin with, and hold {self.reuploads} times,"
            what = f"its gates do not {often} the embedding {self.embedding!r} that it declares"
            raise CircuitError(what, where=where, valid="gates that are added to it; embedding: own for another one")
        last = readout_gates(self.readout, self.n_qubits)
        if last and self.gates[-len(last) :] != last:
            raise CircuitError(f"its gates do not end with the readout {self.readout!r} that it declares", where=where)

    @functools.cached_property
    def digest(self) -> str:
        """A hash of what is computed: equal for equal gates on as many wires, whatever they are called."""
        return hashlib.blake2b(repr((self.n_qubits, self.gates)).encode(), digest_size=16).hexdigest()

    @property
    def degree(self) -> int:
        """How often the most frequent angle enters: the degree of the outcome probabilities in that angle."""
        return max(Counter(p.index for gate in self.gates for p in gate.parameters if isinstance(p, Angle)).values(), default=0)

    @property
    def n_embedding_gates(self) -> int:
        """How many of the first gates are the embedding."""
        return len(EMBEDDINGS[self.embedding]) * self.n_qubits


def embedding_gates(embedding: str, n_qubits: int) -> tuple[Gate, ...]:
    """The gates of an embedding, a name in `EMBEDDINGS`: angle i on wire i."""
    wires = range(n_qubits)
    return tuple(Gate(name, (w,), (Angle(w),) if GATES[name][1] else ()) for name in EMBEDDINGS[embedding] for w in wires)


def readout_gates(readout: str, n_qubits: int) -> tuple[Gate, ...]:
    """The last gates: they turn the basis of the operator `readout`, a name in `READOUTS`, into that of Z on every wire."""
    turn = READOUTS[readout]
    return () if turn is None else tuple(Gate(turn[0], (wire,), (turn[1],)) for wire in range(n_qubits))


def _check(gate: Gate, n_qubits: int, where: str = "") -> None:
    if not isinstance(gate, Gate):
        raise CircuitError(f"{type(gate).__name__} among the gates", where=where, valid="Gate(name, wires, parameters)")
    if gate.name not in GATES:
        raise unknown("gate", gate.name, GATES, CircuitError, where)
    wires, parameters = GATES[gate.name]
    if len(gate.wires) != wires or len(set(gate.wires)) != wires or not all(0 <= w < n_qubits for w in gate.wires):
        raise CircuitError(f"{gate.name} on wires {gate.wires}", where=where, valid=f"{wires} different wires below {n_qubits}")
    if len(gate.parameters) != parameters:
        raise CircuitError(f"{gate.name} with {len(gate.parameters)} parameters", where=where, valid=str(parameters))
    for parameter in gate.parameters:
        if isinstance(parameter, Angle) and (gate.name not in ANGLE_GATES or not 0 <= parameter.index < n_qubits):
            valid = f"angles 0..{n_qubits - 1} in {', '.join(ANGLE_GATES)}"
            raise CircuitError(f"{parameter} in {gate.name}", where=where, valid=valid)
        if isinstance(parameter, Weight) and not (math.isfinite(parameter.offset) and 0 < abs(parameter.scale) < math.inf):
            raise CircuitError(f"{parameter} in {gate.name}", where=where, valid="a finite scale, which is not 0, and offset")
        if not (isinstance(parameter, Angle | Weight) or (isinstance(parameter, float) and math.isfinite(parameter))):
            raise CircuitError(f"{parameter!r} in {gate.name}", where=where, valid="an Angle, a Weight, or finite radians")


class Builder:
    """Collects gates; parameters that are not given become fresh weights. What an ansatz, also a user's own, is written with.

    Args:
        n_qubits: Q.
        embedding: name in `EMBEDDINGS`, applied at once; call `embed` again for data re-uploading.

    Attributes:
        layer: number of the layer that is being filled, from 0 after each embedding that `circuits.get` makes.
    """

    def __init__(self, n_qubits: int, embedding: str) -> None:
        self.n_qubits, self.embedding, self.n_weights, self.layer = n_qubits, embedding, 0, 0
        self.gates: list[Gate] = []
        self.embed()

    def embed(self) -> None:
        """The embedding: angle i on wire i."""
        self.gates += embedding_gates(self.embedding, self.n_qubits)

    def read(self, readout: str) -> None:
        """See `readout_gates`."""
        self.gates += readout_gates(readout, self.n_qubits)

    def add(self, name: str, *wires: int) -> None:
        """One gate on `wires` (control first), with fresh weights.

        Raises:
            CircuitError: an unknown gate, or wires that it cannot have.
        """
        if name not in GATES:
            raise unknown("gate", name, GATES, CircuitError)
        count = GATES[name][1]
        gate = Gate(name, wires, tuple(Weight(self.n_weights + i) for i in range(count)))
        _check(gate, self.n_qubits)
        self.gates.append(gate)
        self.n_weights += count

    def every(self, *names: str, wires: Iterable[int] | None = None) -> None:
        """Each of `names` in turn on all wires (or on `wires`)."""
        chosen = list(range(self.n_qubits) if wires is None else wires)
        for name in names:
            self.each(name, ((wire,) for wire in chosen))

    def each(self, name: str, wires: Iterable[tuple[int, ...]]) -> None:
        """`name` on each tuple of `wires`, in order."""
        for at in wires:
            self.add(name, *at)


def chain(n: int) -> Iterator[tuple[int, int]]:
    """(0,1),(2,3),... then (1,2),(3,4),...: neighbours in two moments."""
    for start in (0, 1):
        yield from ((wire, wire + 1) for wire in range(start, n - 1, 2))


def ring(n: int) -> Iterator[tuple[int, int]]:
    """`chain`, then (0, n-1); on two wires the chain is already closed."""
    yield from chain(n)
    if n > 2:
        yield (0, n - 1)
