"""Levels of resilience that a device does not have: one line from `hqc plan`, before anything is connected to or runs."""

import re

import pytest

from tests.fuzz.promise import refused
from tests.fuzz.test_fuzz_ibm import SWEEP

CASES = [
    ("mitigation: {resilience_level: 3}", "mitigation.resilience_level: .*0, 1 or 2, not 3"),
    ("mitigation: {resilience_level: 1.5}", "0, 1 or 2, not 1.5"),
    ("mitigation: {resilience_level: yes}", "a boolean is no number"),
    ("mitigation: {resilience_level: .nan}", "not a decimal, finite number"),
    ("mitigation: {resilience_level: [1, 2]}", "mitigation.resilience_level"),
    ("mitigation: {resilience_level: 1, readout: true}", "readout beside resilience_level"),
    ("mitigation: {resilience_level: 2, zne: [1, 3, 5]}", "zne beside resilience_level"),
    ("mitigation: [{resilience_level: 1}, {resilience_level: 4}]", "0, 1 or 2, not 4"),
    ("mitigation: {resilience_level: 2}, shots: 100, job_executions: 299", "100 shots do not fit into a job"),
    ("resilience_level: 1", "unknown option 'resilience_level'"),
]


@pytest.mark.parametrize(("options", "message"), CASES)
def test_on_a_machine(tmp_path, options, message):
    (tmp_path / "x.yaml").write_text(SWEEP.format(device=f"backend: ibm_torino, {options}"))
    line = refused(tmp_path, "plan", tmp_path / "x.yaml")
    assert re.search(message, line), line


@pytest.mark.parametrize("device", ["qiskit.aer, noise: fake_manila", "qiskit.aer", "default.qubit"])
def test_elsewhere(tmp_path, device):
    text = SWEEP.replace("name: ibm, {device}", f"name: {device}, mitigation: {{{{resilience_level: 1}}}}").format()
    (tmp_path / "x.yaml").write_text(text)
    line = refused(tmp_path, "plan", tmp_path / "x.yaml")
    assert re.search(r"only IBM's Estimator has levels|unknown option 'mitigation'", line), line
