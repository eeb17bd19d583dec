"""How a running sweep is shown: a picture for a terminal of any width, a line for a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hqc_ray.columns import counted, strength_text
from hqc_ray.results.row import Row
from hqc_ray.sweep.progress import duration

NARROW = 90  # columns below which the newest results get less room
NARROW_COLUMNS = {
    "model": 10,
    "head": 8,
    "device": 13,
    "attack": 10,
    "epsilon": 7,
    "robust": 6,
}  # at most, 60 with what is between
WIDE_COLUMNS = {"model": 18, "head": 14, "device": 36, "attack": 30, "epsilon": 7, "robust": 6}
TITLES = {"features": "features", "train": "trainings", "fit": "fits", "search": "searches"}


@dataclass
class Stage:
    """The jobs of a kind: how many there were to do in this run, and how many are done, or failed."""

    of: int = 0
    done: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Now:
    """All that is shown, at one moment.

    Args:
        name: of the sweep.
        cells: of the whole sweep.
        before: of them, those that had a result before this run.
        done: those that got one in this run.
        failed: those that failed in this run.
        stages: by kind, in their order; those without a job are left out.
        workers: at work.
        seconds: so far.
        left: seconds until all is done, as far as is known.
        rough: not much is known of it.
        newest: results, the newest last.
        failure: the last one, in one line.
    """

    name: str
    cells: int
    before: int
    done: int
    failed: int
    stages: dict[str, Stage]
    workers: int
    seconds: float
    left: float
    rough: bool
    newest: tuple[Row, ...] = ()
    failure: str = ""

    @property
    def counted(self) -> str:
        """'23 of 65 cells, 1 failed'."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.before + self.done:,} of {counted(self.cells, 'cell')}{failed}"

    @property
    def time(self) -> str:
        """'3 min so far, about 4 min left'; when what was expected is over, that it takes longer."""
        late = self.left < 1 and self.before + self.done + self.failed < self.cells
        left = "longer than expected" if late else f"{'roughly' if self.rough else 'about'} {duration(self.left)} left"
        return f"{duration(self.seconds)} so far, {left}"

    @property
    def hands(self) -> str:
        """'2 workers'."""
        if not self.workers:
            return "waiting for a worker to start"
        return counted(self.workers, "worker")


def line(now: Now) -> str:
    """One line for a log."""
    stages = [f"{TITLES[kind]} {stage.done}/{stage.of}" for kind, stage in now.stages.items()]
    newest = [" ".join(_cells(row)[:3]) + f": {' '.join(filter(None, _cells(row)[3:]))}" for row in now.newest[-1:]]
    return "; ".join([now.counted, *([", ".join(stages)] if stages else []), now.hands, now.time, *newest])


def picture(now: Now, width: int) -> RenderableType:
    """The same for a terminal, `width` columns wide, with a bar and the newest results."""
    before = f" ({now.before} from before)" if now.before else ""
    head = Text(f"{now.name}: ", style="bold", no_wrap=True, overflow="ellipsis")
    head.append(f"{now.before + now.done:,} of {counted(now.cells, 'cell')}{before}", style="not bold")
    head.append(f", {now.failed} failed" if now.failed else "", style="red")
    parts: list[RenderableType] = [
        head,
        Columns([ProgressBar(max(now.cells, 1), now.before + now.done + now.failed, width=min(width, 60))]),
        Text(f"{now.time}, {now.hands}", no_wrap=True, overflow="ellipsis"),
        _stages(now),
    ]
    if now.failure:
        parts.append(Text(f"last failure: {now.failure}", style="red", no_wrap=True, overflow="ellipsis"))
    if now.newest:
        parts.append(_newest(now, width))
    return Group(*parts)


def _stages(now: Now) -> RenderableType:
    """A stage in each line: its name, done of how many, a short bar."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=9)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(style="red")
    for kind, stage in now.stages.items():
        bar = ProgressBar(stage.of, stage.done + stage.failed, width=20)
        table.add_row(TITLES[kind], f"{stage.done} of {stage.of}", bar, f"{stage.failed} failed" if stage.failed else "")
    return table


def _newest(now: Now, width: int) -> RenderableType:
    """The newest results, the newest first, in as many columns as there are."""
    most = NARROW_COLUMNS if width < NARROW else WIDE_COLUMNS
    table = Table(box=None, padding=(0, 1, 0, 0) if width < NARROW else (0, 3, 0, 0), pad_edge=False, header_style="dim")
    for title, columns in most.items():
        side: Literal["left", "right"] = "right" if title in ("epsilon", "robust") else "left"
        table.add_column(title, no_wrap=True, overflow="ellipsis", justify=side, max_width=columns)
    for row in reversed(now.newest):
        table.add_row(*map(Text, _cells(row)))  # rich would take a device's [options] for markup
    return table


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    """Model, head, device, attack, epsilon and robust accuracy of a result."""
    robust = "" if row.robust_accuracy is None else f"{row.robust_accuracy:.1%}"
    epsilon = strength_text(row.epsilon, row.level) if row.epsilon else ""
    return row.backbone, row.head, row.device, row.attack_label, epsilon, robust
