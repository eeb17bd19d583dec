"""What a source gives, looked at before it is used: a user's own may give anything, in any order, and raise anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hqc_ray.data.source import MAX_CLASSES, MAX_SIDE, Source, faulty, images_given, labels_given, name_of
from hqc_ray.errors import DataError
from hqc_ray.guard import guarded

_FEW = 4  # images that are read in two orders


def check(source: Source) -> None:
    """`Source.check`, and what no source says of itself: that its labels stay, and its images come in the order asked for.

    Raises:
        DataError: what is wrong, and whose it is.
    """
    with using(source, "check"):
        source.check()
    labels = checked_labels(source)
    if not np.array_equal(labels, checked_labels(source)):
        raise faulty(source, "labels differ between two calls", "labels", "the same labels at every call")
    some = np.unique(np.linspace(0, len(labels) - 1, _FEW).astype(np.int64))
    turned = np.roll(some, 1)
    images, again = checked_read(source, turned), checked_read(source, turned[::-1])[::-1]
    if not np.array_equal(images, again):
        what = "images in another order than asked for" if _same(images, again) else "other images at a second call"
        asked = f"{turned.tolist()} and of {turned[::-1].tolist()}"
        raise faulty(source, f"read gives {what} (of {asked})", "read", "the image of each index, in the order of the indices")


def checked_classes(source: Source) -> tuple[str, ...]:
    """The K class names of any source, in the order of their labels.

    Raises:
        DataError: not 2 to 100 distinct names that can be printed.
    """
    with using(source, "read the classes of"):
        classes = source.classes
    names = tuple(classes) if isinstance(classes, list | tuple) else ()
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        found = ", ".join(map(str, names[:5])) or "none"
        raise faulty(source, f"{len(names)} classes ({found})", "classes", f"2 to {MAX_CLASSES} of different names")
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise faulty(source, f"the class name {name!r}", "classes", "a text that can be printed")
    return names


def checked_labels(source: Source) -> np.ndarray:
    """The labels of any source: [N] uint8 in 0 to K - 1.

    Raises:
        DataError: labels of another shape, type or range, or not 2 to 100 distinct class names.
    """
    with using(source, "read the labels of"):
        labels = labels_given(source)
    classes = checked_classes(source)
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if outside.size:
        raise faulty(source, f"label {outside[0]}", "labels", f"0 to {len(classes) - 1}, one for each class name")
    return labels.astype(np.uint8)


def checked_size(source: Source) -> tuple[int, int]:
    """(height, width) in pixels of the images of any source.

    Raises:
        DataError: not two whole numbers from 1 to 4,096.
    """
    with using(source, "read the image size of"):
        size = source.image_size
    sides = tuple(size) if isinstance(size, list | tuple) else ()
    if len(sides) != 2 or not all(isinstance(n, int | np.integer) and 1 <= n <= MAX_SIDE for n in sides):
        raise faulty(source, f"images of the size {size!r}", "image_size", f"(height, width), 1 to {MAX_SIDE} pixels each")
    return int(sides[0]), int(sides[1])


def checked_read(source: Source, indices: np.ndarray) -> np.ndarray:
    """The images of any source at `indices` [n]: [n, H, W, 3] uint8, a copy of what it gives.

    Raises:
        DataError: `read` raised, or returned something of another shape or type.
    """
    height, width = checked_size(source)
    with using(source, "read images of"):
        return images_given(source, source.read(indices), (len(indices), height, width, 3)).copy()


@contextmanager
def using(source: Source, to: str) -> Iterator[None]:
    """Whatever a source raises is a DataError in one line.

    Args:
        source: any.
        to: what is tried.
    """
    with guarded("data source", name_of(source), DataError, to=to):
        yield


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether both hold the same images, in any order."""
    return sorted(image.tobytes() for image in first) == sorted(image.tobytes() for image in second)
