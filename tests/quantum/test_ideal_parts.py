"""The ideal circuit's parts against Qiskit's gates and state vectors; what is drawn of a circuit, and how many gates it has."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits
from hqc_ray.quantum.circuits import drawing
from hqc_ray.quantum.circuits.ir import GATES, Angle, Circuit, Gate, Weight
from hqc_ray.quantum.ideal.sampling import sample, sample_expectations
from hqc_ray.quantum.ideal.simulate import Program, bits, rotations, z_signs
from hqc_ray.quantum.ideal.states import states

PAULI = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}


def qiskits(gate: Gate, values: list[float]) -> Any:
    """Qiskit's own gate of that name."""
    from qiskit.circuit import library

    if gate.name == "U2":
        return library.U2Gate(*values)
    names = {"PhaseShift": "PhaseGate", "U1": "PhaseGate", "U3": "UGate", "CNOT": "CXGate"}
    return getattr(library, names.get(gate.name, f"{gate.name}Gate"))(*values)


def statevector(circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """[2**Q] by Qiskit; wire 0 is the leftmost bit."""
    from qiskit.quantum_info import Statevector

    state = Statevector.from_label("0" * circuit.n_qubits)
    for gate in circuit.gates:
        values = [
            weights[p.index] if isinstance(p, Weight) else angles[p.index] if isinstance(p, Angle) else p for p in gate.parameters
        ]
        state = state.evolve(qiskits(gate, values), [circuit.n_qubits - 1 - wire for wire in gate.wires])
    return np.asarray(state.data)


@pytest.mark.parametrize("name", [name for name in GATES if name not in ("CNOT", "CZ")])
def test_the_rotations_of_a_gate_are_its_matrix_up_to_a_phase(name: str) -> None:
    values = [0.7, -1.9, 2.6][: GATES[name][1]]
    matrix = np.eye(2, dtype=complex)
    for axis, value in rotations(Gate(name, (0,), tuple(values))):
        assert isinstance(value, float)
        matrix = (np.cos(value / 2) * np.eye(2) - 1j * np.sin(value / 2) * np.array(PAULI[axis])) @ matrix
    expected = qiskits(Gate(name, (0,)), values).to_matrix()
    expected = expected[1::2, 1::2] if len(expected) == 4 else expected  # the target, where the control is 1
    assert abs(np.trace(expected.conj().T @ matrix)) == pytest.approx(2, abs=1e-12)


@pytest.mark.parametrize("batch", [3, 17])  # fewer and more than outcomes: two ways through the program
@pytest.mark.parametrize(
    "circuit", [asymmetric(), circuits.get("sim13", 4), circuits.get("sim10", 3, "h+ry", reuploads=2, readout="y")], ids=repr
)
def test_program_and_states_are_those_of_qiskit(circuit: Circuit, batch: int) -> None:
    weights, angles = inputs(circuit, batch)
    many = np.random.default_rng(1).uniform(0, 6, (batch, circuit.n_weights))
    found, columns = Program(circuit)(weights, angles), states(circuit, many, angles.numpy())
    for at, row in enumerate(angles.numpy()):
        np.testing.assert_allclose(found[at], np.abs(statevector(circuit, weights.numpy(), row)) ** 2, atol=1e-12)
        expected = statevector(circuit, many[at], row)
        assert abs(np.vdot(expected, columns[at])) == pytest.approx(1, abs=1e-12)


def test_states_without_angles_leave_out_every_gate_that_takes_one() -> None:
    circuit = circuits.get("sim14", 3, "h+ry", reuploads=2, readout="x")
    kept = [gate for gate in circuit.gates[6:] if not any(isinstance(p, Angle) for p in gate.parameters)]
    alone = Circuit("alone", 3, "own", 1, circuit.n_weights, tuple(kept))
    weights = np.random.default_rng(1).uniform(0, 6, (4, circuit.n_weights))
    for row, found in zip(weights, states(circuit, weights), strict=True):
        assert abs(np.vdot(statevector(alone, row, np.zeros(3)), found)) == pytest.approx(1, abs=1e-12)


def test_wire_0_is_the_leftmost_bit_and_a_1_reads_as_minus_one() -> None:
    assert bits(3)[0b110].tolist() == [1, 1, 0]
    assert z_signs(3)[0b100].tolist() == [-1, 1, 1]
    assert ["".join(map(str, row)) for row in bits(4).tolist()] == [format(outcome, "04b") for outcome in range(16)]


def test_samples_are_frequencies_of_the_distribution_also_where_rounding_left_it() -> None:
    given = np.array([[0.5, 0.5, -1e-18, 0.0], [0.3, 0.1, 0.6 + 1e-6, 0.0]])  # of float32, as the second
    found = sample(given, 10_000, np.random.default_rng(0))
    np.testing.assert_allclose((found * 10_000).round(), found * 10_000)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found[0, 2:].tolist() == [0, 0]
    assert np.abs(found - given.clip(0)).max() < 4 * 0.5 / 100
    np.testing.assert_array_equal(found, sample(given, 10_000, np.random.default_rng(0)))


def test_sampled_expectations_are_those_of_the_frequencies_and_the_generator_decides() -> None:
    given = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 0, 0, 0], [0, 0, 0.5, 0.5]])
    generator = torch.Generator().manual_seed(3)
    first, second = (sample_expectations(given, 1000, generator) for _ in range(2))
    assert first.dtype == torch.float64
    assert torch.equal(first, sample_expectations(given, 1000, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, second)
    expected = torch.tensor([[-0.4, -0.2], [1, 1], [-1, 0]], dtype=torch.float64)  # wire 0: the left bit
    assert (first - expected).abs().max() < 4 / 1000**0.5
    assert first[1].tolist() == [1, 1]
    assert first[2, 0] == -1


READOUTS = {
    "z": "0: ─RX(x0)─RY(w0)─●─<Z>\n                  │\n1: ─RX(x1)─RY(w1)─⊕─<Z>",
    "x": "0: ─RX(x0)─RY(w0)─●─RY(-π/2)─<Z>\n                  │\n1: ─RX(x1)─RY(w1)─⊕─RY(-π/2)─<Z>",
    "y": "0: ─RX(x0)─RY(w0)─●─RX(π/2)─<Z>\n                  │\n1: ─RX(x1)─RY(w1)─⊕─RX(π/2)─<Z>",
}


def plain(b: Any) -> None:
    b.every("RY")
    b.add("CNOT", 0, 1)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_text_of_each_readout(readout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import quantum_cases

    monkeypatch.setattr(quantum_cases, "plain", plain, raising=False)
    circuit = circuits.get("quantum_cases:plain", 2, readout=readout)
    title, _, body = drawing.text(circuit).partition("\n\n")
    assert title == f"quantum_cases:plain: 2 qubits, 2 weights, embedding rx{'' if readout == 'z' else f', readout {readout}'}"
    assert body == READOUTS[readout]
    assert drawing.caption(circuit).endswith(f"{'of every wire is read' if readout == 'z' else f'read <{readout.upper()}>'}")


def test_wires_of_two_digits_keep_the_columns_straight() -> None:
    lines = drawing.text(circuits.get("sim1", 11)).splitlines()[2:]
    assert lines[0].startswith(" 0: ─")
    assert lines[20].startswith("10: ─")
    assert len({len(line) for line in lines[::2]}) == 1
    assert all(line.endswith("<Z>") for line in lines[::2])


TWO_QUBIT = {  # per layer, on n wires
    "vqc1": ("CNOT", lambda n: 4 * n), "vqc2": ("CZ", lambda n: 7 * n), "vqc3": ("CZ", lambda n: 4 * n),
    "vqc4": ("CZ", lambda n: 3 * n), "vqc5": ("CNOT", lambda n: 4 * n), "vqc6": ("CRX", lambda n: 2 * n * (n - 1)),
    "sim2": ("CNOT", lambda n: n - 1), "sim5": ("CRZ", lambda n: n * (n - 1)), "sim8": ("CRX", lambda n: n - 1),
    "sim9": ("CZ", lambda n: n - 1), "sim10": ("CZ", lambda n: n), "sim11": ("CNOT", lambda n: n - 1),
    "sim13": ("CRZ", lambda n: 2 * n), "sim15": ("CNOT", lambda n: 2 * n), "sim19": ("CRX", lambda n: n),
    "strongly_entangling": ("CNOT", lambda n: n), "basic_entangler": ("CNOT", lambda n: n),
}  # fmt: skip


@pytest.mark.parametrize("n_qubits", [3, 4, 5])
@pytest.mark.parametrize("name", TWO_QUBIT)
def test_two_qubit_gates_of_an_ansatz(name: str, n_qubits: int) -> None:
    gate, count = TWO_QUBIT[name]
    for layers in (1, 3):
        made = circuits.get(name, n_qubits, layers=layers)
        assert Counter(g.name for g in made.gates if len(g.wires) == 2) == {gate: layers * count(n_qubits)}


def test_the_range_of_strong_entanglers_grows_from_layer_to_layer_and_starts_again() -> None:
    made = circuits.get("strongly_entangling", 4, layers=4)
    pairs = [gate.wires for gate in made.gates if gate.name == "CNOT"]
    assert [(target - control) % 4 for control, target in pairs] == [1] * 4 + [2] * 4 + [3] * 4 + [1] * 4
