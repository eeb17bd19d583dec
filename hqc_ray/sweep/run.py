"""A sweep from its file to its rows: `prepare` plans and refuses, `execute` does what is left."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hqc_ray import spec
from hqc_ray.sweep import address as at
from hqc_ray.sweep import isolated, usercode
from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.jobs import Graph
from hqc_ray.sweep.progress import Live, duration
from hqc_ray.sweep.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from hqc_ray.plan import Plan


@dataclass(frozen=True)
class Finished:
    """What a sweep left behind.

    Args:
        folder: the results folder.
        rows: of the sweep's cells, in the order of its file.
        failed: how many cells failed.
        missing: how many cells have no row, because the run was interrupted.
        provenance: versions, commit, hardware of every run.
    """

    folder: Path
    rows: pd.DataFrame
    failed: int
    missing: int
    provenance: dict[str, Any]


def prepare(path: str | Path) -> tuple[spec.SweepSpec, Plan]:
    """Read, validate and plan a sweep file; computes nothing, and downloads nothing.

    Raises:
        InputError: anything that would stop the sweep later.
    """
    from hqc_ray import plan
    from hqc_ray.sweep.resolve import Rooms

    loaded = spec.load(path)
    return loaded, plan.build(loaded, Rooms())


def execute(
    path: str | Path,
    results: str | Path = "results",
    *,
    serial: bool = False,
    workers: int | None = None,
    address: str | None = None,
    console: Console | None = None,
) -> Finished:
    """Run what is left of a sweep, into `results/<name>`.

    Args:
        path: the sweep file.
        results: the parent of the results folder.
        serial: in this process, without Ray.
        workers: CPUs to use on this machine; None: all of them.
        address: of a running Ray cluster, instead of this machine.
        console: where progress goes; None: standard error.

    Raises:
        InputError: before anything is computed.
    """
    console = console or Console(stderr=True)
    if address:
        at.check(address)
    loaded = spec.load(path)
    modules = usercode.modules(loaded) if address else []
    store = Store(Path(results) / loaded.name, loaded)
    try:
        began = time.monotonic()
        graph = isolated.call(lambda: _graph(loaded, store, console))
        store.begin(graph.order)
        done = len(set(graph.order) & store.ledger.done())
        console.print(
            f"{loaded.name}: {len(graph.order)} cells, {done} done before, {len(graph.jobs)} jobs to do", highlight=False
        )
        if graph.jobs:
            count = 1 if serial else _connect(address, workers, modules)
            try:
                with Live(console, graph.jobs, count) as live:
                    _run(Driver(graph, store, live), serial, elastic=address is not None)
            finally:
                if not serial:
                    _disconnect()
        console.print(f"{loaded.name}: took {duration(time.monotonic() - began)}", highlight=False)
        return _finished(store, graph.order, time.monotonic() - began, count if graph.jobs else 0, serial)
    finally:
        store.close()


def _graph(loaded: spec.SweepSpec, store: Store, console: Console) -> Graph:
    """Validate a sweep, fetching what it lacks, and find what is left of it."""
    from hqc_ray import plan
    from hqc_ray.sweep.graph import Builder
    from hqc_ray.sweep.resolve import Rooms

    planned = plan.build(loaded, Rooms(download=True))
    return Builder(planned, store, lambda text: console.print(text, highlight=False)).build()


def _run(driver: Driver, serial: bool, elastic: bool) -> None:
    if serial:
        from hqc_ray.sweep.serial import run_serial

        run_serial(driver)
    else:
        from hqc_ray.sweep.runner import run_tune  # imports Ray, only when it is asked for

        run_tune(driver, elastic)


def _connect(address: str | None, workers: int | None, modules: list[Path]) -> int:
    from hqc_ray.sweep import runner

    try:
        return runner.connect(address, workers, modules)
    except ConnectionError as problem:
        raise at.refused(str(address), problem) from problem


def _disconnect() -> None:
    from hqc_ray.sweep import runner

    runner.disconnect()


def _finished(store: Store, order: list[str], seconds: float, workers: int, serial: bool) -> Finished:
    rows = store.ledger.frame(order)
    failed = int((rows["status"] == "failed").sum())
    facts = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": round(seconds, 1),
        "runner": "serial" if serial else "ray tune", "workers": workers, "threads_per_worker": 1,
        "processor": platform.processor() or platform.machine(),
    }  # fmt: skip
    return Finished(store.folder, rows, failed, len(order) - len(rows), store.save_provenance(facts))
