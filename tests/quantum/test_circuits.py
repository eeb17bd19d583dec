from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from quantum_cases import asymmetric

from hqc_ray import circuits
from hqc_ray.quantum.circuits.ir import EMBEDDINGS, Angle, Circuit, Gate, Weight, ring
from hqc_ray.quantum.study.analysis import dead_weights

NAMES = list(circuits.CIRCUITS)


def wires(circuit: Circuit, name: str) -> list[tuple[int, ...]]:
    return [gate.wires for gate in circuit.gates if gate.name == name]


@pytest.mark.parametrize(
    ("name", "n_qubits", "weights"),
    [("vqc1", 4, 28), ("vqc2", 5, 105), ("vqc3", 5, 55), ("vqc4", 7, 49), ("vqc5", 7, 28), ("vqc6", 4, 56)],
)
def test_counts_of_the_paper(name: str, n_qubits: int, weights: int) -> None:
    assert circuits.get(name, n_qubits).n_weights == weights


@pytest.mark.parametrize(
    ("name", "n_qubits"), [("vqc1", 4), ("vqc2", 5), ("vqc3", 5), ("vqc4", 5), ("vqc5", 7), ("vqc6", 4), ("sim7", 4)]
)
def test_default_number_of_qubits(name: str, n_qubits: int) -> None:
    assert circuits.get(name).n_qubits == n_qubits


SIM_WEIGHTS = {
    **{1: lambda n: 2 * n, 2: lambda n: 2 * n, 3: lambda n: 3 * n - 1, 4: lambda n: 3 * n - 1, 5: lambda n: n * n + 3 * n},
    **{6: lambda n: n * n + 3 * n, 7: lambda n: 5 * n - 1, 8: lambda n: 5 * n - 1, 9: lambda n: n, 10: lambda n: 2 * n},
    **{11: lambda n: 4 * n - 4, 12: lambda n: 4 * n - 4, 13: lambda n: 4 * n, 14: lambda n: 4 * n, 15: lambda n: 2 * n},
    **{16: lambda n: 3 * n - 1, 17: lambda n: 3 * n - 1, 18: lambda n: 3 * n, 19: lambda n: 3 * n},
}


@pytest.mark.parametrize("number", SIM_WEIGHTS)
@pytest.mark.parametrize("n_qubits", [3, 4, 5, 7])
def test_counts_of_sim(number: int, n_qubits: int) -> None:
    one, two, three = (circuits.get(f"sim{number}", n_qubits, layers=layers) for layers in (1, 2, 3))
    assert one.n_weights == SIM_WEIGHTS[number](n_qubits)
    once = n_qubits if number == 10 else 0
    assert [two.n_weights, three.n_weights] == [layers * (one.n_weights - once) + once for layers in (2, 3)]


def test_vqc1_gate_by_gate() -> None:
    circuit = circuits.get("vqc1")
    round_ = [(0, 1), (2, 3), (1, 2), (0, 3)]
    assert wires(circuit, "CNOT") == 3 * round_ + [(0, 1), (2, 3), (1, 2), (3, 0)]
    assert [gate.name for gate in circuit.gates] == ["RX"] * 4 + (["CNOT"] * 4 + ["U2"] * 4) * 3 + ["CNOT"] * 4 + [
        "PhaseShift"
    ] * 4
    assert circuit.gates[8] == Gate("U2", (0,), (Weight(0), Weight(1)))


def test_vqc6_is_sim6_and_its_mirror() -> None:
    circuit, ansatz = circuits.get("vqc6"), circuits.get("sim6")
    first = [(3, 2), (3, 1), (3, 0), (2, 3), (2, 1), (2, 0), (1, 3), (1, 2), (1, 0), (0, 3), (0, 2), (0, 1)]
    assert wires(circuit, "CRX") == first + first[::-1]
    shape = [(gate.name, gate.wires) for gate in circuit.gates[4:]]
    half = [(gate.name, gate.wires) for gate in ansatz.gates[4:]]
    assert shape[:28] == half
    assert sorted(shape[28:]) == sorted(half)
    assert [name for name, _ in shape[28:]] == [name for name, _ in half[::-1]]


@pytest.mark.parametrize(
    ("name", "two_qubit"),
    [
        ("sim2", [(3, 2), (2, 1), (1, 0)]),
        ("sim7", [(1, 0), (3, 2), (2, 1)]),
        ("sim10", [(3, 2), (2, 1), (1, 0), (3, 0)]),
        ("sim13", [(3, 0), (2, 3), (1, 2), (0, 1), (3, 2), (0, 3), (1, 0), (2, 1)]),
    ],
)
def test_entanglers_of_sim(name: str, two_qubit: list[tuple[int, int]]) -> None:
    assert [gate.wires for gate in circuits.get(name).gates if len(gate.wires) == 2] == two_qubit


def test_ring_on_five_and_on_two_wires() -> None:
    assert list(ring(5)) == [(0, 1), (2, 3), (1, 2), (3, 4), (0, 4)]
    assert list(ring(2)) == [(0, 1)]


@pytest.mark.parametrize(
    ("name", "n_qubits", "dead"), [("vqc1", 4, 8), ("vqc2", 5, 0), ("vqc3", 5, 5), ("vqc4", 7, 7), ("vqc5", 7, 0), ("vqc6", 4, 0)]
)
@pytest.mark.parametrize("embedding", ["rx", "ry"])
def test_dead_weights(name: str, n_qubits: int, dead: int, embedding: str) -> None:
    assert len(dead_weights(circuits.get(name, n_qubits, embedding))) == dead


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_every_circuit_in_every_embedding_survives_a_round_trip(name: str, embedding: str) -> None:
    circuit = circuits.get(name, 3, embedding)
    copy = pickle.loads(pickle.dumps(circuit))  # noqa: S301  # written two calls ago
    assert copy == circuit
    assert hash(copy) == hash(circuit)
    if embedding == "own":
        assert circuit.degree == 0
        return
    assert circuit.degree == 1
    assert {p.index for gate in circuit.gates for p in gate.parameters if isinstance(p, Angle)} == {0, 1, 2}


def test_repr_tells_circuits_apart() -> None:
    shown = {repr(circuits.get(n, q, e)) for n in ("vqc1", "sim1") for q in (3, 4) for e in EMBEDDINGS}
    assert len(shown) == 16
    assert (
        repr(asymmetric())
        == "Circuit(name='asymmetric', n_qubits=3, embedding='rx', layers=1, n_weights=12, reuploads=1, readout='z')"
    )


def test_a_users_circuit(user: Callable[..., Circuit]) -> None:
    circuit = user("reuploading", n_qubits=3)
    assert (circuit.name, circuit.n_weights, circuit.degree) == ("user_circuits:reuploading", 10, 2)
    assert user("reuploading").n_qubits == 4
