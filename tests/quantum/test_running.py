"""Waits, couplings and excess turns: against Qiskit's own scheduler and Aer's own relaxation pass, and against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from noise_cases import written_out
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.quantum_info import Operator, Statevector
from qiskit.transpiler import InstructionDurations, PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay
from quantum_cases import AXIS, asymmetric, inputs

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.plan import content_key
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import combinations
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.base import Noise, positions
from hqc_ray.quantum.noise.running import EXCESS, LABEL, Extras, running, schedule
from hqc_ray.results.row import Deployed
from hqc_ray.spec import DeviceSpec, ModelSpec
from hqc_ray.sweep.graph.resolve import Rooms

BY_NUMBERS = {"t1_us": 40.0, "t2_us": 25.0, "gate_time_2q_ns": 410.0, "depolarizing_2q": 0.01, "readout_10": 0.05}
COHERENT = {"zz_khz": 60.0, "overrotation_1q": 0.03, "overrotation_2q": -0.05}


def padded(device: Aer, measured: Any) -> Any:
    """A compiled circuit with Qiskit's own delays, as late as possible, on one register of physical qubits."""
    plain = QuantumCircuit(QuantumRegister(measured.num_qubits, "q"), *measured.cregs)
    for step in measured.data:
        plain.append(step.operation, positions(measured, step), step.clbits)
    if device.noise is not None:
        given: dict[str, Any] = {"target": machines.backend(device.noise).target}
    else:
        one, two = int(device.gate_time_1q_ns), int(device.gate_time_2q_ns)
        names = [("rz", None, 0), ("sx", None, one), ("x", None, one), ("cx", None, two), ("measure", None, 0)]
        given = {"durations": InstructionDurations([(*name, "dt") for name in names], dt=1e-9)}
    return PassManager([ALAPScheduleAnalysis(**given), PadDelay(**given)]).run(plain)


def by_aer(device: Aer, circuit: Circuit, weights: Any, angles: np.ndarray) -> np.ndarray:
    """Probabilities [N, 2**Q] by Aer's own model, whose pass turns the delays into relaxation; nothing of ours but the layout."""
    from qiskit.circuit import Delay
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise.passes import RelaxationNoisePass

    compiled = device.compiled(circuit, weights)
    layout = device.facts(circuit).layout
    program, rows = padded(device, compiled), []
    if device.noise is None:  # of a machine, Aer's model has this pass of its own accord
        t1, t2 = ([value * 1e-6] * program.num_qubits for value in (device.t1_us, device.t2_us))
        program = RelaxationNoisePass(t1, t2, dt=1e-9, op_types=Delay)(program)
    program.remove_final_measurements()
    program.save_probabilities(list(layout)[::-1])
    simulator = AerSimulator(method="density_matrix", noise_model=written_out(device), max_parallel_threads=1)
    for row in angles:
        bound = program.assign_parameters({parameter: row[parameter.index] for parameter in program.parameters})
        rows.append(simulator.run(bound).result().data(0)["probabilities"])
    return device.noise_model().read(np.stack(rows), list(layout))


@pytest.mark.parametrize(
    ("options", "circuit"),
    [
        ({"noise": "fake_manila"}, asymmetric()),
        ({"noise": "fake_jakarta"}, circuits.get("vqc6", 3)),
        (BY_NUMBERS, asymmetric()),
    ],
    ids=str,
)
def test_waits_are_those_of_aer_on_the_circuit_that_qiskit_padded(options: dict[str, Any], circuit: Circuit) -> None:
    device = devices.get("qiskit.aer", **options, idle=True)
    weights, angles = inputs(circuit, batch=2)
    found = device.run(circuit, weights.numpy(), angles.numpy())
    np.testing.assert_allclose(found, by_aer(device, circuit, weights, angles.numpy()), atol=1e-9)
    without = device.model_copy(update={"idle": False}).run(circuit, weights.numpy(), angles.numpy())
    assert np.abs(found - without).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"noise": "fake_manila", "idle": True, **COHERENT},
        {"noise": "fake_sherbrooke", "idle": True, "noise_scale": 1.5, **COHERENT},  # ecr
        {"noise": "fake_torino", "idle": True, **COHERENT},  # cz
        {"noise": "fake_essex", "overrotation_1q": 0.03, "overrotation_2q": 0.05},  # u2 and u3, with open frames
        {**BY_NUMBERS, "idle": True, **COHERENT},
        {"zz_khz": -80.0},
    ],
    ids=str,
)
def test_transfer_matrices_equal_aer(options: dict[str, Any]) -> None:
    circuit, device = asymmetric(), devices.get("qiskit.aer", **options)
    weights, angles = inputs(circuit)
    device.check(circuit)
    expected = device.run(circuit, weights.numpy(), combinations(AXIS, 3))
    np.testing.assert_allclose(device.tabulate(circuit, weights.numpy(), AXIS), expected, atol=1e-12)
    assert surrogate.fit(circuit, weights, device).max_error < 1e-12
    import torch

    layer = NoisyLayer(circuit, device, torch.Generator())
    with torch.no_grad():
        layer.weights.copy_(weights)
        torch.testing.assert_close(layer(angles), device.expectations(circuit, weights, angles), atol=1e-12, rtol=0)


