"""Each part of the transfer-matrix room against a slow computation with Qiskit's density matrices, or with plain sums."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from quantum_cases import AXIS

from hqc_ray.quantum.devices.device import combinations
from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.transfer import blocks as room
from hqc_ray.quantum.transfer import grid, ptm, vectors
from hqc_ray.quantum.transfer.blocks import Block, Dial, Fixed
from hqc_ray.quantum.transfer.ptm import UnsupportedError
from hqc_ray.quantum.transfer.track import Track

RANDOM = np.random.default_rng(0)


class Uneven(Noise):
    """An error after every gate but rz, another one on every qubit."""

    def __init__(self) -> None:
        from qiskit_aer import noise as library

        one = [library.amplitude_damping_error(0.1 * (q + 1)).compose(library.depolarizing_error(0.05, 1)) for q in range(4)]
        self.errors = {(q,): one[q] for q in range(4)}
        self.errors |= {(a, b): one[b].tensor(library.phase_damping_error(0.3)) for a in range(4) for b in range(4)}

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        return None if gate == "rz" else self.errors[qubits]

    def assignment(self, qubit: int) -> None:
        return None

    def check(self, compiled: Any) -> None:
        pass


def written() -> tuple[Any, Any, Any]:
    """Four qubits, three angles, two weights: slopes, sums, fixed gates before, between and after; qubit 3 is never entangled."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit.circuit.library import U2Gate

    angle, weight, circuit = ParameterVector("angle", 3), ParameterVector("weight", 2), QuantumCircuit(4)
    circuit.sx(0)
    circuit.rx(2 * angle[0] - angle[1] + 0.3, 0)
    circuit.u(weight[1], 0.4, -weight[0], 1)
    circuit.cx(1, 2)
    circuit.ry(angle[1], 2)
    circuit.barrier()
    circuit.rz(angle[2] / 2 + weight[0], 0)
    circuit.sx(0)
    circuit.cx(0, 2)
    circuit.x(3)
    circuit.append(U2Gate(weight[0], weight[1] / 2), [2])
    circuit.cx(2, 1)
    circuit.rx(weight[1] - 0.2, 3)
    circuit.h(1)
    return circuit, angle, weight


def density(circuit: Any, values: dict[Any, float], noise: Noise) -> Any:
    """Qiskit's density matrix of the bound circuit, one gate and one error after another."""
    from qiskit.quantum_info import DensityMatrix

    rho = DensityMatrix.from_label("0" * circuit.num_qubits)
    for step in circuit.assign_parameters(values).data:
        qubits = tuple(circuit.find_bit(qubit).index for qubit in step.qubits)
        if step.operation.name != "barrier":
            rho = rho.evolve(step.operation, list(qubits))
            error = noise.error(step.operation.name, qubits)
            rho = rho if error is None else rho.evolve(error.to_quantumchannel(), list(qubits))
    return rho


def pauli_vector(rho: np.ndarray, order: list[int]) -> np.ndarray:
    """[4^n]: traces with products of Paulis over root 2, those of the first qubit of `order` slowest; qubit 0 is the last bit."""
    from qiskit.quantum_info import Pauli

    found = []
    for letters in itertools.product("IXYZ", repeat=len(order)):
        label = "".join(letters[order.index(qubit)] for qubit in reversed(range(len(order))))
        found.append(np.trace(Pauli(label).to_matrix() @ rho).real / 2 ** (len(order) / 2))
    return np.array(found)


def random_unitary(n_qubits: int) -> np.ndarray:
    size = 2**n_qubits
    return np.linalg.qr(RANDOM.normal(size=(size, size)) + 1j * RANDOM.normal(size=(size, size)))[0]


def random_density(n_qubits: int) -> np.ndarray:
    square = RANDOM.normal(size=(2**n_qubits, 2**n_qubits)) + 1j * RANDOM.normal(size=(2**n_qubits, 2**n_qubits))
    return square @ square.conj().T / np.trace(square @ square.conj().T).real


