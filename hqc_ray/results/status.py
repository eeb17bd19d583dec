"""Where a sweep stands, from its files alone: the list of its cells, its rows, its driver's last note, and who holds its lock.

The rows are the truth about what is done. The note (`.status.json`, or a part of the lease in a storage) says what rows cannot:
stages, workers, the time that is left. Whether the driver lives is said by the lock, which the kernel frees when it dies, or by
the lease.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hqc_ray import locks
from hqc_ray.columns import counted
from hqc_ray.errors import ResultsError
from hqc_ray.files import open_regular
from hqc_ray.results.folder import MADE, Folder

RUNNING, FINISHED, INTERRUPTED, STOPPED, DIED, STARTING = "running", "finished", "interrupted", "stopped", "died", "starting"
FRESH_SECONDS = 60.0  # a note or a lease that is younger is of a driver that lives, where no lock can be asked
UNLISTED = "its cells are not listed: as far as its rows tell"
_NOTED: dict[str, type | tuple[type, ...]] = {
    "state": str, "since": str, "updated": str, "host": str, "error": str, "pid": int, "workers": int,
    "left_seconds": (int, float), "rough": bool,
}  # fmt: skip
_STAGE = {"name": str, "done": int, "failed": int, "of": int}
_KEY, _STATUS, _WHEN = (re.compile(rb'"%s":"([^"\\]*)"' % name) for name in (b"key", b"status", b"finished_at"))


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Args:
        sweep: its name.
        state: see above.
        cells: of the sweep; None where they are not listed yet.
        done: cells with a result.
        failed: cells whose latest try failed.
        stages: of the latest run, as its driver noted them last: name, done, failed, of how many.
        workers: of that run.
        since: when that run began, UTC.
        last_row: when the latest row was written, UTC.
        host: of the driver.
        pid: of the driver.
        left_seconds: that are left, of a sweep that runs.
        rough: little is known of that yet.
        error: what stopped it.
        go_on: what to do next.
    """

    sweep: str
    state: str
    cells: int | None
    done: int
    failed: int
    stages: list[dict[str, Any]] = field(default_factory=list)
    workers: int | None = None
    since: str | None = None
    last_row: str | None = None
    host: str | None = None
    pid: int | None = None
    left_seconds: int | None = None
    rough: bool = False
    error: str = ""
    go_on: str = ""


@dataclass
class Counts:
    """What the rows say: cells with a result, cells whose latest row is a failure, and when the latest was written."""

    done: set[bytes] = field(default_factory=set)
    failed: set[bytes] = field(default_factory=set)
    last: str = ""


def of_folder(path: Path) -> Status:
    """Where the sweep of a results folder stands, or of its mirror in a mounted folder.

    Raises:
        ResultsError: it is no results folder, or a file in it is damaged.
    """
    at = Folder(path)
    if not path.is_dir():
        what = "not a folder" if path.exists() else "no such folder"
        raise ResultsError(what, where=str(path), valid=MADE)
    if (path / "rows").is_dir() or (path / "lease.json").is_file():
        return of_storage(str(path.resolve()))
    if not any(file.is_file() for file in (at.ledger, at.cells, at.lock)):
        raise ResultsError("no results folder", where=str(path), valid=MADE)
    there = at.ledger.exists() or at.ledger.is_symlink()
    counts = count([(at.ledger.name, _lines(at.ledger))] if there else [])
    note = _json(at.status)
    alive = _held(at, note)
    if alive and _json(at.lock).get("pid") not in (None, note.get("pid")):
        note = _json(at.lock)  # another one has begun, and has noted nothing yet
    order, note = at.order(), note or _json(at.lock)
    kept = order is None and not note and at.provenance.is_file()  # of a run that ended, without what its driver noted for itself
    rows = [key.decode(errors="replace") for key in (*counts.done, *counts.failed)]
    told = found(at.name, rows if kept and rows else order, counts, note, alive, str(path.parent))
    return replace(told, go_on=f"{UNLISTED}; {told.go_on}") if kept and rows else told


def of_storage(uri: str) -> Status:
    """Where a sweep stands whose results are mirrored at `uri`, STORAGE/SWEEP; nothing is written there.

    Raises:
        InputError: no such form of a storage, it cannot be read, or it holds no sweep.
    """
    from hqc_ray.results.storage import Storage  # imports pyarrow
    from hqc_ray.spec import storage_uri

    root, _, sweep = uri.rstrip("/").rpartition("/")
    storage = Storage(storage_uri(root, f"status {uri}"), sweep, read_only=True)
    raw = storage.get(f"{sweep}/cells.json")
    if raw is None and not storage.names:
        raise ResultsError("no sweep is mirrored there", where=uri, valid="STORAGE/SWEEP, as --storage and the sweep's name say")
    try:
        order = None if raw is None else [str(key) for key in json.loads(raw)]
    except (ValueError, TypeError, RecursionError) as problem:
        raise ResultsError("cells.json is damaged", where=uri) from problem
    counts = count(("rows", segment.splitlines(keepends=True)) for segment in storage.segments())
    lease, last = (locks.parse(storage.get(f"{sweep}/{name}") or b"") for name in ("lease.json", Folder(Path()).status.name))
    return found(sweep, order, counts, lease or last, _is_fresh(lease.get("renewed")), "results", f" --storage {root}")


