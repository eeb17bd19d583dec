"""Hands jobs to workers: an actor without a CPU on the driver's node. The ledger is the truth, not this. Does not import Ray."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.graph.schedule import Schedule

PATIENCE_SECONDS = 5.0  # a worker without a job is answered after this long at most, and asks again
SLICE_SECONDS = 0.5  # a worker reports after this much work, the most that its death costs besides the current job
DRIVER_SECONDS = 0.02  # of the driver's time that a report may cost: with many workers each reports less often


@dataclass(frozen=True)
class Reply:
    """What a worker is told.

    Args:
        job: to do next, if there is one.
        more: whether there may be another later; if not, the worker is no longer needed.
        slice_seconds: report after this much work.
    """

    job: Job | None
    more: bool
    slice_seconds: float = SLICE_SECONDS


class Dispatcher:
    """The schedule, and where in the object store each input lies.

    A *ticket* is a Tune trial; the *worker* that serves it is one life of its process, and its name begins with its node's id and
    a slash. A ticket whose process died is served by another worker, and whatever the first one still reports is ignored.

    Args:
        jobs: all that are left.
        inputs: by name, a list of one reference: Ray would replace a bare one by its value.
    """

    def __init__(self, jobs: Sequence[Job], inputs: dict[str, list[Any]]) -> None:
        self.schedule, self.inputs = Schedule(jobs, inputs), inputs
        self.workers: dict[str, str] = {}  # by ticket
        self.dead: set[str] = set()
        self.news = asyncio.Event()

    async def next(self, ticket: str, worker: str, warm: Sequence[str], patient: bool) -> Reply:
        """The next job for a worker that is warm for the models `warm`; a patient one waits for it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (PATIENCE_SECONDS if patient else 0.0)
        while worker not in self.dead:
            self.workers[ticket] = worker
            job = self.schedule.next(worker, warm)
            left = end - loop.time()
            if job or not self.schedule.open or left <= 0:
                return Reply(job, self.schedule.open > 0, max(SLICE_SECONDS, DRIVER_SECONDS * len(self.workers)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), left)
        return Reply(None, False)

    async def input(self, name: str) -> list[Any]:
        """Where an input is, as a list of one reference."""
        return self.inputs[name]

    async def report(self, ticket: str, done: dict[str, list[Any]], failed: Sequence[str]) -> list[list[str]]:
        """The driver has written down what a ticket's worker reported.

        Args:
            ticket: whose report it was.
            done: by job, where its artifact lies; an empty list where it gave none.
            failed: jobs that failed for good.

        Returns:
            For each failed job the jobs that cannot be done without it, itself first.
        """
        self.schedule.hear(self.workers.get(ticket, ""))
        for id, artifact in done.items():
            if artifact:
                self.inputs[id] = artifact
            for name in self.schedule.finish(id):
                self.inputs.pop(name, None)
        return self._changed([self.schedule.fail(id) for id in failed])

    async def lose(self, ticket: str, alive: Sequence[str]) -> tuple[list[list[str]], int, bool]:
        """The process that served a ticket has died.

        Args:
            ticket: whose process it was.
            alive: the nodes that are alive now.

        Returns:
            As `report`, for a job whose process has died too often; how often; and whether this one had ever asked for a job.
        """
        worker = self.workers.pop(ticket, "")
        self.dead.add(worker)
        lost = self.schedule.lose(worker, worker.partition("/")[0], alive)
        times = max((len(self.schedule.losses[id]) for id in lost), default=0)
        return self._changed([self.schedule.fail(id) for id in lost]), times, bool(worker)

    def _changed(self, lost: list[list[str]]) -> list[list[str]]:
        """Wake all waiting workers."""
        self.news.set()
        self.news = asyncio.Event()
        return lost
