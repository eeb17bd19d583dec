"""The face of a running sweep: it counts what is done, and shows it once in a while, whoever looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import rich.live
from rich.console import Console, RenderableType

from hqc_ray.redaction import clean
from hqc_ray.results.row import Row
from hqc_ray.results.status import FINISHED, INTERRUPTED, RUNNING, STOPPED
from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.progress.estimate import STAGES, Estimate
from hqc_ray.sweep.progress.view import TITLES, Now, Stage, line, picture

SECONDS_BETWEEN_LINES = 60.0  # of a log at most, while something is to do
STEP = 0.05  # of the cells, after which a log gets a line, too
SECONDS_BETWEEN_NOTES = 5.0  # of what `hqc status` reads
PICTURES_PER_SECOND = 2
NEWEST = 5
FAILURES = 5  # that get a line of their own; the others are counted, and lie in the ledger


class Live:
    """Shows how many cells are done, what was done last, and how long it will take: in a terminal as a picture that is drawn
    anew, else as a line now and then.

    Counting costs the same for each job, however many there are; only what is shown is put together, twice a second at most.

    Args:
        console: where to show it.
        jobs: all jobs that are left.
        workers: how many are done at a time.
        name: of the sweep.
        cells: of the whole sweep; None: those of the jobs.
        before: cells that have a result already.
        note: takes what `hqc status` reads.
    """

    def __init__(
        self, console: Console, jobs: Iterable[Job], workers: int, name: str = "", cells: int | None = None, before: int = 0,
        note: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        jobs = list(jobs)
        self.console, self.workers, self.name, self.note = console, max(workers, 1), name, note
        self.estimate = Estimate(jobs, workers)
        self.stages: dict[str, Stage] = {kind: Stage(n) for kind in STAGES if (n := sum(job.kind == kind for job in jobs))}
        self.cells = sum(len(job.rows) for job in jobs) if cells is None else cells
        self.before, self.done, self.failed = before, 0, 0
        self.newest: deque[Row] = deque(maxlen=NEWEST)
        self.failure, self.told = "", 0
        self.began = self.counted = self.last_line = time.monotonic()
        self.last_note = -SECONDS_BETWEEN_NOTES
        self.last_share = self._share()
        self.busy = self.capacity = 0.0  # seconds of work, and seconds of available workers, summed over them
        self._lock, self._end = threading.RLock(), threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="hqc progress", daemon=True)
        self.plain = not console.is_terminal or console.is_dumb_terminal
        self._drawn = rich.live.Live(
            get_renderable=self._picture, console=console, refresh_per_second=PICTURES_PER_SECOND, transient=True
        )

    def finished(self, job: Job, seconds: float, rows: Iterable[Row] = (), warm: bool = True, worker: str = "") -> None:
        """Job `job` took `seconds`, and its `rows` are in the ledger."""
        with self._lock:
            self.estimate.finished(job, seconds, warm, worker)
            self.busy += seconds
            self.stages[job.kind].done += 1
            for row in rows:
                self.done += 1
                self.newest.append(row)
        self._line_if_due()

    def lost(self, job: Job, cells: int, error: str) -> None:
        """Job `job` failed, or cannot be done without one that did; `cells` of its cells have no result."""
        with self._lock:
            self.estimate.dropped(job)
            self.stages[job.kind].failed += 1
            self.failed += cells
            self.failure = f"{job.task.title}: {(error.splitlines() or [''])[-1]}"
            if cells and self.told < FAILURES:
                self.told += 1
                self.say(f"failed: {self.failure}")
        self._line_if_due()

    def tick(self, workers: int) -> None:
        """So many workers are there now; called once in a while."""
        with self._lock:
            now = time.monotonic()
            self.capacity += workers * (now - self.counted)
            self.counted, self.workers = now, workers
            self.estimate.workers = workers or self.estimate.workers

    def say(self, text: str) -> None:
        """Print a line above the picture."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def idle_share(self) -> float | None:
        """The share of the workers' time in which they had no job; None if it was not counted."""
        return max(0.0, 1 - self.busy / self.capacity) if self.capacity else None

    def now(self) -> Now:
        """All that there is to show."""
        with self._lock:
            return Now(
                self.name, self.cells, self.before, self.done, self.failed, self.stages, self.workers,
                time.monotonic() - self.began, self.estimate.left(), self.estimate.rough, tuple(self.newest), self.failure,
            )  # fmt: skip

    def beat(self) -> None:
        """Once a second: a line, if one is due, and a note for `hqc status`."""
        self._line_if_due()
        if time.monotonic() - self.last_note >= SECONDS_BETWEEN_NOTES:
            self._note(RUNNING)

    def _beat(self) -> None:
        while not self._end.wait(1.0):
            self.beat()

    def _note(self, state: str, error: str = "") -> None:
        self.last_note = time.monotonic()
        now = self.now()
        stages = [{"name": TITLES[kind], "done": s.done, "failed": s.failed, "of": s.of} for kind, s in now.stages.items()]
        told = {
            "state": state, "cells": now.cells, "before": now.before, "done": now.done, "failed": now.failed, "stages": stages,
            "workers": now.workers, "seconds": round(now.seconds), "left_seconds": round(now.left), "rough": now.rough,
        }  # fmt: skip
        self.note({**told, "error": error})

    def _share(self) -> float:
        return (self.before + self.done + self.failed) / max(self.cells, 1)

    def _line_if_due(self) -> None:
        if not self.plain:
            return
        with self._lock:
            late = time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES
            step = STEP - 1e-9 if self.estimate.open else 1e-9
            if late or self._share() - self.last_share >= step:
                self.last_line, self.last_share = time.monotonic(), self._share()
                self.say(line(self.now()))

    def _picture(self) -> RenderableType:
        return picture(self.now(), self.console.width)

    def __enter__(self) -> Live:
        self._note(RUNNING)
        self._pulse.start()
        if not self.plain:
            self._drawn.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._pulse.join()
        if not self.plain:
            self._drawn.stop()
        if error is None or isinstance(error, KeyboardInterrupt):
            self._note(INTERRUPTED if self.estimate.open else FINISHED)
        else:
            self._note(STOPPED, clean(f"{error}", kept=True).partition("\n")[0] or type(error).__name__)
