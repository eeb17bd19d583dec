"""A look at a data source: a picture of its patches, and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hqc_ray import seeds
from hqc_ray.data.source import Source
from hqc_ray.data.splits import content_hash
from hqc_ray.errors import DataError

_TITLES = ("class 0", "class 1")
_COLUMNS, _GAP, _TITLE_HEIGHT = 8, 4, 24  # gap and height in pixels
_BOX = (0, 200, 80)  # the colour of the centre square


def sample_sheet(source: Source, path_png: str | Path, count: int = 16, seed: int = 0) -> Path:
    """Write a PNG with `count` random images of each class, the square that the label is about drawn in.

    The square is the centre third of the side: the centre 32 x 32 pixels of a 96 x 96 patch. Patches under 192 pixels are
    enlarged by a whole factor without smoothing, so that pixels stay pixels.

    Raises:
        DataError: a count below 1, a class without images, or a place that cannot be written to.
    """
    if count < 1:
        raise DataError(f"{count} images per class", where="count", valid="1 or more")
    blocks = [_titled(title, source.read(_draw(source, label, count, seed))) for label, title in enumerate(_TITLES)]
    try:
        Image.fromarray(np.concatenate(blocks)).save(path_png, format="PNG")
    except OSError as problem:
        raise DataError(f"cannot write the sheet: {problem.strerror or problem}", where=str(path_png)) from problem
    return Path(path_png)


def summary(source: Source, sample: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Numbers of a source; all images are counted, at most `sample` random ones are read.

    Returns:
        count, per_class (label -> images), shape (of an image), sampled (images read), duplicates (of the images read,
        those equal to an earlier one), pixel_mean (per channel, of [0, 1]).
    """
    labels = source.labels()
    chosen = seeds.rng(seed, "summary").permutation(len(labels))[:sample]
    hashes: set[bytes] = set()
    total, shape = np.zeros(3), (0, 0, 3)
    for start in range(0, len(chosen), 256):
        images = source.read(chosen[start : start + 256])
        hashes.update(map(content_hash, images))
        total += images.mean(axis=(1, 2)).sum(axis=0) / 255
        shape = images.shape[1:]
    return {
        "count": len(labels),
        "per_class": {label: int((labels == label).sum()) for label in (0, 1)},
        "shape": list(shape),
        "sampled": len(chosen),
        "duplicates": len(chosen) - len(hashes),
        "pixel_mean": [round(float(mean), 4) for mean in total / max(1, len(chosen))],
    }


def _draw(source: Source, label: int, count: int, seed: int) -> np.ndarray:
    """Indices of `count` random images of a class; all of them if there are fewer."""
    of_class = np.flatnonzero(source.labels() == label)
    if not len(of_class):
        raise DataError(f"no image of class {label}", where=repr(source))
    return seeds.rng(seed, "sheet", label).permutation(of_class)[:count]


def _titled(title: str, images: np.ndarray) -> np.ndarray:
    """A title over rows of images [n, H, W, 3]; always `_COLUMNS` wide, so that blocks can be stacked."""
    height, width = (images.shape[i] * _enlargement(images) for i in (1, 2))
    rows = -(-len(images) // _COLUMNS)
    size = (_COLUMNS * (width + _GAP) + _GAP, _TITLE_HEIGHT + rows * (height + _GAP) + _GAP)
    block = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(block)
    pen.text((_GAP, 2), title, fill="black", font=ImageFont.load_default(size=16))
    for i, image in enumerate(images):
        left, top = _GAP + i % _COLUMNS * (width + _GAP), _TITLE_HEIGHT + i // _COLUMNS * (height + _GAP)
        block.paste(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST), (left, top))
        pen.rectangle((left + width // 3, top + height // 3, left + 2 * width // 3 - 1, top + 2 * height // 3 - 1), outline=_BOX)
    return np.asarray(block)


def _enlargement(images: np.ndarray) -> int:
    return max(1, 192 // images.shape[1])
