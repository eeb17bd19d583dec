"""Who is told of a sweep's results: loggers, in a thread of their own, which can fail or stall without the sweep."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from hqc_ray.guard import said
from hqc_ray.results.row import Row
from hqc_ray.sweep.observers.logger import Logger, Run, Session

PATIENCE = 60.0  # seconds that loggers have at the end, for what they have not written yet
FULL = 10_000  # results that wait for a logger, from which on it counts as stalled


class Observers:
    """Loggers that are open.

    The driver never waits for them: it puts each result into a queue. A logger that raises something is left out from then on,
    which is said once.

    Args:
        loggers: by name.
        folder: the results folder.
        sweep: the name of the sweep.
        say: takes the one line about a logger that fails.
    """

    def __init__(
        self, loggers: Mapping[str, Logger] | None = None, folder: Path | None = None, sweep: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.say, self.folder, self.sweep = say, folder or Path(), sweep
        self.feeds = [_Feed(name, logger, self) for name, logger in (loggers or {}).items()]

    def take(self, rows: Sequence[Row]) -> None:
        """Take results that the ledger has; failures are for the ledger alone."""
        for feed in self.feeds:
            feed.take(rows)

    def __enter__(self) -> Observers:
        for feed in self.feeds:
            feed.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for feed in self.feeds:
            feed.end()
        for feed in self.feeds:
            feed.join(PATIENCE)
            if feed.is_alive() and not feed.failed:
                self.say(f"logger {feed.name!r} has not written everything within {PATIENCE:.0f} s, and is left alone")


class _Feed(threading.Thread):
    """One logger's queue and the thread that empties it."""

    def __init__(self, name: str, logger: Logger, observers: Observers) -> None:
        super().__init__(name=name, daemon=True)
        self.logger, self.observers, self.failed = logger, observers, False
        self.waiting: queue.Queue[list[Row] | None] = queue.Queue()

    def take(self, rows: Sequence[Row]) -> None:
        if rows and not self.failed:
            self.waiting.put(list(rows))
            if self.waiting.qsize() > FULL:
                self._give_up(f"{FULL:,} reports wait for it")

    def end(self) -> None:
        self.waiting.put(None)

    def run(self) -> None:
        session: Session | None = None
        try:
            while (rows := self._next()) is not None and not self.failed:
                session = session or self.logger.open(self.observers.folder, self.observers.sweep)
                for run, some in _by_run(rows):
                    session.log(run, some)
            if session:
                session.close()
        except BaseException as problem:  # a logger's library may raise, or exit, as it likes
            self._give_up(said(problem))

    def _next(self) -> list[Row] | None:
        """All results that wait, or None when no more come."""
        rows = self.waiting.get()
        while rows is not None and not self.waiting.empty():
            more = self.waiting.get()
            if more is None:
                self.waiting.put(None)
                break
            rows += more
        return rows

    def _give_up(self, why: str) -> None:
        if not self.failed:
            self.failed = True
            self.observers.say(f"logger {self.name!r} failed, and gets no more of this run (the rows are safe): {why}")


def _by_run(rows: Iterable[Row]) -> Iterable[tuple[Run, list[Row]]]:
    """The rows of each run, in their order."""
    found: dict[str, tuple[Run, list[Row]]] = {}
    for row in rows:
        if row.robust_accuracy is not None:
            run = Run.of(row)
            found.setdefault(run.key, (run, []))[1].append(row)
    return found.values()
