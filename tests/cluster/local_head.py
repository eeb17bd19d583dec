"""A head of a Ray cluster on this machine, with its own ports, folders, home, token and job server; ends its own pids only."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
TOKEN = "local-head-token-of-the-tests-0123456789"  # noqa: S105  # opens nothing but the tests' own head
START_SECONDS, STOP_SECONDS = 60, 60
STRANGERS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "HQC_DATA", "HQC_WEIGHTS", "HQC_CACHE")


@dataclass(frozen=True)
class Head:
    home: Path
    gcs: str
    dashboard: str
    log: Path

    @property
    def access(self):
        """The environment of a process that may join."""
        return {"HOME": str(self.home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.home / "token")}

    def jobs(self, job=""):
        """What the job server says, asked without Ray's client, which reads its settings once a process."""
        return requests.get(f"{self.dashboard}/api/jobs/{job}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)

    def status(self, job):
        return self.jobs(job).json()["status"]


@contextlib.contextmanager
def started(folder, cpus=2, **env):
    """A running head; TimeoutError with its output if it does not start. `folder` must be short: sockets lie in it."""
    log, (gcs, dashboard, *rest) = folder / "head.log", _free_ports(6)
    head = Head(folder, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}", log)
    (folder / "token").write_text(TOKEN)
    options = {
        "port": gcs, "dashboard-port": dashboard, "dashboard-host": "127.0.0.1", "node-ip-address": "127.0.0.1", "num-cpus": cpus,
        "dashboard-agent-listen-port": rest[0], "dashboard-agent-grpc-port": rest[1], "metrics-export-port": rest[2],
        "ray-client-server-port": rest[3], "object-store-memory": 100_000_000, "temp-dir": folder / "ray",
    }  # fmt: skip
    command = [BIN / "ray", "start", "--head", "--block", "--disable-usage-stats", *(f"--{k}={v}" for k, v in options.items())]
    base = {name: value for name, value in os.environ.items() if name not in STRANGERS}
    path = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=base | path | head.access | env, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        _wait(head, process)
        yield head
    finally:
        process.terminate()  # with --block, Ray ends what it started, and nothing else
        process.wait(STOP_SECONDS)


def _wait(head, process):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if head.jobs().ok:
                return
        time.sleep(0.2)
    raise TimeoutError(f"no head within {START_SECONDS} s:\n{head.log.read_text()[-2000:]}")


def _free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