def count(files: Iterable[tuple[str, Iterable[bytes]]]) -> Counts:
    """What the lines of ledgers say, read without parsing what a line's columns hold: 100,000 of them take a second.

    Args:
        files: the name and the lines of each.

    Raises:
        ResultsError: a line is no row.
    """
    found = Counts()
    for name, lines in files:
        for number, text in enumerate(lines, 1):
            if not text.endswith(b"\n"):
                break  # half a line: of a driver that is writing, or that died while it wrote
            key, status, when = (match[1] if (match := column.search(text)) else b"" for column in (_KEY, _STATUS, _WHEN))
            if not key or status not in (b"ok", b"failed"):
                raise ResultsError("not a row", where=f"{name}, line {number}", valid="`hqc report` says what is wrong with it")
            if status == b"ok":
                found.done.add(key)
            else:
                found.failed.add(key)
            found.last = max(found.last, when.decode(errors="replace"))
    found.failed -= found.done
    return found


def found(
    sweep: str, order: list[str] | None, counts: Counts, note: dict[str, Any], alive: bool, parent: str, more: str = ""
) -> Status:
    """Put together what the files say.

    Args:
        sweep: its name.
        order: the keys of its cells; None where they are not listed.
        counts: what its rows say.
        note: of its driver, and who that is; empty without one.
        alive: whether a driver is at work.
        parent: of the results folder, in the command that goes on.
        more: options of that command.
    """
    keys = None if order is None else {key.encode() for key in order}
    done, failed = (len(rows if keys is None else rows & keys) for rows in (counts.done, counts.failed))
    cells = None if keys is None else len(keys)
    told = _told(note)
    state = _state(cells, done + failed, told.get("state"), alive)
    left = told.get("left_seconds") if state == RUNNING else None
    left = left if left is None or math.isfinite(left) else None
    rough = bool(told.get("rough"))  # then it does not count down, either
    if left is not None and not rough and (written := _seconds(told.get("updated"))):
        left = max(round(left - (time.time() - written)), 0)
    return Status(
        sweep=sweep, state=state, cells=cells, done=done, failed=failed,
        stages=told.get("stages", []) if state != STARTING else [], workers=told.get("workers") if state != STARTING else None,
        since=told.get("since"), last_row=counts.last or None, host=told.get("host"), pid=told.get("pid"),
        left_seconds=left, rough=rough and left is not None,
        error=told.get("error", "") if state == STOPPED else "",
        go_on=_go_on(state, cells, done, failed, f"`hqc sweep FILE --results {parent}{more}`"),
    )  # fmt: skip


def _go_on(state: str, cells: int | None, done: int, failed: int, command: str) -> str:
    if state in (RUNNING, STARTING):
        return "wait for it, or end it there: what it has done is kept"
    if state == FINISHED:
        again = f"{command} tries {_the(failed, 'failed cell')} again"
        return again if failed else "`hqc report` makes its tables and figures again"
    left = None if cells is None else cells - done
    to_come = "what is left" if left is None else f"{_the(left, 'cell')} that {'is' if left == 1 else 'are'} left"
    return f"the same command, {command}, goes on with {to_come}"


def _the(number: int, noun: str) -> str:
    """'the 3 failed cells'; of one 'the failed cell'."""
    return f"the {noun if number == 1 else counted(number, noun)}"


def _state(cells: int | None, rows: int, told: str | None, alive: bool) -> str:
    """The state by what lives and what is done; what the driver said last counts where it is dead."""
    if alive:
        return RUNNING if told == RUNNING else STARTING
    if cells is not None and rows >= cells:
        return FINISHED
    return told if told in (INTERRUPTED, STOPPED) else DIED


def _held(at: Folder, note: dict[str, Any]) -> bool:
    """Whether a driver is at work: it holds the lock; or, where its host is another one, it has written lately."""
    with contextlib.suppress(OSError):
        if locks.is_held(at.lock):
            return True
    elsewhere = note.get("host") != locks.facts()["host"] and note.get("state") == RUNNING
    return elsewhere and _is_fresh(_seconds(note.get("updated")))


def _is_fresh(then: object) -> bool:
    return isinstance(then, int | float) and abs(time.time() - then) < FRESH_SECONDS


def _told(note: dict[str, Any]) -> dict[str, Any]:
    """The parts of a note that are what they should be; the file may hold anything."""
    whole = {name: note[name] for name, kind in _NOTED.items() if isinstance(note.get(name), kind)}
    stages = note.get("stages")
    if isinstance(stages, list) and all(_is_stage(stage) for stage in stages):
        whole["stages"] = [{name: stage[name] for name in _STAGE} for stage in stages]
    return whole


def _is_stage(stage: object) -> bool:
    return isinstance(stage, dict) and all(isinstance(stage.get(name), kind) for name, kind in _STAGE.items())


def _json(path: Path) -> dict[str, Any]:
    """A small file of a driver; empty where there is none, or it is damaged."""
    try:
        with open(open_regular(path, 0), "rb") as file:
            return locks.parse(file.read(1 << 20))
    except OSError:
        return {}


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open(open_regular(path, 0), "rb") as file:
            yield from file
    except OSError as problem:
        raise ResultsError(f"cannot read the rows: {problem.strerror}", where=str(path)) from problem


def _seconds(utc: object) -> float | None:
    """Seconds since 1970 of a date as rows have it."""
    try:
        return calendar.timegm(time.strptime(str(utc), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return None
