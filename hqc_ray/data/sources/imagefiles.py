"""What sources made of image files share: listing them, loading them, and holding them to one size."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from hqc_ray.data.source import Source, as_indices
from hqc_ray.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_DEEP_MODES = ("I", "F")  # Pillow's 16 and 32 bit modes, which it would clip at 255 without a word
_SIZES = 500  # image headers that `check` compares


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of a source.

    Args:
        files: N image files.
        labels: [N] uint8 in 0 to K - 1.
        classes: the K class names.
        ignored: a sentence about what is left out; empty if nothing is.
    """

    files: tuple[Path, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    ignored: str = ""


class ImageFiles(Source):
    """Images in files of 8 bits per channel, grey or colour, listed once per object.

    Args:
        path: the folder of the data set.
        size_pixels: side of the squares that images are stretched to; None keeps their own size, which must then be the
            same for all.
    """

    path: str
    size_pixels: int | None = Field(default=None, ge=8, le=4096)

    @cached_property
    @abstractmethod
    def listing(self) -> Listing:
        """The images, with their labels and classes.

        Raises:
            DataError: files or labels are missing or of another layout.
        """

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.listing.classes

    @property
    def image_size(self) -> tuple[int, int]:
        """(size_pixels, size_pixels), or the first image's (height, width)."""
        if self.size_pixels is not None:
            return self.size_pixels, self.size_pixels
        return _size(self.listing.files[0])

    def labels(self) -> np.ndarray:
        """The labels: [N] uint8."""
        return self.listing.labels.copy()

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`: [n, H, W, 3] uint8, where H and W are `image_size`."""
        files, size = self.listing.files, self.image_size
        wanted = as_indices(indices, len(files))
        out = np.empty((len(wanted), *size, 3), np.uint8)
        for row, index in enumerate(wanted.tolist()):
            image = _load(files[index])
            if self.size_pixels is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR) if image.size != size[::-1] else image
            self._hold(files[index], (image.height, image.width), size)
            out[row] = np.asarray(image)
        return out

    def check(self) -> None:
        """Lists all images, reads the first of each class, compares the sizes of some hundreds; warns of what is left out."""
        listing = self.listing
        self.read(np.unique(listing.labels, return_index=True)[1])
        if self.size_pixels is None:
            for index in np.unique(np.linspace(0, len(listing.files) - 1, _SIZES).astype(int)).tolist():
                self._hold(listing.files[index], _size(listing.files[index]), self.image_size)
        if listing.ignored:
            warnings.warn(listing.ignored, stacklevel=2)

    def _hold(self, file: Path, found: tuple[int, int], size: tuple[int, int]) -> None:
        """An image must be (height, width) `size`."""
        if found != size:
            raise DataError(
                f"{found[0]} x {found[1]} pixels (height x width), but {self.listing.files[0].name} has {size[0]} x {size[1]}",
                where=str(file),
                valid="images of one size, or the option size_pixels=96, say, which resizes them all",
            )


def files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files and the other files in `folder` and its sub-folders, sorted; hidden ones are passed over."""
    found: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        parts = Path(place).relative_to(folder).parts
        found += [(*parts, name) for name in names if not name.startswith(".")]
    images: list[Path] = []
    others: list[Path] = []
    for parts in sorted(found):
        (images if parts[-1].lower().endswith(SUFFIXES) else others).append(folder.joinpath(*parts))
    return images, others


def _open(file: Path) -> Image.Image:
    image = Image.open(file)
    if image.mode.startswith(_DEEP_MODES):
        image.close()
        raise DataError(f"pixels of mode {image.mode}", where=str(file), valid="8 bits per channel")
    return image


def _load(file: Path) -> Image.Image:
    """One image in RGB."""
    try:
        with _open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:  # what Pillow's decoders raise
        raise DataError(f"not a readable image ({problem})", where=str(file), valid=", ".join(SUFFIXES)) from problem


def _size(file: Path) -> tuple[int, int]:
    """(height, width) in pixels, from the file's header."""
    try:
        with _open(file) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:
        raise DataError(f"not a readable image ({problem})", where=str(file), valid=", ".join(SUFFIXES)) from problem
