"""Files of a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hqc_ray import files
from hqc_ray.errors import ResultsError, WriteError


def replace(path: Path, content: bytes | Callable[[Path], object]) -> Path:
    """Write a file as a whole or not at all; what it holds, or a function that fills the file it is given.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    try:
        return files.write(path, content)
    except WriteError as problem:
        cause = problem.__cause__
        reason = getattr(cause, "strerror", None) or cause
        raise ResultsError(f"cannot write {path.name}: {reason}", where=str(path.parent)) from problem


def replace_text(path: Path, text: str) -> Path:
    """The same for text, in UTF-8 with Unix line ends."""
    return replace(path, text.encode())
