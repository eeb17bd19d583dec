"""Where the Ray of this machine keeps its sockets, logs and spilled objects: a folder of this user alone, with a short path."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from hqc_ray.errors import InputError

SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # the longest path of a Unix socket
BELOW = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")  # what Ray adds to the folder it is given
LONGEST = SOCKET_BYTES - BELOW
OTHERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - where the folder is not this user's own, it is not used


def folder() -> Path:
    """A folder for Ray: in RAY_TMPDIR, if that is set; else this user's own in TMPDIR, or where that is too long elsewhere.

    Raises:
        InputError: RAY_TMPDIR cannot be used, or no folder can.
    """
    if given := os.environ.get("RAY_TMPDIR"):
        path = Path(given).absolute()
        if problem := _problem(path):
            raise InputError(problem, where=f"RAY_TMPDIR={given}", valid=f"a folder of at most {LONGEST} bytes, or unset it")
        return path / "ray"
    roots = dict.fromkeys([os.environ.get("TMPDIR") or OTHERS[0], *OTHERS])
    problems = {}
    for root in roots:
        own = Path(root).absolute() / f"hqc-{os.geteuid()}"
        problems[root] = _problem(own) or _unsafe(own)
        if not problems[root]:
            return own / "ray"  # Ray opens the folder that it is given to everybody, not the one around it
    first = next(iter(roots))
    room = f"a folder of at most {LONGEST - len(f'/hqc-{os.geteuid()}')} bytes that can be written to"
    raise InputError(f"no folder for Ray's sockets: {problems[first]}", where=f"TMPDIR={first}", valid=room)


def _problem(path: Path) -> str:
    """Why a folder cannot be used, after it was made where it did not exist; empty if it can."""
    length = len(os.fsencode(path))
    if length > LONGEST:
        return f"{length} bytes are too many for the path of a Unix socket"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x" * 4096)
    except OSError as problem:
        return f"cannot write to it: {problem.strerror}"
    return ""


def _unsafe(path: Path) -> str:
    """Why others could read or change what is in a folder that has a name they can guess; empty if they cannot."""
    facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    path.chmod(0o700)
    return ""
