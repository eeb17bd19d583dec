"""A sweep on this machine's Ray with planted secrets: no file, log or output holds one, and nothing listens beyond loopback."""

import ipaddress
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.sweep.conftest import SMALL

ROOT = Path(__file__).parents[2]
PLANTED = {
    name: f"planted-{number}-{name.lower()}"
    for number, name in enumerate(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "SOME_TOKEN", "SOME_API_KEY",
         "SOME_SECRET", "SOME_PASSWORD", "INNOCENT")
    )
}  # fmt: skip
MODULE = """
import json, os
from pathlib import Path

import psutil
import ray

from hqc_ray.attacks import FGSM
from hqc_ray.data.sources.synthetic import Synthetic


class Locked(Synthetic):
    key: str
    other: str = os.environ["SOME_SECRET"]

    def check(self):
        assert self.key == os.environ["INNOCENT"]


def look():
    driver = psutil.Process(os.getppid()).parent()
    processes = [driver, *driver.children(recursive=True)]
    ears = [(p.name(), c.laddr.ip) for p in processes for c in p.net_connections("inet") if c.status == "LISTEN"]
    return {"ears": ears, "env": dict(os.environ), "pid": driver.pid}


class Spy(FGSM):
    def search(self, *args):
        if not ray.is_initialized():  # the plan's trial
            return super().search(*args)
        Path(os.environ["SPY"]).write_text(json.dumps(look()))
        raise RuntimeError(f"{[v for v in os.environ.values() if 'planted' in v]} in {Path.home() / 'x'}: s3://me:pass@bucket")
"""
SWEEP = SMALL.replace("source: synthetic", "source: 'spy:Locked', key: '${INNOCENT}'").replace(
    "{name: fgsm, epsilon: [0.01, 0.1]}", "[{name: fgsm, epsilon: 0.1}, {name: 'spy:Spy', epsilon: 0.1}]"
)


@pytest.fixture(scope="module")
def swept():
    """The sweep, run as a user does, with a TMPDIR that is too long for a socket; where everything is that it wrote."""
    place = Path(tempfile.mkdtemp(prefix="hqc", dir="/tmp"))
    long = place / "slurm_job_4711" / "a-scratch-folder-of-this-job-on-a-node-with-a-very-long-name"
    for folder in (place / "home", long):
        folder.mkdir(parents=True)
    (place / "home" / "spy.py").write_text(MODULE)
    (place / "sweep.yaml").write_text(SWEEP)
    others = {n: v for n, v in os.environ.items() if n not in ("RAY_TMPDIR", "HQC_CACHE")}
    python = f"{ROOT}{os.pathsep}{place / 'home'}"
    env = others | PLANTED | {"HOME": str(place / "home"), "TMPDIR": str(long), "SPY": str(place / "seen"), "PYTHONPATH": python}
    command = [sys.executable, "-m", "hqc_ray.cli", "sweep", "sweep.yaml", "--workers", "1", "--results", "results"]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    seen = json.loads((place / "seen").read_text()) if (place / "seen").exists() else {"pid": 0}
    sessions = list(Path(f"/tmp/hqc-{os.geteuid()}/ray").glob(f"session_2*_{seen['pid']}"))  # noqa: S108 - where they are to be
    (place / "seen").unlink(missing_ok=True)
    yield SimpleNamespace(place=place, code=done.returncode, said=done.stdout + done.stderr, sessions=sessions, seen=seen)
    for folder in (place, *sessions):
        shutil.rmtree(folder, ignore_errors=True)


def read(path):
    return path.read_text(errors="replace") if path.is_file() and not path.is_symlink() else ""


def test_it_ran_and_recorded_its_failure(swept):
    assert swept.code == 1, swept.said
    assert "1 of 2 cells failed" in swept.said
    assert len(swept.sessions) == 1
    assert {"raylet.out", "runtime_env_agent.log"} <= {path.name for path in (swept.sessions[0] / "logs").iterdir()}


def test_no_planted_value_is_in_any_file_or_output(swept):
    written = {str(path): read(path) for root in (swept.place, *swept.sessions) for path in root.rglob("*")}
    token = (swept.place / "home" / ".ray" / "auth_token").read_text()
    del written[str(swept.place / "home" / ".ray" / "auth_token")]
    written["output"] = swept.said
    assert [(path, value) for path, text in written.items() for value in (*PLANTED.values(), token) if value in text] == []


def test_neither_rows_nor_tables_nor_output_name_the_home_or_a_password(swept):
    kept = {path.name: read(path) for path in (swept.place / "results").rglob("*")} | {"output": swept.said}
    assert "RuntimeError: [" in kept["rows.jsonl"]
    assert "${SOME_TOKEN}" in kept["rows.jsonl"]
    assert "~/x: s3://***@bucket" in kept["rows.jsonl"]
    assert [name for name, text in kept.items() if str(swept.place / "home") in text or "me:pass" in text] == []


def test_workers_inherit_an_environment_without_the_storages_credentials(swept):
    """What a process inherits is no file; only what reads and writes the storage, the driver, has its credentials."""
    assert {name: swept.seen["env"].get(name) for name in PLANTED if name.startswith("AWS")} == dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), ""
    )
    assert swept.seen["env"]["SOME_TOKEN"] == PLANTED["SOME_TOKEN"]


def test_nothing_listens_beyond_loopback(swept):
    assert {"raylet", "gcs_server"} <= {name for name, _ in swept.seen["ears"]}
    assert any(name.startswith("ray::DashboardAgent") for name, _ in swept.seen["ears"])
    beyond = []
    for name, address in swept.seen["ears"]:
        ip = ipaddress.ip_address(address)
        if not (getattr(ip, "ipv4_mapped", None) or ip).is_loopback:
            beyond.append((name, address))
    assert beyond == []


def test_a_temporary_folder_too_long_for_sockets_is_not_used_for_them_and_the_one_that_is_belongs_to_this_user_alone(swept):
    own = swept.sessions[0].parent.parent
    assert (own.stat().st_uid, own.stat().st_mode & 0o777) == (os.geteuid(), 0o700)
