from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from noise_cases import written_out
from quantum_cases import AXIS, asymmetric, inputs

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import combinations
from hqc_ray.quantum.noise import base, machines
from hqc_ray.quantum.transfer import grid as transfer
from hqc_ray.quantum.transfer import ptm
from hqc_ray.spec import SweepSpec

ALL = {
    "depolarizing_1q": 0.01, "depolarizing_2q": 0.03, "amplitude_damping": 0.02, "phase_damping": 0.05,
    "t1_us": 40.0, "t2_us": 55.0, "gate_time_1q_ns": 60.0, "gate_time_2q_ns": 500.0, "readout_01": 0.03, "readout_10": 0.11,
}  # fmt: skip
EACH: list[dict[str, float]] = [
    {"depolarizing_1q": 0.02},
    {"depolarizing_2q": 0.05},
    {"amplitude_damping": 0.03},
    {"phase_damping": 0.04},
    {"t1_us": 20.0},
    {"t2_us": 15.0},
    {"t1_us": 20.0, "t2_us": 15.0, "gate_time_2q_ns": 700.0},
    {"readout_01": 0.07},
    {"readout_10": 0.07},
    ALL,
]
IDEAL = devices.get("default.qubit")


def kraus(options: dict[str, float], arity: int) -> list[list[np.ndarray]]:
    """The textbook's channels on one qubit of a gate on `arity` qubits, in order; Nielsen and Chuang, 8.3."""
    gamma, phase = options.get("amplitude_damping", 0), options.get("phase_damping", 0)
    time = options.get(f"gate_time_{arity}q_ns", (35, 300)[arity - 1]) / 1000
    t1 = options.get("t1_us", math.inf)
    t2 = options.get("t2_us", 2 * t1)
    lost, pure = 1 - math.exp(-time / t1), 1 - math.exp(-2 * time * (1 / t2 - 1 / (2 * t1)))
    shrink = [(np.diag([1, math.sqrt(1 - g)]), np.array([[0, math.sqrt(g)], [0, 0]])) for g in (gamma, lost)]
    dephase = [(np.diag([1, math.sqrt(1 - p)]), np.diag([0, math.sqrt(p)])) for p in (phase, pure)]
    return [list(channel) for channel in (shrink[0], dephase[0], shrink[1], dephase[1])]


def on(matrix: np.ndarray, qubits: tuple[int, ...], n: int, state: np.ndarray) -> np.ndarray:
    """`matrix` on `qubits` (Qiskit's order: last one most significant) of a state with n row and n column axes."""
    axes, k = list(qubits[::-1]), len(qubits)
    for conjugate, shift in ((False, 0), (True, n)):
        tensor = (matrix.conj() if conjugate else matrix).reshape([2] * 2 * k)
        moved = np.tensordot(tensor, state, axes=(range(k, 2 * k), [axis + shift for axis in axes]))
        state = np.moveaxis(moved, range(k), [axis + shift for axis in axes])
    return state


def by_hand(device: Aer, options: dict[str, float], circuit: Circuit, weights: torch.Tensor, angles: torch.Tensor) -> np.ndarray:
    """Probabilities [2**Q] of the compiled circuit by density matrices, with the channels of `kraus`; nothing of Aer."""
    compiled, n = device.compiled(circuit, weights), circuit.n_qubits
    bound = compiled.assign_parameters({parameter: float(angles[parameter.index]) for parameter in compiled.parameters})
    rho = np.zeros([2] * 2 * n, dtype=complex)
    rho[(0,) * 2 * n] = 1
    wires = {}
    for step in bound.data:
        qubits = base.positions(bound, step)
        if step.operation.name == "measure":
            wires[bound.find_bit(step.clbits[0]).index] = qubits[0]
            continue
        rho, k = on(step.operation.to_matrix(), qubits, n, rho), len(qubits)
        if step.operation.name == "rz":
            continue
        p = options.get(f"depolarizing_{k}q", 0)
        pairs = [*qubits, *(qubit + n for qubit in qubits)]
        mixed = np.trace(np.moveaxis(rho, pairs, range(2 * k)).reshape(2**k, 2**k, *[2] * 2 * (n - k)))
        whole = np.multiply.outer(np.eye(2**k).reshape([2] * 2 * k) / 2**k, mixed)
        rho = (1 - p) * rho + p * np.moveaxis(whole, range(2 * k), pairs)
        for qubit in qubits:
            for channel in kraus(options, k):
                rho = sum(on(operator, (qubit,), n, rho) for operator in channel)
    true = np.diagonal(rho.reshape(2**n, 2**n)).real.reshape([2] * n).transpose([wires[wire] for wire in range(n)])
    zero, one = options.get("readout_01", 0), options.get("readout_10", 0)
    for wire in range(n):
        true = np.moveaxis(np.tensordot(true, np.array([[1 - zero, zero], [one, 1 - one]]), axes=([wire], [0])), -1, wire)
    return true.reshape(-1)


