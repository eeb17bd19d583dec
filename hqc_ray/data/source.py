"""What a data source is: labels that cost nothing to know, and images that are read only when asked for."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hqc_ray.entries import Entry
from hqc_ray.errors import DataError


class Source(Entry, ABC):
    """N labelled images. A source holds no open file, so it can be sent to another process."""

    @abstractmethod
    def labels(self) -> np.ndarray:
        """The classes of all images: [N] uint8 in {0, 1}; no image is read.

        Raises:
            DataError: the labels are missing, damaged, or not in {0, 1}.
        """

    @abstractmethod
    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`, in that order, repeats included: [n, H, W, 3] uint8.

        Raises:
            DataError: an index outside [0, N), or an image that cannot be read.
        """

    @abstractmethod
    def check(self) -> None:
        """Open everything and validate what can be validated without reading all images.

        Raises:
            DataError: what is wrong, where, and what is valid.
        """


def as_indices(indices: Iterable[int], count: int) -> np.ndarray:
    """`indices` as [n] int64.

    Raises:
        DataError: one of them is not a whole number in [0, count).
    """
    array = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"image indices of shape {array.shape} and type {array.dtype}", valid="a flat list of whole numbers")
    outside = array[(array < 0) | (array >= count)]
    if outside.size:
        raise DataError(f"image index {outside[0]} does not exist", valid=f"0 to {count - 1}")
    return array.astype(np.int64)


def existing_folder(path: str, option: str = "path") -> Path:
    """The folder that `path` names, with `~` and `${VARIABLES}` resolved.

    Raises:
        DataError: a variable is not set, or there is no such folder.
    """
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise DataError(f"environment variable not set in {path!r}", where=option, valid="an existing folder")
    if not Path(expanded).is_dir():
        raise DataError(f"no folder {expanded!r}", where=option, valid="an existing folder")
    return Path(expanded)
