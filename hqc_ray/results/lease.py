"""Who may write to a storage: a small object there, renewed by a thread of the driver while it lives."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from hqc_ray import locks
from hqc_ray.errors import HqcError, ResultsError
from hqc_ray.locks import owner, parse

RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0  # a lease unchanged for this long belongs to a dead driver
FORGOTTEN_SECONDS = 600.0  # a lease older than this by its own date is not waited for (clocks do not differ by so much)
SETTLE_SECONDS = 0.5  # between writing a lease and reading it back


class Lease:
    """The right to write under one name of a storage, for one driver at a time.

    An existing lease is watched, not judged by its date: one that changes within `STALE_SECONDS` belongs to a live driver,
    whatever the clocks of the two machines say. pyarrow has no common "create if absent" for these stores, so a lease is read
    back after it was written. One race remains: if two drivers start at the same moment, and one takes longer than
    `SETTLE_SECONDS` between its look and its write, both run until the next renewal, where one finds the other's lease and
    stops. No row can be lost or damaged by that: segments are named by their content, and merging them keeps the first result
    of a cell. The same holds for a driver that was suspended for longer than `STALE_SECONDS`.

    Args:
        read: the lease's bytes, or None where there is none.
        write: puts new ones there.
        delete: removes it.
        where: the storage, in messages.
        report: called with a line when an existing lease has to be watched.
    """

    def __init__(
        self, read: Callable[[], bytes | None], write: Callable[[bytes], None], delete: Callable[[], None], where: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.read, self.write, self.delete, self.where, self.report = read, write, delete, where, report
        self.token, self.facts = secrets.token_hex(8), locks.facts()
        self.note: Mapping[str, Any] = {}  # what the driver says of its sweep, for whoever looks
        self.lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="hqc lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease, and keep it fresh from now on.

        Raises:
            ResultsError: a live driver holds it.
        """
        if (held := self.read()) is not None:
            self._watch(held)
        self.write(self._content())
        time.sleep(SETTLE_SECONDS)
        found = self.read()
        if found is None or not self._ours(found):
            raise self._taken(found)
        self._thread.start()

    def release(self) -> None:
        """Give the lease up, so that another driver can start at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STALE_SECONDS)
        with contextlib.suppress(OSError, HqcError):  # if the storage cannot be reached, the lease goes stale
            found = self.read()
            if found is not None and self._ours(found):
                self.delete()

    def _watch(self, held: bytes) -> None:
        """Return if the driver that wrote this lease is dead or gone; refuse if it is alive."""
        renewed = parse(held).get("renewed")
        if not isinstance(renewed, float) or not abs(time.time() - renewed) <= FORGOTTEN_SECONDS:  # also of NaN
            return
        self.report(f"{self.where} has the lease of {owner(held)}: watching for {STALE_SECONDS:.0f} s whether it is alive")
        end = time.monotonic() + STALE_SECONDS
        while time.monotonic() < end:
            time.sleep(min(1.0, RENEW_SECONDS))
            found = self.read()
            if found is None:
                return
            if found != held:
                raise self._taken(found)

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            with contextlib.suppress(OSError, HqcError):  # a short outage; in a long one, writes fail and say so
                found = self.read()
                if found is not None and not self._ours(found):
                    self.lost = True
                    return
                if not self._stop.is_set():
                    self.write(self._content())

    def _content(self) -> bytes:
        return json.dumps({**self.note, **self.facts, "token": self.token, "renewed": time.time()}).encode()

    def _ours(self, content: bytes) -> bool:
        return parse(content).get("token") == self.token

    def _taken(self, content: bytes | None) -> ResultsError:
        valid = "wait for it, or end it there (what it has done is kept), or another storage"
        return ResultsError(f"another driver is at work on this storage: {owner(content or b'')}", where=self.where, valid=valid)
