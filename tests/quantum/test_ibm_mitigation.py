"""Mitigation on the device ibm, offline: calibrations of the readout, folded gates, what it costs, paid for once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qiskit_ibm_runtime
import torch
from ibm_cases import LEVEL, Cloud, another_process, fake, lose
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import DensityMatrix, Operator
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError
from quantum_cases import asymmetric, inputs
from rich.console import Console

from hqc_ray import cli, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.cores.mitigated import Mitigated
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import programs
from hqc_ray.quantum.devices.ibm.measuring import Measurement
from hqc_ray.quantum.devices.ibm.programs import Pub
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.mitigation import Mitigation, Recipe
from hqc_ray.sweep import run

pytestmark = pytest.mark.usefixtures("jobs")
CIRCUIT = asymmetric()
WEIGHTS, ANGLES = inputs(CIRCUIT, batch=40)
ARRAYS = WEIGHTS.numpy(), ANGLES.numpy()
IDEAL = devices.get("default.qubit")
BOTH = {"readout": True, "zne": [1, 3]}
GRID = 27 + surrogate.n_checks(3, True)
FLIPS = np.array([(0.02 + 0.02 * qubit, 0.05 + 0.03 * qubit) for qubit in range(5)])  # no two qubits are alike, nor 0 and 1


@pytest.fixture
def misread(cloud: type[Cloud], monkeypatch: pytest.MonkeyPatch) -> type[Cloud]:
    """A cloud with a machine, `ibm_misread`, that is fake_manila with perfect gates, and `FLIPS` in its readout."""
    model = NoiseModel(basis_gates=["cx", "id", "rz", "sx", "x"])
    for qubit, (zero, one) in enumerate(FLIPS):
        model.add_readout_error(ReadoutError([[1 - zero, zero], [one, 1 - one]]), [qubit])
    machine = AerSimulator.from_backend(machines.backend("fake_manila"))
    machine.set_options(noise_model=model, seed_simulator=11)
    monkeypatch.setitem(Cloud.machines, "ibm_misread", lambda: machine)
    return cloud


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The PUBs of each job that is submitted from now on."""
    seen: list[list[Any]] = []
    send = qiskit_ibm_runtime.SamplerV2.run

    def counted(self: Any, pubs: Any, **options: Any) -> Any:
        seen.append(list(pubs))
        return send(self, pubs, **options)

    monkeypatch.setattr(qiskit_ibm_runtime.SamplerV2, "run", counted)
    return seen


def circuits_of(pubs: list[Any]) -> int:
    return sum(len(pub[1]) if len(pub) > 1 else 1 for pub in pubs)


def fitted(device: Any) -> Mitigated:
    found = surrogate.fit(CIRCUIT, WEIGHTS, device)
    assert isinstance(found, Mitigated)
    return found


# readout


def test_a_mitigated_readout_leaves_nothing_of_it_but_shot_noise(misread: type[Cloud]) -> None:
    """What is read of a wire is r = f1 - f0 + m <Z>. The mitigated <Z> has the variance of r over m^2, at most 1 / shots / m^2 as
    squared weights of a fit add up to 1, and those of f0 and f1 times ((1 + <Z>) / m)^2, ((1 - <Z>) / m)^2: at most 4 / m^2.
    """
    shots, ideal = 6_000, IDEAL.expectations(CIRCUIT, WEIGHTS, ANGLES)
    found = fitted(fake(backend="ibm_misread", shots=shots, mitigation={"readout": True}))
    layout = qiskit.compiled(CIRCUIT, Cloud.machines["ibm_misread"](), LEVEL, 0).layout
    assert layout != sorted(layout)  # another order of qubits than of wires, or another qubit, would be seen
    flips = FLIPS[layout]
    worst = (flips * (1 - flips)).max(-1)
    bound = torch.from_numpy(np.sqrt((1 + 4 * worst) / shots) / (1 - flips.sum(-1)))
    deviations = (found(ANGLES) - ideal) / bound
    assert deviations.abs().max() < 4.5
    assert (found.standard_error(ANGLES) <= bound * 1.01).all()
    own = (found(ANGLES) - ideal) / found.standard_error(ANGLES)
    assert 0.6 < own.square().mean().sqrt() < 1.4
    raw = surrogate.fit(CIRCUIT, WEIGHTS, fake(backend="ibm_misread", shots=shots))
    assert ((raw(ANGLES) - ideal) / bound).abs().max() > 8
    np.testing.assert_allclose(found.assignments[0, :, [0, 1], [1, 0]], flips, atol=4.5 * 0.5 / shots**0.5)
    assert found.max_error < 6 * found.standard_error(ANGLES).max()  # no flag


