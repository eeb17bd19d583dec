"""The cluster's twin: all jobs one after another in this process, for debugging and for machines without Ray."""

from __future__ import annotations

import platform
from typing import Any

import torch

from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.graph.schedule import Schedule
from hqc_ray.sweep.work import Worker


def run_serial(driver: Driver) -> None:
    """Do all jobs, the longest that is ready first, with the worker and the driver that Ray's runner uses.

    On one thread, like every worker on a cluster: sums in another order differ in the last bit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(driver)
    finally:
        torch.set_num_threads(threads)


def _run(driver: Driver) -> None:
    schedule = Schedule(driver.graph.jobs, driver.graph.inputs)
    shelf: dict[str, Any] = {}

    def fetch(name: str) -> Any:
        if name not in shelf:
            shelf[name] = driver.graph.inputs[name].make(driver.store)
        return shelf[name]

    worker = Worker(fetch, platform.machine())
    while job := schedule.next("serial", worker.warm):
        for name in job.needs:
            fetch(name)  # here, as Ray's runner does: images that are no longer those that were chosen end the sweep
        outcome = worker.run(job)
        driver.take([outcome])
        if outcome.error:
            driver.record_failure(schedule.fail(job.id), outcome.error)
            continue
        shelf[job.id] = outcome.artifact
        for name in schedule.finish(job.id):
            shelf.pop(name, None)
