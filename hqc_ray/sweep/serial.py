"""The cluster's twin: all jobs one after another in this process, for debugging and for machines without Ray."""

from __future__ import annotations

from typing import Any

import torch

from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.jobs import Schedule
from hqc_ray.sweep.work import Worker


def run_serial(driver: Driver) -> None:
    """Do all jobs, the longest that is ready first, with the worker and the driver that Ray's runner uses.

    On one thread, as every worker on a cluster: sums in another order would be other numbers in the last bit.
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
            shelf[name] = driver.graph.inputs[name]()
        return shelf[name]

    worker = Worker(fetch)
    while job := schedule.next("serial", worker.warm):
        outcome = worker.run(job)
        if driver.take(outcome):
            shelf[job.id] = outcome.artifact
            unused = schedule.finish(job.id)
        else:
            lost = schedule.fail(job.id)
            driver.record_failure(lost, outcome.error)
            unused = []
        for name in unused:
            shelf.pop(name, None)
