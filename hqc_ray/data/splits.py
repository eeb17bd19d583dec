"""A seeded, balanced subset of a source without duplicates, and its division into train, validation and test parts.

Images are taken in rounds of one per class. Which round comes next depends only on the source, the seed and the rounds
before it, hence a subset of 1,000 is the beginning of that of 5,000. The first rounds are the test part, so that subsets of
different sizes with the same test fraction are tested on images that the smaller one has in common with the larger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hqc_ray import seeds
from hqc_ray.data.checked import checked_classes, checked_labels, checked_read, checked_size
from hqc_ray.data.source import Source, faulty
from hqc_ray.errors import DataError
from hqc_ray.spec import MAX_IMAGES, MIN_IMAGES

_CHUNK = 256  # images read at once: 7 MB of 96 x 96 RGB
_CHUNK_BYTES = 2**27  # or fewer, if they are large


@dataclass(frozen=True, eq=False)
class Subset:
    """Which n images of a source are used, and for what. The image at position i is of class i mod K.

    Args:
        indices: [n] int64 into the source, in the seeded order.
        labels: [n] uint8 in 0 to K - 1.
        hashes: [n] "S32", hex of the BLAKE2b-128 of each image's shape and pixels.
        train: positions [.] int64 into the three arrays above; any multiple of K from the front is balanced.
        validation: likewise; may be empty.
        test: likewise.
        digest: of hashes, labels and split; two subsets with the same digest give the same experiment.
        classes: the K class names in the order of their labels.
    """

    indices: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    digest: str
    classes: tuple[str, ...]


def subset(
    source: Source, size: int, seed: int, test_fraction: float | None = None, validation_fraction: float | None = None
) -> Subset:
    """`size` distinct images of `source`, equally many of each class, divided.

    Exact duplicates, within a class or across classes, are left out before the division. Fractions are of the whole subset
    and rounded to rounds; by default 0.2 is for tests, and 0.2 for validation if there are more than 1,000 images (else
    nothing is).

    Raises:
        DataError: labels outside 0 to K - 1, a size that is too small or no multiple of K, fractions that leave a part
            empty, or fewer distinct images than asked for.
    """
    labels, classes = checked_labels(source), checked_classes(source)
    train, validation, test = parts(size, test_fraction, validation_fraction, len(classes))
    indices, hashes = _distinct(source, labels, classes, size // len(classes), seed)
    chosen = labels[indices]
    digest = hashlib.blake2b(digest_size=16)
    for array in (hashes, chosen, train, validation, test):
        digest.update(f"{array.shape}".encode() + array.tobytes())
    return Subset(indices, chosen, hashes, train, validation, test, digest.hexdigest(), classes)


def content_hash(image: np.ndarray) -> bytes:
    """Hex of the BLAKE2b-128 of an image's shape and pixels [H, W, 3] uint8."""
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes(), digest_size=16).hexdigest().encode()


def read_again(source: Source, indices: np.ndarray, hashes: Sequence[bytes] | np.ndarray) -> np.ndarray:
    """The images at `indices` [n], which must be those that were chosen: [n, H, W, 3] uint8.

    Args:
        source: any.
        indices: into it.
        hashes: [n] of `content_hash`, taken when the images were chosen.

    Raises:
        DataError: the source now gives another image, or images in another order.
    """
    images = checked_read(source, indices)
    for index, image, wanted in zip(indices.tolist(), images, hashes, strict=True):
        if content_hash(image) != wanted:
            what = f"image {index} is not the one that was chosen for this sweep: read gives another"
            raise faulty(source, what, "read", "files that do not change, images in the order of the indices")
    return images