@pytest.mark.parametrize("options", EACH, ids=str)
def test_each_channel_is_the_textbooks(options: dict[str, float]) -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", **options)
    weights, angles = inputs(circuit, batch=2)
    noisy = device.probabilities(circuit, weights, angles)
    for row, at in zip(noisy, angles, strict=True):
        np.testing.assert_allclose(row, by_hand(device, options, circuit, weights, at), atol=1e-9)
    assert (noisy - IDEAL.probabilities(circuit, weights, angles)).abs().max() > 1e-3
    table = device.tabulate(circuit, weights.numpy(), AXIS)
    exact = device.run(circuit, weights.numpy(), combinations(AXIS, 3))
    np.testing.assert_allclose(table, exact, atol=1e-12)
    assert surrogate.fit(circuit, weights, device).max_error < 1e-12


@pytest.mark.parametrize("machine", ["fake_manila", "fake_essex", "fake_guadalupe", "fake_sherbrooke"])  # cx, u2 and u3, cx, ecr
def test_the_errors_of_a_machine_are_those_of_aers_whole_model(machine: str) -> None:
    ours, theirs = machines.machine(machine), written_out(devices.get("qiskit.aer", noise=machine))
    known = {gate: dict(list(errors.items())[:6]) for gate, errors in theirs._local_quantum_errors.items()}
    assert sum(len(errors) for errors in known.values()) >= 15
    for gate, errors in known.items():
        for qubits, error in errors.items():
            expected = ptm.error_transfer(error, len(qubits))
            np.testing.assert_allclose(ptm.error_transfer(ours.error(gate, qubits), len(qubits)), expected, atol=1e-12)
    assert ours.error("rz", (0,)) is None
    readout = {qubits[0]: error.probabilities for qubits, error in theirs._local_readout_errors.items()}
    for qubit in range(ours.backend.num_qubits):
        matrix = ours.assignment(qubit)
        assert (matrix is None) == (qubit not in readout)
        if matrix is not None:
            np.testing.assert_allclose(matrix, readout[qubit])


def test_scale_0_is_the_ideal_device_bit_for_bit() -> None:
    circuit = circuits.get("vqc1", 4)
    weights, angles = inputs(circuit)
    ideal = devices.get("qiskit.aer").probabilities(circuit, weights, angles)
    for options in ({"noise": "fake_guadalupe", "noise_scale": 0}, {**ALL, "noise_scale": 0}, {"depolarizing_2q": 0}):
        device = devices.get("qiskit.aer", **options)
        assert torch.equal(device.probabilities(circuit, weights, angles), ideal)
        facts = device.facts(circuit)
        assert facts.noisy_gates == facts.noisy_readouts == 0
    on_machine, off = devices.get("qiskit.aer", noise="fake_guadalupe"), devices.get("qiskit.aer").facts(circuit)
    silent = on_machine.model_copy(update={"noise_scale": 0.0}).facts(circuit)
    assert silent.depth == on_machine.facts(circuit).depth > off.depth  # facts remain those of the machine


def test_scale_multiplies_the_numbers_and_divides_the_times() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    half = {k: v if "time" in k else 2 * v if k in ("t1_us", "t2_us") else v / 2 for k, v in ALL.items()}
    scaled = devices.get("qiskit.aer", **ALL, noise_scale=0.5).probabilities(circuit, weights, angles)
    written = devices.get("qiskit.aer", **half).probabilities(circuit, weights, angles)
    torch.testing.assert_close(scaled, written, atol=1e-12, rtol=0)
    full = devices.get("qiskit.aer", **ALL, noise_scale=1).probabilities(circuit, weights, angles)
    assert torch.equal(full, devices.get("qiskit.aer", **ALL).probabilities(circuit, weights, angles))
    assert (full - scaled).abs().max() > 1e-2


