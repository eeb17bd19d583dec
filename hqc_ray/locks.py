"""One process at a time: a lock on a file that says who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import time
from io import FileIO
from pathlib import Path
from typing import Any

from hqc_ray import files

LOOK_SECONDS = 0.1  # after which a lock that is held is tried once more
SIZE = 512  # bytes that the holder's line is padded to, so that it is written over and never cut off


class Held(Exception):
    """Another process holds the lock; the text says which."""


class NoLocks(OSError):
    """The file system has no locks."""


def take(path: Path, wait: bool = False) -> FileIO:
    """Lock a file, which is made where it does not exist; closing what this returns unlocks it.

    No link is followed and nothing is emptied: a file that holds something else than a lock's line is refused.

    Args:
        path: the file.
        wait: for the process that holds it.

    Raises:
        Held: by another process, which is not waited for.
        NoLocks: the file system has none.
        OSError: the file cannot be opened, or is no lock.
    """
    file = FileIO(files.open_regular(path, os.O_RDWR | os.O_CREAT), "r+")
    try:
        known = os.pread(file.fileno(), SIZE, 0)
        if known and not parse(known):
            raise OSError(errno.EEXIST, "it is not a lock, but holds something", str(path))
        _flock(file, wait, known)
        with contextlib.suppress(OSError):  # of a full disk: it is locked nevertheless
            os.pwrite(file.fileno(), json.dumps(facts()).encode().ljust(SIZE - 1) + b"\n", 0)
    except BaseException:
        file.close()
        raise
    return file


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; it is asked without waiting, and let go at once.

    Raises:
        OSError: the file cannot be opened.
    """
    file = files.open_regular(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False


def facts() -> dict[str, Any]:
    """What a lock says of the process that holds it."""
    return {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def parse(content: bytes) -> dict[str, Any]:
    """What a lock says; empty if that is damaged, or no lock's."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and "pid" in found else {}


def owner(content: bytes) -> str:
    """Who holds a lock, by what it says."""
    told = parse(content)
    since = f" since {told['since']}" if "since" in told else ""
    return f"process {told.get('pid', '?')} on {told.get('host', '?')}{since}"


def _flock(file: FileIO, wait: bool, known: bytes) -> None:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)  # somebody may only have looked, as `is_held` does
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        raise Held(owner(known)) from problem
    except OSError as problem:
        raise NoLocks(problem.errno, problem.strerror) from problem
