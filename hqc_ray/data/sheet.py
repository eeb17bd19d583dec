"""A look at a data source: a picture of its images, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hqc_ray import seeds
from hqc_ray.data.checked import checked_classes, checked_labels, checked_read, checked_size
from hqc_ray.data.source import Source, faulty
from hqc_ray.data.splits import content_hash
from hqc_ray.errors import DataError

_COLUMNS, _GAP, _TITLE_HEIGHT = 8, 4, 24  # gap and height in pixels
_BOX = (0, 200, 80)  # the colour of the centre square


@dataclass(frozen=True)
class Summary:
    """Numbers of a source, all of whose labels were counted and some of whose images were read.

    Args:
        classes: the K class names.
        per_class: K numbers of images.
        image_size: (height, width) in pixels.
        sampled: how many images were read.
        duplicates: of these, how many are equal to an earlier one.
        pixel_mean: of the images read, per channel (red, green, blue), in [0, 1].
    """

    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    image_size: tuple[int, int]
    sampled: int
    duplicates: int
    pixel_mean: tuple[float, float, float]

    def lines(self) -> list[str]:
        """What a terminal shows."""
        counted = zip(self.classes, self.per_class, strict=True)
        return [
            f"images: {sum(self.per_class):,} of {self.image_size[0]} x {self.image_size[1]} pixels (height x width)",
            f"classes: {len(self.classes)}, images of each: {', '.join(f'{name}: {count}' for name, count in counted)}",
            f"read: {self.sampled:,}, of which {self.duplicates:,} repeat another",
            f"mean of red, green, blue: {', '.join(f'{mean:.3f}' for mean in self.pixel_mean)}",
        ]


def summary(source: Source, sample: int = 1000, seed: int = 0) -> Summary:
    """Numbers of a source; all images are counted, at most `sample` random ones are read."""
    labels, classes = checked_labels(source), checked_classes(source)
    chosen = seeds.rng(seed, "summary").permutation(len(labels))[:sample]
    hashes: set[bytes] = set()
    total = np.zeros(3)
    for start in range(0, len(chosen), 256):
        images = checked_read(source, chosen[start : start + 256])
        hashes.update(map(content_hash, images))
        total += images.mean(axis=(1, 2)).sum(axis=0) / 255
    red, green, blue = (total / max(1, len(chosen))).tolist()
    return Summary(
        classes=classes,
        per_class=tuple(np.bincount(labels, minlength=len(classes)).tolist()),
        image_size=checked_size(source),
        sampled=len(chosen),
        duplicates=len(chosen) - len(hashes),
        pixel_mean=(red, green, blue),
    )


def sample_sheet(source: Source, path_png: str | Path, count: int | None = None, seed: int = 0) -> Path:
    """Write a PNG with `count` random images of each class under its name, by default 16 of two classes, 8 of more.

    If the labels are about the centre, it is framed: the centre 32 x 32 pixels of a 96 x 96 patch. Images under 192 pixels
    (96 for more than two classes) are enlarged by a whole factor without smoothing, so that pixels stay pixels; images of
    twice that and more are reduced.

    Raises:
        DataError: a count below 1, a class without images, or a place that cannot be written to.
    """
    labels, classes = checked_labels(source), checked_classes(source)
    two = len(classes) == 2
    count = (16 if two else 8) if count is None else count
    if count < 1:
        raise DataError(f"{count} images per class", where="count", valid="1 or more")
    size = _shown(checked_size(source), 192 if two else 96)
    blocks = []
    for label, name in enumerate(classes):
        of_class = np.flatnonzero(labels == label)
        if not len(of_class):
            raise faulty(source, f"no image of class {name}", "labels", "images of each class")
        chosen = seeds.rng(seed, "sheet", label).permutation(of_class)[:count]
        blocks.append(_titled(name, checked_read(source, chosen), size, source.about_centre))
    try:
        Image.fromarray(np.concatenate(blocks)).save(path_png, format="PNG")
    except OSError as problem:
        raise DataError(f"cannot write the sheet: {problem.strerror or problem}", where=str(path_png)) from problem
    return Path(path_png)


def _titled(title: str, images: np.ndarray, size: tuple[int, int], framed: bool) -> np.ndarray:
    """A title over rows of images [n, H, W, 3], each shown at `size`; all blocks are `_COLUMNS` wide and can be stacked."""
    height, width = size
    rows = -(-len(images) // _COLUMNS)
    block = Image.new("RGB", (_COLUMNS * (width + _GAP) + _GAP, _TITLE_HEIGHT + rows * (height + _GAP) + _GAP), "white")
    pen = ImageDraw.Draw(block)
    pen.text((_GAP, 2), title, fill="black", font=ImageFont.load_default(size=16))
    reduced = height < images.shape[1]
    for i, image in enumerate(images):
        left, top = _GAP + i % _COLUMNS * (width + _GAP), _TITLE_HEIGHT + i // _COLUMNS * (height + _GAP)
        smoothing = Image.Resampling.BOX if reduced else Image.Resampling.NEAREST
        block.paste(Image.fromarray(image).resize((width, height), smoothing), (left, top))
        if framed:
            right, bottom = left + 2 * width // 3 - 1, top + 2 * height // 3 - 1
            pen.rectangle((left + width // 3, top + height // 3, right, bottom), outline=_BOX)
    return np.asarray(block)


def _shown(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The (height, width) at which images of `size` are shown: a whole factor larger, up to `side`, or a whole factor smaller."""
    longest = max(size)
    enlarged, reduced = max(1, side // longest), max(1, longest // side)
    return max(1, size[0] * enlarged // reduced), max(1, size[1] * enlarged // reduced)