def test_scale_multiplies_a_machines_errors() -> None:
    from qiskit.quantum_info import average_gate_fidelity

    def infidelity(scale: float, gate: str, qubits: tuple[int, ...]) -> float:
        return 1 - average_gate_fidelity(machines.machine("fake_manila", scale).error(gate, qubits).to_quantumchannel())

    calibrated = machines.backend("fake_manila").target
    for scale in (0.25, 3.0):
        machine = machines.machine("fake_manila", scale)
        assert infidelity(scale, "cx", (1, 0)) == pytest.approx(scale * calibrated["cx"][1, 0].error, rel=1e-6)
        for gate, qubits in (("cx", (3, 4)), ("sx", (3,))):  # of sx on 3 there is no more than its relaxation
            assert infidelity(scale, gate, qubits) == pytest.approx(scale * infidelity(1.0, gate, qubits), rel=2e-2)
        plain, more = machines.machine("fake_manila").assignment(2), machine.assignment(2)
        np.testing.assert_allclose(more - np.eye(2), scale * (plain - np.eye(2)))
    circuit = circuits.get("vqc3", 4)
    weights, angles = inputs(circuit)
    ideal = IDEAL.probabilities(circuit, weights, angles)
    devices_at = [devices.get("qiskit.aer", noise="fake_manila", noise_scale=scale) for scale in (0, 1e-6, 0.3, 1, 2)]
    far = [float((device.probabilities(circuit, weights, angles) - ideal).abs().max()) for device in devices_at]
    assert far == sorted(far)
    assert far[1] < 1e-5 < 1e-2 < far[2] < 0.8 * far[3] < 0.8 * far[4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depolarizing_2q": 0.01}, r"depolarizing_2q would never fire.*'sim1'.*no 2-qubit gate"),
        ({"depolarizing_2q": 0.01, "depolarizing_1q": 0.01, "noise_scale": 0}, "depolarizing_2q would never fire"),
        ({"t1_us": 50, "gate_time_1q_ns": 0, "readout_01": 0.1}, "t1_us would never fire.*no 2-qubit gate"),
        ({"t2_us": 50, "gate_time_1q_ns": 0, "gate_time_2q_ns": 0}, "t2_us would never fire.*no gate that takes time"),
        ({"noise": "fake_manila", "noise_scale": 100}, r"noise_scale 100 takes the error of readout on fake_manila.*0 to [1-9]"),
        ({"noise": "fake_essex", "noise_scale": 1e4}, r"noise_scale 10000 takes the error of (u\d on .*|readout) on fake_essex"),
    ],
)
def test_what_cannot_act_is_refused_before_anything_runs(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Aer, "run", lambda *_: pytest.fail("ran"))
    circuit, device = circuits.get("sim1", 3), devices.get("qiskit.aer", **options)  # no two-qubit gates
    for call in (device.check, device.facts, lambda c: device.expectations(c, *inputs(c))):
        with pytest.raises(DeviceError, match=message) as caught:
            call(circuit)
        assert "\n" not in str(caught.value)


def test_what_acts_is_not_refused() -> None:
    one, two = circuits.get("sim1", 3), circuits.get("sim2", 3)
    devices.get("qiskit.aer", **ALL).check(two)
    for options in ({"depolarizing_2q": 0.0}, {"depolarizing_1q": 0.1}, {"t1_us": 9}, {"readout_10": 0.1}):
        devices.get("qiskit.aer", **options).check(one)
    devices.get("qiskit.aer", noise="fake_manila", noise_scale=1.5).check(one)


def test_a_machine_whose_errors_are_on_other_gates_never_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines.Machine, "_derived", lambda *_: None)
    machines.machine.cache_clear()
    machines.noise_of.cache_clear()
    with pytest.raises(DeviceError, match=r"no gate of .*'vqc1'.* carries an error on fake_manila"):
        devices.get("qiskit.aer", noise="fake_manila").check(circuits.get("vqc1", 3))
    machines.machine.cache_clear()
    machines.noise_of.cache_clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depolarizing_1q": 1.5}, "depolarizing_1q: .*less than or equal to 1, not 1.5"),
        ({"readout_01": -0.1}, "readout_01: .*greater than or equal to 0"),
        ({"t1_us": 0}, "t1_us: .*greater than 0"),
        ({"t1_us": 10, "t2_us": 21}, "t2_us 21 .*up to 2 t1_us = 20"),
        ({"gate_time_1q_ns": 50}, "gate_time_1q_ns without t1_us, t2_us or zz_khz has no effect"),
        ({"gate_time_2q_ns": 50, "depolarizing_2q": 0.1}, "gate_time_2q_ns without t1_us, t2_us or zz_khz has no effect"),
        (
            {"noise": "manila", "depolarizing_1q": 0.1, "t1_us": 9},
            "fake_manila and depolarizing_1q, t1_us together",
        ),
        ({"noise_scale": 0.5}, "noise_scale without noise .*depolarizing_1q"),
        ({"noise_scale": -1, "noise": "fake_manila"}, "noise_scale: .*greater than or equal to 0"),
        ({"noise_scale": float("nan"), "noise": "fake_manila"}, "noise_scale: .*finite"),
        ({"noise_scale": 4, "readout_10": 0.3}, r"noise_scale 4 takes readout_10 0.3 above 1 .*0 to 3.33"),
        ({"depolarizing_2q": [0, 0.1]}, "depolarizing_2q: .*valid number"),
        ({"depolarising_2q": 0.1}, "unknown option 'depolarising_2q'; did you mean 'depolarizing_2q'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", **options)
    assert "\n" not in str(caught.value)


