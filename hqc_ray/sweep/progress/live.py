"""Live progress with an estimate of the time left: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hqc_ray.sweep.graph.jobs import START_SECONDS, Job

SECONDS_BETWEEN_LINES = 10.0
SECONDS_WITHOUT_NEWS = 60.0


def duration(seconds: float) -> str:
    """Seconds as people write them: '45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Live:
    """Shows how many cells are done, what was done last, and how long it will take.

    The time left is the expected cost of the open jobs, corrected for each kind of job by what the finished ones took.

    Args:
        console: where to show it.
        jobs: all jobs.
        workers: how many are done at a time.
    """

    def __init__(self, console: Console, jobs: Iterable[Job], workers: int) -> None:
        self.console, self.workers = console, max(workers, 1)
        self.open = {job.id: job for job in jobs}
        self.cost: dict[str, float] = defaultdict(float)  # of the open jobs, by kind
        for job in self.open.values():
            self.cost[job.kind] += job.cost
        self.cells = sum(len(job.rows) for job in self.open.values())
        self.done = self.failed = 0
        self.spent: dict[str, float] = defaultdict(float)
        self.expected: dict[str, float] = defaultdict(float)
        self.last_line = self.began = self.counted = time.monotonic()
        self.busy = self.capacity = 0.0  # seconds of work, and seconds of available workers, summed over them
        self.bar = Progress(
            SpinnerColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} cells"), BarColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}"), console=console, disable=not console.is_terminal, transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task(f"about {duration(self.left())} left", total=self.cells)

    def left(self) -> float:
        """Expected seconds until all jobs are done."""
        total, known = sum(self.expected.values()), sum(self.spent.values())
        overall = known / total if total else 1.0
        work = sum(c * (self.spent[k] / self.expected[k] if self.expected[k] else overall) for k, c in self.cost.items())
        return max(work, 0.0) / min(self.workers, max(len(self.open), 1)) + (0.0 if total else START_SECONDS)

    def finished(self, job: Job, seconds: float, failed: bool = False) -> None:
        """Job `job` took `seconds`."""
        self.open.pop(job.id, None)
        self.cost[job.kind] -= job.cost
        self.spent[job.kind] += seconds
        self.busy += 0.0 if failed else seconds
        self.expected[job.kind] += job.cost
        self.done += len(job.rows)
        self.failed += len(job.rows) if failed else 0
        text = f"{job.task.title}  {f'{self.failed} failed  ' if self.failed else ''}about {duration(self.left())} left"
        self.bar.update(self.task, completed=self.done, description=text)
        if time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES or not self.open:
            self._line(text)

    def tick(self, workers: int) -> None:
        """Called regularly, so that a log shows progress during long jobs, or while no worker has started yet."""
        now = time.monotonic()
        self.capacity += workers * (now - self.counted)
        self.counted, self.workers = now, workers or self.workers
        if not workers:
            self.bar.update(self.task, description="waiting for a worker to start")
        if time.monotonic() - self.last_line > SECONDS_WITHOUT_NEWS:
            self._line(f"{len(self.open)} jobs open, {workers} workers  about {duration(self.left())} left")

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def idle_share(self) -> float | None:
        """The share of the workers' time in which they had no job; None if it was not counted."""
        return max(0.0, 1 - self.busy / self.capacity) if self.capacity else None

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        if not self.console.is_terminal:
            elapsed = duration(self.last_line - self.began)
            self.console.print(f"{self.done}/{self.cells} cells  {elapsed}  {text}", highlight=False)

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()
