"""What commands print: tables for people, JSON for programs. Both on standard output; errors and progress are not."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

PIPED = 140  # characters of a line in a file or a pipe


def console(width: int = PIPED) -> Console:
    """Standard output; `width` characters wide, enough for a table, when it is a file or a pipe, unless COLUMNS says otherwise."""
    return Console() if sys.stdout.isatty() else Console(width=shutil.get_terminal_size((width, 24)).columns)


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
