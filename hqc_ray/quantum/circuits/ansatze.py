"""The ansätze: the six VQCs of the reference study, Sim's circuits 1 to 19, and PennyLane's entanglers; they fill a `Builder`.

Sources: arXiv 2302.04633, Fig. 7, for vqc1 to vqc6 (the models of arXiv 2309.06377); Sim, Johnson, Aspuru-Guzik, Adv. Quantum
Technol. 2, 1900070 (2019), Fig. 2, for sim1 to sim19; PennyLane's templates StronglyEntanglingLayers (Schuld, Bocharov, Svore,
Wiebe, Phys. Rev. A 101, 032308, 2020) and BasicEntanglerLayers, whose values these circuits have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hqc_ray.quantum.circuits.ir import Builder, chain, ring

Fill = Callable[[Builder], None]
Pairs = Callable[[int], Iterable[tuple[int, int]]]


@dataclass(frozen=True)
class Ansatz:
    """Weighted gates after an embedding.

    Args:
        layer: fills one layer; repeated `layers` times.
        n_qubits: default number of qubits.
        first: fills what comes once, before the layers.
        reported_expressibility: the value printed in arXiv 2309.06377, Table II; not reproduced by the circuit as drawn.
        valid: says of an exception of a user's own what to try.
    """

    layer: Fill
    n_qubits: int = 4
    first: Fill | None = None
    reported_expressibility: float | None = None
    valid: Callable[[BaseException], str] | None = None


def vqc1(b: Builder) -> None:
    """3 x [ring(CNOT); U2 all]; open chain of CNOT closed from the last wire; PhaseShift all."""
    for _ in range(3):
        b.each("CNOT", ring(b.n_qubits))
        b.every("U2")
    b.each("CNOT", [*chain(b.n_qubits), (b.n_qubits - 1, 0)])
    b.every("PhaseShift")


def vqc2(b: Builder) -> None:
    """U2 all; 6 x [ring(CZ); U3 all]; ring(CZ); RX all."""
    b.every("U2")
    for _ in range(6):
        b.each("CZ", ring(b.n_qubits))
        b.every("U3")
    b.each("CZ", ring(b.n_qubits))
    b.every("RX")


def vqc3(b: Builder) -> None:
    """U2 all; ring(CZ); 3 x [U3 all; ring(CZ)]."""
    b.every("U2")
    b.each("CZ", ring(b.n_qubits))
    for _ in range(3):
        b.every("U3")
        b.each("CZ", ring(b.n_qubits))


def vqc4(b: Builder) -> None:
    """RY all; ring(CZ); 2 x [U3 all; ring(CZ)]."""
    b.every("RY")
    b.each("CZ", ring(b.n_qubits))
    for _ in range(2):
        b.every("U3")
        b.each("CZ", ring(b.n_qubits))


def vqc5(b: Builder) -> None:
    """3 x [ring(CNOT); U1 all]; open chain of CNOT closed from the last wire; RX all."""
    for _ in range(3):
        b.each("CNOT", ring(b.n_qubits))
        b.every("U1")
    b.each("CNOT", [*chain(b.n_qubits), (b.n_qubits - 1, 0)])
    b.every("RX")


def vqc6(b: Builder) -> None:
    """Sim's circuit 6, then its gates in reverse order with fresh weights."""
    b.every("RX", "RZ")
    b.each("CRX", pairs(b.n_qubits))
    b.every("RX", "RZ")
    b.every("RZ", "RX")
    b.each("CRX", reversed(list(pairs(b.n_qubits))))
    b.every("RZ", "RX")


def strongly_entangling(b: Builder) -> None:
    """Rot all, then CNOT from each wire i to i + range; the range grows from layer to layer, up to n-1, and starts again."""
    n = b.n_qubits
    for wire in range(n):
        for name in ("RZ", "RY", "RZ"):  # Rot(phi, theta, omega), its weights in this order
            b.add(name, wire)
    b.each("CNOT", ((wire, (wire + b.layer % (n - 1) + 1) % n) for wire in range(n)))


def basic_entangler(b: Builder) -> None:
    """RX all, then CNOT from each wire to the next, closed to a ring; on two wires a single CNOT."""
    n = b.n_qubits
    b.every("RX")
    b.each("CNOT", ((wire, (wire + 1) % n) for wire in range(n if n > 2 else 1)))


def pairs(n: int) -> Iterable[tuple[int, int]]:
    """Every ordered pair, from the last control and the last target down."""
    return ((c, t) for c in reversed(range(n)) for t in reversed(range(n)) if t != c)


