"""Snapshots of a machine as an axis: rows and keys know their content, and a worker has never seen their files."""

import json

import pytest

from hqc_ray.quantum.noise import snapshots
from tests.sweep.cases import Shelf, build, changed, kinds, worker

QUBITS = [{"t1_us": 90.0, "t2_us": 70.0, "readout_01": 0.01, "readout_10": 0.02, "readout_ns": 800}] * 2


def written(path, error, day):
    gates = {
        "rz": [{"on": [q], "error": 0.0, "ns": 0} for q in (0, 1)],
        "sx": [{"on": [q], "error": 1e-3, "ns": 35} for q in (0, 1)],
        "cz": [{"on": list(on), "error": error, "ns": 80} for on in ((0, 1), (1, 0))],
    }
    content = {"calibration": 1, "machine": "ibm_two", "date": f"2026-11-{day:02}T00:00:00Z", "qubits": QUBITS, "gates": gates}
    path.write_text(json.dumps(content))
    return path


def drift(folder, more=""):
    files = [str(written(folder / f"day{day}.json", 0.01 * day, day)) for day in (1, 2)]
    return changed(("head: tanh", "head: vqc1"), more=f"  device: {{name: qiskit.aer, noise: {json.dumps(files)}}}\n{more}")


@pytest.fixture
def graph(tmp_path):
    return build(drift(tmp_path))


def test_each_day_is_a_device_whose_row_says_the_machine_and_the_day_but_no_path(graph, tmp_path):
    rows = [row for job in graph.jobs for row in job.rows]
    assert kinds(graph)["fit"] == 2
    assert sorted({row.device[:30] for row in rows}) == [f"qiskit.aer[ibm_two@2026-11-0{day}-" for day in (1, 2)]
    assert all(str(tmp_path) not in row.model_dump_json() for row in rows)


def test_keys_follow_the_content_and_not_the_place(graph, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    keys = [row.key for job in graph.jobs for row in job.rows]
    assert [row.key for job in build(drift(tmp_path / "elsewhere")).jobs for row in job.rows] == keys
    written(tmp_path / "day1.json", 0.011, 1)
    other = changed(
        ("head: tanh", "head: vqc1"), more=f"  device: {{name: qiskit.aer, noise: '{tmp_path / 'day1.json'}'}}"
    )  # fmt: skip
    assert not {row.key for job in build(other).jobs for row in job.rows} & set(keys)


def test_a_worker_gets_the_content_with_the_job(graph, tmp_path, monkeypatch):
    for file in tmp_path.iterdir():
        file.unlink()
    monkeypatch.setattr(snapshots, "_at_hand", {})
    store = Shelf()
    doer, fetched = worker(graph, store)
    measured = []
    for job in graph.jobs:
        outcome = doer.run(job)
        assert not outcome.error, outcome.error
        store.artifacts[job.id] = outcome.artifact
        measured += outcome.measured
    assert len([name for name in set(fetched) if name.startswith("snapshot/")]) == 2
    assert {row.layout for row in measured} <= {"[0, 1]", "[1, 0]"}
    errors = sorted({row.expected_error for row in measured})
    assert len(errors) == 2
    assert errors[0] < errors[1]
