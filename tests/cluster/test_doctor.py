"""`hqc cluster doctor`: what it finds in reports, and that it gets them from every node, or says which one is silent."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from hqc_ray import cli
from hqc_ray.cluster import doctor, probe
from hqc_ray.cluster.doctor import Node
from tests.cluster import local_head

GIB = 2**30
GOOD = probe.Report(
    host="a", python="3.11.7", packages={"hqc_ray": "1", "torch": "2"}, cores=4, threads=1, memory=8 * GIB, temp="/ray",
    disk_free=50 * GIB, disk_total=100 * GIB, devices=["default.qubit"], probabilities={"default.qubit": [[0.25, 0.75]]},
)  # fmt: skip


def found(resources=None, silence="", **changes):
    report = None if silence else dataclasses.replace(GOOD, **changes)
    node = Node("0123456789abcdef", "a", False, resources or {"CPU": 4.0}, report, silence)
    return [(finding.where, finding.what, not finding.warning) for finding in doctor.findings([node], GOOD)]


def test_a_node_like_the_driver_has_no_findings():
    assert found() == []
    assert found(probabilities={"default.qubit": [[0.25 + 1e-12, 0.75 - 1e-12]]}) == []  # another processor's rounding
    assert found(packages={"hqc_ray": "1", "torch": "2+cpu"}) == []  # the head has no GPU, the node has one


@pytest.mark.parametrize(
    ("changes", "text", "error"),
    [
        ({"python": "3.11.9"}, "Python 3.11.9, the driver has 3.11.7", True),
        ({"packages": {"hqc_ray": "1", "torch": "3"}}, "torch 3, the driver has 2", True),
        ({"packages": {"hqc_ray": "1", "torch": "3+cpu"}}, "torch 3+cpu, the driver has 2", True),
        ({"packages": {"torch": "2", "hqc_ray": None}}, "hqc_ray is missing, the driver has 1", True),
        ({"problems": {"devices": "ImportError: no"}}, "devices: ImportError: no", True),
        (
            {"probabilities": {"default.qubit": [[0.25, 0.75 + 1e-8]]}},
            "default.qubit: a probability differs from the driver's by 1.0e-08, more than 1e-09",
            True,
        ),
        (
            {"probabilities": {"default.qubit": [[0.5, float("nan")]]}},
            "default.qubit: a probability differs from the driver's by nan, more than 1e-09",
            True,
        ),
        (
            {"probabilities": {"default.qubit": [[1.0]]}},
            "default.qubit: a probability differs from the driver's by nan, more than 1e-09",
            True,
        ),
        ({"disk_free": 4 * GIB}, "/ray: the disk is 96% full; Ray makes no objects above 95%", True),
        ({"disk_free": 4 * GIB, "disk_total": 20 * GIB}, "/ray: 4.0 GiB of disk left", False),
        ({"cores": 2}, "Ray gives out 4 CPUs, there are 2", False),
        ({"threads": 4}, "torch uses 4 threads per worker; 1 gives equal tables", False),
        ({"silence": "no answer within 5 s"}, "no answer within 5 s", True),
    ],
)
def test_what_is_wrong_is_one_finding_that_names_the_node(changes, text, error):
    assert found(**changes) == [("a (01234567)", text, error)]


def test_what_fails_where_the_driver_would_run_is_said_once():
    here = dataclasses.replace(GOOD, problems={"default.qubit": "ImportError: no"}, probabilities={})
    node = Node("0123456789abcdef", "a", False, {"CPU": 4.0}, GOOD)
    assert [str(finding) for finding in doctor.findings([node], here)] == ["the driver: default.qubit: ImportError: no"]


def test_a_machine_says_what_is_missing_and_no_value_of_its_environment(tmp_path, monkeypatch):
    (tmp_path / "data.h5").touch()
    monkeypatch.setenv("HQC_DATA", str(tmp_path))
    monkeypatch.setenv("HQC_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "a-very-secret-token")
    report = probe.report(("ray", "no-such-package"), {"dreamt": ("no.such.device", {})}, str(tmp_path))
    assert report.packages["no-such-package"] is None
    assert report.folders == {"HQC_DATA": ["data.h5"], "HQC_WEIGHTS": "No such file or directory"}
    assert "no.such.device" in report.problems["dreamt"]
    assert "a-very-secret-token" not in repr(report)


BROKEN = "raise ImportError('this hqc_ray is broken')"
CLUSTER = """
import json, sys
from ray.cluster_utils import Cluster

