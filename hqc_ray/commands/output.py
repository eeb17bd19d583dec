"""What commands print: tables for people, JSON for programs. Both on standard output; errors and progress are not."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.text import Text

from hqc_ray import columns

PIPED = 140  # characters of a line in a file or a pipe


def console(width: int = PIPED) -> Console:
    """Standard output; in a file or a pipe `width` characters wide, enough for a table, unless COLUMNS says otherwise."""
    return Console() if sys.stdout.isatty() else Console(width=shutil.get_terminal_size((width, 24)).columns)


def print_table(
    head: Sequence[str],
    lines: Sequence[columns.Line],
    right: Collection[int] = (),
    heading: int = 1,
    fold: Collection[int] = (),
    title: str = "",
) -> None:
    """Print a table: see `columns.table`."""
    shown = console()
    for text in [Text(title, style="italic"), Text()] if title else []:
        shown.print(text)
    for text in columns.table(head, lines, shown.width, right, heading, fold):
        shown.print(text, no_wrap=True, overflow="ignore", crop=False)


def print_text(text: str) -> None:
    """Print a sentence on as many lines as it needs; no word is cut."""
    shown = console()
    for line in columns.wrapped(text, shown.width):
        shown.print(line, no_wrap=True, overflow="ignore", crop=False)


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json` to a command, which then prints what it found with `print_json` and nothing else."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def print_json(value: Any) -> None:
    """Print one JSON value: mappings, lists, dataclasses and pydantic models, paths as texts; what is not finite is null."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value as JSON knows it: see `print_json`."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if hasattr(value, "item"):  # a number of NumPy
        return plain(value.item())
    return [plain(one) for one in value] if isinstance(value, Iterable) else str(value)


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