def test_the_standard_error_is_the_spread_of_replicates_calibration_included(misread: type[Cloud]) -> None:
    found = fitted(fake(backend="ibm_misread", shots=400, mitigation={"readout": True}))
    generator, angles = torch.Generator().manual_seed(0), ANGLES[:6]
    draws = torch.stack([found.replicate(generator)(angles) for _ in range(500)])
    torch.testing.assert_close(draws.mean(0), found(angles), atol=0.02, rtol=0)
    ratio = draws.std(0) / found.standard_error(angles)
    assert ratio.min() > 0.85
    assert ratio.max() < 1.15
    again = found.samples(angles[:1], 10**7, generator, 300, torch.Generator().manual_seed(1)).std(0)
    assert (again / found.standard_error(angles[:1]) - 1).abs().max() < 0.2
    copy, _ = surrogate.loads(surrogate.dumps(found, {}))
    assert isinstance(copy, Mitigated)
    assert torch.equal(copy.standard_error(angles), found.standard_error(angles))
    assert (copy.evaluations, copy.measured, copy.quasi) == (GRID + 2, True, True)


def test_one_calibration_serves_all_scales_of_a_machine() -> None:
    """Its error is common to all scales: as their weights add up to 1, it moves <Z> as it would without extrapolation."""
    one, all_three = (Mitigated(1, 1, k, 1) for k in (1, 3))
    read = torch.full((3, 3, 2), 0.5, dtype=torch.float64)
    assignments = np.array([[[[0.9, 0.1], [0.1, 0.9]]]])
    for found, weights in ((one, [1.0]), (all_three, [3.0, -3.0, 1.0])):
        found.set_read(read[: len(weights)], Recipe(np.array(weights), assignments))
        found.shots.fill_(1e4)
    point = torch.zeros(1, 1, dtype=torch.float64)
    circuits, calibration = 1 / 1e4 / 0.8**2, 2 * 0.09 / 1e4 / 0.8**2
    assert float(one.standard_error(point)) == pytest.approx((circuits + calibration) ** 0.5, rel=1e-3)
    assert float(all_three.standard_error(point)) == pytest.approx((19 * circuits + calibration) ** 0.5, rel=1e-3)


def test_calibrations_prepare_the_qubits_that_the_circuit_is_read_from(sent: list[list[Any]]) -> None:
    device = fake(mitigation=BOTH, shots=100)
    device.run(CIRCUIT, *ARRAYS)
    ((zeros, ones, once, thrice),) = sent  # one job
    layout = list(device.facts(CIRCUIT).layout or ())
    for (circuit,), wanted in ((zeros, []), (ones, sorted(layout))):
        acted = [(step.operation.name, circuit.find_bit(step.qubits[0]).index) for step in circuit.data]
        assert sorted(qubit for name, qubit in acted if name == "x") == wanted
        assert [qubit for name, qubit in acted if name == "measure"] == layout
        assert {name for name, _ in acted} <= {"x", "measure"}
    assert once[0].num_nonlocal_gates() * 3 == thrice[0].num_nonlocal_gates()
    assert len(once[1]) == len(thrice[1]) == 40


