"""What a data source is: labels that cost nothing to know, and images that are read only when asked for."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import ConfigDict

from hqc_ray.entries import Entry
from hqc_ray.errors import DataError, InputError
from hqc_ray.guard import one_line, wrong
from hqc_ray.spec import MAX_IMAGES

MAX_CLASSES = 100
MAX_SIDE = 4096  # pixels


class Source(Entry, ABC):
    """N labelled images of K classes (2 to 100), all of one size. A source holds no open file, so it can be pickled."""

    model_config = ConfigDict(ignored_types=(tuple,))  # `classes` and `image_size` may be plain values
    about_centre: ClassVar[bool] = False
    """Whether a label describes the centre third of its image only, as in PatchCamelyon."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names in the order of their labels; unless a source knows better, the numbers of its labels.

        Raises:
            DataError: the labels are missing, damaged, or not exactly 0 to K - 1.
        """
        values = np.unique(labels_given(self))
        if values.tolist() != list(range(len(values))):
            raise faulty(self, f"labels {values[:5].tolist()}", "labels", "0 to K - 1, each of them")
        return tuple(str(value) for value in values.tolist())

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of every image that `read` returns."""
        height, width = images_given(self, self.read(np.zeros(1, np.int64)), (1, None, None, 3)).shape[1:3]
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


def labels_given(source: Source) -> np.ndarray:
    """What `labels` returned, if it is [N] of whole numbers.

    Raises:
        DataError: something else, or of more than `MAX_IMAGES` images.
    """
    given = source.labels()
    try:
        count = len(given)
    except TypeError:
        count = 0
    if count > MAX_IMAGES:
        raise faulty(source, f"{count:,} labels", "labels", f"{MAX_IMAGES:,} or fewer")
    try:
        labels = np.asarray(given)
    except ValueError as problem:  # lists of several lengths
        raise faulty(
            source, f"labels are a {type(given).__name__} that is no array", "labels", "[N] uint8, from 0 on"
        ) from problem
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"labels of shape {list(labels.shape)} and type {labels.dtype}"
        raise faulty(source, found, "labels", "[N] uint8, from 0 on")
    return labels


def images_given(source: Source, images: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """What `read` returned, if it is uint8 of a shape, in which None stands for any number.

    Raises:
        DataError: something else.
    """
    is_pixels = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == len(shape)
    if is_pixels and all(wanted in (None, found) for wanted, found in zip(shape, images.shape, strict=True)):
        return images
    found = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else f"a {type(images).__name__}"
    wanted = ", ".join(name if n is None else str(n) for n, name in zip(shape, "nHWC", strict=True))
    raise faulty(source, f"read returned {found}", "read", f"an array, uint8 [{wanted}]")


def name_of(source: Source) -> str:
    """A source as a sweep file names it: `package.module:Class`; of a task of some classes, the source that it is of."""
    kind = type(whole_of(source))
    return f"{kind.__module__}:{kind.__qualname__}"


def faulty(source: Source, what: str, by: str, valid: str) -> InputError:
    """The error for what the method `by` of a source gives, with the place of its definition, if that is a user's."""
    kind = type(whole_of(source))
    found = getattr(kind, by)
    made = kind if found is getattr(Source, by) else getattr(found, "fget", found)
    return wrong("data source", name_of(source), what, DataError, by=made, valid=valid)


def whole_of(source: Source) -> Source:
    """The source that a task of some classes is made of; any other source itself."""
    inner = getattr(source, "source", None)
    return inner if isinstance(inner, Source) else source


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
    if not _is(folder.is_dir, folder):
        raise DataError(f"no folder {one_line(str(folder))!r}", where="path", valid="an existing folder")
    return folder


def existing_file(path: str) -> Path:
    """The file that the option `path` names, with `~` and `${VARIABLES}` resolved.

    Raises:
        DataError: a variable is not set, or there is no such file.
    """
    file = _resolved(path, "an existing file")
    if not _is(file.is_file, file):
        raise DataError(f"no file {one_line(str(file))!r}", where="path", valid="an existing file")
    return file


def _is(asked: Callable[[], bool], place: Path) -> bool:
    try:
        return asked()
    except (OSError, ValueError) as problem:  # no permission, or a name that no file can have
        raise unreadable(problem, place) from problem


def first_bytes(file: Path) -> bytes | None:
    """What a file begins with; None where there is none.

    Raises:
        DataError: it cannot be opened: it is not damaged.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise unreadable(problem, file) from problem


def unreadable(problem: OSError | ValueError, place: Path) -> DataError:
    """The error for a file or folder that cannot be opened: it is not damaged."""
    permitted = not isinstance(problem, PermissionError)  # h5py's too
    what = f"cannot be read: {getattr(problem, 'strerror', None) or problem}" if permitted else "no permission to read it"
    return DataError(
        what, where=one_line(str(place)), valid="a place that can be read" if permitted else "a place that you may read"
    )


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
