"""A folder with one sub-folder of images per class."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field

from hqc_ray.data.source import Source, as_indices, existing_folder
from hqc_ray.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_DEEP_MODES = ("I", "F")  # Pillow's 16 and 32 bit modes, which it would clip at 255 without a word


class Folder(Source):
    """Images in two class folders, in the order of their class and name, stretched to squares.

    The listing is taken once per object. Hidden files and folders are passed over.

    Args:
        path: folder with exactly two class folders.
        size_pixels: side of the images that `read` returns.
        positive: the class folder whose label is 1; by default the second one in sorted order ('0' < '1', 'normal' < 'tumor').
    """

    path: str
    size_pixels: int = Field(default=96, ge=8)
    positive: str | None = None

    @cached_property
    def classes(self) -> tuple[Path, Path]:
        """The folders of label 0 and of label 1.

        Raises:
            DataError: not exactly two class folders, or none called `positive`.
        """
        root = existing_folder(self.path)
        folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        names = [p.name for p in folders]
        if len(folders) != 2:
            found = ", ".join(names[:5]) or "none"
            raise DataError(f"{len(folders)} class folders ({found})", where=str(root), valid="exactly two, such as 0 and 1")
        if self.positive not in (None, *names):
            raise DataError(f"no class folder {self.positive!r}", where="positive", valid=", ".join(names))
        first, second = folders if self.positive != names[0] else reversed(folders)
        return first, second

    @cached_property
    def files(self) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """The image files of label 0 and of label 1, each sorted by name.

        Raises:
            DataError: a class folder without an image.
        """
        negative, positive = (_images(folder) for folder in self.classes)
        return negative, positive

    def labels(self) -> np.ndarray:
        """The labels, all of 0 before all of 1: [N] uint8."""
        return np.repeat(np.array([0, 1], np.uint8), [len(files) for files in self.files])

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`: [n, size_pixels, size_pixels, 3] uint8."""
        files = self.files[0] + self.files[1]
        out = [_load(files[i], self.size_pixels) for i in as_indices(indices, len(files))]
        return np.stack(out) if out else np.zeros((0, self.size_pixels, self.size_pixels, 3), np.uint8)

    def check(self) -> None:
        """Lists both classes and reads the first image of each."""
        self.read([0, len(self.files[0])])


def _images(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")))
    if not files:
        raise DataError("holds no images", where=str(folder), valid=", ".join(SUFFIXES))
    return files


def _load(file: Path, size_pixels: int) -> np.ndarray:
    """One image as [size_pixels, size_pixels, 3] uint8."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith(_DEEP_MODES):
                raise DataError(f"pixels of mode {image.mode}", where=str(file), valid="8 bits per channel")
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as problem:  # what Pillow's decoders raise
        raise DataError(f"not a readable image ({problem})", where=str(file), valid=", ".join(SUFFIXES)) from problem
    if rgb.size != (size_pixels, size_pixels):
        rgb = rgb.resize((size_pixels, size_pixels), Image.Resampling.BILINEAR)
    return np.asarray(rgb)
