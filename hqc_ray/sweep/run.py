"""A sweep from its file to its rows: `prepare` plans and refuses, `execute` does what is left."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hqc_ray import spec, usercode
from hqc_ray.columns import counted
from hqc_ray.sweep import isolated
from hqc_ray.sweep.progress import duration
from hqc_ray.sweep.tune import address as at
from hqc_ray.sweep.tune import place

if TYPE_CHECKING:  # what takes a second to import is imported once something is said
    import pandas as pd

    from hqc_ray.plan import Plan
    from hqc_ray.results.storage import Storage
    from hqc_ray.results.store import Store
    from hqc_ray.sweep.driver import Driver
    from hqc_ray.sweep.graph.jobs import Graph
    from hqc_ray.sweep.observers import Observers
    from hqc_ray.sweep.observers.logger import Logger
    from hqc_ray.sweep.progress.live import Live


@dataclass(frozen=True)
class Finished:
    """What a sweep left behind.

    Args:
        folder: the results folder.
        rows: of the sweep's cells, in the order of its file.
        failed: how many cells failed.
        missing: how many cells have no row, because the run was interrupted.
        provenance: versions, commit, hardware of every run.
        storage: where the folder is mirrored; it is closed, and takes a report.
    """

    folder: Path
    rows: pd.DataFrame
    failed: int
    missing: int
    provenance: dict[str, Any]
    storage: Storage | None = None


def prepare(path: str | Path) -> tuple[spec.SweepSpec, Plan]:
    """Read, validate and plan a sweep file; computes nothing, and downloads nothing.

    Raises:
        InputError: anything that would stop the sweep later, but for what is only seen by reading a file of $HQC_WEIGHTS.
    """
    loaded = spec.checked(path)
    with spec.on_lines(loaded.places, loaded.file):
        _loggers(loaded)
    from hqc_ray import plan
    from hqc_ray.sweep.graph.resolve import Rooms  # what can be refused without all rooms has been

    usercode.findable(Path(path).parent)
    with spec.on_lines(loaded.places, loaded.file):
        return loaded, plan.build(loaded, Rooms())


def execute(
    path: str | Path,
    results: str | Path = "results",
    *,
    serial: bool = False,
    workers: int | None = None,
    address: str | None = None,
    workers_per_gpu: int = 0,
    storage: str | None = None,
    console: Console | None = None,
) -> Finished:
    """Run what is left of a sweep, into `results/<name>`.

    Args:
        path: the sweep file.
        results: the parent of the results folder.
        serial: in this process, without Ray.
        workers: CPUs to use, on this machine or of the cluster; None: all of them.
        address: of a running Ray cluster, instead of this machine.
        workers_per_gpu: that share a GPU, each an equal part of it; 0: everything runs on CPUs.
        storage: a durable mirror of the results folder, instead of the one that the sweep file names.
        console: where progress goes; None: standard error.

    Raises:
        InputError: before anything is computed.
    """
    console = console or Console(stderr=True)
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if address:
        at.check(address)
    elif not serial:
        place.folder()  # refuses now, before anything is computed
    loaded = spec.checked(path)
    usercode.findable(Path(path).parent)
    modules = usercode.modules(loaded) if address else []
    durable = _storage(loaded, storage)
    from hqc_ray.results.store import Store

    with spec.on_lines(loaded.places, loaded.file):
        loggers = _loggers(loaded)
    store = Store(Path(results) / loaded.name, loaded, durable, say)
    try:
        say(f"reading {loaded.file}, and checking all that it names")  # before the libraries are imported, which takes seconds
        from hqc_ray.sweep.driver import Driver

        began = time.monotonic()
        graph = isolated.call(lambda: _graph(loaded, store, say))
        store.begin(graph.order)
        done = len(set(graph.order) & store.ledger.done())
        say(f"{loaded.name}: {counted(len(graph.order), 'cell')}, {done:,} done before, {counted(len(graph.jobs), 'job')} to do")
        if graph.jobs:
            if not serial:
                say(f"joining Ray at {address} ..." if address else "starting Ray ...")
            count = 1 if serial else _connect(address, workers, modules, loaded.name)
            try:
                with _told(loaded, loggers, store, say) as observers, _live(console, graph, store, count, done) as live:
                    _run(Driver(graph, store, live, observers), serial, address is not None, workers, workers_per_gpu)
            finally:
                if not serial:
                    _disconnect()
        idle = live.idle_share() if graph.jobs else None
        rest = "" if idle is None else f"; workers were idle for {idle:.0%} of their time"
        say(f"{loaded.name}: took {duration(time.monotonic() - began)}{rest}")
        return _finished(store, graph.order, time.monotonic() - began, count if graph.jobs else 0, serial, idle)
    finally:
        store.close()


def _storage(loaded: spec.SweepSpec, given: str | None) -> str | None:
    """What the command line says, else what the sweep file says."""
    where, uri = ("storage", loaded.storage) if given is None else ("--storage", given)
    return None if uri is None else spec.storage_uri(spec.expand(uri, where), where)


def _graph(loaded: spec.SweepSpec, store: Store, say: Callable[[str], None]) -> Graph:
    """Validate a sweep, fetching what it lacks, and find what is left of it."""
    from hqc_ray import plan
    from hqc_ray.sweep.graph.builder import Builder
    from hqc_ray.sweep.graph.resolve import Rooms

    with spec.on_lines(loaded.places, loaded.file):
        planned = plan.build(loaded, Rooms(download=True))
    return Builder(planned, store, say).build()


def _loggers(loaded: spec.SweepSpec) -> dict[str, Logger]:
    """The loggers of a sweep, of which nothing is imported yet."""
    if not loaded.loggers:
        return {}
    from hqc_ray.sweep.observers.table import chosen

    return chosen(loaded.loggers, loaded.file)


def _told(loaded: spec.SweepSpec, loggers: dict[str, Logger], store: Store, say: Callable[[str], None]) -> Observers:
    from hqc_ray.sweep.observers import Observers

    return Observers(loggers, store.folder, loaded.name, say)


def _live(console: Console, graph: Graph, store: Store, workers: int, done: int) -> Live:
    from hqc_ray.sweep.progress.live import Live

    return Live(console, graph.jobs, workers, store.spec.name, len(graph.order), done, store.note)


def _run(driver: Driver, serial: bool, elastic: bool, workers: int | None, workers_per_gpu: int) -> None:
    if serial:
        from hqc_ray.sweep.serial import run_serial

        run_serial(driver)
    else:
        from hqc_ray.sweep.tune.runner import run_tune  # imports Ray, only when it is asked for

        run_tune(driver, elastic, workers, workers_per_gpu)


def _connect(address: str | None, workers: int | None, modules: list[Path], name: str) -> int:
    from hqc_ray.sweep.tune import connection

    try:
        return connection.connect(address, workers, modules, name)
    except ConnectionError as problem:
        raise at.refused(str(address), problem) from problem


def _disconnect() -> None:
    from hqc_ray.sweep.tune import connection

    connection.disconnect()


def _finished(store: Store, order: list[str], seconds: float, workers: int, serial: bool, idle: float | None) -> Finished:
    from hqc_ray.sweep import histories

    rows = store.ledger.frame(order)
    store.save_training(histories.table(store, rows["model_key"]))
    failed = int((rows["status"] == "failed").sum())
    facts = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "seconds": round(seconds, 1),
        "runner": "serial" if serial else "ray tune", "workers": workers, "threads_per_worker": 1,
        "idle_share": None if idle is None else round(idle, 4),
        "processor": platform.processor() or platform.machine(),
    }  # fmt: skip
    return Finished(store.folder, rows, failed, len(order) - len(rows), store.save_provenance(facts), store.storage)
