"""Waits and mitigation in a sweep: what the plan counts and what a row says."""

import json

import pytest
from rich.console import Console

from hqc_ray import circuits, devices
from hqc_ray.evaluation.sampled import SPREAD
from hqc_ray.sweep import run
from hqc_ray.sweep.graph import costs
from tests.sweep.cases import changed, planned

MITIGATION = {"readout": True, "zne": [1.0, 1.5, 2.0]}
DEVICE = "{name: qiskit.aer, noise: fake_manila, idle: true, shots: SHOTS, mitigation: {readout: true, zne: [1, 1.5, 2]}}"
PLAIN = "{name: qiskit.aer, noise: fake_manila, shots: SHOTS}"


def text(device, shots):
    return changed(("tanh", "vqc1"), more=f"  device: {device.replace('SHOTS', shots)}\n")


def test_the_plan_counts_every_scale_and_the_calibration():
    plain, mitigated = (planned(text(device, "100")) for device in (PLAIN, DEVICE))
    group = plain.groups[0]
    evaluations = SPREAD * (1 + len(group.epsilons))
    assert costs.sampled_shots(group) == 100 * evaluations * 6
    assert costs.sampled_shots(mitigated.groups[0]) == 100 * evaluations * (3 * 6 + 6)
    counted = [costs.circuits(job.model, spec) for made in (plain, mitigated) for job, spec in made.deployments]
    assert counted[1] == 3 * counted[0]
    seconds = [costs.fit(job.model, spec) for made in (plain, mitigated) for job, spec in made.deployments]
    assert seconds[1] == pytest.approx(3 * seconds[0])


@pytest.mark.parametrize("shots", ["null", "50"])
def test_a_row_says_what_was_mitigated_and_how_long_the_circuit_takes(tmp_path, shots):
    (tmp_path / "x.yaml").write_text(text(DEVICE, shots))
    rows = run.execute(tmp_path / "x.yaml", tmp_path / "results", serial=True, console=Console(quiet=True)).rows
    assert set(rows["status"]) == {"ok"}, rows["error"].iloc[0]
    facts = devices.get("qiskit.aer", noise="fake_manila", idle=True).facts(circuits.get("vqc1", 2))
    for row in rows.to_dict("records"):
        assert json.loads(row["mitigation"]) == {**MITIGATION, "extrapolation": "richardson"}
        assert (row["duration_us"], row["idle_us"]) == (facts.duration, facts.idle)
        assert -1 < row["lowest_probability"] < 1
        assert row["circuits"] == 3 * (9 + 16)
        assert row["surrogate_error"] < 1e-10
        if shots == "50":
            assert (row["shots"], row["image_shots"], row["calibration_shots"]) == (50, 150, 300)
        else:
            assert rows["image_shots"].isna().all()  # nothing is sampled
    assert "mitigation=readout+zne(1/1.5/2)" in rows["device"].iloc[0]