broken, temp = sys.argv[1:]
cluster = Cluster(True, head_node_args={"num_cpus": 0, "node_name": "head", "temp_dir": temp, "include_dashboard": False})
cluster.add_node(num_cpus=1, node_name="broken", env_vars={"PYTHONPATH": broken, "HQC_DATA": broken})
stopped = cluster.add_node(num_cpus=2, node_name="stopped")
[raylet] = stopped.all_processes["raylet"]
print(json.dumps({"address": cluster.address, "raylet": raylet.process.pid}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def cluster(tmp_path):
    """A head without a CPU, a node where this package is broken and Aer is another, and one that can be stopped."""
    (tmp_path / "hqc_ray").mkdir()
    (tmp_path / "hqc_ray" / "__init__.py").write_text(BROKEN)
    (tmp_path / "qiskit_aer-0.1.dist-info").mkdir()
    (tmp_path / "qiskit_aer-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: qiskit-aer\nVersion: 0.1\n")
    python = f"{tmp_path}{os.pathsep}{local_head.ROOT}"
    env = {n: v for n, v in os.environ.items() if n not in local_head.STRANGERS} | {"RAY_AUTH_MODE": "disabled"}
    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)  # Ray's Cluster writes there, and takes it for granted
    with tempfile.TemporaryDirectory(prefix="hqc", dir="/tmp", ignore_cleanup_errors=True) as temp:
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, python, temp], env=env | {"PYTHONPATH": str(local_head.ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=local_head.ROOT,
        )  # fmt: skip
        try:
            facts = json.loads(next(line for line in process.stdout if line.startswith("{")))
            yield facts
            psutil.Process(facts["raylet"]).send_signal(signal.SIGCONT)
        finally:
            process.communicate(timeout=60)


def test_every_node_is_asked_and_the_broken_and_the_silent_one_are_named(cluster, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for name in local_head.STRANGERS:
        monkeypatch.delenv(name, raising=False)
    os.kill(cluster["raylet"], signal.SIGSTOP)
    # Ray puts the driver's own path in front of a worker's: here it must not hold the package that works
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # Ray declares the stopped node dead after about a minute; the others have longer, on a machine that is busy
    finished = subprocess.run(
        [sys.executable, "-m", "hqc_ray.cli", "cluster", "doctor", "--address", cluster["address"], "--timeout", "240"],
        env=environment, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == cli.FAILED, finished.stderr
    findings = [line.removeprefix("hqc: ") for line in finished.stderr.splitlines() if line.startswith("hqc: ")]
    broken = next(line.split(": ")[1] for line in findings if "qiskit-aer" in line)
    silent = next(line.split(": ")[1] for line in findings if "no answer" in line)
    assert any(line.startswith(f"error: {broken}: qiskit-aer 0.1, the driver has ") for line in findings)
    assert f"error: {broken}: qiskit.aer with fake_manila: ImportError: this hqc_ray is broken" in findings
    # either the time was over, or Ray had declared the node dead by then
    assert [line for line in findings if line.startswith(f"error: {silent}: no answer")]
    assert {line.split(": ")[1] for line in findings if line.startswith("error")} == {broken, silent}
    assert "(head)" in finished.stdout
    assert f"{broken}: HQC_DATA: " in finished.stdout
