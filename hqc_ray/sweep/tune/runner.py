"""Jobs on Ray Tune. A trial is a ticket: its actor asks the dispatcher for one job after another until there is none left.

So a sweep is one run of Tune with a trial per worker, not per cell: Tune's time and memory per trial do not add up with the
cells, and actors live from the first job to the last, although jobs wait for each other. Tickets beyond the
CPUs of a cluster are pending from the start, which is what an autoscaler sees.
"""

from __future__ import annotations

import logging
import math
import platform
import sys
import uuid
from typing import Any

import ray
from ray import tune
from ray.tune import CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hqc_ray.errors import InputError
from hqc_ray.files import scratch
from hqc_ray.sweep.driver import Driver, interrupts
from hqc_ray.sweep.graph.jobs import Outcome
from hqc_ray.sweep.tune import ray_patches  # noqa: F401 - importing it patches Tune
from hqc_ray.sweep.tune.collector import Collector, WorkerError
from hqc_ray.sweep.tune.dispatcher import Dispatcher

TICKET_SECONDS = 60.0  # an autoscaler is not asked for a worker with less to do: a node takes minutes to start


class TicketTrial(tune.Trainable):
    """A worker: one step is as many jobs as fit into the slice that the dispatcher names, and at least one."""

    def setup(self, config: dict[str, Any], dispatcher: Any = None) -> None:
        """Import the libraries once per actor, and pin their threads."""
        import torch

        from hqc_ray.sweep.work import Worker

        torch.set_num_threads(1)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        processor = "cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu"
        node = ray.get_runtime_context().get_node_id()
        host = f"{platform.machine()}/{node[:8]}/{processor}"
        self.dispatcher, self.name = dispatcher, f"{node}/{uuid.uuid4().hex}"
        self.worker = Worker(lambda name: ray.get(ray.get(dispatcher.input.remote(name))[0]), host, processor)

    def step(self) -> dict[str, Any]:
        """Do jobs, and give their outcomes to the driver."""
        outcomes: list[Outcome] = []
        while True:
            reply = ray.get(self.dispatcher.next.remote(self.trial_id, self.name, self.worker.warm, not outcomes))
            if reply.job is not None:
                outcomes.append(self.worker.run(reply.job))
            late = sum(outcome.seconds for outcome in outcomes) > reply.slice_seconds
            if not reply.more or (outcomes and (late or reply.job is None)):
                return {"outcomes": outcomes, "done": not reply.more}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Nothing to reset: a job brings all that it needs."""
        return True


class _Stopper(tune.Stopper):
    """Ends Tune's run when no job is left, whatever tickets are still pending, or when the user says so."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.interrupted = False

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles it for `Tuner.restore`, which a sweep never uses."""
        return {}

    def interrupt(self) -> None:
        """The user says so."""
        self.interrupted = True

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No trial is stopped for its result."""
        return False

    def stop_all(self) -> bool:
        """Asked after every event."""
        return self.interrupted or not self.driver.open


def run_tune(driver: Driver, elastic: bool, workers: int | None = None, workers_per_gpu: int = 0) -> None:
    """Do all jobs on the Ray that this process is connected to. Ctrl-C or SIGTERM ends it early, with all that was done kept.

    Args:
        driver: takes what workers give.
        elastic: the cluster may grow: ask for as many workers as there is work for.
        workers: at most, so that others who share the cluster find room; None: no limit.
        workers_per_gpu: that share a GPU, each an equal part of it; 0: none has one.

    Raises:
        InputError: GPUs are asked for on a machine that has none.
        WorkerError: no worker can start, or the dispatcher was lost.
        WriteError: a result cannot be written.
    """
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    if workers_per_gpu and not ray.cluster_resources().get("GPU"):
        if not elastic:
            raise InputError(
                "this machine has no GPU", where=f"--workers-per-gpu {workers_per_gpu}", valid="a machine that has one"
            )
        driver.live.say("no node has a GPU yet: every worker waits for one")
    stopper = _Stopper(driver)
    with interrupts(stopper.interrupt), scratch("tune") as folder:
        inputs = {name: [ray.put(recipe.make(driver.store))] for name, recipe in driver.graph.inputs.items()}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # a worker's node may vanish
        actor: Any = ray.remote(Dispatcher)
        actor = actor.options(num_cpus=0, max_restarts=0, max_concurrency=10_000, scheduling_strategy=here)
        dispatcher = actor.remote(driver.graph.jobs, inputs)
        del inputs
        share = {"cpu": 1.0} | ({"gpu": 1 / workers_per_gpu} if workers_per_gpu else {})
        while driver.open and not stopper.interrupted:
            before = len(driver.open)
            _fit(driver, dispatcher, stopper, min(_tickets(driver, elastic), workers or sys.maxsize), str(folder), share)
            if len(driver.open) == before and not stopper.interrupted:
                raise WorkerError("every worker was lost before it had done anything")


def _tickets(driver: Driver, elastic: bool) -> int:
    """How many workers there is work for, on a cluster that may grow; else how many there are."""
    cpus = int(ray.cluster_resources().get("CPU", 0))
    seconds = sum(job.cost for job in driver.open.values())
    return max(1, min(max(cpus, math.ceil(seconds / TICKET_SECONDS) if elastic else 0), len(driver.open)))


def _fit(driver: Driver, dispatcher: Any, stopper: _Stopper, tickets: int, folder: str, share: dict[str, float]) -> None:
    """One run of Tune, until no job is left or all tickets are lost."""
    collector = Collector(driver, dispatcher)
    tuner = Tuner(
        tune.with_resources(tune.with_parameters(TicketTrial, dispatcher=dispatcher), share),
        tune_config=TuneConfig(num_samples=tickets, reuse_actors=True),
        run_config=RunConfig(
            name=f"hqc_{uuid.uuid4().hex[:8]}", storage_path=folder, verbose=0, stop=stopper,
            callbacks=[collector], failure_config=FailureConfig(max_failures=-1),
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    )  # fmt: skip
    try:
        tuner.fit()
    except tune.TuneError:
        if collector.problem:
            raise collector.problem from None
        raise
