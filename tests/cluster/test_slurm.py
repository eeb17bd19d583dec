"""cluster/slurm.sbatch, without a scheduler: `srun` and `scontrol` are stand-ins that do on this machine what they are asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.lab import hosts

ROOT = Path(__file__).parents[2]
BATCH = ROOT / "cluster" / "slurm.sbatch"
STANDINS = {
    "scontrol": 'test "$*" = "show hostnames $SLURM_JOB_NODELIST" && printf "n1\\nn2\\n"',
    "srun": 'while [[ $1 == --* ]]; do echo "$1" >> "$LOG"; shift; done; exec "$@"',
    "hostname": 'test "$1" = --ip-address && echo "fe80::1 127.0.0.1"',
}
RAY = 'echo "ray $*" >> "$LOG"; if [[ $1 == symmetric-run ]]; then while [[ $1 != -- ]]; do shift; done; shift; exec "$@"; fi'
HQC = 'echo "hqc $*" >> "$LOG"; exit 3'
SWEEP = """
name: tiny
blocks:
  - data: {source: synthetic, size: 40, size_pixels: 32}
    train: {epochs: 1}
    evaluate: {images: 4, batch_size: 4}
    model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: tanh}
    attack: {name: fgsm, epsilon: 0.05}
"""


def environment(folder, standins, nodes):
    """PATH with the stand-ins before everything, and what SLURM sets for a job."""
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    for name, body in standins.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (programs / name).chmod(0o755)
    (programs / "activate").write_text(f'PATH={programs}:{Path(sys.executable).parent}:"$PATH"\n')
    (folder / "home" / ".ray").mkdir(parents=True)
    job = {
        "SLURM_JOB_ID": "1234567",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_JOB_NUM_NODES": str(nodes),
        "SLURM_CPUS_ON_NODE": "2",
    }
    own = {"HQC_VENV": str(folder / "venv"), "HOME": str(folder / "home"), "LOG": str(folder / "log")}
    return {**os.environ, **job, **own}


def test_it_passes_shellcheck():
    if shutil.which("shellcheck") is None:
        pytest.skip("needs Debian's shellcheck")
    scripts = [BATCH, *(ROOT / ".ci" / name for name in ("run", "oldest", "wheel"))]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert not done.stdout, done.stdout


def test_every_node_runs_ray_and_the_head_the_sweep(tmp_path):
    variables = environment(tmp_path, {**STANDINS, "ray": RAY, "hqc": HQC}, nodes=2)
    (tmp_path / "home" / ".ray" / "auth_token").touch()
    done = subprocess.run(
        ["bash", BATCH, "mine.yaml", "--workers", "3"], env=variables, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 3, done.stderr  # the sweep's own
    told = (tmp_path / "log").read_text().splitlines()
    assert told[:5] == ["--nodes=1", "--ntasks=1", "--nodelist=n1", "--nodes=2", "--ntasks=2"]
    assert told[5].startswith("ray symmetric-run --address 127.0.0.1:24567 --min-nodes 2 --num-cpus 2 -- ")
    assert told[6:] == ["hqc sweep mine.yaml --workers 3 --address 127.0.0.1:24567"]
    assert not list(tmp_path.glob(".hqc-*"))


def test_a_ray_that_does_not_start_is_a_failed_job(tmp_path):
    variables = environment(tmp_path, {**STANDINS, "ray": "echo no", "hqc": HQC}, nodes=2)
    (tmp_path / "home" / ".ray" / "auth_token").touch()
    done = subprocess.run(["bash", BATCH, "mine.yaml"], env=variables, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "Ray did not start on all nodes: its messages are above\n")


def test_a_token_is_made_once(tmp_path):
    variables = environment(tmp_path, {**STANDINS, "ray": RAY + "; touch ~/.ray/auth_token", "hqc": "true"}, nodes=2)
    for _ in range(2):
        subprocess.run(["bash", BATCH, "mine.yaml"], env=variables, check=True, capture_output=True, cwd=tmp_path)
    told = (tmp_path / "log").read_text()
    assert told.count("get-auth-token --generate") == 1
    assert oct((tmp_path / "home" / ".ray" / "auth_token").stat().st_mode)[-3:] == "600"


def test_without_a_sweep_file_nothing_is_started(tmp_path):
    variables = environment(tmp_path, STANDINS, nodes=2)
    done = subprocess.run(["bash", BATCH], env=variables, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode != 0
    assert "the sweep file" in done.stderr
    assert not (tmp_path / "log").exists()


@pytest.mark.byhand
def test_a_sweep_on_one_node(tmp_path):
    """Ray's own `symmetric-run`, in a network and with processes of its own: it ends with `ray stop`, for all that it sees."""
    if reason := hosts.missing():
        pytest.skip(reason)
    hqc = f'exec {sys.executable} -m hqc_ray.cli "$@"'
    variables = environment(tmp_path, {**STANDINS, "hqc": hqc}, nodes=1) | {
        "PYTHONPATH": str(ROOT),
        "HQC_CACHE": str(tmp_path / "c"),
    }
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    (tmp_path / "ray").mkdir()
    Path("/tmp/ray").mkdir(exist_ok=True)  # noqa: S108 - where Ray keeps its sessions: in the namespace, the test's own folder
    alone = ["unshare", "--net", "--pid", "--ipc", "--mount", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]
    command = 'mount --bind "$1" /tmp/ray && ip link set lo up && exec bash "$2" tiny.yaml'
    started = [*alone, command, "job", str(tmp_path / "ray"), str(BATCH)]
    done = subprocess.run(started, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running command on head node" in done.stdout, done.stdout + done.stderr
    assert len((tmp_path / "results" / "tiny" / "rows.jsonl").read_text().splitlines()) >= 1
