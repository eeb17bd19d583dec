"""Random kills: a sweep in which every few seconds a trial's process, a raylet or the driver is killed, until so many are.

`make chaos KILLS=100 SEED=0` runs it. The nodes are raylets on this machine (`ray.cluster_utils`): a node is back after two
seconds, not after the forty that an autoscaler needs over ssh, so that the kills meet a sweep at work. The killer draws its
waits and victims from the seed, and prints each kill.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from hqc_ray.results.ledger import read
from tests.cluster.lab.faults import TRIAL, record

SWEEP = """
name: chaos
defaults:
  data: {source: synthetic, size: 40, images: 60}
  train: {epochs: 2}
  evaluate: {images: 8, batch_size: 8}
  attack:
    - {name: clean}
    - {name: fgsm, epsilon: [0.01, 0.1]}
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 0.3}
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 0.6}
    - {name: "troubles:Slow", epsilon: [0.01, 0.1], seconds: 0.9}
  device: {name: default.qubit}
  seed: [0, 1, 2, 3]
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: [vqc1, tanh], n_qubits: 3}
"""
VICTIMS = ("trial", "raylet", "driver")
WAIT_SECONDS = (1.0, 4.0)  # between two kills, while the sweep is at work
WORKERS = 2


class Killer:
    """Kills at random, and knows what it killed.

    Args:
        nodes: a `ray.cluster_utils.Cluster`.
        seed: of its choices.
    """

    def __init__(self, nodes: Any, seed: int) -> None:
        self.nodes, self.random = nodes, random.Random(seed)
        self.kills: list[str] = []

    def wait(self) -> float:
        """Seconds until the next kill."""
        return self.random.uniform(*WAIT_SECONDS)

    def kill(self, driver: subprocess.Popen[bytes], lines: int) -> None:
        """Kill -9 of one victim; a node whose raylet died is replaced, as an autoscaler would."""
        what, number = self.random.choice(VICTIMS), self.random.randrange(WORKERS)
        node = self.workers[number]
        raylet = node.all_processes["raylet"][0].process
        if what == "driver":
            driver.kill()
        elif what == "raylet":
            raylet.kill()
            self.nodes.remove_node(node, allow_graceful=False)
            self.nodes.add_node(num_cpus=1)
        else:
            trials = [p.pid for p in psutil.Process(raylet.pid).children(recursive=True) if _is_trial(p)]
            if not trials:
                return  # nothing to kill
            for pid in trials:
                os.kill(pid, signal.SIGKILL)
        self.kills.append(f"{what}{'' if what == 'driver' else f' of node {number}'} after {lines} rows")
        print(f"kill {len(self.kills)}: {self.kills[-1]}", flush=True)

    @property
    def workers(self) -> list[Any]:
        """The nodes that do trials, the oldest first."""
        return sorted(self.nodes.worker_nodes, key=lambda node: node.all_processes["raylet"][0].process.pid)


def run(kills: int, seed: int, folder: Path) -> list[str]:
    """Sweeps under random kills until so many have been made; every table is compared with that of a serial run.

    Returns:
        The kills.

    Raises:
        AssertionError: a row was lost or is there twice, or a table differs; it says in which round.
    """
    file = folder / "chaos.yaml"
    file.write_text(SWEEP)
    subprocess.run(_command(file, folder / "serial", "--serial"), env=_environment() | {"LAB_PACE": "0"}, check=True)
    expected = _facts(folder / "serial")
    print(f"seed {seed}, {kills} kills, {len(expected)} cells", flush=True)
    with _nodes() as nodes:
        killer = Killer(nodes, seed)
        began, rounds, starts = time.monotonic(), 0, Counter[int | None]()
        while len(killer.kills) < kills:
            rounds += 1
            results = folder / f"round{rounds}"
            starts += _round(file, results, nodes.address, killer, kills)
            assert _facts(results) == expected, f"round {rounds} (seed {seed}): {killer.kills}"
            print(f"round {rounds}: {len(expected)} cells, none lost, none twice, equal to the serial run", flush=True)
        seconds = time.monotonic() - began
    print(f"{kills} kills in {rounds} sweeps of {len(expected)} cells, {seconds:.0f} s; exit codes of drivers {dict(starts)}")
    recovery = f"{rounds} sweeps of {len(expected)} cells, {starts.total()} drivers"
    record(f"{kills} random kills (seed {seed})", recovery, None, seconds)
    return killer.kills


def _round(file: Path, results: Path, address: str, killer: Killer, kills: int) -> Counter[int | None]:
    """One sweep from its start to its whole table: the same command again, however often its driver dies. Their exit codes."""
    ledger, before, codes = results / "chaos" / "rows.jsonl", b"", Counter[int | None]()
    while 0 not in codes:
        assert codes.total() < 5 * kills, "drivers end and end, and the table does not become whole"
        with (results.parent / "driver.log").open("wb") as log:
            command = _command(file, results, "--address", address)
            driver = subprocess.Popen(command, env=_environment(), stdout=log, stderr=subprocess.STDOUT)
        _until(driver, partial(_grows, ledger, before))
        while driver.poll() is None:
            if len(killer.kills) < kills and not _ended(driver, killer.wait()):
                killer.kill(driver, before.count(b"\n"))
            elif len(killer.kills) >= kills:
                driver.wait(timeout=200)
            before = _grown(ledger, before)
        codes[driver.returncode] += 1
        output = (results.parent / "driver.log").read_text()
        assert driver.returncode in (0, 1, -signal.SIGKILL), output
        assert driver.returncode != 1 or "process died" in output, output
        before = _grown(ledger, before)
    return codes


def _grown(ledger: Path, before: bytes) -> bytes:
    """The whole lines of the ledger, which must begin with those that were there before."""
    content = ledger.read_bytes() if ledger.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    assert whole.startswith(before), "rows that were there are no more"
    return whole


def _facts(results: Path) -> dict[str, dict[str, object]]:
    rows = list(read(results / "chaos" / "rows.jsonl"))
    done = [row.key for row in rows if row.status == "ok"]
    assert len(done) == len(set(done)), "a cell has two results"
    return {row.key: row.facts() for row in rows}


def _command(file: Path, results: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "hqc_ray.cli", "sweep", str(file), "--results", str(results), *options]


def _environment() -> dict[str, str]:
    """The driver finds `troubles`, and ships it to the nodes."""
    here = Path(__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])}


def _until(driver: subprocess.Popen[bytes], ready: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready() and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)


def _ended(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        driver.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _grows(ledger: Path, before: bytes) -> bool:
    return ledger.exists() and ledger.stat().st_size > len(before)


def _is_trial(process: psutil.Process) -> bool:
    try:
        return re.match(TRIAL, " ".join(process.cmdline())) is not None
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _nodes() -> Iterator[Any]:
    """A head without CPUs, and workers with one each. What `auto` would find lies in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        os.environ["RAY_TMPDIR"] = folder
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(WORKERS):
                cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()
            del os.environ["RAY_TMPDIR"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A sweep under random kills.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hqc_chaos") as place:
        run(chosen.kills, chosen.seed, Path(place))