# ptm


@pytest.mark.parametrize("n_qubits", [1, 2])
def test_a_unitarys_matrix_turns_the_pauli_vector_of_a_state(n_qubits: int) -> None:
    unitary, rho, order = random_unitary(n_qubits), random_density(n_qubits), list(reversed(range(n_qubits)))
    found, after = ptm.unitary_transfer(unitary), unitary @ rho @ unitary.conj().T
    np.testing.assert_allclose(found @ pauli_vector(rho, order), pauli_vector(after, order), atol=1e-12)
    np.testing.assert_allclose(found @ found.T, np.eye(4**n_qubits), atol=1e-12)


def test_an_errors_matrix_turns_the_pauli_vector_as_its_kraus_operators_do() -> None:
    from qiskit.quantum_info import Kraus

    noise = Uneven()
    for qubits in ((2,), (1, 3)):
        error, rho, order = noise.error("cx", qubits), random_density(len(qubits)), list(reversed(range(len(qubits))))
        after = sum(k @ rho @ k.conj().T for k in Kraus(error.to_quantumchannel()).data)
        found = ptm.error_transfer(error, len(qubits)) @ pauli_vector(rho, order)
        np.testing.assert_allclose(found, pauli_vector(after, order), atol=1e-8)
        assert np.abs(found - pauli_vector(rho, order)).max() > 1e-2
    np.testing.assert_array_equal(ptm.error_transfer(None, 2), np.eye(16))


def test_more_than_two_qubits_have_no_matrix() -> None:
    for call in (lambda: ptm.unitary_transfer(np.eye(8)), lambda: ptm.error_transfer(object(), 3)):
        with pytest.raises(UnsupportedError, match="more than two qubits"):
            call()


def test_a_widened_matrix_does_nothing_to_the_other_qubit() -> None:
    one, two = random_unitary(1), random_unitary(2)
    matrix, pair = ptm.unitary_transfer(one), ptm.unitary_transfer(two)
    eye, exchange = np.eye(2), np.eye(4)[[0, 2, 1, 3]]
    np.testing.assert_allclose(ptm.widen((7,), matrix, (7, 3)), ptm.unitary_transfer(np.kron(one, eye)), atol=1e-12)
    np.testing.assert_allclose(ptm.widen((3,), matrix, (7, 3)), ptm.unitary_transfer(np.kron(eye, one)), atol=1e-12)
    np.testing.assert_allclose(ptm.widen((3, 7), pair, (7, 3)), ptm.unitary_transfer(exchange @ two @ exchange), atol=1e-12)
    np.testing.assert_array_equal(ptm.widen((7, 3), pair, (7, 3)), pair)


# vectors


def test_a_matrix_acts_on_the_axes_of_its_qubits_which_become_the_last() -> None:
    rows, wide = RANDOM.normal(size=(5, 4, 4, 4)), RANDOM.normal(size=(5, 4, 4, 4, 4))
    given = torch.from_numpy(rows.reshape(5, 64))
    for matrix, rule in ((wide[0], "nabc,caxy->nbxy"), (wide, "nabc,ncaxy->nbxy")):
        found, qubits = vectors.apply(given, [4, 1, 7], (7, 4), torch.from_numpy(matrix.reshape(*matrix.shape[:-4], 16, 16)))
        assert qubits == [1, 7, 4]
        np.testing.assert_allclose(found, np.einsum(rule, rows, matrix).reshape(5, 64), atol=1e-12)
    gone, _ = vectors.apply(given, [4, 1, 7], (1,), torch.arange(4.0, dtype=torch.float64)[:, None])
    np.testing.assert_allclose(gone, np.einsum("nabc,b->nac", rows, np.arange(4.0)).reshape(5, 16), atol=1e-12)