def line(n: int) -> Iterable[tuple[int, int]]:
    """n-1 -> n-2, ..., 1 -> 0."""
    return ((c, c - 1) for c in reversed(range(1, n)))


def even(n: int) -> Iterable[tuple[int, int]]:
    """1 -> 0, 3 -> 2, ..."""
    return ((t + 1, t) for t in range(0, n - 1, 2))


def odd(n: int) -> Iterable[tuple[int, int]]:
    """2 -> 1, 4 -> 3, ..."""
    return ((t + 1, t) for t in range(1, n - 1, 2))


def ring_a(n: int) -> Iterable[tuple[int, int]]:
    """n-1 -> 0, n-2 -> n-1, ..., 0 -> 1."""
    return ((c, (c + 1) % n) for c in reversed(range(n)))


def ring_b(n: int) -> Iterable[tuple[int, int]]:
    """n-1 -> n-2, 0 -> n-1, 1 -> 0, ..."""
    return ((c % n, (c - 1) % n) for c in range(n - 1, 2 * n - 1))


def _sim(*parts: str | tuple[str, Pairs]) -> Fill:
    """A layer of one-qubit gates on every wire (a name) and two-qubit patterns (a name and its pairs)."""

    def fill(b: Builder) -> None:
        for part in parts:
            if isinstance(part, str):
                b.every(part)
            else:
                b.each(part[0], part[1](b.n_qubits))

    return fill


def _inner(entangler: str) -> Fill:
    """Sim's 11 and 12: the second half acts on the inner wires only."""

    def fill(b: Builder) -> None:
        b.every("RY", "RZ")
        b.each(entangler, even(b.n_qubits))
        b.every("RY", "RZ", wires=range(1, b.n_qubits - 1))
        b.each(entangler, odd(b.n_qubits))

    return fill


def _closed_line(b: Builder) -> None:
    """Sim's 10: CZ line closed by CZ(n-1, 0), then RY."""
    b.each("CZ", line(b.n_qubits))
    if b.n_qubits > 2:
        b.add("CZ", b.n_qubits - 1, 0)
    b.every("RY")


VQC = {
    "vqc1": Ansatz(vqc1, 4, reported_expressibility=1.431),
    "vqc2": Ansatz(vqc2, 5, reported_expressibility=1.078),
    "vqc3": Ansatz(vqc3, 5, reported_expressibility=1.007),
    "vqc4": Ansatz(vqc4, 5, reported_expressibility=0.201),  # 5 in the results table, drawn with 7
    "vqc5": Ansatz(vqc5, 7, reported_expressibility=1.201),
    "vqc6": Ansatz(vqc6, 4, reported_expressibility=0.011),
}
SIM = {
    "sim1": Ansatz(_sim("RX", "RZ")),
    "sim2": Ansatz(_sim("RX", "RZ", ("CNOT", line))),
    "sim3": Ansatz(_sim("RX", "RZ", ("CRZ", line))),
    "sim4": Ansatz(_sim("RX", "RZ", ("CRX", line))),
    "sim5": Ansatz(_sim("RX", "RZ", ("CRZ", pairs), "RX", "RZ")),
    "sim6": Ansatz(_sim("RX", "RZ", ("CRX", pairs), "RX", "RZ")),
    "sim7": Ansatz(_sim("RX", "RZ", ("CRZ", even), "RX", "RZ", ("CRZ", odd))),
    "sim8": Ansatz(_sim("RX", "RZ", ("CRX", even), "RX", "RZ", ("CRX", odd))),
    "sim9": Ansatz(_sim("H", ("CZ", line), "RX")),
    "sim10": Ansatz(_closed_line, first=_sim("RY")),
    "sim11": Ansatz(_inner("CNOT")),
    "sim12": Ansatz(_inner("CZ")),
    "sim13": Ansatz(_sim("RY", ("CRZ", ring_a), "RY", ("CRZ", ring_b))),
    "sim14": Ansatz(_sim("RY", ("CRX", ring_a), "RY", ("CRX", ring_b))),
    "sim15": Ansatz(_sim("RY", ("CNOT", ring_a), "RY", ("CNOT", ring_b))),
    "sim16": Ansatz(_sim("RX", "RZ", ("CRZ", even), ("CRZ", odd))),
    "sim17": Ansatz(_sim("RX", "RZ", ("CRX", even), ("CRX", odd))),
    "sim18": Ansatz(_sim("RX", "RZ", ("CRZ", ring_a))),
    "sim19": Ansatz(_sim("RX", "RZ", ("CRX", ring_a))),
}
TEMPLATES = {"strongly_entangling": Ansatz(strongly_entangling), "basic_entangler": Ansatz(basic_entangler)}
