"""The device ibm, offline: what is measured, never paid for twice, refused, and never said."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import qiskit_ibm_runtime
import torch
from ibm_cases import INSTANCE, LEVEL, SHOTS, TOKEN, Cloud, another_process, fake, lose
from qiskit_ibm_runtime.fake_provider.local_runtime_job import LocalRuntimeJob
from quantum_cases import asymmetric, inputs
from rich.console import Console
from scipy import stats

from hqc_ray import circuits, cli, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.evaluation import audit
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices.ibm import device as ibm
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.sweep import run

CIRCUIT = asymmetric()
WEIGHTS, ANGLES = inputs(CIRCUIT, batch=40)
ARRAYS = WEIGHTS.numpy(), ANGLES.numpy()
EXACT = devices.get("qiskit.aer", noise="fake_manila", optimization_level=LEVEL)
pytestmark = pytest.mark.usefixtures("jobs")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Surrogate:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HQC_JOBS", str(tmp_path_factory.mktemp("jobs")))
        return surrogate.fit(CIRCUIT, WEIGHTS, fake(shots=4096, seed=3))


# what is measured


def test_counts_are_those_of_the_noisy_device(fitted: Surrogate) -> None:
    exact = EXACT.probabilities(CIRCUIT, WEIGHTS, surrogate.grid(3))
    counts = fitted.values() * 4096
    torch.testing.assert_close(counts, counts.round())
    statistic = float(((counts - 4096 * exact).square() / (4096 * exact)).sum())
    assert 1e-3 < stats.chi2.sf(statistic, 27 * 7) < 1 - 1e-3  # wrong bit order, noise or readout: below 1e-300


def test_the_surrogate_is_as_wrong_as_it_says(fitted: Surrogate) -> None:
    exact = EXACT.expectations(CIRCUIT, WEIGHTS, ANGLES)
    error = fitted.standard_error(ANGLES)
    assert error.shape == (40, 3)
    assert error.max() < 4096**-0.5
    assert error.min() > 0.3 * 4096**-0.5
    deviations = (fitted(ANGLES) - exact) / error
    assert 0.6 < deviations.square().mean().sqrt() < 1.4  # 27 independent measurements of three wires decide
    assert deviations.abs().max() < 4.5
    assert 1e-3 < fitted.max_error < 0.06


def test_the_standard_error_is_the_spread_of_repeated_measurements(fitted: Surrogate) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([fitted.replicate(generator)(ANGLES) for _ in range(400)])
    torch.testing.assert_close(draws.mean(0), fitted(ANGLES), atol=5e-3, rtol=0)
    ratio = draws.std(0) / fitted.standard_error(ANGLES)
    assert ratio.min() > 0.82
    assert ratio.max() < 1.18
    one, shots = ANGLES[:1], 10**7  # samples of replicates scatter by what the fit does not know, whatever their number
    again = fitted.samples(one, shots, generator, 200, torch.Generator().manual_seed(1)).std(0) / fitted.standard_error(one)
    assert (again - 1).abs().max() < 0.25
    assert (fitted.samples(one, shots, generator, 20) - fitted(one)).abs().max() < 5 / shots**0.5


def test_a_wire_that_always_reads_the_same_is_not_certain() -> None:
    certain = Surrogate(2)
    values = torch.zeros(9, 4, dtype=torch.float64)
    values[:, 0] = 1
    certain.set_values(values)
    certain.shots.fill_(100)
    assert (certain.standard_error(torch.zeros(1, 2)) > 0.01).all()


def test_an_exact_surrogate_has_no_error_and_a_measured_one_keeps_its_own(fitted: Surrogate) -> None:
    exact = surrogate.fit(CIRCUIT, WEIGHTS, devices.get("default.qubit"))
    assert torch.equal(exact.standard_error(ANGLES), torch.zeros(40, 3, dtype=torch.float64))
    assert exact.replicate(torch.Generator()) is exact
    copy, facts = surrogate.loads(surrogate.dumps(fitted, {"depth": 3}))
    assert (copy.measured, facts) == (True, {"depth": 3})
    assert torch.equal(copy.standard_error(ANGLES), fitted.standard_error(ANGLES))


def test_one_parameterised_circuit_and_one_job_for_grid_and_check(submissions: list[Any]) -> None:
    device = fake(shots=10)
    fit = surrogate.fit(CIRCUIT, WEIGHTS, device)
    (pub,) = submissions
    assert pub[1].shape == (27 + surrogate.n_checks(3, True), 3)
    assert len(pub[0].parameters) == 3
    assert fit.evaluations == 27 + surrogate.n_checks(3, True)
    assert device.exact() is device
    assert device.label == "ibm[fake_manila,optimization_level=1,shots=10]"


def test_the_same_measurement_is_made_once_another_seed_measures_again(submissions: list[Any]) -> None:
    first = fake(shots=50).probabilities(CIRCUIT, WEIGHTS, ANGLES)
    assert torch.equal(first, fake(shots=50).probabilities(CIRCUIT, WEIGHTS, ANGLES))
    assert len(submissions) == 1
    others = [fake(shots=50, seed=1), fake(shots=51), fake(shots=50, backend="fake_lima"), fake(shots=50, transpile_seed=1)]
    assert not any(torch.equal(first, other.probabilities(CIRCUIT, WEIGHTS, ANGLES)) for other in others)
    moved = fake(shots=50).probabilities(CIRCUIT, WEIGHTS + 1e-9, ANGLES)
    assert len(submissions) == 6
    assert not torch.equal(first, moved)


def test_what_exceeds_a_job_is_split_and_all_of_it_submitted_first(
    submissions: list[Any], monkeypatch: pytest.MonkeyPatch, jobs: ibm_jobs.Jobs
) -> None:
    device = fake(shots=100, job_executions=1550)
    assert (device.n_jobs(40), device.n_jobs(45), device.n_jobs(46)) == (3, 3, 4)
    lose(monkeypatch, 1, ConnectionError)
    with pytest.raises(DeviceError, match="lost sight"):
        device.run(CIRCUIT, *ARRAYS)
    assert [len(pub[1]) for pub in submissions] == [15, 15, 10]
    parts = device.run(CIRCUIT, *ARRAYS)
    assert len(submissions) == 3
    exact = EXACT.probabilities(CIRCUIT, WEIGHTS, ANGLES).numpy()
    assert np.abs(parts - exact).max() < 5 * 0.5 / 10  # in the order of the angles


# nothing is paid for twice


def test_a_lost_connection_resumes_by_the_job_id(
    submissions: list[Any], monkeypatch: pytest.MonkeyPatch, jobs: ibm_jobs.Jobs
) -> None:
    asked = lose(monkeypatch, 1, ConnectionError)
    with pytest.raises(DeviceError, match=r"lost sight of job .*ConnectionError.*the job goes on"):
        fake().run(CIRCUIT, *ARRAYS)
    (line,) = (jobs.folder / "jobs.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["event"], record["job"]) == ("submitted", asked[0])
    assert (record["circuits"], record["shots"], record["backend"]) == (40, SHOTS, "fake_manila")
    assert fake().run(CIRCUIT, *ARRAYS).shape == (40, 8)
    assert asked == [record["job"]] * 2
    assert len(submissions) == 1


def test_another_process_resumes_and_a_finished_job_needs_no_account(
    cloud: type[Cloud], submissions: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = fake(backend="ibm_lima")
    lose(monkeypatch, 1, ConnectionError)
    with pytest.raises(DeviceError, match="lost sight"):
        device.run(CIRCUIT, *ARRAYS)
    another_process()
    first = device.run(CIRCUIT, *ARRAYS)
    another_process()
    cloud.asked.clear()
    assert np.array_equal(device.run(CIRCUIT, *ARRAYS), first)
    assert cloud.asked == []
    assert len(submissions) == 1


def test_a_lost_record_is_found_again_by_its_tag(cloud: type[Cloud], submissions: list[Any], jobs: ibm_jobs.Jobs) -> None:
    device = fake(backend="least_busy")
    first = device.run(CIRCUIT, *ARRAYS)
    for path in jobs.folder.iterdir():
        path.unlink()
    another_process()
    assert np.array_equal(device.run(CIRCUIT, *ARRAYS), first)
    assert len(submissions) == 1
    assert json.loads((jobs.folder / "jobs.jsonl").read_text())["job"] in cloud.known


def test_a_failed_job_is_submitted_again_by_the_next_process_only(
    cloud: type[Cloud], submissions: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = fake(backend="ibm_lima")
    lose(monkeypatch, 1, qiskit_ibm_runtime.RuntimeJobFailureError)
    for _ in range(2):  # a worker tries everything twice
        with pytest.raises(DeviceError, match=r"job .* failed: RuntimeJobFailureError"):
            device.run(CIRCUIT, *ARRAYS)
    assert len(submissions) == 1
    monkeypatch.setattr(LocalRuntimeJob, "status", lambda _: "ERROR")
    another_process()
    device.run(CIRCUIT, *ARRAYS)
    assert len(submissions) == 2


def test_a_local_job_that_died_with_its_process_is_run_again(submissions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, 1, KeyboardInterrupt)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        fake().run(CIRCUIT, *ARRAYS)
    another_process()
    fake().run(CIRCUIT, *ARRAYS)
    assert len(submissions) == 2


def test_half_a_line_is_passed_over(jobs: ibm_jobs.Jobs) -> None:
    jobs.record("submitted", "a", job="1")
    with (jobs.folder / "jobs.jsonl").open("a") as file:
        file.write('{"event": "submitted", "key": "b", "jo')
    jobs.record("failed", "a", job="1")
    assert jobs.latest("b") is None
    assert (jobs.latest("a") or {})["event"] == "failed"


def test_a_folder_that_cannot_be_written_stops_before_anything_is_paid_for(
    submissions: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HQC_JOBS", str(tmp_path / "file" / "jobs"))
    with pytest.raises(DeviceError, match=r"cannot write the record of IBM jobs.*export HQC_JOBS"):
        fake().run(CIRCUIT, *ARRAYS)
    assert submissions == []


# what is refused, and what is never said


def test_without_an_account_one_line_says_how_to_provide_it() -> None:
    device = fake(backend="ibm_torino")
    device.check(CIRCUIT)  # a plan needs none
    for ask in (lambda: device.prepare(CIRCUIT), lambda: device.run(CIRCUIT, *ARRAYS)):
        with pytest.raises(DeviceError, match=r"cannot reach IBM Quantum.*export QISKIT_IBM_TOKEN.*save_account") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    device = fake(backend="ibm_torino")
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    with pytest.raises(DeviceError, match=r"device ibm: qiskit-ibm-runtime is not installed.*pip install qiskit-ibm-runtime"):
        device.check(CIRCUIT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "'backend' is required"),
        ({"backend": "fake_manilla"}, "unknown fake backend 'fake_manilla'; did you mean 'fake_manila'"),
        ({"backend": "ibm torino!"}, "named like ibm_torino"),
        ({"backend": "ibm_torino", "shots": None}, "shots"),
        ({"backend": "ibm_torino", "token": "x"}, "unknown option 'token'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        devices.get("ibm", **options)


def test_what_cannot_run_is_refused_before_it_is_submitted(cloud: type[Cloud], submissions: list[Any]) -> None:
    six = circuits.get("vqc1", 6)
    with pytest.raises(DeviceError, match=r"more qubits than fake_manila .*up to 5 qubits"):
        fake().check(six)
    with pytest.raises(DeviceError, match=r"2000 shots do not fit into a job .*up to 1999"):
        fake(job_executions=1999).check(CIRCUIT)
    device = fake(backend="ibm_lima")
    device.check(six)
    assert cloud.asked == []
    with pytest.raises(DeviceError, match="more qubits than fake_lima"):
        device.prepare(six)
    with pytest.raises(DeviceError, match=r"cannot open backend 'ibm_nowhere'.*backends\(\)"):
        fake(backend="ibm_nowhere").prepare(CIRCUIT)
    assert submissions == []


def test_no_credential_is_ever_said(
    cloud: type[Cloud], monkeypatch: pytest.MonkeyPatch, jobs: ibm_jobs.Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    device, said = fake(backend="ibm_lima"), []

    def complaint(ask: Callable[[], Any]) -> None:
        with pytest.raises(DeviceError) as caught:
            ask()
        assert caught.value.__suppress_context__
        said.append(str(caught.value))

    complaint(lambda: fake(backend="ibm_nowhere").prepare(CIRCUIT))
    lose(monkeypatch, 1, qiskit_ibm_runtime.RuntimeJobFailureError)
    complaint(lambda: device.run(CIRCUIT, *ARRAYS))
    another_process()
    surrogate.fit(CIRCUIT, WEIGHTS, device)
    said += [repr(device), device.label, str(device.model_dump()), str(device.facts(CIRCUIT)), caplog.text]
    said += [path.read_bytes().decode(errors="replace") for path in jobs.folder.iterdir()]
    assert sum("***" in text for text in said) == 3  # twice in what was raised, once in the record of the failure
    assert not any(secret in text for text in said for secret in (TOKEN, INSTANCE))


def test_facts_are_those_of_the_compiled_circuit() -> None:
    aer = EXACT.facts(CIRCUIT)
    assert aer.noisy_gates > 0
    assert fake().facts(CIRCUIT) == replace(aer, noisy_gates=0, noisy_readouts=0, backend="fake_manila", expected_error=None)


def test_what_was_executed_is_what_was_paid_for_whatever_the_compiler_says_today(
    cloud: type[Cloud], submissions: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = fake(backend="least_busy")
    device.run(CIRCUIT, *ARRAYS)
    (compiled, _), paid = submissions[0], device.executed(CIRCUIT, WEIGHTS)
    assert (paid.layout, paid.backend) == (tuple(compiled.layout.final_index_layout()), "fake_lima")
    another_process()
    cloud.asked.clear()
    monkeypatch.setattr(ibm.IBM, "compiled_for", lambda *_: pytest.fail("compiled again"))
    assert device.executed(CIRCUIT, WEIGHTS) == paid
    assert cloud.asked == []
    with pytest.raises(pytest.fail.Exception):
        device.executed(CIRCUIT, WEIGHTS + 1)  # of other weights nothing is known


# in a sweep


def sweep(folder: Path, device: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(
        "name: qpu\nblocks:\n  - data: {source: synthetic, size: 40, images: 60}\n"
        "    model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: vqc1, n_qubits: 3}\n"
        "    train: {epochs: 1}\n    attack: {name: fgsm, epsilon: [0.1, 0.2]}\n"
        f"    device: {device}\n    seed: [0, 1]\n"
    )
    return path


def test_a_plan_says_what_it_costs_and_asks_nobody(
    tmp_path: Path, cloud: type[Cloud], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["plan", str(sweep(tmp_path, "{name: ibm, backend: ibm_lima, shots: 1000, job_executions: 20000}"))]) == cli.OK
    )
    first, *others = capsys.readouterr().out.splitlines()
    assert "[ibm_lima" in "".join(others)  # in the table too
    circuits_, jobs_ = 2 * (27 + surrogate.n_checks(3, True)), 2 * 3
    assert first.startswith(f"ibm[ibm_lima,shots=1000]: {circuits_} circuits, {circuits_},000 shots, {jobs_} jobs to measure 2 ")
    assert cloud.asked == []


def test_a_sweep_refuses_a_machine_before_it_trains(
    tmp_path: Path, cloud: type[Cloud], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hqc_ray.models.training.train", lambda *_, **__: pytest.fail("trained"))
    path = sweep(tmp_path, "{name: ibm, backend: ibm_nowhere}")
    assert cli.main(["sweep", str(path), "--serial", "--results", str(tmp_path)]) == cli.BAD_INPUT
    error = capsys.readouterr().err
    assert "cannot open backend 'ibm_nowhere'" in error
    assert TOKEN not in error


def test_a_sweep_measures_each_model_once(tmp_path: Path, cloud: type[Cloud], submissions: list[Any]) -> None:
    path = sweep(tmp_path, "[{name: ibm, backend: ibm_lima, shots: 100}, {name: ibm, backend: ibm_lima, shots: 200}]")
    assert run.execute(path, tmp_path, serial=True, console=Console(quiet=True)).failed == 0
    assert len(submissions) == 4  # two models, each with 100 and with 200 shots
    rows = [json.loads(line) for line in (tmp_path / "qpu" / "rows.jsonl").read_text().splitlines()]
    assert {row["device"] for row in rows} == {"ibm[ibm_lima,shots=100]", "ibm[ibm_lima,shots=200]"}
    records = [json.loads(line)["compiled"] for line in (ibm_jobs.here().folder / "jobs.jsonl").read_text().splitlines()]
    compiled = {(record["depth"], record["two_qubit_gates"], str(record["layout"])) for record in records}
    assert {(row["depth"], row["two_qubit_gates"], row["layout"]) for row in rows} == compiled
    for row in rows:
        assert 0.5 < row["surrogate_standard_error"] * row["shots"] ** 0.5 <= 1
        assert 0 <= row["clean_shot_low"] <= row["clean_shot_high"] <= 1
        assert 0 <= row["robust_shot_low"] <= row["robust_shot_high"] <= 1
    assert not any("surrogate_inexact" in flags for flags in audit.flags(pd.DataFrame(rows)).values())
    texts = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(TOKEN.encode() in text or INSTANCE.encode() in text for text in texts)
