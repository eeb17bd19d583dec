"""Writing a file as a whole or not at all, and never through a link that somebody put in its place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hqc_ray.errors import InputError, WriteError


def short(name: str, longest: int = 120) -> str:
    """A file's name without its suffix that every file system takes: cut where it is long, with a digest of what it was."""
    return name if len(name) <= longest else f"{name[: longest - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def write(path: Path, content: bytes | Callable[[Path], object]) -> Path:
    """Write a file under a temporary name, wait until it is on disk, then rename it: a reader never sees half of it.

    Args:
        path: the file; its folder is created if it does not exist.
        content: the bytes, or a function that writes the file at the path it is given.

    Raises:
        WriteError: the write failed; an earlier version of the file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")  # threads, and other hosts, write there, too
    fill = content if callable(content) else lambda to: to.write_bytes(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        fill(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        raise WriteError(f"{path}: cannot write: {problem.strerror or problem}") from problem
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file: a link is not followed, a pipe is not waited for.

    Args:
        path: the file.
        flags: of `os.open`; a file that is made gets the permissions that files have here.

    Raises:
        OSError: it is a link or no regular file, or it cannot be opened.
    """
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        if problem.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a link", str(path)) from problem
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder for the time being, of this user alone.

    Raises:
        InputError: no folder for temporary files can be written to.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"hqc_{name}_", ignore_cleanup_errors=True)
    except OSError as problem:
        where = f"TMPDIR={os.environ.get('TMPDIR', '')}"
        raise InputError(
            f"no temporary folder: {problem.strerror}", where=where, valid="a folder that can be written to"
        ) from problem
    with folder as path:
        yield Path(path)
