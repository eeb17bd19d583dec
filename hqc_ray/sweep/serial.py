"""The cluster's twin: all jobs one after another in this process, for debugging and for machines without Ray."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hqc_ray.sweep.driver import Driver, interrupts
from hqc_ray.sweep.graph.schedule import Schedule
from hqc_ray.sweep.work import Worker


class _Stop:
    """What Ctrl-C does: it gives up the job that is being done, and lets what one gave be written down first."""

    def __init__(self) -> None:
        self.asked = self.at_once = False

    def __call__(self) -> None:
        self.asked = True
        if self.at_once:
            raise KeyboardInterrupt

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """A job, which may be given up."""
        self.at_once = True
        try:
            yield
        except KeyboardInterrupt:
            if not self.asked:  # code of the job raised it, not the keyboard
                raise
        finally:
            self.at_once = False


def run_serial(driver: Driver) -> None:
    """Do all jobs, the longest that is ready first, with the worker and the driver that Ray's runner uses.

    On one thread, like every worker on a cluster: sums in another order differ in the last bit. Ctrl-C or SIGTERM ends it early,
    with all that was done kept.
    """
    threads, stop = torch.get_num_threads(), _Stop()
    torch.set_num_threads(1)
    try:
        with interrupts(stop):
            _run(driver, stop)
    finally:
        torch.set_num_threads(threads)


def _run(driver: Driver, stop: _Stop) -> None:
    schedule = Schedule(driver.graph.jobs, driver.graph.inputs)
    shelf: dict[str, Any] = {}

    def fetch(name: str) -> Any:
        if name not in shelf:
            shelf[name] = driver.graph.inputs[name].make(driver.store)
        return shelf[name]

    worker = Worker(fetch, platform.machine())
    while not stop.asked and (job := schedule.next("serial", worker.warm)):
        outcome = None
        with stop.giving_up():
            for name in job.needs:
                fetch(name)  # here, as Ray's runner does: images that are no longer those that were chosen end the sweep
            outcome = worker.run(job)
        if outcome is None:
            return
        driver.take([outcome])
        if outcome.error:
            driver.record_failure(schedule.fail(job.id), outcome.error)
            continue
        shelf[job.id] = outcome.artifact
        for name in schedule.finish(job.id):
            shelf.pop(name, None)
