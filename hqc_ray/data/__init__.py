"""Labelled images: where they come from (`SOURCES`), and how they are split without leaks (`splits`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqc_ray.data.selection import select
from hqc_ray.data.source import Source
from hqc_ray.data.sources.folder import Folder
from hqc_ray.data.sources.idx import Idx
from hqc_ray.data.sources.npz import Npz
from hqc_ray.data.sources.pcam import PCam
from hqc_ray.data.sources.synthetic import Synthetic
from hqc_ray.data.sources.table import Csv
from hqc_ray.data.splits import Subset, subset
from hqc_ray.entries import make
from hqc_ray.errors import DataError
from hqc_ray.spec import DataSpec

__all__ = ["SOURCES", "Csv", "Folder", "Idx", "Npz", "PCam", "Source", "Subset", "Synthetic", "get", "subset"]

SOURCES: dict[str, type[Source]] = {
    "pcam": PCam,
    "folder": Folder,
    "csv": Csv,
    "idx": Idx,
    "npz": Npz,
    "synthetic": Synthetic,
}


def get(name: str, /, classes: Sequence[str | int] | None = None, **options: Any) -> Source:
    """The source `name` of `SOURCES`, or a user's own `package.module:name`, with its options.

    Args:
        name: in the table, or an import path.
        classes: two or more of the source's class names, or labels where no class is called so: only their images are
            used, relabelled 0, 1, ... in the order given. None: all classes.
        options: of the source.

    Raises:
        DataError: an unknown name, option or value; it lists the valid ones.
    """
    source = make("data source", SOURCES, name, options, DataError, taken=DataSpec.model_fields, base=Source)
    return source if classes is None else select(source, classes)
