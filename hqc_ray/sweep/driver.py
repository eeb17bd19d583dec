"""The driver's half of a sweep: it takes the outcomes of jobs and writes them down."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hqc_ray.columns import counted
from hqc_ray.redaction import clean
from hqc_ray.results.row import Row
from hqc_ray.results.store import Store
from hqc_ray.sweep.graph.jobs import Graph, Job, Outcome
from hqc_ray.sweep.observers import Observers
from hqc_ray.sweep.progress.live import Live


@contextmanager
def interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM (which schedulers send) calls `stop`, to end in good order; the second one acts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(*_: Any) -> None:
        for number in before:
            signal.signal(number, signal.default_int_handler)
        stop()

    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Driver:
    """Writes outcomes to the store and keeps the list of open jobs. Both runners write through it alone.

    Args:
        graph: the jobs that are left.
        store: the results folder; this driver is its only writer.
        live: the progress display.
        observers: that are told of each new result; None: nobody.
    """

    def __init__(self, graph: Graph, store: Store, live: Live, observers: Observers | None = None) -> None:
        self.graph, self.store, self.live, self.observers = graph, store, live, observers or Observers()
        self.open = {job.id: job for job in graph.jobs}

    def take(self, outcomes: Iterable[Outcome], worker: str = "") -> list[Outcome]:
        """Store outcomes, and return those that are new, failed ones included. What was taken is durable when this returns.

        All rows go to the ledger in one write: an fsync takes milliseconds, as long as a small cell.

        Args:
            outcomes: of jobs.
            worker: that did them.
        """
        news = [outcome for outcome in outcomes if outcome.job in self.open]
        done = [outcome for outcome in news if not outcome.error]
        for outcome in done:
            if outcome.artifact is not None:
                self.store.save(outcome.job, outcome.artifact)
            for name, arrays in outcome.examples.items():
                self.store.save_example(name, arrays)
        rows = {outcome.job: list(_rows(self.open[outcome.job], outcome)) for outcome in done}
        new = self._append([row for some in rows.values() for row in some])
        for outcome in done:
            own = [row for row in rows[outcome.job] if row.key in new]
            self.live.finished(self.open.pop(outcome.job), outcome.seconds, own, outcome.warm, worker)
        return news

    def _append(self, rows: list[Row]) -> set[str]:
        """Write rows, and return the keys of the new ones.

        Those that stand in the ledger were searched again for their images alone, and stay as they are.
        """
        known = self.store.ledger.done()
        again = {row.key: row for row in rows if row.key in known}
        new = [row for row in rows if row.key not in again]
        self.store.ledger.append(new)
        self.observers.take(new)
        for old in self.store.ledger.read(again):
            if old.robust_correct != again[old.key].robust_correct:
                self.live.say(f"row {old.key}: the images kept for it are others than it counts, found on another machine")
        return {row.key for row in new}

    def record_failure(self, lost: list[str], error: str) -> None:
        """Write a failed row for every cell of the jobs `lost`: the first failed, the others needed it."""
        first, error = self.open[lost[0]], clean(error, kept=True)
        for id in lost:
            job = self.open.pop(id)
            text = error if id == lost[0] else f"needs {first.id} ({first.kind}), which failed:\n{error}"
            lost_rows = [planned for planned in job.rows if planned.key not in self.store.ledger.done()]
            self.store.ledger.append(Row.failed(planned, text, finished_at=_now()) for planned in lost_rows)
            if len(lost_rows) < len(job.rows):
                last = (text.splitlines() or [""])[-1]
                self.live.say(f"{id}: no images are kept of {counted(len(job.rows) - len(lost_rows), 'row')}: {last}")
            self.live.lost(job, len(lost_rows), text)


def _rows(job: Job, outcome: Outcome) -> Iterator[Row]:
    """The rows of a job: what was planned and what was measured, and when and where."""
    seconds = outcome.seconds / max(len(job.rows), 1)
    for planned, measured in zip(job.rows, outcome.measured, strict=True):
        yield Row.ok(planned, measured, seconds=seconds, host=outcome.host, finished_at=_now())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
