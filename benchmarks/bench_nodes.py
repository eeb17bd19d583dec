"""A model of what a sweep costs, fitted to 1 to 4 emulated nodes of this machine, and what it says of larger clusters.

Writes the part of docs/scale.md between its markers. Cells wait instead of computing, so that eight workers fit into two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

HERE = Path(__file__).parent
PAGE, BEGIN, END = HERE.parent / "docs" / "scale.md", "<!-- measured: begin -->", "<!-- measured: end -->"
CPUS, CELLS_A_WORKER, QUICK_CELLS, MEGABYTES = 2, 30, 2_000, 64
TRIAL_SECONDS = 0.045  # of Tune's loop, to start one more trial: at most, by what 300 to 3,000 trials took (25 to 45 ms)


def measure(nodes: int, cells: int, backbone: str) -> dict[str, float]:
    """One sweep on `nodes` emulated nodes, driven from a head that runs no trials; and one object, shipped to each of them."""
    from ray.cluster_utils import Cluster
    from rich.console import Console

    from hqc_ray.sweep import run
    from hqc_ray.sweep.driver import Driver
    from hqc_ray.sweep.tune import runner

    began = time.perf_counter()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**9})
    for _ in range(nodes):
        cluster.add_node(num_cpus=CPUS, object_store_memory=10**9)
    cluster_seconds = time.perf_counter() - began
    arrivals: list[tuple[float, float, int, str]] = []
    shipped: list[float] = []
    take, disconnect = Driver.take, runner.disconnect

    def timed_take(self: Driver, outcomes: Any) -> Any:
        found = take(self, outcomes)
        arrivals.append((time.perf_counter(), time.process_time(), len(found), found[0].host if found else ""))
        return found

    def ship_then_disconnect() -> None:
        shipped.extend(_ship(nodes))
        disconnect()

    Driver.take, runner.disconnect = timed_take, ship_then_disconnect  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(common.NOTHING.format(name="nodes", backbone=backbone, numbers=list(range(cells))))
        began = time.perf_counter()
        finished = run.execute(file, folder, address=cluster.address, console=Console(stderr=True))
    cluster.shutdown()
    assert len(finished.rows) == cells
    assert not finished.failed
    hosts = {host for _, _, _, host in arrivals}
    last_start = max(min(t for t, _, _, host in arrivals if host == h) for h in hosts)
    steady = [a for a in arrivals if a[0] >= last_start]
    done, spent = sum(a[2] for a in steady[1:]), steady[-1][0] - steady[0][0]
    return {
        "nodes": nodes, "cluster": cluster_seconds, "hosts": len(hosts), "first": arrivals[0][0] - began,
        "all": last_start - began, "cell": spent / max(done, 1), "work": float(finished.rows["seconds"].mean()),
        "driver": (steady[-1][1] - steady[0][1]) / max(done, 1), "reports": len(steady),
        "megabyte": shipped[0] / MEGABYTES, "again": shipped[1],
    }  # fmt: skip


def _ship(nodes: int) -> tuple[float, float]:
    """Seconds until every node has read an object of the driver's, all at once; and until every node has read it again."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    given = ray.put(np.zeros(MEGABYTES * 2**20, np.uint8))
    here = ray.get_runtime_context().get_node_id()
    others = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]
    assert len(others) == nodes

    def read(where: list[Any]) -> int:
        return int(ray.get(where[0])[::4096].sum()) if where else 0

    remote = ray.remote(num_cpus=0)(read)
    tasks = [remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n, soft=False)) for n in others]
    ray.get([task.remote([]) for task in tasks])  # starts a process on each
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        ray.get([task.remote([given]) for task in tasks])
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


def main() -> None:
    """Measure in a process for each size, and write the page."""
    slow = [_apart(n, n * CPUS * CELLS_A_WORKER, "waiting") for n in (1, 2, 3, 4)]
    write(slow, _apart(1, QUICK_CELLS, "colours"))


