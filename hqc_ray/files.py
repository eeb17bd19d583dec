"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hqc_ray.errors import WriteError


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary name, on disk, then renamed.

    Raises:
        WriteError: the disk does not take it; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise WriteError(f"{path}: cannot write: {problem.strerror}") from problem
