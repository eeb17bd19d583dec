"""Writing a file as a whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from hqc_ray.errors import WriteError


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
