from __future__ import annotations

import numpy as np
import pytest
import torch
from noise_cases import chi_square, counted
from quantum_cases import AXIS, asymmetric, inputs, uneven

from hqc_ray import circuits, devices
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import combinations
from hqc_ray.quantum.noise import base, machines
from hqc_ray.quantum.transfer import blocks, ptm, vectors
from hqc_ray.quantum.transfer import grid as transfer

SHOTS = 40_000
LEVEL = 1e-3  # of the chi-square tests; the samples are seeded


@pytest.mark.parametrize(
    ("machine", "circuit"),
    [
        ("fake_manila", asymmetric()),
        ("fake_guadalupe", circuits.get("vqc1", 4, "ry")),  # 16 qubits
        ("fake_essex", asymmetric()),  # its calibration has no measurement
    ],
    ids=repr,
)
def test_probabilities_are_those_of_aers_counts(machine: str, circuit: Circuit) -> None:
    device = devices.get("qiskit.aer", noise=machine)
    weights, angles = inputs(circuit, batch=1)
    counts = counted(device, circuit, weights, angles[0], SHOTS)
    ideal = devices.get("qiskit.aer").probabilities(circuit, weights, angles)[0]
    assert chi_square(counts, device.probabilities(circuit, weights, angles)[0]) > LEVEL
    assert chi_square(counts, ideal) < 1e-20  # the test sees noise


def test_the_chi_square_test_sees_readout_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", noise="fake_manila")
    weights, angles = inputs(circuit, batch=1)
    counts = counted(device, circuit, weights, angles[0], SHOTS)
    monkeypatch.setattr(base.Noise, "read", lambda _, probabilities, layout: probabilities)
    assert chi_square(counts, device.probabilities(circuit, weights, angles)[0]) < LEVEL / 1000


def test_readout_goes_to_the_physical_qubit_of_each_wire() -> None:
    flips = {4: np.array([[0.9, 0.1], [0.3, 0.7]]), 1: np.array([[0.8, 0.2], [0.4, 0.6]])}
    machine = machines.Machine(machines.backend("fake_manila"))
    machine._readout = flips
    read = machine.read(np.eye(8), layout=[4, 2, 1])  # rows: the true outcome
    one, two = flips[4], flips[1]
    expected = np.einsum("ab,cd,ef->acebdf", one, np.eye(2), two).reshape(8, 8)
    np.testing.assert_allclose(read, expected)


def test_noise_is_bound_to_the_circuit_and_to_the_machine() -> None:
    circuit = circuits.get("vqc1", 3)
    facts = devices.get("qiskit.aer", noise="fake_manila").facts(circuit)
    assert facts.noisy_gates > facts.two_qubit_gates >= 12
    assert facts.layout is not None
    assert facts.noisy_readouts == len(set(facts.layout)) == 3
    assert facts.depth > devices.get("default.qubit").facts(circuit).depth / 2
    assert devices.get("qiskit.aer").facts(circuit).noisy_gates == 0
    assert facts.backend is None


def test_the_compiled_circuit_has_the_machines_gates_and_the_angles_as_parameters() -> None:
    circuit, device = circuits.get("vqc6", 4), devices.get("qiskit.aer", noise="fake_manila")
    weights, angles = inputs(circuit)
    compiled = device.compiled(circuit, weights)
    assert [parameter.name for parameter in compiled.parameters] == [f"angle[{wire}]" for wire in range(4)]
    assert set(compiled.count_ops()) <= {"cx", "rz", "sx", "x", "measure"}
    coupled = set(machines.backend("fake_manila").coupling_map.get_edges())
    two = [base.positions(compiled, step) for step in compiled.data if step.operation.name == "cx"]
    assert set(two) <= coupled
    qiskit.compiled.cache_clear()
    again = device.compiled(circuit, weights)  # the transpiler is seeded; parameters of two compilations are never equal
    assert again.assign_parameters(angles[0].tolist()) == compiled.assign_parameters(angles[0].tolist())


@pytest.mark.parametrize("name", ["fake_manila", "FakeManilaV2", "FakeManila", "manila", "Fake-Manila", " fake manila v2"])
def test_the_ways_to_write_a_machine(name: str) -> None:
    assert devices.get("qiskit.aer", noise=name).noise == "fake_manila"


@pytest.mark.parametrize("machine", ["fake_manila", "fake_essex"])  # rz and sx; u2 and u3
@pytest.mark.parametrize("circuit", [asymmetric(), uneven(), circuits.get("vqc6", 3, "h+ry"), circuits.get("sim3", 4)], ids=repr)
def test_transfer_matrices_equal_aer(machine: str, circuit: Circuit) -> None:
    device = devices.get("qiskit.aer", noise=machine)
    weights = inputs(circuit)[0].numpy()
    expected = device.run(circuit, weights, combinations(AXIS, circuit.n_qubits))
    np.testing.assert_allclose(device.tabulate(circuit, weights, AXIS), expected, atol=1e-12)