def test_gates_without_a_machine_are_the_basis_on_any_pair_and_rz_is_free() -> None:
    circuit, device = (
        circuits.get("vqc6", 4),
        devices.get("qiskit.aer", depolarizing_1q=0.01, depolarizing_2q=0.01, readout_10=0.1),
    )
    compiled = device.compiled(circuit, inputs(circuit)[0])
    counts = compiled.count_ops()
    assert set(counts) <= {"rz", "sx", "x", "cx", "measure"}
    pairs = {frozenset(base.positions(compiled, step)) for step in compiled.data if step.operation.name == "cx"}
    assert len(pairs) == 6  # nothing is routed
    facts = device.facts(circuit)
    assert facts.layout == (0, 1, 2, 3)
    assert facts.noisy_gates == counts["sx"] + counts.get("x", 0) + counts["cx"] < facts.gates
    assert facts.noisy_readouts == 4


def test_labels_and_dumps_show_what_differs() -> None:
    get = devices.get
    assert get("qiskit.aer", noise="manila", noise_scale=0.5, shots=8).label == "qiskit.aer[fake_manila,noise_scale=0.5,shots=8]"
    named = get("qiskit.aer", depolarizing_2q=0, t1_us=100, gate_time_1q_ns=35, transpile_seed=3)
    assert named.label == "qiskit.aer[depolarizing_2q=0,t1_us=100,transpile_seed=3]"
    assert get("qiskit.aer", noise="manila", noise_scale=1).label == "qiskit.aer[fake_manila]"
    dumped, plain = named.model_dump(mode="json"), get("qiskit.aer").model_dump(mode="json")
    assert dumped == {**plain, "depolarizing_2q": 0.0, "t1_us": 100.0, "transpile_seed": 3}
    assert get("qiskit.aer", **dumped) == named


def test_a_list_in_a_sweep_file_is_an_axis() -> None:
    axes = {"name": "qiskit.aer", "depolarizing_2q": [0, 0.01], "readout_10": [0.1, 0.2]}
    block = {
        "data": {"source": "synthetic", "size": 10},
        "model": {"backbone": "cnn1", "head": "vqc1"},
        "device": axes,
        "seed": 0,
    }
    cells = SweepSpec(name="axes", blocks=({**block, "attack": {"name": "clean"}},)).points()
    labels = [devices.get(cell.device.name, **cell.device.options).label for cell in cells if cell.device]
    assert labels[0] == "qiskit.aer[depolarizing_2q=0,readout_10=0.1]"
    assert len(set(labels)) == 4


def test_a_qubit_that_routing_passes_through_costs_only_while_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit_aer import AerSimulator

    angle, device = ParameterVector("angle", 3), devices.get("qiskit.aer", **ALL)
    machine, layout = device.noise_model(), [2, 4, 0]
    assert machine is not None
    routed = QuantumCircuit(6)
    for qubit in range(3):
        routed.sx(qubit)
        routed.rz(angle[qubit], qubit)
        routed.sx(qubit)
    for pair in ((0, 1), (1, 3), (3, 1), (1, 3), (0, 3), (3, 4), (4, 3), (3, 4), (2, 5), (5, 4), (4, 2)):  # 1 -> 3 -> 4
        routed.cx(*pair)
        routed.sx(pair[1])
    given = (routed, AXIS, angle, machine, layout)
    program = routed.copy()
    program.save_probabilities(layout[::-1])
    simulator = AerSimulator(method="density_matrix", noise_model=machine.model(routed))
    bound = [program.assign_parameters(row) for row in combinations(AXIS, 3)]
    exact = np.stack([simulator.run(one).result().data(0)["probabilities"] for one in bound])
    np.testing.assert_allclose(transfer.probabilities(*given), exact, atol=1e-12)
    monkeypatch.setattr(transfer, "BLOCK", 4**4 * 2)  # two outcomes at a time
    np.testing.assert_allclose(transfer.probabilities(*given), exact, atol=1e-12)
    monkeypatch.setattr(transfer, "MAX_WORK", 4**4 * 8)  # six qubits, but four of them at a time
    np.testing.assert_allclose(transfer.probabilities(*given), exact, atol=1e-12)
    monkeypatch.setattr(transfer, "MAX_WORK", 4**4 * 8 - 1)
    with pytest.raises(transfer.UnsupportedError):
        transfer.probabilities(*given)