def parts(
    size: int, test: float | None, validation: float | None, n_classes: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positions of the train, validation and test parts of `size` images of `n_classes` classes.

    Raises:
        DataError: a size that is too small or no multiple of `n_classes`, or fractions that leave a part empty.
    """
    if size % n_classes or size < 2 * n_classes:
        least = n_classes * max(2, -(-MIN_IMAGES // n_classes))
        valid = f"{multiple(n_classes)}, {least} or more: equally many of each of {n_classes} classes"
        raise DataError(f"{size} images", where="size", valid=valid)
    test = 0.2 if test is None else test
    given, validation = validation, float(_validation(validation, size))
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise DataError(
            f"test_fraction {test} and validation_fraction {validation}",
            valid="test above 0, validation 0 or more, together below 1",
        )
    rounds = size // n_classes
    of_test, of_validation = _rounds(rounds, test, validation)
    if of_test + of_validation >= rounds:
        raise DataError(
            f"{size} images leave none to train on with test_fraction {test} and validation_fraction {validation}",
            where="size",
            valid=" or ".join(_ways_out(rounds, test, given, n_classes)),
        )
    positions = np.arange(size, dtype=np.int64)
    test_part, validation_part, train_part = np.split(positions, [n_classes * of_test, n_classes * (of_test + of_validation)])
    return train_part, validation_part, test_part


def _validation(given: float | None, size: Any) -> Any:
    """The validation fraction of subsets of `size`, one or several: what is given, or the default."""
    return np.where(np.asarray(size) <= 1000, 0.0, 0.2) if given is None else given


def _ways_out(rounds: int, test: float, given: float | None, n_classes: int) -> Iterator[str]:
    """What would leave images to train on: another size, or other fractions of this one."""
    if size := smallest(test, given, n_classes, rounds * n_classes):
        yield f"{size} images"
    validation = float(_validation(given, rounds * n_classes))
    of_test, of_validation = _rounds(rounds, test, validation)
    if rounds > of_validation + 1:
        yield f"test_fraction up to {_floor((rounds - of_validation - 1) / rounds)}"
    elif validation and rounds > of_test + 1:
        yield f"validation_fraction up to {_floor((rounds - of_test - 1) / rounds)}"
    elif validation:
        yield f"validation_fraction 0, test_fraction up to {_floor((rounds - 1) / rounds)}"


def _floor(fraction: float) -> str:
    return f"{int(fraction * 1e6) / 1e6:g}"


def multiple(n_classes: int) -> str:
    """Which sizes are balanced, in words."""
    return "an even number" if n_classes == 2 else f"a multiple of {n_classes}"


def smallest(test: float | None, validation: float | None, n_classes: int, least: int = 0) -> int | None:
    """The smallest size, `least` or more, of which the fractions leave images to train on; None where there is none to name."""
    of_test = 0.2 if test is None else test
    first, last = max(2, -(-least // n_classes)), MAX_IMAGES // n_classes
    rounds = np.arange(first, min(last, first + 2 / (1 - of_test - (validation or 0)) + 2), dtype=np.int64)
    of_validation = _validation(validation, rounds * n_classes)
    tested = np.maximum(1, np.round(rounds * of_test))
    validated = np.where(of_validation, np.maximum(1, np.round(rounds * of_validation)), 0)
    enough = rounds[(tested + validated < rounds) & (of_test + of_validation < 1)]
    return int(enough[0]) * n_classes if len(enough) else None


def _rounds(rounds: int, test: float, validation: float) -> tuple[int, int]:
    """How many of `rounds` are the test part's and the validation part's; a part that is asked for has one at least."""
    return max(1, round(rounds * test)), max(1, round(rounds * validation)) if validation else 0


def _distinct(
    source: Source, labels: np.ndarray, classes: tuple[str, ...], rounds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and hashes of `rounds` images of each class, the classes in turn, no two images alike."""
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    if (least := min(counts)) < rounds:
        raise _too_few(f"there are only {least} of class {classes[counts.index(least)]}", rounds, least, classes)
    streams = [_walk(source, labels, label, rounds, seed) for label in range(len(classes))]
    seen: dict[bytes, int] = {}
    for done in range(rounds):
        for name, stream in zip(classes, streams, strict=True):
            found = next(((content, index) for index, content in stream if content not in seen), None)
            if found is None:
                raise _too_few(f"only {done} distinct ones of class {name} are left by the duplicates", rounds, done, classes)
            seen[found[0]] = found[1]
    return np.array(list(seen.values()), np.int64), np.array(list(seen), "S32")


def _too_few(what: str, rounds: int, possible: int, classes: tuple[str, ...]) -> DataError:
    """Fewer images than asked for: `possible` is how many rounds there could be."""
    most = f"{len(classes) * possible} or fewer, equally many of each class"
    return DataError(
        f"{len(classes) * rounds} images asked for, but {what}",
        where="size",
        valid=most if possible >= 2 else "a source with at least 2 distinct images of each class",
    )


def _walk(source: Source, labels: np.ndarray, label: int, rounds: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """All images of a class in seeded order with their hashes, read a chunk at a time, and no sooner than needed."""
    order = seeds.rng(seed, "subset", label).permutation(np.flatnonzero(labels == label))
    height, width = checked_size(source)
    step = min(rounds, _CHUNK, max(1, _CHUNK_BYTES // (3 * height * width)))
    for start in range(0, len(order), step):
        chunk = order[start : start + step]
        yield from zip(chunk.tolist(), map(content_hash, checked_read(source, chunk)), strict=True)
