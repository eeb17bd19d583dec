"""What a data source is: labels that cost nothing to know, and images that are read only when asked for."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from hqc_ray.entries import Entry
from hqc_ray.errors import DataError

MAX_CLASSES = 100


class Source(Entry, ABC):
    """N labelled images of K classes (2 to 100), all of one size. A source holds no open file, so it can be pickled."""

    about_centre: ClassVar[bool] = False
    """Whether a label describes the centre third of its image only, as in PatchCamelyon."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names in the order of their labels; unless a source knows better, the numbers of its labels.

        Raises:
            DataError: the labels are missing, damaged, or not exactly 0 to K - 1.
        """
        values = np.unique(_whole_numbers(self))
        if values.tolist() != list(range(len(values))):
            raise DataError(f"labels {values[:5].tolist()}", where=repr(self), valid="0 to K - 1, each of them")
        return tuple(str(value) for value in values.tolist())

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of every image that `read` returns."""
        height, width = self.read([0]).shape[1:3]
        return int(height), int(width)

    @abstractmethod
    def labels(self) -> np.ndarray:
        """The labels of all images: [N] uint8 in 0 to K - 1. No image is read.

        Raises:
            DataError: the labels are missing, damaged, or outside 0 to K - 1.
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

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A small source of this kind, with five or more distinct images per class, for contract tests.

        Args:
            folder: an empty folder for its files.
        """
        raise NotImplementedError(f"{cls.__name__}.example")

    def __eq__(self, other: object) -> bool:
        """Of the same class with the same options, whatever either has cached."""
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in type(self).model_fields)

    def __getstate__(self) -> dict[Any, Any]:
        """The options alone: what was cached is read again by the process that unpickles the source."""
        state = super().__getstate__()
        return {**state, "__dict__": {name: state["__dict__"][name] for name in type(self).model_fields}}


def checked_labels(source: Source) -> np.ndarray:
    """The labels of any source, a user's own included: [N] uint8 in 0 to K - 1.

    Raises:
        DataError: labels of another shape, type or range, or not 2 to 100 distinct class names.
    """
    labels, classes = _whole_numbers(source), tuple(source.classes)
    if not 2 <= len(classes) <= MAX_CLASSES or len(set(classes)) != len(classes):
        found = ", ".join(map(str, classes[:5])) or "none"
        raise DataError(f"{len(classes)} classes ({found})", where=repr(source), valid=f"2 to {MAX_CLASSES} of different names")
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if outside.size:
        raise DataError(f"label {outside[0]}", where=repr(source), valid=f"0 to {len(classes) - 1}, one for each class name")
    return labels.astype(np.uint8)


def checked_read(source: Source, indices: np.ndarray) -> np.ndarray:
    """The images of any source, a user's own included, at `indices` [n]: [n, H, W, 3] uint8.

    Raises:
        DataError: `read` returned something of another shape or type.
    """
    images = source.read(indices)
    shape = (len(indices), *source.image_size, 3)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape:
        is_array = isinstance(images, np.ndarray)
        found = f"{images.dtype} {list(images.shape)}" if is_array else f"a {type(images).__name__}"
        raise DataError(f"read returned {found}", where=repr(source), valid=f"an array, uint8 {list(shape)}")
    return images


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


def existing_folder(path: str) -> Path:
    """The folder that the option `path` names, with `~` and `${VARIABLES}` resolved.

    Raises:
        DataError: a variable is not set, or there is no such folder.
    """
    folder = _resolved(path, "an existing folder")
    if not os.path.isdir(folder):  # unlike Path's, it takes any text
        raise DataError(f"no folder {str(folder)!r}", where="path", valid="an existing folder")
    return folder


def existing_file(path: str) -> Path:
    """The file that the option `path` names, with `~` and `${VARIABLES}` resolved.

    Raises:
        DataError: a variable is not set, or there is no such file.
    """
    file = _resolved(path, "an existing file")
    if not os.path.isfile(file):
        raise DataError(f"no file {str(file)!r}", where="path", valid="an existing file")
    return file


def natural(name: str) -> tuple[list[str | int], str]:
    """The key of natural sorting, in which '9' comes before '10'."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)], name


def distinct_images(count: int, *shape: int) -> np.ndarray:
    """Noise for examples and tests: [count, *shape] uint8, no two alike."""
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def _resolved(path: str, valid: str) -> Path:
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise DataError(f"environment variable not set in {path!r}", where="path", valid=valid)
    return Path(expanded)


def _whole_numbers(source: Source) -> np.ndarray:
    """What `labels` returned, if it is [N] of whole numbers."""
    labels = np.asarray(source.labels())
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"labels of shape {list(labels.shape)} and type {labels.dtype}", where=repr(source), valid="[N] uint8")
    return labels
