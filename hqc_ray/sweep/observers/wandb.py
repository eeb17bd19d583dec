"""Weights & Biases: a run per model and device in a project that is called as the sweep, online or offline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from hqc_ray.results.row import Row
from hqc_ray.sweep.observers.logger import Logger, Run, Session, described, metric

OPEN = 16  # runs at a time; an older one is finished, and begun again where it goes on


class Wandb(Logger):
    """Writes to wandb.ai or a server of one's own (`wandb login`, WANDB_API_KEY, WANDB_BASE_URL), or below the results folder.

    Args:
        mode: `offline` writes `wandb/offline-run-*` below the results folder, which `wandb sync` uploads.
        project: None: the name of the sweep.
        entity: a user or team; None: the default one.
    """

    modules: ClassVar[tuple[str, ...]] = ("wandb",)
    extra: ClassVar[str] = "wandb"
    mode: Literal["online", "offline"] = "offline"
    project: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    entity: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    def open(self, folder: Path, sweep: str) -> Session:
        """See `Logger`."""
        return _Runs(self, folder, self.project or sweep)


class _Runs(Session):
    def __init__(self, logger: Wandb, folder: Path, project: str) -> None:
        import wandb

        self.init, self.logger, self.project = wandb.init, logger, project
        self.settings = wandb.Settings(
            mode=logger.mode, root_dir=str(folder), console="off", silent=True, disable_git=True, disable_code=True,
            save_code=False, x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, init_timeout=60,
        )  # fmt: skip  # of this machine, its user and its code it says nothing
        self.open: OrderedDict[str, Any] = OrderedDict()

    def log(self, run: Run, rows: Sequence[Row]) -> None:
        """See `Session`."""
        opened = self._run(run)
        opened.summary.update(described(rows[0]))
        for row in rows:
            opened.log({"epsilon": row.epsilon, metric(row): row.robust_accuracy})

    def close(self) -> None:
        """See `Session`."""
        while self.open:
            self.open.popitem()[1].finish()

    def _run(self, run: Run) -> Any:
        if run.key not in self.open:
            while len(self.open) >= OPEN:
                self.open.popitem(last=False)[1].finish()
            opened = self.init(
                project=self.project, entity=self.logger.entity, id=run.key, name=run.name, config=run.parameters,
                resume="allow", reinit="create_new", settings=self.settings,
            )  # fmt: skip
            opened.define_metric("epsilon", hidden=True)
            opened.define_metric("robust_accuracy/*", step_metric="epsilon")
            self.open[run.key] = opened
        self.open.move_to_end(run.key)
        return self.open[run.key]