def test_what_a_fake_machine_does_to_its_calibration_circuits_is_its_noise() -> None:
    """The bit that is prepared by X has that gate's error, too, as on a machine."""
    read, made = fake(mitigation={"readout": True}, shots=40_000).counted(CIRCUIT, ARRAYS[0], ARRAYS[1][:1])
    device = devices.get("qiskit.aer", noise="fake_manila", optimization_level=LEVEL)
    layout, machine = device.facts(CIRCUIT).layout, machines.machine("fake_manila")
    assert read.shape == (1, 1, 8)
    assert made is not None
    assert made.assignments is not None
    for wire, qubit in enumerate(layout or ()):
        true = machine.assignment(qubit)
        assert true is not None
        after = DensityMatrix.from_label("1").evolve(machine.error("x", (qubit,)).to_quantumchannel())
        zero, one = after.probabilities()
        wanted = np.array([true[0, 1], one * true[1, 0] + zero * true[0, 0]])
        np.testing.assert_allclose(made.assignments[0, wire, [0, 1], [1, 0]], wanted, atol=4.5 * 0.5 / 40_000**0.5)


# zero-noise extrapolation


@pytest.mark.parametrize("gate", ["cx", "cz", "ecr"])
def test_folding_keeps_the_unitary_and_multiplies_the_two_qubit_gates(gate: str) -> None:
    circuit = QuantumCircuit(3, 3)
    for at, (a, b) in enumerate([(0, 1), (2, 1), (0, 2), (1, 0)]):
        circuit.rz(0.3 + at, a)
        circuit.sx(b)
        getattr(circuit, gate)(a, b)
    wanted = Operator(circuit)
    circuit.measure(range(3), range(3))
    for scale in (1, 3, 5):
        made = programs.folded(circuit, scale)
        assert made.count_ops()[gate] == 4 * scale
        assert (made.count_ops()["rz"], made.count_ops()["sx"], made.count_ops()["measure"]) == (4, 4, 3)
        made.remove_final_measurements()
        assert Operator(made) == wanted


def test_the_folded_circuit_of_a_machine_is_the_same_function(sent: list[list[Any]]) -> None:
    fake(mitigation={"zne": [1, 3, 5]}, shots=100).run(CIRCUIT, *ARRAYS)
    ((once, *more),) = sent
    assert len(more) == 2
    bound = [pub[0].assign_parameters(pub[1][0]).remove_final_measurements(inplace=False) for pub in (once, *more)]
    for scale, made in zip((1, 3, 5), bound, strict=True):
        assert made.num_nonlocal_gates() == scale * bound[0].num_nonlocal_gates() > 0
        assert made.size() - made.num_nonlocal_gates() == bound[0].size() - bound[0].num_nonlocal_gates()
        assert Operator(made) == Operator(bound[0])


def test_zero_noise_extrapolation_brings_expectations_nearer_to_the_ideal_ones(jobs: ibm_jobs.Jobs) -> None:
    """Of 12 angles with 20,000 shots, the root mean square errors differ by more than 5 times what shots move one by."""
    angles, shots = ANGLES[:12], 20_000
    ideal = IDEAL.expectations(CIRCUIT, WEIGHTS, angles)
    plain = fake(shots=shots).expectations(CIRCUIT, WEIGHTS, angles) - ideal
    device = fake(shots=shots, mitigation={"readout": True, "zne": [1, 3]})
    mitigated = device.expectations(CIRCUIT, WEIGHTS, angles) - ideal
    one = (2.5 / shots) ** 0.5 / 0.9  # standard error of an expectation: weights 1.5, -0.5, a readout that tells 0.9 or more
    noise = one / 12**0.5  # of a root mean square over independent angles; wires of one are not
    before, after = (float(error.square().mean().sqrt()) for error in (plain, mitigated))
    assert before - after > 5 * noise
    assert after < 0.5 * before
    only = fake(shots=shots, mitigation={"readout": True}).expectations(CIRCUIT, WEIGHTS, angles) - ideal
    assert float(only.square().mean().sqrt()) - after > 3 * noise  # the gates' part is extrapolated, not only the readout
    (job, *_) = map(json.loads, (jobs.folder / "jobs.jsonl").read_text().splitlines()[1:])
    assert (job["circuits"], job["calibrations"], job["scales"]) == (26, 2, [1, 3])