def write(slow: list[dict[str, float]], quick: dict[str, float]) -> None:
    """Fit the model to sweeps of cells that wait, on more and more nodes, and to one of cells that take no time; predict."""
    n = np.array([m["nodes"] for m in slow])
    per_node, _ = np.polyfit(n, [m["all"] for m in slow], 1)
    start = slow[0]["all"]
    # a worker's turn: its work, and what it waits for between two cells
    overhead = float(np.mean([m["cell"] * m["nodes"] * CPUS - m["work"] for m in slow]))
    d_report, d_cell = float(np.mean([m["driver"] for m in slow])), quick["driver"]
    rate = float(np.polyfit(n, [m["megabyte"] for m in slow], 1)[0])
    lines = [
        "| nodes | all workers at work after | a worker's cell | of it work | driver's CPU per cell "
        f"| {MEGABYTES} MiB to all nodes | the same, again |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {m['nodes']} | {m['all']:.1f} s | {1000 * m['cell'] * m['nodes'] * CPUS:.0f} ms | {1000 * m['work']:.0f} ms "
        f"| {1000 * m['driver']:.1f} ms | {1000 * m['megabyte'] * MEGABYTES:.0f} ms | {1000 * m['again']:.0f} ms |"
        for m in slow
    ]
    lines += [
        "",
        f"Cells that take no time, on one node ({QUICK_CELLS:,} of them): {1000 * quick['cell']:.1f} ms per cell, of which the "
        f"driver's CPU has {1000 * d_cell:.1f} ms, in {quick['reports']:.0f} reports.",
        "",
        f"Fitted: start {start:.1f} s; here {per_node:.1f} s more for each further node, whose workers import their libraries on "
        f"the same two cores (on nodes of their own they do so at once: what is left is Tune's loop, "
        f"{1000 * TRIAL_SECONDS:.0f} ms per worker at most); a worker waits {1000 * overhead:.0f} ms per report; the driver "
        f"works {1000 * d_report:.1f} ms per report of one cell, {1000 * d_cell:.1f} ms per cell in reports of many; "
        f"{1000 * rate:.2f} ms per MiB and node through this machine's memory.",
        "",
        "| cluster | workers | shortest cell that keeps all busy | 100,000 cells of 10 s | beyond the work | the driver's load |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [_predict(nodes, 16, start, overhead, d_report, d_cell) for nodes in (4, 20, 200)]
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index(BEGIN)] + "\n".join([BEGIN, "", *lines, "", text[text.index(END) :]]))
    print("\n".join(lines))


def _predict(nodes: int, cpus: int, start: float, overhead: float, d_report: float, d_cell: float) -> str:
    cells, work, workers = 100_000, 10.0, nodes * cpus
    slices = max(0.5, 0.02 * workers)  # of `hqc_ray.sweep.tune.dispatcher`
    a_report = max(1.0, slices / work)  # cells in a report
    driver = cells * (d_cell + (d_report - d_cell) / a_report)
    ideal = cells * work / workers
    turns = math.ceil(cells / workers) * work + cells / workers / a_report * overhead
    total = start + TRIAL_SECONDS * workers + max(turns, driver)
    return (
        f"| {nodes} x {cpus} CPUs | {workers:,} | {1000 * d_cell * workers:.0f} ms | {total / 60:.0f} min "
        f"| {100 * (total - ideal) / total:.1f} % | {100 * driver / total:.0f} % of a core |"
    )


def _apart(nodes: int, cells: int, backbone: str) -> dict[str, float]:
    path = f"{HERE}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, __file__, "--nodes", str(nodes), "--cells", str(cells), "--backbone", backbone]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    print(found, file=sys.stderr)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--cells", type=int)
    parser.add_argument("--backbone")
    given = parser.parse_args()
    if given.nodes:
        print(json.dumps(measure(given.nodes, given.cells, given.backbone)))
    else:
        main()
