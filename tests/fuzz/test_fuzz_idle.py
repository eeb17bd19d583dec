"""Waits, couplings, excess turns and mitigation that make no sense: one line from `hqc plan`, before anything runs."""

import re

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: x
defaults:
  data: {{source: synthetic, size: 40, images: 60}}
  model: {{backbone: cnn1, image_size: 32, head: vqc1, n_qubits: 3}}
  train: {{epochs: 1{train}}}
  evaluate: {{images: 10}}
  attack: {{name: clean}}
  device: {{name: {name}, {device}}}
blocks: [{{seed: 0}}]
"""
MANILA = "noise: fake_manila"


def said(folder, device, name="qiskit.aer", train=""):
    (folder / "x.yaml").write_text(SWEEP.format(device=device, name=name, train=train))
    return refused(folder, "plan", folder / "x.yaml")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("noise: fake_essex, idle: true", r"device.*the machine does not say how long measure on \[\d\] takes"),
        ("noise: fake_essex, zz_khz: [0, 40]", "does not say how long measure"),
        ("idle: true", "idle without a machine, t1_us or t2_us has no effect"),
        ("t1_us: 10, t2_us: 20.5, idle: true", r"t2_us 20.5.*up to 2 t1_us = 20"),
        (f"{MANILA}, idle: yes please", "valid boolean"),
        (f"{MANILA}, idle: 1", "true or false"),
        (f"{MANILA}, zz_khz: .inf", "finite"),
        (f"{MANILA}, zz_khz: much", "valid number"),
        (f"{MANILA}, overrotation_1q: 99", "less than or equal to 3.14"),
        (f"{MANILA}, overrotation_2q: true", "a boolean is no number"),
        (f"{MANILA}, mitigation: true", "mitigation"),
        (f"{MANILA}, mitigation: {{zne: [1]}}", "2 to 10 different scales"),
        (f"{MANILA}, mitigation: {{zne: [1.5, 2]}}", "1 among them"),
        (f"{MANILA}, mitigation: {{zne: [1, 2, 1]}}", "scales repeat"),
        (f"{MANILA}, mitigation: {{zne: [1, .nan]}}", "finite"),
        (f"{MANILA}, mitigation: {{zne: [1, -2]}}", "the smallest scale is -2"),
        (f"{MANILA}, mitigation: {{zne: [[1, 2]]}}", "mitigation.zne"),
        (f"{MANILA}, mitigation: {{zne: 2}}", "mitigation.zne"),
        (f"{MANILA}, mitigation: {{readuot: true}}", "unknown option"),
        (f"{MANILA}, noise_scale: [1, 0], mitigation: {{readout: true}}", "mitigation on an ideal device"),
        ("mitigation: {readout: true}", "mitigation on an ideal device"),
        ("depolarizing_2q: 0.5, mitigation: {zne: [1, 3]}", "takes depolarizing_2q 0.5 above 1"),
        ("readout_01: 0.5, readout_10: 0.5, mitigation: {readout: true}", "cannot be inverted"),
    ],
)
def test_devices(tmp_path, device, message):
    line = said(tmp_path, device)
    assert re.search(message, line), line


def test_mitigation_elsewhere(tmp_path):
    assert "unknown option 'mitigation'" in said(tmp_path, "mitigation: {readout: true}", name="default.qubit")
    train = f", device: {{name: qiskit.aer, {MANILA}, mitigation: {{readout: true}}}}"
    assert "mitigates afterwards" in said(tmp_path, MANILA, train=train)
