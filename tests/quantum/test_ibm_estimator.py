"""Mitigation by the runtime's own Estimator, offline: what it gives, what a surrogate makes of it, paid for once, refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qiskit_ibm_runtime
import torch
from ibm_cases import LEVEL, SHOTS, Cloud, another_process, fake, lose
from quantum_cases import asymmetric, inputs
from rich.console import Console

from hqc_ray import cli, devices, surrogate
from hqc_ray.certify import margins
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.models import heads
from hqc_ray.models.head import Bottleneck
from hqc_ray.quantum.cores.estimated import Estimated
from hqc_ray.quantum.cores.native import ShotEstimate
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm.measuring import Measurement
from hqc_ray.quantum.noise import machines
from hqc_ray.spec import ModelSpec
from hqc_ray.sweep import run

pytestmark = pytest.mark.usefixtures("jobs")
CIRCUIT = asymmetric()
WEIGHTS, ANGLES = inputs(CIRCUIT, batch=40)
ARRAYS = WEIGHTS.numpy(), ANGLES.numpy()
EXACT = devices.get("qiskit.aer", noise="fake_manila", optimization_level=LEVEL)
GRID = 27 + surrogate.n_checks(3, True)


def leveled(level: int = 1, **options: Any) -> Any:
    return fake(mitigation={"resilience_level": level}, **options)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The estimators that are run from now on, each with its PUBs, and no sampler."""
    seen: list[Any] = []
    send = qiskit_ibm_runtime.EstimatorV2.run

    def counted(self: Any, pubs: Any, **options: Any) -> Any:
        seen.append((self.options, list(pubs)))
        return send(self, pubs, **options)

    monkeypatch.setattr(qiskit_ibm_runtime.EstimatorV2, "run", counted)
    monkeypatch.delattr(qiskit_ibm_runtime.SamplerV2, "run")
    return seen


def trex(shots: int = 1000, factor: float = 0.8) -> tuple[Estimated, torch.Tensor]:
    """Of cos(x0), 0.3 + 0.6 sin(x1), the exact values of a readout that is divided by `factor`, with their standard errors."""
    found, points = Estimated(2), surrogate.grid(2)
    z = _waves(points)
    found.set_estimates(z, ((factor**-2 - z.square()) / shots).sqrt(), shots, 1)
    return found, points


def _waves(angles: torch.Tensor) -> torch.Tensor:
    return torch.stack([angles[:, 0].cos(), 0.3 + 0.6 * angles[:, 1].sin()], -1)


def test_one_value_that_went_astray_does_not_spoil_a_wire_at_all_angles() -> None:
    sound, points = trex()
    astray, _ = trex()
    astray.deviations[4, 0] = 0.9
    drawn = [found.frequencies(points, 1000, np.random.default_rng(0)) for found in (sound, astray)]
    np.testing.assert_allclose(drawn[1], drawn[0], atol=1e-12)


# what it gives


