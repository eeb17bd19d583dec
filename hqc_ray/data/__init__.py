"""Labelled images: where they come from (`SOURCES`), and how they are split without leaks (`splits`)."""

from __future__ import annotations

from typing import Any

from hqc_ray.data.folder import Folder
from hqc_ray.data.pcam import PCam
from hqc_ray.data.source import Source
from hqc_ray.data.splits import Subset, subset
from hqc_ray.data.synthetic import Synthetic
from hqc_ray.entries import make
from hqc_ray.errors import DataError

__all__ = ["SOURCES", "Folder", "PCam", "Source", "Subset", "Synthetic", "get", "subset"]

SOURCES: dict[str, type[Source]] = {"pcam": PCam, "folder": Folder, "synthetic": Synthetic}


def get(name: str, **options: Any) -> Source:
    """The source `name` of `SOURCES`, or a user's own `package.module:name`, with its options.

    Raises:
        DataError: an unknown name, option or value; it lists the valid ones.
    """
    source = make("data source", SOURCES, name, options, DataError)
    if not isinstance(source, Source):
        raise DataError(f"data source {name!r} is not a subclass of hqc_ray.data.Source")
    return source