def test_noise_scale_acts_on_waits_couplings_and_turns() -> None:
    numbers = {"t1_us": 40.0, "t2_us": 30.0, "idle": True}
    circuit = asymmetric()
    weights, angles = (tensor.numpy() for tensor in inputs(circuit))
    doubled = devices.get("qiskit.aer", **numbers, **COHERENT, noise_scale=2)
    halves = {"t1_us": 20.0, "t2_us": 15.0, "idle": True}
    written = devices.get("qiskit.aer", **halves, **{name: 2 * value for name, value in COHERENT.items()})
    np.testing.assert_allclose(doubled.run(circuit, weights, angles), written.run(circuit, weights, angles), atol=1e-14)
    silent, ideal = devices.get("qiskit.aer", noise="manila", idle=True, **COHERENT, noise_scale=0), devices.get("qiskit.aer")
    np.testing.assert_array_equal(silent.run(circuit, weights, angles), ideal.run(circuit, weights, angles))
    assert (silent.kind, silent.facts(circuit).duration) == ("ideal", None)


def test_a_machines_waits_are_scaled_by_its_lives() -> None:
    one, three = (machines.machine("fake_manila", scale) for scale in (1.0, 3.0))
    np.testing.assert_allclose(
        one.wait(2, 3e-6).to_quantumchannel().data, three.wait(2, 1e-6).to_quantumchannel().data, atol=1e-12
    )
    assert one.wait(2, 1e-6) is one.wait(2, 1e-6)


def test_the_schedule_is_qiskits() -> None:
    circuit, device = circuits.get("vqc1", 4), devices.get("qiskit.aer", noise="fake_jakarta", idle=True)
    compiled, machine = device.compiled(circuit, inputs(circuit)[0]), machines.machine("fake_jakarta")
    expected, waits = padded(device, compiled), dict[int, list[float]]()
    for step in expected.data:
        if step.operation.name == "delay":
            waits.setdefault(positions(expected, step)[0], []).append(step.operation.duration * machine.backend.dt)
    found = running(compiled, machine, Extras(idle=True))
    ours = dict[int, list[float]]()
    for step in found.gates.data:
        if step.operation.name == "delay":
            ours.setdefault(positions(found.gates, step)[0], []).append(step.operation.duration)
    assert ours
    for qubit, times in ours.items():  # what Qiskit has more is before the first gate
        np.testing.assert_allclose(waits[qubit][len(waits[qubit]) - len(times) :], times, atol=1e-15)
    assert found.duration == pytest.approx(expected._duration * machine.backend.dt, abs=1e-12)
    assert found.idle == pytest.approx(max(sum(times) for times in ours.values()), abs=1e-15)
    facts = device.facts(circuit)
    assert (facts.duration, facts.idle) == (round(1e6 * found.duration, 6), round(1e6 * found.idle, 6))
    assert facts.gates == device.model_copy(update={"idle": False}).facts(circuit).gates


def ramsey(neighbour: bool, echo: bool) -> tuple[Any, float]:
    """Qubit 1 of a chain waits between two halves of a turn while qubit 4 is busy, and the seconds from turn to turn."""
    written, pulse = QuantumCircuit(5, 1), machines.machine("fake_manila").duration("x", (0,))
    written.sx(1)
    if neighbour:
        written.x(0)
    written.barrier()
    for _ in range(20):
        written.x(4)
    if echo:
        written.barrier()
        written.x(1)
        written.barrier()
        for _ in range(20):
            written.x(4)
    written.barrier()
    written.sx(1)
    written.measure(1, 0)
    return written, 21 * pulse


