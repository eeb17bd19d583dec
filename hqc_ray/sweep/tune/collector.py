"""A callback of Tune in the driver's process: it takes outcomes and deaths of workers, and tells the dispatcher of both."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial

from hqc_ray.errors import HqcError
from hqc_ray.redaction import clean
from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.graph.jobs import Outcome
from hqc_ray.sweep.graph.schedule import LOSSES

STARTS_BETWEEN_LINES = 20


class WorkerError(HqcError):
    """The workers' environment is broken; no change to the sweep file would help."""


class Collector(Callback):
    """Runs in the driver's process: writes outcomes down before the dispatcher hears of them."""

    def __init__(self, driver: Driver, dispatcher: Any) -> None:
        self.driver, self.dispatcher = driver, dispatcher
        self.failed_starts, self.started = 0, False
        self.counted = 0.0
        self.problem: HqcError | None = None  # that ends the sweep; Tune would show it inside a traceback of its own

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles callbacks for `Tuner.restore`, which a sweep never uses: it resumes from the ledger."""
        return {}

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Take the outcomes out of the result, which Tune would otherwise keep in its snapshot for every trial."""
        self.failed_starts, self.started = 0, True
        try:
            self._take(trial.trial_id, result.pop("outcomes", []))
        except HqcError as problem:
            self.problem = problem
            raise

    def _take(self, ticket: str, given: list[Outcome]) -> None:
        outcomes = self.driver.take(given, ticket)
        done = {o.job: [] if o.artifact is None else [ray.put(o.artifact)] for o in outcomes if not o.error}
        errors = {o.job: o.error for o in outcomes if o.error}
        for lost in self._answer(self.dispatcher.report.remote(ticket, done, list(errors))):
            self.driver.record_failure(lost, errors[lost[0]])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """The trial's process died, and Tune starts it again; its jobs go to free workers."""
        reason = _reason(trial)
        alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        try:
            given_up, times, asked = self._answer(self.dispatcher.lose.remote(trial.trial_id, alive))
            for lost in given_up:
                self.driver.record_failure(lost, f"the worker's process died {times} times:\n{reason}")
            self._count_start(asked, reason.splitlines()[-1])
        except HqcError as problem:
            self.problem = problem
            raise

    def _count_start(self, asked: bool, reason: str) -> None:
        """End a sweep in which no worker ever asks for a job; only report it if others did."""
        self.started |= asked
        self.failed_starts = 0 if asked else self.failed_starts + 1
        if self.failed_starts > LOSSES and not self.started:
            raise WorkerError(f"no worker can start; the last one said: {reason}")
        if self.failed_starts > LOSSES and self.failed_starts % STARTS_BETWEEN_LINES == LOSSES + 1:
            self.driver.live.say(f"{self.failed_starts} workers in a row could not start; the last one said: {reason}")

    def _answer(self, reply: Any) -> Any:
        """The dispatcher's reply.

        Raises:
            WorkerError: it has died.
        """
        try:
            return ray.get(reply)
        except RayError as problem:
            raise WorkerError(f"the dispatcher was lost; run the same command to go on: {str(problem).splitlines()[0]}") from None

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """As `on_trial_recover`, for a trial that Tune does not start again, because its process died while it was starting."""
        self.on_trial_recover(iteration, trials, trial, **info)

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Update the progress display, once per second."""
        if time.monotonic() - self.counted > 1.0:
            self.counted = time.monotonic()
            self.driver.live.tick(sum(trial.status == Trial.RUNNING for trial in trials))


def _reason(trial: Trial) -> str:
    """The text of a trial's last failure from Tune's error file; its pickled copy is written only later."""
    file = Path(trial.error_file or "")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return clean(text.rpartition("Failure #")[2].partition("\n")[2].strip()) or "its process died"
