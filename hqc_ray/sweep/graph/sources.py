"""The images of a section, and whether they are enough; a room's error with its place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hqc_ray import data
from hqc_ray.data.checked import checked_classes, checked_size
from hqc_ray.data.splits import multiple, smallest
from hqc_ray.errors import DataError, InputError, ModelError
from hqc_ray.spec import MAX_SIDE, MIN_IMAGES, DataSpec, expand


def source(spec: DataSpec) -> data.Source:
    """The data source of a section, with ${NAME} in its options replaced; no error of it shows what stands for a name.

    Raises:
        InputError: an unknown source or option, or an unset variable.
    """
    options = {k: expand(v, k) for k, v in spec.options.items()}
    return data.get(spec.source, **options) if spec.classes is None else data.get(spec.source, classes=spec.classes, **options)


def check_size(data: DataSpec, names: Sequence[str], counts: np.ndarray) -> None:
    """Whether there are enough images of each of K classes `names`, of which there are `counts` [K]."""
    k, fewest = len(names), int(counts.min())
    if fewest < data.size // k:
        least = smallest(data.test_fraction, data.validation_fraction, k, MIN_IMAGES)
        possible = least and least <= k * fewest
        of_each = f"a source with {(least or data.size) // k:,} images of each class"
        raise DataError(
            f"{data.size:,} images asked for, {data.size // k:,} of each class, but the source has {fewest:,} of class "
            f"{names[int(counts.argmin())]!r}", where="data.size",
            valid=f"{multiple(k)} from {least:,} to {k * fewest:,}" if possible else of_each,
        )  # fmt: skip


def n_classes(data: DataSpec) -> int:
    """K, of any source."""
    return len(at("data", lambda: checked_classes(source(data))))


def own_size(data: DataSpec, resized: bool) -> tuple[int, int]:
    """(height, width) of the images in pixels, which are not too many where nothing resizes them."""
    size: tuple[int, int] = at("data", lambda: checked_size(source(data)))
    if max(size) > MAX_SIDE and not resized:
        what = f"the images have {max(size):,} pixels along a side, too many for a network"
        raise ModelError(what, where="model.image_size", valid=f"a size to which they are resized, up to {MAX_SIDE:,}")
    return size


def at(where: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a room, and add to its error the section of the file that it is about."""
    try:
        return function(*args, **kwargs)
    except InputError as problem:
        raise problem.at(where) from problem
