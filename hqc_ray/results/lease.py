"""Who may write to a storage: a small object there, renewed by a thread of the driver while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from hqc_ray.errors import HqcError, ResultsError

RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0  # a lease that did not change for so long is a dead driver's
FORGOTTEN_SECONDS = 600.0  # by its own date; older ones are not waited for (no two clocks differ by so much)
SETTLE_SECONDS = 0.5  # between writing a lease and looking whose it is


class Lease:
    """The right to write under one name of a storage, for one driver at a time.

    A lease that is there is watched, not dated: one that changes within `STALE_SECONDS` belongs to a live driver, whatever the
    clocks of the two machines say. The stores that we write to know no common "create if it is not there" (pyarrow has none), so
    after writing a lease we look again whose it is. What remains: two drivers that start within the same moment, one of which
    is slower than `SETTLE_SECONDS` between its look and its write, both run until the next renewal, where one finds the
    other's lease and stops. No row can be lost or spoilt by that: segments are named by what they hold, and merging them keeps
    the first result of a cell. The same holds for a driver that was asleep for longer than `STALE_SECONDS`.

    Args:
        read: the lease's bytes, or None where there is none.
        write: puts new ones there.
        delete: removes it.
        where: the storage, in messages.
        report: told in a line that a lease is waited for.
    """

    def __init__(
        self, read: Callable[[], bytes | None], write: Callable[[bytes], None], delete: Callable[[], None], where: str,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.read, self.write, self.delete, self.where, self.report = read, write, delete, where, report
        self.token = secrets.token_hex(8)
        self.lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="hqc lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease, and keep it fresh from now on.

        Raises:
            ResultsError: a live driver has it.
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
        """Let another driver in at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=STALE_SECONDS)
        with contextlib.suppress(OSError, HqcError):  # where the storage is gone, the lease will be stale
            found = self.read()
            if found is not None and self._ours(found):
                self.delete()

    def _watch(self, held: bytes) -> None:
        """Return when the driver that left this lease is dead or gone; refuse when it is alive."""
        if abs(time.time() - _facts(held).get("renewed", 0.0)) > FORGOTTEN_SECONDS:
            return
        self.report(f"{self.where} has the lease of {_owner(held)}: waiting up to {STALE_SECONDS:.0f} s whether it lives")
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
            with contextlib.suppress(OSError, HqcError):  # away for a moment; if it stays away, writers will say so
                found = self.read()
                if found is not None and not self._ours(found):
                    self.lost = True
                    return
                if not self._stop.is_set():
                    self.write(self._content())

    def _content(self) -> bytes:
        facts = {"host": platform.node(), "pid": os.getpid(), "token": self.token, "renewed": time.time()}
        return json.dumps(facts).encode()

    def _ours(self, content: bytes) -> bool:
        return _facts(content).get("token") == self.token

    def _taken(self, content: bytes | None) -> ResultsError:
        return ResultsError(f"another driver is at work on this storage: {_owner(content or b'')}", where=self.where)


def _facts(content: bytes) -> dict[str, Any]:
    """What a lease says; nothing, where it is damaged."""
    try:
        facts = json.loads(content)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _owner(content: bytes) -> str:
    facts = _facts(content)
    return f"process {facts.get('pid', '?')} on {facts.get('host', '?')}"