def test_weights_are_those_of_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    device = fake(mitigation={"zne": [1, 3, 5]})
    counts = np.zeros((3 * 2, 8), dtype=np.int64)
    counts[np.arange(6), [0, 1, 2, 3, 4, 5]] = device.shots  # scale by scale: outcomes 0, 1; 2, 3; 4, 5
    monkeypatch.setattr(Measurement, "results", lambda *_: counts)
    found = device.run(CIRCUIT, ARRAYS[0], ARRAYS[1][:2])
    weights = np.array([15, -10, 3]) / 8  # Lagrange at 0 through 1, 3, 5
    np.testing.assert_allclose(
        found[:, :6], [[w for k in weights for w in (k, 0)], [w for k in weights for w in (0, k)]], atol=1e-12
    )


# what it costs, and that it is paid for once


def test_a_measurement_that_was_killed_pays_nothing_twice(
    cloud: type[Cloud], sent: list[list[Any]], monkeypatch: pytest.MonkeyPatch, jobs: ibm_jobs.Jobs
) -> None:
    device = fake(backend="ibm_lima", shots=100, job_executions=3000, mitigation=BOTH)
    assert device.n_jobs(82) == 3
    send = ibm_jobs.Jobs.record
    with monkeypatch.context() as patch:

        def killed(self: ibm_jobs.Jobs, *arguments: Any, **facts: Any) -> None:
            if len(sent) == 2:
                raise KeyboardInterrupt  # submitted, and not written down
            send(self, *arguments, **facts)

        patch.setattr(ibm_jobs.Jobs, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            device.run(CIRCUIT, *ARRAYS)
    assert len(sent) == 2
    another_process()
    lose(monkeypatch, 1, ConnectionError)
    with pytest.raises(DeviceError, match="lost sight"):
        device.run(CIRCUIT, *ARRAYS)
    another_process()
    first = device.run(CIRCUIT, *ARRAYS)
    assert [circuits_of(pubs) for pubs in sent] == [30, 30, 22]
    assert [len(pubs) for pubs in sent] == [3, 2, 1]  # two calibrations and the circuit; once and three times; three times
    another_process()
    cloud.asked.clear()
    assert np.array_equal(device.run(CIRCUIT, *ARRAYS), first)
    assert (cloud.asked, len(sent)) == ([], 3)
    (jobs.folder / "jobs.jsonl").unlink()
    for path in jobs.folder.glob("*.npz"):
        path.unlink()
    another_process()
    assert np.array_equal(device.run(CIRCUIT, *ARRAYS), first)  # each job by its tag
    assert len(sent) == 3


def test_another_extrapolation_of_the_same_scales_measures_nothing(sent: list[list[Any]]) -> None:
    many, few = {"readout": True, "zne": [1, 3, 5]}, (ARRAYS[0], ARRAYS[1][:3])
    found = [fake(shots=50, mitigation={**many, "extrapolation": each}).run(CIRCUIT, *few) for each in ("richardson", "linear")]
    assert len(sent) == 1
    assert np.abs(found[0] - found[1]).max() > 0.01
    others = [{"zne": [1, 3, 5]}, {"zne": [1, 3]}, {"zne": [1, 5]}, {"readout": True, "zne": [1, 3]}, {"readout": True}, None]
    for other in others:  # of two, only the scales differ
        fake(shots=50, mitigation=other).run(CIRCUIT, *few)
    fake(shots=50, seed=1, mitigation=many).run(CIRCUIT, *few)
    assert len(sent) == 2 + len(others)


def test_jobs_and_keys_of_before_are_still_found() -> None:
    device = devices.get("ibm", backend="fake_manila")
    measurement = Measurement(device, CIRCUIT, ARRAYS[0])  # type: ignore[arg-type]
    five = inputs(CIRCUIT)[1].numpy()
    assert measurement.key([Pub(five)]) == "90b32d83e0ec0bb91ca78570b4495865"
    assert measurement.model_key == "e2f6ef94dfbf559676d3da1f8ad06f51"
    assert "mitigation" not in device.model_dump()


def test_what_is_mitigated_together_runs_in_one_place(
    cloud: type[Cloud], sent: list[list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Cloud.machines, "ibm_manila", lambda: machines.backend("fake_manila"))
    device = fake(backend="least_busy", shots=100, job_executions=6000, mitigation=BOTH)
    lose(monkeypatch, 1, qiskit_ibm_runtime.RuntimeJobFailureError)
    with pytest.raises(DeviceError, match="failed"):
        device.run(CIRCUIT, *ARRAYS)
    assert len(sent) == 2  # the first failed, the second is under way
    another_process()
    monkeypatch.setattr(Cloud, "least_busy", lambda self, **_: self.backend("ibm_manila"))
    monkeypatch.setattr(Cloud, "jobs", lambda *_, **__: [])  # of a job that failed, the cloud has no result
    with pytest.raises(
        DeviceError, match=r"runs in one place, and job .* went to fake_lima .*, not to fake_manila .*another seed"
    ):
        device.run(CIRCUIT, *ARRAYS)
    assert len(sent) == 2
    monkeypatch.setattr(Cloud, "least_busy", lambda self, **_: self.backend("ibm_lima"))
    device.run(CIRCUIT, *ARRAYS)
    assert len(sent) == 3


def test_packing() -> None:
    angles = np.arange(14.0).reshape(7, 2)
    given = programs.pubs(Mitigation(readout=True, zne=(1, 3)), angles)
    for size in (1, 2, 3, 5, 16, 100):
        jobs = programs.packed(given, size)
        assert [sum(map(len, job)) for job in jobs[:-1]] == [size] * (len(jobs) - 1)
        assert len(jobs) == -(-16 // size)
        flat = [pub for job in jobs for pub in job]
        assert [pub.bit for pub in flat[:2]] == [0, 1]
        for scale in (1, 3):
            rows = [pub.angles for pub in flat if pub.bit is None and pub.scale == scale]
            assert np.array_equal(np.concatenate(rows), angles)


SWEEP = """
name: qpu
blocks:
  - data: {source: synthetic, size: 40, images: 60}
    model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: vqc1, n_qubits: 3}
    train: {epochs: 1}
    attack: {name: fgsm, epsilon: [0.1, 0.2]}
    device: {name: ibm, backend: ibm_lima, shots: 100, job_executions: 3000, mitigation: {readout: true, zne: [1, 3]}}
    seed: 0
"""


def test_a_plan_counts_what_the_machine_is_asked_for(
    tmp_path: Path, cloud: type[Cloud], sent: list[list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    assert cli.main(["plan", str(path), "--json"]) == cli.OK
    (planned,) = json.loads(capsys.readouterr().out)["measured"].values()
    assert cloud.asked == []
    assert run.execute(path, tmp_path, serial=True, console=Console(quiet=True)).failed == 0
    circuits = sum(map(circuits_of, sent))
    assert planned == {"circuits": circuits, "shots": 100 * circuits, "jobs": len(sent), "surrogates": 1, "caveat": ""}
    assert (circuits, len(sent)) == (2 * GRID + 2, 3)
    row, _ = [json.loads(line) for line in (tmp_path / "qpu" / "rows.jsonl").read_text().splitlines()]
    assert row["device"] == "ibm[ibm_lima,mitigation=readout+zne(1/3),shots=100]"
    assert (row["circuits"], row["image_shots"], row["calibration_shots"]) == (88, 200, 200)
    assert json.loads(row["mitigation"]) == {"readout": True, "zne": [1.0, 3.0], "extrapolation": "richardson"}
    assert row["lowest_probability"] < 0
    assert 0.1 < row["surrogate_standard_error"] < 0.3  # sqrt(1.5^2 + 0.5^2) / sqrt(100) is 0.16
    assert row["clean_shot_low"] <= row["clean_accuracy"] <= row["clean_shot_high"]
    (compiled,) = {json.dumps(json.loads(line)["compiled"]) for line in (ibm_jobs.here().folder / "jobs.jsonl").open()}
    assert row["two_qubit_gates"] == json.loads(compiled)["two_qubit_gates"]


# what is refused


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        ({"zne": [1, 1.5, 2]}, r"mitigation.zne: 1.5 on a machine.*\(valid: odd whole numbers, such as \[1, 3, 5\]\)"),
        ({"zne": [1, 2]}, "2 on a machine, whose noise cannot be scaled"),
        ({"zne": [1, 3.0001]}, "3.0001 on a machine|3 on a machine"),
        ({"zne": [3, 5]}, "the smallest scale is 3"),
        ({"zne": [1, 3, 3]}, "scales repeat"),
        ({"zne": [1, 11]}, "2 scales up to 11"),
        ({"zne": [1, -3]}, "the smallest scale is -3"),
        ({}, "nothing is mitigated"),
        ({"readout": True, "extrapolation": "linear"}, "extrapolation without zne"),
        ({"resilience": 2}, "unknown option 'mitigation.resilience'"),
    ],
)
def test_mitigation_that_a_machine_cannot_do(mitigation: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        fake(mitigation=mitigation)
    assert "\n" not in str(caught.value)


ALONE = Circuit("alone", 2, "rx", 1, 1, (*(Gate("RX", (q,), (Angle(q),)) for q in (0, 1)), Gate("RY", (1,), (Weight(0),))))


def test_gates_that_cannot_be_repeated_are_refused_before_anything_is_paid_for(cloud: type[Cloud], sent: list[list[Any]]) -> None:
    with pytest.raises(DeviceError, match=r"mitigation.zne: .*the compiled circuit has none \(valid: no zne"):
        fake(mitigation=BOTH).check(ALONE)
    fake(mitigation={"readout": True}).check(ALONE)
    device = fake(backend="ibm_lima", mitigation=BOTH)
    device.check(ALONE)  # a plan connects to nobody
    assert cloud.asked == []
    zero = np.zeros(1), np.zeros((1, 2))
    for ask in (lambda: device.prepare(ALONE), lambda: device.run(ALONE, *zero)):
        with pytest.raises(DeviceError, match="the compiled circuit has none"):
            ask()
    assert sent == []


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda circuit: circuit.iswap(0, 1), "iswap"),
        (lambda circuit: circuit.rzz(0.3, 0, 1), "rzz"),
        (lambda circuit: circuit.rzz(Parameter("t"), 0, 1), "rzz"),
        (lambda circuit: circuit.dcx(0, 1), "dcx"),
    ],
)
def test_a_gate_that_does_not_undo_itself_is_named(build: Callable[[QuantumCircuit], Any], name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    programs.check_foldable(circuit, "ibm_two")
    build(circuit)
    with pytest.raises(DeviceError, match=rf"{name} of ibm_two does not \(valid: no zne, or a machine with cx, cz or ecr\)"):
        programs.check_foldable(circuit, "ibm_two")


def test_labels() -> None:
    device = fake(mitigation={"zne": [1, 3, 5], "extrapolation": "linear"}, shots=9)
    assert device.label == "ibm[fake_manila,optimization_level=1,mitigation=zne(linear:1/3/5),shots=9]"
    assert (device.quasi, device.runs, device.calibrations) == (True, 3, 0)
    assert fake(mitigation=BOTH).calibrations == 2  # a machine's readout is the same at all scales
    assert fake(**fake(mitigation=BOTH).model_dump(mode="json")) == fake(mitigation=BOTH)