def test_expectations_are_those_of_the_noisy_device_and_their_errors_are_theirs(asked: list[Any]) -> None:
    device = leveled()
    layout = qiskit.compiled(CIRCUIT, machines.backend("fake_manila"), LEVEL, 0).layout
    assert layout != sorted(layout)  # another order of qubits than of wires would be seen
    found = surrogate.fit(CIRCUIT, WEIGHTS, device)
    assert isinstance(found, Estimated)
    grid = surrogate.grid(3)
    exact = EXACT.expectations(CIRCUIT, WEIGHTS, grid)
    np.testing.assert_allclose(found.deviations, (1 - found.values().square()).sqrt() / SHOTS**0.5, rtol=1e-3)
    assert 0.75 < ((found.values() - exact) / found.deviations).square().mean().sqrt() < 1.25  # 81 values of 27 circuits
    own = (found(ANGLES) - EXACT.expectations(CIRCUIT, WEIGHTS, ANGLES)) / found.standard_error(ANGLES)
    assert 0.6 < own.square().mean().sqrt() < 1.4
    assert own.abs().max() < 4.5
    assert 0 < found.max_error < 6 * found.standard_error(ANGLES).max()  # no flag
    assert (found.measured, found.quasi, found.evaluations) == (True, True, GRID)
    assert len(asked) == 1


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_runtime_is_asked_for_the_level_and_for_z_of_each_wire(level: int, asked: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # the local mode's, that it does not mitigate, is said in docs/qpu.md
        leveled(level, shots=100).expectations(CIRCUIT, WEIGHTS, ANGLES[:4])
    ((options, ((bound, z, values),)),) = asked
    assert (options.resilience_level, options.default_shots) == (level, 100)
    assert options.environment.job_tags[0].startswith("hqc-")
    if level == 2:
        assert tuple(options.resilience.zne.noise_factors) == (1, 3, 5)
    assert values.shape == (4, 1, 3)
    layout = qiskit.compiled(CIRCUIT, machines.backend("fake_manila"), LEVEL, 0).layout
    assert [str(one.paulis[0]) for one in z] == ["".join("Z" if q == at else "I" for q in range(4, -1, -1)) for at in layout]
    assert bound.num_clbits == 0 or "measure" not in bound.count_ops()


def test_a_device_that_estimates_has_gradients_and_no_probabilities(asked: list[Any]) -> None:
    device, angles = leveled(shots=20_000), ANGLES[:1].clone().requires_grad_()
    device.expectations(CIRCUIT, WEIGHTS, angles)[0, 1].backward()
    wanted = ANGLES[:1].clone().requires_grad_()
    EXACT.expectations(CIRCUIT, WEIGHTS, wanted)[0, 1].backward()
    torch.testing.assert_close(angles.grad, wanted.grad, atol=5 * (0.5 / 20_000) ** 0.5, rtol=0)
    assert device.expectations(CIRCUIT, WEIGHTS, ANGLES[:0]).shape == (0, 3)
    before = len(asked)
    with pytest.raises(DeviceError, match=r"has no probabilities: the Estimator gives <Z> of each wire \(valid: readout and zne"):
        device.probabilities(CIRCUIT, WEIGHTS, ANGLES)
    assert len(asked) == before


# what a surrogate makes of it


def test_standard_errors_are_those_that_came_with_the_values() -> None:
    """<Z> of one wire at x is the sum over the grid of (1 + 2 cos(x - x_k)) / 3 times the values there."""
    found, points, errors = Estimated(1), surrogate.grid(1), torch.tensor([[0.05], [0.11], [0.3]], dtype=torch.float64)
    found.set_estimates(torch.tensor([[0.9], [-0.2], [1.3]], dtype=torch.float64), errors, 10_000, 3)
    torch.testing.assert_close(found.standard_error(points), errors)
    x = torch.tensor([[0.7]], dtype=torch.float64)
    weights = (1 + 2 * (x - points.T).cos()) / 3
    torch.testing.assert_close(found.standard_error(x), (weights.square() @ errors.square()).sqrt())
    torch.testing.assert_close(found(x), weights @ found.values())
    assert found.evaluations == 3 * (3 + surrogate.n_checks(1, True))
    found.set_estimates(torch.ones(3, 1), torch.zeros(3, 1), 100, 1)
    assert (found.standard_error(points) > 0.01).all()  # a wire that always reads the same is not certain


def test_fresh_evaluations_scatter_as_the_estimators_would() -> None:
    """Of a readout divided by f, shots times the variance is 1 / f^2 - <Z>^2, also off the grid, and for other shots."""
    found, _ = trex()
    angles = torch.tensor([[0.4, -1.2], [1.5, 0.3]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for shots in (1000, 50):
        drawn = found.samples(angles, shots, generator, 1500)
        wanted = ((0.8**-2 - _waves(angles).square()) / shots).sqrt()
        torch.testing.assert_close(drawn.std(0), wanted, rtol=0.09, atol=0)
        assert ((drawn.mean(0) - _waves(angles)) / wanted).abs().max() < 4.5 / 1500**0.5
    read = found.frequencies(angles, 50, np.random.default_rng(0))
    assert read.shape == (2, 2)
    assert torch.equal(found.expectations(torch.from_numpy(read)), torch.from_numpy(read))


def test_replicates_scatter_by_the_standard_errors() -> None:
    found, _ = trex()
    angles, generator = torch.tensor([[0.4, -1.2]], dtype=torch.float64), torch.Generator().manual_seed(0)
    draws = torch.stack([found.replicate(generator)(angles) for _ in range(300)])
    torch.testing.assert_close(draws.std(0), found.standard_error(angles), rtol=0.2, atol=0)
    again = found.samples(angles, 10**9, generator, 300, torch.Generator().manual_seed(1)).std(0)
    torch.testing.assert_close(again, found.standard_error(angles), rtol=0.2, atol=0)


def test_a_file_keeps_it_and_joint_outcomes_are_refused() -> None:
    found, points = trex()
    copy, facts = surrogate.loads(surrogate.dumps(found, {"depth": 3}))
    assert isinstance(copy, Estimated)
    assert (facts, copy.evaluations) == ({"depth": 3}, found.evaluations)
    assert torch.equal(copy(points), found(points))
    assert torch.equal(copy.standard_error(points), found.standard_error(points))
    with pytest.raises(CircuitError, match="no joint outcomes"):
        copy.probabilities(points)


def test_an_attacker_who_only_sees_estimates_and_a_certificate_read_expectations() -> None:
    found, _ = trex(shots=10**8)
    angles = torch.tensor([[0.4, -1.2]], dtype=torch.float64, requires_grad=True)
    circuit = heads.get(ModelSpec(backbone="resnet18", head="vqc1", n_qubits=2)).circuit()
    assert circuit is not None
    ShotEstimate(found, circuit, 10**8, seed=0)(angles).sum().backward()
    assert angles.grad is not None
    np.testing.assert_allclose(angles.grad, [[-np.sin(0.4), 0.6 * np.cos(1.2)]], atol=1e-3)
    spec, generator = ModelSpec(backbone="resnet18", head="vqc1", n_qubits=2), torch.Generator().manual_seed(0)
    head = heads.build(spec, 5, 2, generator)
    assert isinstance(head, Bottleneck)
    on = head.with_core(found)
    assert margins.covers(on)
    logits = on.double().decided(angles.detach())
    known = margins.decision(on).margins(0).at(angles.detach().numpy())
    np.testing.assert_allclose(known[0], (logits[:, 0] - logits[:, 1]).numpy(), atol=1e-6)


# what it costs, and that it is paid for once


def test_the_same_level_is_measured_once(asked: list[Any]) -> None:
    few = ARRAYS[0], ARRAYS[1][:2]
    first = leveled(1, shots=50).estimated(CIRCUIT, *few)
    assert first.shape == (2, 2, 3)
    assert np.array_equal(leveled(1, shots=50).estimated(CIRCUIT, *few), first)
    assert len(asked) == 1
    others = [leveled(0, shots=50), leveled(2, shots=50), leveled(1, shots=50, seed=1), leveled(1, shots=51)]
    keys = {Measurement(device, CIRCUIT, ARRAYS[0]).model_key for device in [*others, fake(shots=50), leveled(1, shots=50)]}
    assert len(keys) == 6
    for device in others:
        device.estimated(CIRCUIT, *few)
    assert len(asked) == 5


def test_what_exceeds_a_job_is_split_and_what_was_killed_is_found_again(
    cloud: type[Cloud], asked: list[Any], monkeypatch: pytest.MonkeyPatch, jobs: ibm_jobs.Jobs
) -> None:
    device = leveled(2, backend="ibm_lima", shots=100, job_executions=4700)  # 15 angles, three times each
    assert [device.n_jobs(3 * n) for n in (15, 16, 40)] == [1, 2, 3]
    send = ibm_jobs.Jobs.record
    with monkeypatch.context() as patch:

        def killed(self: ibm_jobs.Jobs, *arguments: Any, **facts: Any) -> None:
            if len(asked) == 2:
                raise KeyboardInterrupt  # submitted, and not written down
            send(self, *arguments, **facts)

        patch.setattr(ibm_jobs.Jobs, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            device.estimated(CIRCUIT, *ARRAYS)
    another_process()
    lose(monkeypatch, 1, ConnectionError)
    with pytest.raises(DeviceError, match="lost sight"):
        device.estimated(CIRCUIT, *ARRAYS)
    another_process()
    first = device.estimated(CIRCUIT, *ARRAYS)
    assert [len(pubs[0][2]) for _, pubs in asked] == [15, 15, 10]
    record = json.loads((jobs.folder / "jobs.jsonl").read_text().splitlines()[0])
    assert (record["circuits"], record["shots"], record["resilience_level"]) == (45, 100, 2)
    another_process()
    cloud.asked.clear()
    assert np.array_equal(device.estimated(CIRCUIT, *ARRAYS), first)
    assert (cloud.asked, len(asked)) == ([], 3)
    for path in jobs.folder.iterdir():
        path.unlink()
    another_process()
    assert np.array_equal(device.estimated(CIRCUIT, *ARRAYS), first)  # each job by its tag
    assert len(asked) == 3


SWEEP = """
name: qpu
blocks:
  - data: {source: synthetic, size: 40, images: 60}
    model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: vqc1, n_qubits: 3}
    train: {epochs: 1}
    attack: {name: fgsm, epsilon: [0.1, 0.2]}
    device: {name: ibm, backend: ibm_lima, shots: 100, job_executions: 3000, mitigation: {resilience_level: 2}}
    evaluate: {access: [exact, shots]}
    seed: 0
"""


def test_a_plan_counts_what_the_machine_is_asked_for(
    tmp_path: Path, cloud: type[Cloud], asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    assert cli.main(["plan", str(path), "--json"]) == cli.OK
    (planned,) = json.loads(capsys.readouterr().out)["measured"].values()
    assert cloud.asked == []
    assert run.execute(path, tmp_path, serial=True, console=Console(quiet=True)).failed == 0
    circuits = 3 * sum(len(pubs[0][2]) for _, pubs in asked)
    assert planned == {"circuits": circuits, "shots": 100 * circuits, "jobs": len(asked), "surrogates": 1, "caveat": ""}
    assert (circuits, len(asked)) == (3 * GRID, 5)
    rows = [json.loads(line) for line in (tmp_path / "qpu" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    row = rows[0]
    assert row["device"] == "ibm[ibm_lima,mitigation=resilience_level(2),shots=100]"
    assert json.loads(row["mitigation"]) == {"resilience_level": 2}
    assert (row["device_kind"], row["circuits"], row["image_shots"]) == ("measured", 3 * GRID, 300)
    assert row["lowest_probability"] is None
    assert 0.05 < row["surrogate_standard_error"] < 0.102  # 0.1 of plain counts, which the local mode gives
    assert row["clean_shot_low"] <= row["clean_accuracy"] <= row["clean_shot_high"]


# what is refused


@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        ({"resilience_level": 3}, r"mitigation.resilience_level: .*0, 1 or 2, not 3"),
        ({"resilience_level": -1}, "0, 1 or 2, not -1"),
        ({"resilience_level": True}, "a boolean is no number"),
        ({"resilience_level": 1, "readout": True}, r"readout beside resilience_level.*\(valid: resilience_level alone"),
        ({"resilience_level": 2, "zne": [1, 3, 5]}, "zne beside resilience_level"),
        ({"resilience_level": 2, "extrapolation": "linear"}, "extrapolation beside resilience_level"),
    ],
)
def test_levels_that_there_are_not(mitigation: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        fake(mitigation=mitigation)
    assert "\n" not in str(caught.value)


def test_other_devices_know_no_levels_and_shots_of_all_runs_fit_into_a_job() -> None:
    with pytest.raises(DeviceError, match=r"mitigation.resilience_level: only IBM's Estimator has levels .*or the device ibm"):
        devices.get("qiskit.aer", noise="fake_manila", mitigation={"resilience_level": 1})
    with pytest.raises(DeviceError, match=r"1000 shots do not fit into a job .*up to 999"):
        leveled(2, shots=1000, job_executions=2999).check(CIRCUIT)
    leveled(1, shots=1000, job_executions=2999).check(CIRCUIT)
    device = leveled(1)
    assert devices.get("ibm", **device.model_dump(mode="json")) == device
    assert "does not apply it" in device.caveat
    assert leveled(0).caveat == devices.get("ibm", backend="ibm_lima", mitigation={"resilience_level": 1}).caveat == ""


@pytest.mark.parametrize("error", [np.nan, -0.1, 1.5])
def test_values_that_are_no_numbers_or_say_nothing_are_refused(error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    given = np.zeros((2, 2, 3))
    monkeypatch.setattr(Measurement, "results", lambda *_: given)
    leveled().estimated(CIRCUIT, *ARRAYS)
    given[1, 1, 0] = error
    with pytest.raises(DeviceError, match=r"1 of 6 values that are no number or have no sound error .*another seed"):
        leveled().estimated(CIRCUIT, *ARRAYS)