def test_axes_are_ordered_and_joined_by_their_qubits() -> None:
    parts = {qubit: torch.from_numpy(RANDOM.normal(size=(5, 4))) for qubit in (4, 1, 7)}
    whole, qubits = vectors.joint([(parts[qubit], [qubit]) for qubit in (4, 1, 7)])
    assert qubits == [4, 1, 7]
    np.testing.assert_allclose(whole, np.einsum("na,nb,nc->nabc", parts[4], parts[1], parts[7]).reshape(5, 64))
    moved = vectors.ordered(whole, qubits, [7, 4, 1])
    np.testing.assert_allclose(moved, np.einsum("na,nb,nc->nabc", parts[7], parts[4], parts[1]).reshape(5, 64))
    assert vectors.ordered(whole, qubits, [4, 1, 7]) is whole


# blocks


def dial(qubit: int) -> Dial:
    return Dial(qubit, RANDOM.normal(size=(3, 4, 4)) / 2, RANDOM.normal(size=2), RANDOM.normal(size=3), RANDOM.normal())


def turned(one: Dial, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The matrix of a dial, by its definition."""
    x = one.by_weight @ weights + one.by_angle @ angles + one.offset
    return one.parts[0] + np.cos(x) * one.parts[1] + np.sin(x) * one.parts[2]


def test_dials_and_fixed_steps_are_arranged_to_the_same_map() -> None:
    weights, angles = RANDOM.normal(size=2), RANDOM.normal(size=3)
    square = {1: lambda: RANDOM.normal(size=(4, 4)) / 2, 2: lambda: RANDOM.normal(size=(16, 16)) / 4}
    places: list[Any] = [(0,), 0, 0, (0,), (1,), (1, 0), (0,), 2, (0, 1), 1, (1,), (1, 0), (2, 1), (2,), 2, (2,)]
    steps = [dial(at) if isinstance(at, int) else Fixed(at, square[len(at)]()) for at in places]
    slow: list[tuple[tuple[int, ...], np.ndarray]] = [
        (step.qubits, turned(step, weights, angles) if isinstance(step, Dial) else step.matrix) for step in steps
    ]
    arranged = room.arrange(steps)
    assert [block.qubits for block in arranged] == [(1, 0), (1, 0), (2, 1), (2,)]  # (0, 1) went into the first of them
    quick = Track(arranged, 2, 3)(torch.from_numpy(weights), torch.from_numpy(angles)[None])
    results = []
    for parts in (slow, [(qubits, matrix.squeeze(0).numpy()) for qubits, matrix in quick]):
        state, qubits = torch.eye(64, dtype=torch.float64), [0, 1, 2]
        for touched, matrix in parts:
            state, qubits = vectors.apply(state, qubits, touched, torch.from_numpy(np.array(matrix)).mT)
        results.append(vectors.ordered(state, qubits, [0, 1, 2]))
    torch.testing.assert_close(*results, atol=1e-10, rtol=0)


def test_blocks_of_a_compiled_circuit_are_its_density_matrix() -> None:
    circuit, angle, weight = written()
    noise, weights, angles = Uneven(), np.array([0.7, -1.9]), RANDOM.normal(size=(5, 3))
    first, rest = room.blocks(circuit, weight, angle, noise)
    assert [dial.by_angle.any() for block in rest for chain in block.chains for dial in chain] == [False] * 3  # U2 and RX(w)
    assert room.touched(first) == (0, 1, 2)
    assert {3} <= set(room.touched(rest))
    order = [2, 0, 3, 1]
    track = [Track(part, 2, 3) for part in (first, rest)]
    given = torch.from_numpy(weights), torch.from_numpy(angles)
    state, qubits = track[0].states(*given, order), order
    for touched, matrix in track[1](given[0]):
        state, qubits = vectors.apply(state, qubits, touched, matrix.mT)
    found = vectors.ordered(state, qubits, order)
    for row, values in zip(found, angles, strict=True):
        rho = density(circuit, {**dict(zip(angle, values, strict=True)), **dict(zip(weight, weights, strict=True))}, noise)
        np.testing.assert_allclose(row, pauli_vector(rho.data, order), atol=1e-7)  # Aer's canonical Kraus operators round


def test_qubits_enter_where_they_are_first_used_and_the_width_counts_those_in_use() -> None:
    made = [Block(qubits, np.eye(4 ** len(qubits)), [[] for _ in qubits]) for qubits in ((0, 1), (1, 2), (3,))]
    assert room.touched(made) == (0, 1, 2, 3)
    assert room.leaving(made, (0,)) == {0: [1], 1: [2], 2: [3]}
    assert room.leaving(made, (0, 1, 3)) == {1: [2]}
    assert room.width(made, (0,)) == 2  # nothing is asked of 3 while 1 and 2 are in use
    assert room.width(made, (0,), end=(2, 3)) == 3
    assert room.width(made, (0, 3), end=(1, 2)) == 4


# track and grid


def test_chains_act_in_order_of_time_and_untouched_qubits_stay_zero() -> None:
    early, late, weights = dial(5), dial(5), RANDOM.normal(size=2)
    track = Track([Block((5,), RANDOM.normal(size=(4, 4)), [[early, late]])], 2, 3)
    angles = RANDOM.normal(size=(3, 3))
    ((qubits, found),) = track(torch.from_numpy(weights), torch.from_numpy(angles))
    assert qubits == (5,)
    assert found.shape == (3, 4, 4)
    states = track.states(torch.from_numpy(weights), torch.from_numpy(angles), [8, 5])
    for matrix, state, row in zip(found, states, angles, strict=True):
        expected = track.fixed_1[0].numpy() @ turned(late, weights, row) @ turned(early, weights, row)
        np.testing.assert_allclose(matrix, expected, atol=1e-12)
        np.testing.assert_allclose(state, np.kron(ptm.ZERO, expected @ ptm.ZERO), atol=1e-12)
    assert Track([], 2, 3)(torch.from_numpy(weights)) == []


@pytest.mark.parametrize("layout", [[2, 0, 1], [1, 3, 0]])
def test_probabilities_on_a_grid_are_those_of_the_density_matrix(layout: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, angle, weight = written()
    bound, noise = circuit.assign_parameters(dict(zip(weight, (0.7, -1.9), strict=True))), Uneven()
    found = grid.probabilities(bound, AXIS[:2], angle, noise, layout)
    expected = []
    for values in combinations(AXIS[:2], 3):
        rho = density(bound, dict(zip(angle, values, strict=True)), noise)
        expected.append(rho.probabilities(layout[::-1]))  # Qiskit's last qubit is the leftmost bit
    np.testing.assert_allclose(found, expected, atol=1e-7)
    monkeypatch.setattr(grid, "BLOCK", 1)  # one outcome at a time
    monkeypatch.setattr(grid, "HELD", 1)
    np.testing.assert_allclose(grid.probabilities(bound, AXIS[:2], angle, noise, layout), expected, atol=1e-7)
    monkeypatch.setattr(grid, "MAX_WIDTH", 1)
    with pytest.raises(UnsupportedError, match="Pauli strings for 8 outcomes"):
        grid.probabilities(bound, AXIS[:2], angle, noise, layout)


def test_angles_that_enter_in_another_order_than_their_qubits_keep_their_axes() -> None:
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    angle, circuit = ParameterVector("angle", 3), QuantumCircuit(3)
    for qubit, index in enumerate((1, 2, 0)):
        circuit.ry(angle[index], qubit)
    noise = Uneven()
    noise.errors = dict.fromkeys(noise.errors)
    found = grid.probabilities(circuit, AXIS, angle, noise, [0, 1, 2]).reshape(3, 3, 3, 2, 2, 2)
    bits = np.stack([np.cos(AXIS / 2) ** 2, np.sin(AXIS / 2) ** 2], -1)
    np.testing.assert_allclose(found, np.einsum("ax,by,cz->abcyzx", bits, bits, bits), atol=1e-12)