@pytest.mark.parametrize("khz", [40.0, -300.0])
def test_a_coupled_qubit_that_is_flipped_moves_the_frequency(khz: float) -> None:
    machine = machines.machine("fake_manila")
    for neighbour in (True, False):
        written, seconds = ramsey(neighbour, echo=False)
        state = Statevector(without_delays(running(written, machine, Extras(zz=khz)).gates))
        phase = 2 * math.pi * 1e3 * khz * seconds if neighbour else 0.0
        assert state.expectation_value(zs(1)).real == pytest.approx(-math.cos(phase), abs=1e-9)
    written, _ = ramsey(neighbour=True, echo=True)
    echoed = Statevector(without_delays(running(written, machine, Extras(zz=khz)).gates))
    assert abs(echoed.expectation_value(zs(1)).real) == pytest.approx(1, abs=1e-9)
    far = running(written, machine, Extras(idle=True)).gates.count_ops()
    assert "cp" not in far
    assert far["delay"] > 0


def without_delays(gates: Any) -> Any:
    kept = gates.copy_empty_like()
    for step in gates.data:
        if step.operation.name not in ("delay", "barrier"):
            kept.append(step)
    kept.remove_final_measurements()
    return kept


def zs(qubit: int) -> Any:
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp.from_sparse_list([("Z", [qubit], 1.0)], num_qubits=5)


def test_the_time_of_a_gate_on_both_qubits_is_calibrated_with_the_coupling() -> None:
    written = QuantumCircuit(2, 2)
    for qubit in (0, 1):
        written.sx(qubit)
    for _ in range(3):
        written.cx(0, 1)
    written.measure([0, 1], [0, 1])
    noise = devices.get("qiskit.aer", depolarizing_1q=0.01, gate_time_1q_ns=100.0, t1_us=1e9).noise_model()
    phases = [step.operation.params[0] for step in running(written, noise, Extras(zz=1000.0)).gates.data if step.name == "cp"]
    np.testing.assert_allclose(phases, [-2 * math.pi * 1e6 * 100e-9], atol=1e-12)  # of the pulses alone


@pytest.mark.parametrize("excess", [0.2, -1.1])
def test_a_gate_turns_too_far_about_its_own_axis(excess: float) -> None:
    def turned(name: str, *parameters: float) -> Any:
        written = QuantumCircuit(2)
        getattr(written, name)(*parameters, *range(1 if name not in PAIRS else 2))
        found = running(written, Noiseless(), Extras(excess=(excess, excess))).gates
        assert [step.operation.label for step in found.data].count(LABEL) == 1
        return Operator(found)

    def plain(name: str, *parameters: float) -> Any:
        written = QuantumCircuit(2)
        getattr(written, name)(*parameters, *range(1 if name not in PAIRS else 2))
        return Operator(written)

    for name in ("rx", "ry", "rzz", "rzx"):
        assert turned(name, 0.7).equiv(plain(name, 0.7 + excess))
    assert turned("r", 0.7, 0.4).equiv(plain("r", 0.7 + excess, 0.4))
    assert turned("u", 0.7, 0.4, -1.3).equiv(plain("u", 0.7 + excess, 0.4, -1.3))
    assert turned("x").equiv(plain("rx", math.pi + excess))
    assert turned("sx").equiv(plain("rx", math.pi / 2 + excess))
    assert turned("sxdg").equiv(plain("rx", -math.pi / 2 - excess))
    for name in ("cx", "ecr", "cz"):  # from pi / 2 about two qubits' axis, which is the entangling power
        power = abs(math.sin(math.pi / 2 + excess)) / 2
        assert entangling(turned(name)) == pytest.approx(power, abs=1e-9)
        assert entangling(plain(name)) == pytest.approx(0.5, abs=1e-9)


SINGLE = Circuit(
    "single", 2, "rx", 1, 1, (*(Gate("RX", (wire,), (Angle(wire),)) for wire in (0, 1)), Gate("RY", (0,), (Weight(0),)))
)
PAIRS = ("cx", "ecr", "cz", "rzz", "rzx")


def entangling(gate: Any) -> float:
    """The product of both Schmidt coefficients of a gate on two qubits that has two: cos and sin of half its angle."""
    matrix = gate.data.reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4) / 2
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] * values[1])


class Noiseless(Noise):
    """A machine without errors, of which nothing is known."""

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        return None

    def assignment(self, qubit: int) -> np.ndarray | None:
        return None

    def check(self, compiled: Any) -> None:
        pass


