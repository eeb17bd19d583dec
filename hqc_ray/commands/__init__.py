"""The commands of `hqc`, a module each, and what they share: exit codes, the console, the type of an option."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from hqc_ray.errors import InputError, shown

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def console(width: int = 140) -> Console:
    """Standard output; `width` characters wide, enough for a table, when it is a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=width)


def whole(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number of a range."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from {low:,} to {high:,}")
        return int(text)

    return number


def seconds(text: str) -> float:
    """The type of an option that takes a time, up to a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number of seconds, above 0 to 86,400")
    return value


WORKERS, PER_GPU = whole(1, 100_000), whole(1, 100)
COUNT = whole(0, 1_000_000)  # of something whose own range its room knows


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of bad input: one line, and no usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print.

        Raises:
            InputError: always.
        """
        raise InputError(message, where=self.prog, valid=f"{self.prog} --help")


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
