"""Mitigation that a machine cannot do: one line from `hqc plan`, before anything is connected to or runs."""

import re

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: x
defaults:
  data: {{source: synthetic, size: 40, images: 60}}
  model: {{backbone: cnn1, image_size: 32, head: vqc1, n_qubits: 3}}
  train: {{epochs: 1}}
  evaluate: {{images: 10}}
  attack: {{name: clean}}
  device: {{name: ibm, {device}}}
blocks: [{{seed: 0}}]
"""


@pytest.mark.parametrize("backend", ["fake_manila", "ibm_torino", "least_busy"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mitigation: {zne: [1, 1.5, 2]}", r"mitigation.zne: 1.5 on a machine.*odd whole numbers, such as \[1, 3, 5\]"),
        ("mitigation: {readout: true, zne: [1, 2]}", "mitigation.zne: 2 on a machine"),
        ("mitigation: [{zne: [1, 3]}, {zne: [1, 4]}]", "mitigation.zne: 4 on a machine"),
        ("mitigation: {zne: [3, 5]}", "the smallest scale is 3"),
        ("mitigation: {zne: [1, .nan]}", "finite"),
        ("mitigation: {zne: [1, 99]}", "2 to 10 different scales from 1 to 10"),
        ("mitigation: {zne: 3}", "mitigation.zne"),
        ("mitigation: true", "mitigation"),
        ("mitigation: {}", "nothing is mitigated"),
        ("mitigation: {resilience: 2}", "unknown option"),
        ("mitigation: {readout: true}, noise_scale: 2", "unknown option 'noise_scale'"),
        ("mitigation: {readout: true}, shots: 100, job_executions: 99", "100 shots do not fit into a job"),
    ],
)
def test_machines(tmp_path, backend, options, message):
    (tmp_path / "x.yaml").write_text(SWEEP.format(device=f"backend: {backend}, {options}"))
    line = refused(tmp_path, "plan", tmp_path / "x.yaml")
    assert re.search(message, line), line
