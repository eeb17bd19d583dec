"""Machines and snapshots that are none: one line from `hqc plan` and `hqc devices`, nothing written."""

import json
import os
import sys

import pytest

from tests.fuzz.promise import refused

SWEEP = """
name: fuzz
defaults:
  data: {{source: synthetic, size: 40, images: 60}}
  attack: {{name: fgsm, epsilon: 0.1}}
blocks:
  - model: {{backbone: cnn1, head: vqc1, n_qubits: 3}}
    device: {device}
"""
CODE = """
import sys
from qiskit.providers.fake_provider import GenericBackendV2

def nothing(): pass
def text(): return "fake_manila"
def class_itself(): return GenericBackendV2
def few(): return GenericBackendV2(2, seed=1)
def loose(): return GenericBackendV2(3)
def raises(): raise ValueError("line one\\nline two")
def exits(): sys.exit(0)
def deep(): return deep()
def wants(a, b): return few()
number = 7
"""
QUBIT = {"t1_us": 90.0, "t2_us": 70.0, "readout_01": 0.01, "readout_10": 0.02}
GOOD = {
    "calibration": 1, "machine": "ibm_two", "date": "2026-11-01T00:00:00Z", "qubits": [QUBIT] * 3,
    "gates": {"sx": [{"on": [q], "error": 1e-3} for q in range(3)], "cz": [{"on": [0, 1], "error": 0.01}]},
}  # fmt: skip
FILES = {
    "empty": "", "text": "no JSON", "number": "1", "list": "[]", "deep": "[" * 50_000, "nul": "\0",
    "huge number": '{"calibration": 1e999}',
    "properties of IBM's": json.dumps({"backend_name": "ibm_torino", "qubits": [], "gates": []}),
    "no gates": json.dumps({**GOOD, "gates": {}}), "no qubits": json.dumps({**GOOD, "qubits": []}),
    "only one-qubit gates": json.dumps({**GOOD, "gates": {"sx": GOOD["gates"]["sx"]}}),  # vqc1 cannot be compiled
    "an error of 2": json.dumps({**GOOD, "gates": {"cz": [{"on": [0, 1], "error": 2}]}}),
    "a negative T1": json.dumps({**GOOD, "qubits": [{**QUBIT, "t1_us": -1}] * 3}),
    "a text for a time": json.dumps({**GOOD, "qubits": [{**QUBIT, "t1_us": "long"}] * 3}),
    "a gate nobody knows": json.dumps({**GOOD, "gates": {"__class__": [{"on": [0]}]}}),
    "a qubit that is not there": json.dumps({**GOOD, "gates": {"cz": [{"on": [0, 99]}]}}),
    "fewer qubits": json.dumps({**GOOD, "qubits": [QUBIT] * 2, "gates": {"cz": [{"on": [0, 1]}]}}),
    "no time zone": json.dumps({**GOOD, "date": "2026-11-01T00:00:00"}),
    "a path for a name": json.dumps({**GOOD, "machine": "../../x"}),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "fuzzlab.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop("fuzzlab", None)


def planned(folder, device):
    file = folder / "fuzz.yaml"
    file.write_text(SWEEP.format(device=device))
    return refused(folder, "plan", file)


@pytest.mark.parametrize(
    "name", ["nothing", "text", "class_itself", "few", "loose", "raises", "exits", "deep", "wants", "number", "no"]
)
def test_a_callable_that_gives_no_machine(name, folder):
    line = planned(folder, f"{{name: qiskit.aer, noise: 'fuzzlab:{name}'}}")
    assert f"fuzzlab:{name}" in line
    assert "device" in line


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_snapshot_of_a_machine_for_this_circuit(name, folder):
    (folder / "bad.json").write_text(FILES[name])
    assert "blocks[0].device" in planned(folder, "{name: qiskit.aer, noise: bad.json}")
    if name not in ("only one-qubit gates", "fewer qubits"):  # which can be looked at
        assert "bad.json: no snapshot" in refused(folder, "devices", "bad.json")


def test_files_that_are_none(folder):
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    os.symlink(folder / "loop.json", folder / "loop.json")
    for name in ("folder.json", "pipe.json", "loop.json", "missing.json", "ibm_two@2026-11-01-00000000"):
        assert name in planned(folder, f"{{name: qiskit.aer, noise: {name}}}")


@pytest.mark.parametrize(
    "options",
    [
        "layout: best", "noise: fake_manila, layout: worst", "noise: fake_manila, layout: true",
        "layout: best, depolarizing_1q: 0.1",
        "noise: 'aqt:nowhere'", "noise: 'iqm:'", "noise: ':'", "noise: 'a:'", "noise: '${HQC_NOT_SET}/a.json'",
    ],
)  # fmt: skip
def test_options(options, folder):
    assert "blocks[0].device" in planned(folder, f"{{name: qiskit.aer, {options}}}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--date", "2026-11-01"), ("-o", "x.json"), ("--draw", "x.png"), ("--circuit", "vqc1"), ("fake_manila", "--check"),
        ("fake_nowhere",), ("fake_manila", "--draw", "x.exe"), ("fake_manila", "--circuit", "vqc99"),
        ("fake_manila", "--qubits", "3"),
        ("fake_manila", "--circuit", "vqc1", "--qubits", "9"), ("--snapshot", "fake_manila", "--date", "2026-02-30"),
        ("--snapshot", "fake_manila", "--date", "9999-01-01"), ("--snapshot", "fake_manila", "--date", "2026-01-01"),
        ("--snapshot", "fake_manila", "-o", "x.txt"), ("--snapshot", "fake_manila", "fake_manila"),
        ("--snapshot", "fake_nowhere"),
    ],
)  # fmt: skip
def test_commands(arguments, folder):
    refused(folder, "devices", *arguments)
