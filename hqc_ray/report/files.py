"""Writing a file as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from hqc_ray.errors import ResultsError


def replace(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it: a reader never sees half of it.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as problem:
        raise ResultsError(f"cannot write {path.name}: {problem.strerror or problem}", where=str(path.parent)) from problem
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def replace_text(path: Path, text: str) -> Path:
    """The same for text, in UTF-8 with Unix line ends."""
    return replace(path, lambda p: p.write_text(text, encoding="utf-8", newline="\n"))
