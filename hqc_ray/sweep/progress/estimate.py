"""The time that is left: expected costs of the open jobs, corrected by what finished ones took, shown without jumps."""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

from hqc_ray.sweep.graph.jobs import START_SECONDS, Job, Kind

STAGES: tuple[Kind, ...] = ("features", "train", "fit", "search")  # in the order in which a cell needs them
PRIOR_SECONDS = 2.0  # of work by which the machine is taken to be as fast as the costs say
PRIOR_JOBS = 1.0  # of a stage by which it is taken to be as fast as the others
KNOWN_JOBS = 2  # finished jobs from which on a stage has shown how fast it is
KNOWN_SHARE = 0.5  # of the work that is left, in stages that have: below it the estimate is rough
LAG = 0.1  # of the time so far, in which what is shown follows what is believed
LAG_SECONDS = 3.0, 60.0  # at least, at most
LARGEST_STEP = 1.5  # factor between what is shown and what was shown before, less the time in between
IN_FLIGHT = 0.9  # of a job that runs, by which it may count as done
LEAST = 0.5  # seconds: of less nothing is said


class Estimate:
    """Seconds until all jobs are done, on the workers that there are.

    Each stage has a speed: measured seconds per expected second, of the jobs during which no library was imported. Little
    evidence is drawn towards the speed of all stages, and that towards the expected costs.

    Args:
        jobs: that are open.
        workers: how many are done at a time.
    """

    def __init__(self, jobs: Iterable[Job], workers: int) -> None:
        self.open = {job.id: job for job in jobs}
        self.workers = max(workers, 1)
        self.cost: dict[str, float] = defaultdict(float)  # of the open jobs, by stage
        self.longest: dict[str, list[tuple[float, str]]] = {kind: [] for kind in STAGES}  # heaps; finished ones are skipped
        for job in self.open.values():
            self.cost[job.kind] += job.cost
            heapq.heappush(self.longest[job.kind], (-job.cost, job.id))
        self.spent: dict[str, float] = defaultdict(float)
        self.expected: dict[str, float] = defaultdict(float)
        self.known: Counter[str] = Counter()
        self.count = Counter(job.kind for job in self.open.values())
        self.began = self.updated = time.monotonic()
        self.heard: dict[str, float] = {}  # by worker, when it last told of a job, and so began the next one
        self.shown, self.rough = self.believed(), True

    def finished(self, job: Job, seconds: float, warm: bool = True, worker: str = "") -> None:
        """A job took `seconds`; what a cold one took is counted only as far as it was expected, the rest was imports."""
        self.dropped(job)
        self.heard[worker] = time.monotonic()
        speed = self.speed(job.kind)
        if warm or seconds < job.cost * speed:
            self.spent[job.kind] += seconds
            self.expected[job.kind] += job.cost
            self.known[job.kind] += 1

    def dropped(self, job: Job) -> None:
        """A job is not open any more, and nothing is known of its speed."""
        if self.open.pop(job.id, None):
            self.cost[job.kind] -= job.cost
            self.count[job.kind] -= 1

    def speed(self, kind: str) -> float:
        """Measured seconds per expected second of a stage."""
        overall = (sum(self.spent.values()) + PRIOR_SECONDS) / (sum(self.expected.values()) + PRIOR_SECONDS)
        mean = self._longest(kind) if not self.known[kind] else self.expected[kind] / self.known[kind]
        weight = PRIOR_JOBS * mean
        return (self.spent[kind] + weight * overall) / (self.expected[kind] + weight) if weight else overall

    def believed(self) -> float:
        """Seconds that are left, by all that is known now: the work shared by the workers, or the longest way through."""
        seconds = sum(max(cost, 0.0) * self.speed(kind) for kind, cost in self.cost.items())
        chain = sum(self._longest(kind) * self.speed(kind) for kind in STAGES)
        busy = self._in_flight()
        share = (seconds - sum(busy)) / min(self.workers, max(len(self.open), 1))
        left = max(share, chain - (busy[0] if busy and len(busy) < self.workers else 0.0), 0.0)
        return left + (0.0 if self.heard or not self.open else START_SECONDS)

    def _in_flight(self) -> list[float]:
        """Seconds since busy workers began what they do, the longest first; never more than a job is expected to take."""
        kind = next((kind for kind in STAGES if self.count[kind]), None)
        if kind is None:
            return []
        now, most = time.monotonic(), IN_FLIGHT * self._longest(kind) * self.speed(kind)
        return [min(now - then, most) for then in heapq.nsmallest(min(self.workers, self.count[kind]), self.heard.values())]

    def left(self) -> float:
        """What to show: it follows what is believed, and never jumps."""
        now, believed = time.monotonic(), self.believed()
        passed, self.updated = now - self.updated, now
        if not self.heard or (self.rough and self._is_known()):  # while nobody has begun, it does not count down
            self.rough, self.shown = not self.heard, believed
            return self.shown
        before = max(self.shown - passed, LEAST)
        lag = min(max(LAG * (now - self.began), LAG_SECONDS[0]), LAG_SECONDS[1])
        step = math.log(max(believed, LEAST) / before) * (1 - math.exp(-passed / lag))
        largest = math.log(LARGEST_STEP)
        self.shown = before * math.exp(min(max(step, -largest), largest)) if self.open else 0.0
        return self.shown

    def _is_known(self) -> bool:
        """Whether most of what is left is in stages that have shown how fast they are."""
        known = sum(cost for kind, cost in self.cost.items() if self.known[kind] >= KNOWN_JOBS)
        return known >= KNOWN_SHARE * sum(self.cost.values())

    def _longest(self, kind: str) -> float:
        """The largest cost of an open job of a stage; 0 if none is open."""
        heap = self.longest[kind]
        while heap and heap[0][1] not in self.open:
            heapq.heappop(heap)
        return -heap[0][0] if heap else 0.0
