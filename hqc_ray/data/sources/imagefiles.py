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

from hqc_ray.data.source import Source, as_indices, unreadable
from hqc_ray.data.sources import picture
from hqc_ray.data.sources.picture import SUFFIXES
from hqc_ray.errors import DataError

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
        return picture.size(self.listing.files[0])

    def labels(self) -> np.ndarray:
        """The labels: [N] uint8."""
        return self.listing.labels.copy()

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`: [n, H, W, 3] uint8, where H and W are `image_size`."""
        files, size = self.listing.files, self.image_size
        wanted = as_indices(indices, len(files))
        out = np.empty((len(wanted), *size, 3), np.uint8)
        for row, index in enumerate(wanted.tolist()):
            image = picture.load(files[index])
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
            for file in self._some():
                self._hold(file, picture.size(file), self.image_size)
        else:
            self._say_stretched()
        if listing.ignored:
            warnings.warn(listing.ignored, stacklevel=2)

    def _say_stretched(self) -> None:
        """A warning where images lose their proportions."""
        sizes = {file: picture.size(file) for file in self._some()}
        if flat := [file for file, (height, width) in sizes.items() if height != width]:
            height, width = sizes[flat[0]]
            what = f"{len(flat)} of {len(sizes)} images that were looked at are not square, such as {flat[0].name}"
            warnings.warn(
                f"{what} of {height} x {width}; all are stretched to {self.size_pixels} x {self.size_pixels}", stacklevel=3
            )

    def _some(self) -> list[Path]:
        """Some hundreds of the files, evenly."""
        files = self.listing.files
        return [files[index] for index in np.unique(np.linspace(0, len(files) - 1, _SIZES).astype(int)).tolist()]

    def _hold(self, file: Path, found: tuple[int, int], size: tuple[int, int]) -> None:
        """An image must be (height, width) `size`."""
        if found != size:
            raise DataError(
                f"{found[0]} x {found[1]} pixels (height x width), but {self.listing.files[0].name} has {size[0]} x {size[1]}",
                where=str(file),
                valid="images of one size, or the option size_pixels=96, say, which resizes them all",
            )


def files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The image files in `folder` and its sub-folders, sorted, and the other files; images that are hidden are among those.

    Raises:
        DataError: a folder that may not be read.
    """
    found: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(place)
        if real in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        parts = Path(place).relative_to(folder).parts
        found += [(*parts, name) for name in names]
        found += [(*parts, name) for name in folders if name.lower().endswith(SUFFIXES)]
    images: list[Path] = []
    others: list[Path] = []
    for parts in sorted(found):
        hidden, is_image = any(part.startswith(".") for part in parts), parts[-1].lower().endswith(SUFFIXES)
        if is_image or not hidden:
            file = folder.joinpath(*parts)
            (images if is_image and not hidden and not file.is_dir() else others).append(file)
    return images, others


def entries(folder: Path) -> list[Path]:
    """What lies in a folder.

    Raises:
        DataError: it may not be read.
    """
    try:
        return list(folder.iterdir())
    except OSError as problem:
        raise unreadable(problem, folder) from problem


def _unreadable(problem: OSError) -> None:
    raise unreadable(problem, Path(problem.filename)) from problem
