"""A seeded, balanced subset of a source without duplicates, and its division into train, validation and test parts.

Images are taken in pairs, one of each class. Which pair comes next depends only on the source, the seed and the pairs
before it, hence a subset of 1,000 is the beginning of that of 5,000. The first pairs are the test part, so that subsets of
different sizes with the same test fraction are tested on images that the smaller one has in common with the larger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hqc_ray import seeds
from hqc_ray.data.source import Source
from hqc_ray.errors import DataError

_CHUNK = 256  # images read at once: 7 MB of 96 x 96 RGB


@dataclass(frozen=True, eq=False)
class Subset:
    """Which n images of a source are used, and for what. Even positions are of class 0, odd ones of class 1.

    Args:
        indices: [n] int64 into the source, in the seeded order.
        labels: [n] uint8 in {0, 1}.
        hashes: [n] "S32", hex of the BLAKE2b-128 of each image's shape and pixels.
        train: positions [.] int64 into the three arrays above; any even number from the front is balanced.
        validation: likewise; may be empty.
        test: likewise.
        digest: of hashes, labels and split; two subsets with the same digest give the same experiment.
    """

    indices: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    digest: str
    classes: tuple[str, ...] = ("0", "1")


def subset(
    source: Source, size: int, seed: int, test_fraction: float | None = None, validation_fraction: float | None = None
) -> Subset:
    """`size` distinct images of `source`, half of each class, divided.

    Exact duplicates, of either class, are left out before the division. Fractions are of the whole subset and rounded to
    pairs; by default 0.2 is for tests, and 0.2 for validation if there are more than 1,000 images (else nothing is).

    Raises:
        DataError: labels outside {0, 1}, an odd or too small size, fractions that leave a part empty, or fewer distinct
            images than asked for.
    """
    labels = source.labels()
    if not np.isin(labels, (0, 1)).all():  # a user's own source; the built-in ones have checked
        raise DataError(f"labels {np.unique(labels)[:5].tolist()}", where=repr(source), valid="0, 1")
    train, validation, test = parts(size, test_fraction, validation_fraction)
    indices, hashes = _distinct(source, labels, size // 2, seed)
    chosen = labels[indices]
    digest = hashlib.blake2b(digest_size=16)
    for array in (hashes, chosen, train, validation, test):
        digest.update(f"{array.shape}".encode() + array.tobytes())
    return Subset(indices, chosen, hashes, train, validation, test, digest.hexdigest())


def content_hash(image: np.ndarray) -> bytes:
    """Hex of the BLAKE2b-128 of an image's shape and pixels [H, W, 3] uint8."""
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest().encode()


def parts(size: int, test: float | None, validation: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions of the train, validation and test parts of `size` images.

    Raises:
        DataError: an odd or too small size, or fractions that leave a part empty.
    """
    if size % 2 or size < 4:
        raise DataError(f"{size} images", where="size", valid="an even number, 4 or more: half of each class")
    test = 0.2 if test is None else test
    validation = (0.0 if size <= 1000 else 0.2) if validation is None else validation
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise DataError(
            f"test_fraction {test} and validation_fraction {validation}",
            valid="test above 0, validation 0 or more, together below 1",
        )
    pairs = size // 2
    test_pairs = max(1, round(pairs * test))
    validation_pairs = max(1, round(pairs * validation)) if validation else 0
    if test_pairs + validation_pairs >= pairs:
        raise DataError(
            f"{size} images leave none to train on with test_fraction {test} and validation_fraction {validation}",
            where="size",
            valid=f"{2 * (test_pairs + validation_pairs + 1)} or more",
        )
    positions = np.arange(size, dtype=np.int64)
    test_part, validation_part, train_part = np.split(positions, [2 * test_pairs, 2 * (test_pairs + validation_pairs)])
    return train_part, validation_part, test_part


def _distinct(source: Source, labels: np.ndarray, pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and hashes of `pairs` images of each class, alternating, no two alike."""
    streams = [_walk(source, labels, label, pairs, seed) for label in (0, 1)]
    seen: dict[bytes, int] = {}
    for pair in range(pairs):
        for label, stream in enumerate(streams):
            found = next(((name, index) for index, name in stream if name not in seen), None)
            if found is None:
                raise DataError(
                    f"{2 * pairs} images asked for, but only {pair} distinct ones of class {label} are left by the duplicates",
                    where="size",
                    valid=f"{2 * pair} or fewer, half of each class",
                )
            seen[found[0]] = found[1]
    return np.array(list(seen.values()), np.int64), np.array(list(seen), "S32")


def _walk(source: Source, labels: np.ndarray, label: int, pairs: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """All images of a class in seeded order with their hashes, read a chunk at a time, and no sooner than needed."""
    order = seeds.rng(seed, "subset", label).permutation(np.flatnonzero(labels == label))
    if len(order) < pairs:
        raise DataError(
            f"{2 * pairs} images asked for, but there are only {len(order)} of class {label}",
            where="size",
            valid=f"{2 * len(order)} or fewer, half of each class",
        )
    step = min(pairs, _CHUNK)
    for start in range(0, len(order), step):
        chunk = order[start : start + step]
        yield from zip(chunk.tolist(), map(content_hash, source.read(chunk)), strict=True)
