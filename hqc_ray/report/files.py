"""Files of a report."""

from __future__ import annotations

import os
from pathlib import Path

from hqc_ray import files
from hqc_ray.errors import ResultsError, WriteError


def replace(path: Path, content: bytes) -> Path:
    """Write a file as a whole or not at all.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    try:
        return files.write(path, content)
    except WriteError as problem:
        cause = problem.__cause__
        reason = getattr(cause, "strerror", None) or cause
        raise ResultsError(f"cannot write {path.name}: {reason}", where=str(path.parent)) from problem


def refuse_blocked(path: Path) -> None:
    """Find out that a file cannot be written before any other is.

    Raises:
        ResultsError: a folder stands in its place, something else in place of its folder, or that cannot be written to.
    """
    place = next((parent for parent in path.parents if parent.exists()), path.parent)
    if path.is_dir():
        what = f"{path.name} is a folder, not a file of the report"
    elif not place.is_dir():
        what = f"{place.name} is not a folder"
    elif not os.access(place, os.W_OK):
        what = f"cannot write {path.name}: permission denied"
    else:
        return
    raise ResultsError(what, where=str(place if place.is_dir() else place.parent), valid="move it away, or mend its permissions")
