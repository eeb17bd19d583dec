"""The order of jobs: who needs whose output, what is ready, what comes first. Knows neither Ray nor torch."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from hqc_ray.sweep.graph.jobs import Job

LOSSES = 3  # deaths of a job's process on nodes that stay alive, before the job counts as failed
ALL_LOSSES = 20  # the same, with nodes that vanished, which is rarely the job's fault: spot nodes do


class Schedule:
    """Hands out jobs whose inputs are available: first those whose model the worker has at hand, then the longest.

    Args:
        jobs: all jobs, each id once.
        published: names of inputs that are available from the start.
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
        self.held: dict[str, list[str]] = {}  # by worker, the jobs that it was given and has not reported
        self.losses: dict[str, list[str]] = defaultdict(list)  # by job, the nodes on which its process died

    @property
    def open(self) -> int:
        """Jobs that are neither done nor failed."""
        return len(self.missing)

    def next(self, worker: str, warm: Collection[str] = ()) -> Job | None:
        """The job that `worker` is to do now, or None while none is ready."""
        best = next((id for name in (*warm, "") if (id := self._longest(name))), None)
        if best is None:
            return None
        self.ready.discard(best)
        self.held.setdefault(worker, []).append(best)
        return self.jobs[best]

    def lose(self, worker: str, node: str = "", alive: Collection[str] = ("",)) -> list[str]:
        """`worker` has died: its jobs are ready again, except those returned, whose worker has now died too often.

        Only the job that it was given last can be the cause: the earlier ones were done, though not reported.

        Args:
            worker: the one that died.
            node: where it ran.
            alive: the nodes that are alive now.
        """
        lost = [id for id in self.held.pop(worker, []) if id in self.missing]
        for id in lost:
            self._ready(id)
        if not lost:
            return []
        suspect = lost[-1]
        self.losses[suspect].append(node)
        return [suspect] if self._lost_too_often(self.losses[suspect], alive) else []

    @staticmethod
    def _lost_too_often(nodes: list[str], alive: Collection[str]) -> bool:
        """Counted anew at every loss: a node is known to be gone only some seconds after its processes."""
        return sum(node in alive for node in nodes) > LOSSES or len(nodes) > ALL_LOSSES

    def hear(self, worker: str) -> None:
        """The outcomes of all jobs that `worker` holds have arrived."""
        self.held.pop(worker, None)

    def finish(self, id: str) -> list[str]:
        """Mark job `id` as done; returns the names of inputs that no open job needs any more."""
        self._close(id)
        for user in self.waiting.pop(id, []):
            if user in self.missing:
                self.missing[user].discard(id)
                if not self.missing[user]:
                    self._ready(user)
        return self._unused(self.jobs[id])

    def fail(self, id: str) -> list[str]:
        """Mark job `id` as failed; returns the ids of all jobs that cannot be done without it, its own first."""
        lost, seen = [id], {id}
        for name in lost:
            users = [u for u in self.waiting.pop(name, []) if u in self.missing and u not in seen]
            lost += users
            seen.update(users)
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

    def _unused(self, job: Job) -> list[str]:
        self.users.subtract(job.needs)
        return [need for need in job.needs if self.users[need] <= 0]
