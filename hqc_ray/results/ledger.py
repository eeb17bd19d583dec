"""The ledger, which stores rows durably: never half a row, never a row twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.files import open_regular
from hqc_ray.results.row import Row, parse

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 1 << 16  # bytes read at a time, when the end of a ledger is looked for


class Ledger:
    """Rows in a file of JSON lines. Each append is on disk when it returns; a half-written last line is cut off on opening.

    In memory it keeps each row's position and whether it is a result: 100,000 rows take about 25 MB, and the cost of an append
    does not grow with the ledger.

    Args:
        path: the file; it need not exist yet.
        mirror: called with the text of each append once it is on disk; the append is complete when this returns.
    """

    def __init__(self, path: Path, mirror: Callable[[str], None] = lambda _: None) -> None:
        self.path, self.mirror = path, mirror
        self._at: dict[str, int] = {}  # key -> where the latest row of that key begins, in bytes
        self._done: set[str] = set()
        if path.is_symlink() or path.exists():
            try:
                _cut_half_line(path)
            except OSError as problem:
                raise ResultsError(f"cannot open the ledger: {problem.strerror}", where=str(path)) from problem
            for start, row in _lines(path):
                self._refuse_twice(row.key)
                self._take(row, start)

    def _refuse_twice(self, key: str) -> None:
        """A failure may be followed by a result; a result is final."""
        if key in self._done:
            valid = "one line of each result: delete the later one"
            raise ResultsError(f"the row {key} exists already", where=str(self.path), valid=valid)

    def _take(self, row: Row, start: int) -> None:
        self._at[row.key] = start
        if row.status == "ok":
            self._done.add(row.key)

    def append(self, rows: Iterable[Row]) -> None:
        """Append rows in one write; they are on disk and in the mirror when this returns.

        Raises:
            ResultsError: a row of that key exists already; nothing is written.
            WriteError: the write failed, and nothing of the rows stays on disk; or the mirror failed, and they stay.
        """
        rows = list(rows)
        if not rows:
            return
        for row in rows:
            self._refuse_twice(row.key)
        if len({row.key for row in rows}) < len(rows):
            raise ResultsError("the same row twice in one write", where=str(self.path))
        lines = [row.model_dump_json() + "\n" for row in rows]
        start = _append(self.path, "".join(lines).encode())
        for row, line in zip(rows, lines, strict=True):
            self._take(row, start)
            start += len(line.encode())
        self.mirror("".join(lines))

    def done(self) -> Set[str]:
        """The keys of the cells that have a result; a live view."""
        return self._done

    def keys(self) -> Set[str]:
        """The keys of the cells that have a row, of a result or a failure."""
        return self._at.keys()

    def read(self, keys: Iterable[str]) -> Iterator[Row]:
        """The latest row of each of these keys that has one."""
        if not self._at:
            return
        with self.path.open("rb") as file:
            for key in keys:
                if key in self._at:
                    file.seek(self._at[key])
                    yield Row.model_validate_json(file.readline())

    @property
    def rows(self) -> dict[str, Row]:
        """Every row, read from the file."""
        return {row.key: row for row in self.read(self._at)}

    def frame(self, order: Iterable[str] | None = None) -> pd.DataFrame:
        """The rows as a table, in the order of the keys given, or sorted by key."""
        return frame(self.read(sorted(self._at) if order is None else order))


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a pandas table with every column, also when there is no row."""
    import pandas as pd  # not at the top: a plan, a dispatcher and a worker need no tables, and it takes 90 MB

    columns: dict[str, list[Any]] = {name: [] for name in Row.model_fields}
    same: dict[Any, Any] = {}  # equal texts become one object: most columns hold few distinct ones
    for row in rows:
        for name, column in columns.items():
            value = getattr(row, name)
            column.append(same.setdefault(value, value) if isinstance(value, str) else value)
    return pd.DataFrame(columns if columns["key"] else None, columns=list(columns))


def read(path: Path) -> Iterator[Row]:
    """The rows of a ledger, also while a driver writes to it.

    Raises:
        ResultsError: a line is not a row; the message says which.
    """
    return (row for _, row in _lines(path))


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    """Where each row begins, in bytes, and the row."""
    start = 0
    _refuse_unreadable(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # half a line: of a driver that died while it wrote, or is writing now
            yield start, parse(line, f"{path}, line {number}")
            start += len(line)


def _refuse_unreadable(path: Path) -> None:
    """Refuse what is no file of rows, by its own name."""
    try:
        with path.open("rb"):
            return
    except OSError as problem:
        raise ResultsError(f"cannot read the rows: {problem.strerror}", where=str(path)) from problem


def _append(path: Path, content: bytes) -> int:
    """Append to a file durably and return where the content begins; if the write fails, nothing of it stays."""
    try:
        file = open_regular(path, os.O_WRONLY | os.O_CREAT)
        try:
            start = os.lseek(file, 0, os.SEEK_END)
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            except OSError:
                os.ftruncate(file, start)
                raise
        finally:
            os.close(file)
    except OSError as problem:
        raise WriteError(f"{path.name}: cannot write a row: {problem.strerror}") from problem
    return start


def _cut_half_line(path: Path) -> None:
    """A driver that died in the middle of a write leaves a line without its end: it never counted."""
    with os.fdopen(open_regular(path, os.O_RDWR), "rb+") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n") + 1
            if found:
                end = start + found
                break
            end = start
        if end < size:
            file.truncate(end)
