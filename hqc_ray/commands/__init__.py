"""The commands of `hqc`, a module each, and what they share: exit codes, the console, the type of an option."""

from __future__ import annotations

import argparse
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def console(width: int = 140) -> Console:
    """Standard output; `width` characters wide, enough for a table, when it is a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=width)


def positive(text: str) -> int:
    """The type of an option that takes a number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


class Downloads:
    """A progress bar per downloaded file, on standard error; if that is not a terminal, a line when a file begins."""

    def __init__(self, shown: Console | None = None) -> None:
        self.console = shown or Console(stderr=True)
        self.tasks: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """The file `name` has `done` bytes of `total` (None: unknown)."""
        if name not in self.tasks:
            self.tasks[name] = self.bar.add_task(name, total=total)
            if not self.console.is_terminal:
                size = f" ({total / 1e6:,.0f} MB)" if total else ""
                self.console.print(f"fetching {name}{size}", highlight=False)
        self.bar.update(self.tasks[name], completed=done, total=total)

    def __enter__(self) -> Downloads:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()
