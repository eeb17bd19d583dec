"""The driver's half of a sweep: it takes what workers give, writes it down, and says what can be done next."""

from __future__ import annotations

import platform
import time
from typing import Any

from hqc_ray.sweep.graph import Graph
from hqc_ray.sweep.jobs import Outcome
from hqc_ray.sweep.progress import Live
from hqc_ray.sweep.store import Store


class Driver:
    """Writes outcomes to the store and keeps the schedule. Both runners talk to it, and to nothing else that writes.

    Args:
        graph: the jobs that are left.
        store: the results folder; this driver is its only writer.
        live: the progress display.
    """

    def __init__(self, graph: Graph, store: Store, live: Live) -> None:
        self.graph, self.store, self.live = graph, store, live
        self.jobs = {job.id: job for job in graph.jobs}

    def take(self, outcome: Outcome) -> bool:
        """Keep what a job gave; False where it failed. Nothing is lost when the driver dies after this returns."""
        job = self.jobs[outcome.job]
        if outcome.error:
            return False
        if outcome.artifact is not None:
            self.store.save(job.id, outcome.artifact)
        for name, arrays in outcome.examples.items():
            self.store.save_example(name, arrays)
        if outcome.rows:
            stamp = {"seconds": outcome.seconds / len(outcome.rows), "host": platform.machine(), "finished_at": _now()}
            self.store.ledger.append(row.model_copy(update=stamp) for row in outcome.rows)
        self.live.finished(job, outcome.seconds)
        return True

    def record_failure(self, lost: list[str], error: str) -> None:
        """Write a failed row for every cell of the jobs `lost`: the first failed, the others needed it."""
        first = self.jobs[lost[0]]
        for id in lost:
            job = self.jobs[id]
            text = error if id == lost[0] else f"needs {first.id} ({first.kind}), which failed:\n{error}"
            self.store.ledger.append(_failed(row, text) for row in job.rows)
            self.live.finished(job, job.cost, failed=True)


def _failed(row: Any, error: str) -> Any:
    """The row of a cell that failed."""
    return row.model_copy(update={"status": "failed", "error": error, "example": "", "finished_at": _now()})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
