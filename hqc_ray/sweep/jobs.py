"""The jobs of a sweep and their order: who needs whose output, what is ready, what comes first. Knows neither Ray nor torch."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from hqc_ray.rows import Row

Kind = Literal["features", "train", "fit", "attack"]


@dataclass(frozen=True)
class Job:
    """One piece of work: it needs inputs by name, and gives one artifact (or rows).

    Args:
        id: unique in the sweep; the name of the artifact, where it gives one.
        kind: which function of `work` does it.
        needs: names of inputs; each was published at the start, or is the id of another job.
        task: what that function is told.
        cost: expected seconds on one core; the longest ready job goes first.
        rows: of an attack, its rows without results, as the ledger will have them.
        affinity: jobs of the same affinity share a model, and are best done by the same worker.
    """

    id: str
    kind: Kind
    needs: tuple[str, ...]
    task: Any
    cost: float
    rows: tuple[Row, ...] = ()
    affinity: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a job gave: an artifact, rows, or the traceback of its failure."""

    job: str
    seconds: float
    artifact: Any = None
    rows: tuple[Row, ...] = ()
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str = ""


class Schedule:
    """Hands out jobs whose inputs are there: those that a worker is warm for first, then the longest.

    Args:
        jobs: all jobs, each id once.
        published: names of inputs that are there from the start.
    """

    def __init__(self, jobs: Iterable[Job], published: Collection[str]) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.missing = {id: {n for n in job.needs if n not in published} for id, job in self.jobs.items()}
        self.waiting: dict[str, list[str]] = {}
        for id, needs in self.missing.items():
            for need in needs:
                if need not in self.jobs:
                    raise KeyError(f"job {id} needs {need}, which nothing gives")
                self.waiting.setdefault(need, []).append(id)
        self.ready: set[str] = set()
        self.queues: dict[str, list[tuple[float, str]]] = defaultdict(list)  # by affinity, and "" for all; taken ones are skipped
        for id, needs in self.missing.items():
            if not needs:
                self._ready(id)
        self.users = Counter(need for job in self.jobs.values() for need in job.needs)
        self.running: dict[str, str] = {}

    @property
    def open(self) -> int:
        """Jobs that are neither done nor failed."""
        return len(self.missing)

    def next(self, worker: str, warm: Collection[str] = ()) -> Job | None:
        """The job that `worker` shall do now, or None while there is none ready.

        A worker that asks again while it has a job has lost it (its process died) and gets the same one.
        """
        if worker in self.running:
            return self.jobs[self.running[worker]]
        best = next((id for name in (*warm, "") if (id := self._longest(name))), None)
        if best is None:
            return None
        self.ready.discard(best)
        self.running[worker] = best
        return self.jobs[best]

    def finish(self, id: str) -> list[str]:
        """Job `id` is done; the names of inputs that no open job needs any more."""
        self._close(id)
        for user in self.waiting.pop(id, []):
            if user in self.missing:
                self.missing[user].discard(id)
                if not self.missing[user]:
                    self._ready(user)
        return self._unused(self.jobs[id])

    def fail(self, id: str) -> list[str]:
        """Job `id` has failed for good; the ids of all jobs that cannot be done without it, itself first."""
        lost = [id]
        for name in lost:
            lost += [u for u in self.waiting.pop(name, []) if u in self.missing and u not in lost]
        for name in lost:
            self._close(name)
            self._unused(self.jobs[name])
        return lost

    def _ready(self, id: str) -> None:
        job = self.jobs[id]
        self.ready.add(id)
        for queue in {job.affinity, ""}:
            heapq.heappush(self.queues[queue], (-job.cost, id))

    def _longest(self, affinity: str) -> str | None:
        queue = self.queues.get(affinity, [])
        while queue:
            id = heapq.heappop(queue)[1]
            if id in self.ready:
                return id
        return None

    def _close(self, id: str) -> None:
        self.missing.pop(id, None)
        self.ready.discard(id)
        self.running = {w: j for w, j in self.running.items() if j != id}

    def _unused(self, job: Job) -> list[str]:
        self.users.subtract(job.needs)
        return [need for need in job.needs if self.users[need] <= 0]
