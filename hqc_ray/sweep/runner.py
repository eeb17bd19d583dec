"""Jobs as Ray Tune trials. A trial is a ticket: its actor asks the dispatcher for the job that is best done next.

So a sweep is one run of Tune, whose trials are all pending from the start (which is what an autoscaler sees) and whose actors are
reused from the first job to the last, although jobs wait for each other. The dispatcher holds no truth: the ledger does.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.experiment import Trial

from hqc_ray.errors import HqcError
from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.jobs import Job, Outcome, Schedule

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # nobody asked for TensorBoard files; they cost half the time and 500 MB
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own snapshot is never read: the ledger is what a sweep resumes from
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOST_PROCESSES = 3  # times that a job's process may die before the job counts as failed
POLL_SECONDS = (0.02, 0.5)  # a worker without a job asks again after this long, at first and at most


class WorkerError(HqcError):
    """The workers' environment is broken: nothing that the sweep file could say would help."""


class Dispatcher:
    """An actor without a CPU: hands out jobs, and knows where in the object store each input lies."""

    def __init__(self, jobs: list[Job], inputs: dict[str, list[ray.ObjectRef[Any]]]) -> None:
        self.schedule, self.inputs = Schedule(jobs, inputs), inputs
        self.started = False

    def next(self, ticket: str, warm: list[str]) -> tuple[Job | None, bool]:
        """The next job, if there is one, and whether there may be another later."""
        job = self.schedule.next(ticket, warm)
        self.started = True
        return job, self.schedule.open > len(self.schedule.running)

    def input(self, name: str) -> list[ray.ObjectRef[Any]]:
        """Where an input is, as a list of one: a bare reference would be replaced by its value."""
        return self.inputs[name]

    def finish(self, id: str, artifact: list[ray.ObjectRef[Any]]) -> None:
        """A job is done; what nobody needs any more is let go."""
        if artifact:
            self.inputs[id] = artifact
        for name in self.schedule.finish(id):
            self.inputs.pop(name, None)

    def fail(self, id: str) -> list[str]:
        """A job has failed for good: it, and all that needed it."""
        return self.schedule.fail(id)

    def job_of(self, ticket: str) -> tuple[str | None, bool]:
        """The job that a ticket holds, and whether any worker has ever asked for one."""
        return self.schedule.running.get(ticket), self.started


class TicketTrial(tune.Trainable):
    """One ticket, one job. The worker in it outlives the trial: actors are reused."""

    def setup(self, config: dict[str, Any], dispatcher: Any = None) -> None:
        """Import the libraries once per actor, and pin their threads."""
        import torch

        from hqc_ray.sweep.work import Worker

        torch.set_num_threads(1)
        logging.getLogger("ray.tune").setLevel(logging.ERROR)
        self.dispatcher = dispatcher
        self.worker = Worker(lambda name: ray.get(ray.get(dispatcher.input.remote(name))[0]))

    def step(self) -> dict[str, Any]:
        """Wait for a job, do it, and give its outcome to the driver."""
        wait, longest = POLL_SECONDS
        while True:
            job, more = ray.get(self.dispatcher.next.remote(self.trial_id, self.worker.warm))
            if job is not None or not more:
                break
            time.sleep(wait)
            wait = min(2 * wait, longest)
        return {"outcome": [self.worker.run(job)] if job else [], "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Nothing to reset: a job brings all that it needs."""
        return True


class _Collector(Callback):
    """Runs in the driver's process: writes each outcome down before the dispatcher hears of it."""

    def __init__(self, driver: Driver, dispatcher: Any) -> None:
        self.driver, self.dispatcher = driver, dispatcher

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles callbacks for `Tuner.restore`, which a sweep never uses: it resumes from the ledger."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Take the outcome out of the result, which Tune would otherwise keep in its snapshot for every trial."""
        outcomes: list[Outcome] = result.pop("outcome", [])
        for outcome in outcomes:
            if self.driver.take(outcome):
                artifact = [] if outcome.artifact is None else [ray.put(outcome.artifact)]
                ray.get(self.dispatcher.finish.remote(outcome.job, artifact))
            else:
                self._fail(outcome.job, outcome.error)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """The trial's process died too often."""
        id, started = ray.get(self.dispatcher.job_of.remote(trial.trial_id))
        reason = str(trial.get_pickled_error() or "its process died")
        if id is not None:
            self._fail(id, f"the worker's process died {LOST_PROCESSES + 1} times:\n{reason}")
        elif not started:  # no worker got as far as asking for a job, and neither will the next one
            raise WorkerError(f"no worker can start; the last one said: {reason.strip().splitlines()[-1]}")

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Tune's loop is alive."""
        self.driver.live.tick()

    def _fail(self, id: str, error: str) -> None:
        self.driver.record_failure(ray.get(self.dispatcher.fail.remote(id)), error)


def connect(address: str | None, workers: int | None) -> int:
    """Start Ray on this machine with `workers` CPUs, or join the cluster at `address`; the number of CPUs there.

    Raises:
        ConnectionError: no cluster at the address.
    """
    os.environ.update(TUNE_SETTINGS)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "hqc_ray"}
    weights = os.environ.get("HQC_WEIGHTS")  # absolute: a worker does not run in the driver's folder
    options["runtime_env"] = {"env_vars": THREADS | ({"HQC_WEIGHTS": str(Path(weights).resolve())} if weights else {})}
    if address:
        ray.init(address=address, **options)
    else:
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **options)
    if threading.current_thread() is threading.main_thread():  # after Ray's own handler, which ends the process with a dump
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # a scheduler's end is a Ctrl-C
    return int(ray.cluster_resources().get("CPU", 1))


def disconnect() -> None:
    """Leave the cluster, and end the Ray that `connect` started; no other."""
    ray.shutdown()


def run_tune(driver: Driver) -> None:
    """Do all jobs on the Ray that this process is connected to. Ctrl-C ends it early, with all that was done kept."""
    inputs = {name: [ray.put(make())] for name, make in driver.graph.inputs.items()}
    actor = ray.remote(num_cpus=0, max_restarts=0)(Dispatcher)
    dispatcher = actor.remote(driver.graph.jobs, inputs)
    del inputs
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="hqc_tune_") as scratch:
        tuner = Tuner(
            tune.with_resources(tune.with_parameters(TicketTrial, dispatcher=dispatcher), {"cpu": 1}),
            tune_config=TuneConfig(num_samples=len(driver.graph.jobs), reuse_actors=True),
            run_config=RunConfig(
                name="hqc", storage_path=scratch, verbose=0, callbacks=[_Collector(driver, dispatcher)],
                failure_config=FailureConfig(max_failures=LOST_PROCESSES),
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            ),
        )  # fmt: skip
        tuner.fit()