def test_excess_turns_do_not_average_out() -> None:
    """n pulses turn n times too far: the error grows with n squared, where that of a random flip grows with n."""
    device = devices.get("qiskit.aer", overrotation_1q=0.05)
    noise = device.noise_model()
    for n in (2, 8):
        written = QuantumCircuit(1)
        for _ in range(n):
            written.x(0)
        state = Statevector(running(written, noise, device.extras).gates)
        assert state.probabilities()[1] == pytest.approx(math.sin(n * 0.05 / 2) ** 2, abs=1e-12)
    assert {*EXCESS} >= {"sx", "x", "cx", "ecr", "cz", "u2", "u3"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"noise": "fake_essex", "idle": True},
            r"idle: the machine does not say how long measure on \[\d\] takes \(valid: none",
        ),
        ({"noise": "fake_essex", "zz_khz": 10}, "does not say how long measure"),
        ({"noise": "fake_essex", "idle": True, "noise_scale": 0}, "does not say how long measure"),
    ],
)
def test_a_machine_without_durations_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        devices.get("qiskit.aer", **options).check(asymmetric())


def test_a_qubit_without_lives_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit.transpiler import QubitProperties

    machine = machines.Machine(machines.backend("fake_manila"))
    monkeypatch.setattr(machine, "_lives", [QubitProperties()] * 5)
    with pytest.raises(DeviceError, match="idle: T1 and T2 of qubit 3 of fake_manila are not known"):
        machine.wait(3, 1e-6)


@pytest.mark.parametrize(
    ("options", "single", "message"),
    [
        ({"idle": True}, False, "idle without a machine, t1_us or t2_us has no effect"),
        ({"idle": True, "depolarizing_1q": 0.1}, False, "idle without a machine"),
        ({"idle": 1}, False, "idle: .*true or false"),
        ({"zz_khz": 1e6}, False, "zz_khz: .*less than or equal to 100000"),
        ({"zz_khz": float("nan")}, False, "zz_khz: .*finite"),
        ({"overrotation_1q": 4}, False, "overrotation_1q: .*less than or equal to 3.14"),
        ({"noise": "manila", "zz_khz": 10, "gate_time_1q_ns": 50}, False, "gate_time_1q_ns without t1_us, t2_us or zz_khz"),
        ({"t1_us": 10, "t2_us": 21, "idle": True}, False, "t2_us 21 .*up to 2 t1_us = 20"),
        ({"overrotation_2q": 0.1, "depolarizing_1q": 0.1}, True, "overrotation_2q would never fire on .*no pulse on 2 qubits"),
        ({"zz_khz": 10, "depolarizing_1q": 0.1}, True, "zz_khz would never fire on .*no time passes while two of its"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], single: bool, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", **options).check(SINGLE if single else asymmetric())
    assert "\n" not in str(caught.value)


def test_what_is_off_is_in_no_key_and_what_is_on_is() -> None:
    """The key is that of a version that knew none of these options."""
    model = ModelSpec(backbone="cnn1", head="vqc1", n_qubits=3)
    keys = {}
    for more in ({}, {"idle": False, "zz_khz": 0}, {"idle": True}, {"zz_khz": 5}, {"overrotation_2q": 0.01}):
        spec = Rooms().device(DeviceSpec(name="qiskit.aer", noise="fake_manila", **more), model)
        keys[str(more)] = content_key(spec)
    first, off, *others = keys.values()
    assert first == off == "e7ba7a5988c0e1ac"
    assert len({first, *others}) == 4
    on = devices.get("qiskit.aer", noise="manila", idle=True, zz_khz=50)
    assert on.label == "qiskit.aer[fake_manila,idle,zz_khz=50]"
    assert Deployed(test_accuracy=None).idle_us is None


def test_the_schedule_begins_at_zero_and_ends_with_the_readout() -> None:
    written = QuantumCircuit(2, 2)
    written.sx(0)
    written.cx(0, 1)
    written.rz(0.1, 1)
    written.measure([0, 1], [0, 1])
    machine = machines.machine("fake_manila")
    times = [(start, end, operation.name, qubits) for start, end, operation, qubits in schedule(written, machine)]
    sx, cx, readout = (machine.duration(*step) for step in (("sx", (0,)), ("cx", (0, 1)), ("measure", (0,))))
    assert times[0] == (0.0, pytest.approx(sx), "sx", (0,))
    assert times[1] == (pytest.approx(sx), pytest.approx(sx + cx), "cx", (0, 1))
    assert max(end for _, end, *_ in times) == pytest.approx(sx + cx + readout)