def test_transfer_matrices_are_what_tabulate_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", noise="fake_manila")
    weights = inputs(circuit)[0].numpy()
    expected = device.run(circuit, weights, combinations(AXIS, 3))

    def never(*_: object) -> np.ndarray:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(Aer, "run", never)
        np.testing.assert_allclose(device.tabulate(circuit, weights, AXIS), expected, atol=1e-12)
    monkeypatch.setattr(transfer, "MAX_WORK", 1)  # too large for them: falls back to Aer
    np.testing.assert_array_equal(device.tabulate(circuit, weights, AXIS), expected)


@pytest.mark.parametrize(("machine", "gate"), [("fake_manila", "cx"), ("fake_essex", "u2"), ("fake_sherbrooke", "ecr")])
def test_the_transfer_matrix_of_an_error_is_qiskits(machine: str, gate: str) -> None:
    from qiskit.quantum_info import PTM

    known = machines.machine(machine).backend.target[gate]
    for qubits in list(known)[:3]:
        error = machines.machine(machine).error(gate, qubits)
        expected = PTM(error.to_quantumchannel()).data.real
        np.testing.assert_allclose(ptm.error_transfer(error, len(qubits)), expected, atol=len(error.circuits) * 1e-10)
        assert np.abs(expected - np.eye(len(expected))).max() > 1e-5


def test_many_states_meet_the_effects_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, device = circuits.get("vqc1", 3, reuploads=2), devices.get("qiskit.aer", noise="fake_manila")
    weights = inputs(circuit)[0].numpy()
    expected = device.run(circuit, weights, combinations(AXIS, 3))
    for name, entries in (
        ("STATES", 4**3 * 5),
        ("BLOCK", 4**3),
        ("HELD", 4**3 * 2),
    ):  # in fives, ones and pairs
        monkeypatch.setattr(transfer, name, entries)
        np.testing.assert_allclose(device.tabulate(circuit, weights, AXIS), expected, atol=1e-12)


def test_rare_terms_are_dropped_as_aer_drops_them(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", noise="fake_santiago")  # has errors with probabilities below 1e-10
    weights = inputs(circuit)[0].numpy()
    exact = device.run(circuit, weights, combinations(AXIS, 3))
    np.testing.assert_allclose(device.tabulate(circuit, weights, AXIS), exact, atol=1e-12)
    monkeypatch.setattr(ptm, "AER_THRESHOLD", 0.0)
    assert 1e-10 < np.abs(device.tabulate(circuit, weights, AXIS) - exact).max() < 1e-8


def test_blocks_are_the_same_map_in_fewer_steps() -> None:
    generator = np.random.default_rng(0)
    matrices = {1: lambda: generator.normal(size=(4, 4)) / 2, 2: lambda: generator.normal(size=(16, 16)) / 4}
    wires = [(0,), (1,), (0, 1), (1, 0), (2,), (1, 2), (2,), (0,), (0, 1), (2, 1), (1, 2), (0,), (2, 0)]
    steps = [blocks.Fixed(at, matrices[len(at)]()) for at in wires]
    arranged = blocks.arrange([*steps])
    assert len(arranged) == 5

    def whole(parts: list[blocks.Fixed] | list[blocks.Block]) -> torch.Tensor:
        state, qubits = torch.eye(64, dtype=torch.float64), [0, 1, 2]
        for part in parts:
            state, qubits = vectors.apply(state, qubits, part.qubits, torch.from_numpy(part.matrix).T)
        return vectors.ordered(state, qubits, [0, 1, 2])

    torch.testing.assert_close(whole(arranged), whole(steps), atol=1e-10, rtol=0)


def test_an_angle_may_enter_a_gate_with_a_slope_and_beside_another() -> None:
    """What no circuit of the table compiles to, but a compiler may: rz(2 x0 - x1 + 0.3)."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit_aer import AerSimulator

    angle, device = ParameterVector("angle", 2), devices.get("qiskit.aer", depolarizing_2q=0.1, amplitude_damping=0.05)
    noise = device.noise_model()
    assert noise is not None
    written = QuantumCircuit(2)
    for wire in (0, 1):
        written.sx(wire)
    written.rz(2 * angle[0] - angle[1] + 0.3, 0)
    written.rz(angle[1], 1)
    for wire in (0, 1):
        written.sx(wire)
    written.cx(0, 1)
    found = transfer.probabilities(written, AXIS, angle, noise, [0, 1])
    program = written.copy()
    program.save_probabilities([1, 0])
    simulator = AerSimulator(method="density_matrix", noise_model=noise.model(written))
    bound = [program.assign_parameters(row) for row in combinations(AXIS, 2)]
    exact = np.stack([simulator.run(one).result().data(0)["probabilities"] for one in bound])
    np.testing.assert_allclose(found, exact, atol=1e-12)
    assert np.ptp(found, axis=0).max() > 0.1
