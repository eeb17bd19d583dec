"""MLflow: a run per model and device in an experiment that is called as the sweep, on a server or in a local database."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from hqc_ray.results.row import Row
from hqc_ray.spec import expand
from hqc_ray.sweep.observers.logger import Logger, Run, Session, described, metric, step

TAG = "hqc_ray.run"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}  # MLflow's own are 7 and 120 s
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}


class MLflow(Logger):
    """Writes to an MLflow server, or to a database.

    Args:
        uri: `http://HOST:PORT` or `sqlite:///FILE`; None: MLFLOW_TRACKING_URI, else `mlflow.db` in the results folder. A user and
            a password are taken from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """

    modules: ClassVar[tuple[str, ...]] = ("mlflow",)
    extra: ClassVar[str] = "mlflow"
    uri: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    def check(self) -> None:
        """See `Logger`."""
        expand(self.uri, "uri")
        super().check()

    def open(self, folder: Path, sweep: str) -> Session:
        """See `Logger`."""
        given = expand(self.uri, "uri") or os.environ.get("MLFLOW_TRACKING_URI")
        return _Runs(given or f"sqlite:///{folder.resolve() / 'mlflow.db'}", sweep)


class _Runs(Session):
    def __init__(self, uri: str, sweep: str) -> None:
        for name, value in (PATIENCE | QUIET).items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # of the tables that it makes it says a line each
        self.client = MlflowClient(tracking_uri=uri)
        known = self.client.get_experiment_by_name(sweep)
        self.experiment = known.experiment_id if known else self.client.create_experiment(sweep)
        self.ids: dict[str, str] = {}

    def log(self, run: Run, rows: Sequence[Row]) -> None:
        """See `Session`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(_name(metric(row)), row.robust_accuracy, now, step(row)) for row in rows]
        if run.key not in self.ids:
            self.ids[run.key], new = self._run(run)
            points += [Metric(name, value, now, 0) for name, value in described(rows[0]).items()] if new else []
        self.client.log_batch(self.ids[run.key], metrics=points)

    def close(self) -> None:
        """See `Session`; an interrupted sweep's runs are finished, too, until it goes on with them."""
        for id in self.ids.values():
            self.client.set_terminated(id)

    def _run(self, run: Run) -> tuple[str, bool]:
        """The id of a run, which an earlier process may have made, and whether it is new."""
        from mlflow.entities import Param

        found: Any = self.client.search_runs([self.experiment], f"tags.`{TAG}` = '{run.key}'", max_results=1)
        if found:
            return found[0].info.run_id, False
        made = self.client.create_run(self.experiment, tags={TAG: run.key, "mlflow.runName": run.name})
        self.client.log_batch(made.info.run_id, params=[Param(name, str(value)) for name, value in run.parameters.items()])
        return made.info.run_id, True


def _name(text: str) -> str:
    """A metric's name without the signs that MLflow does not take."""
    return re.sub(r"[^\w./ -]", "_", text)
