"""Patches that are drawn, not photographed: for tests, demonstrations, and machines without data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from PIL import Image
from pydantic import Field

from hqc_ray import seeds
from hqc_ray.data.source import MAX_IMAGES, MAX_SIDE, Source, as_indices
from hqc_ray.data.sources import tissue


class Synthetic(Source):
    """Procedural patches in the manner of PatchCamelyon: label 1 = tumour nuclei in the centre third of the image.

    Image i is a pure function of (seed, i); odd indices are tumour. They look like tissue but are no substitute for it:
    a result on them says nothing about histology.

    Args:
        images: how many there are.
        size_pixels: side of an image; the same 96 x 96 drawing is resized to it.
        seed: another seed draws other images.
    """

    about_centre: ClassVar[bool] = True
    images: int = Field(default=20000, ge=2, le=MAX_IMAGES)
    size_pixels: int = Field(default=96, ge=8, le=MAX_SIDE)
    seed: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels mean."""
        return "normal", "tumour"

    @property
    def image_size(self) -> tuple[int, int]:
        """(size_pixels, size_pixels)."""
        return self.size_pixels, self.size_pixels

    def labels(self) -> np.ndarray:
        """The labels 0, 1, 0, 1, ...: [N] uint8."""
        return (np.arange(self.images) % 2).astype(np.uint8)

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`: [n, size_pixels, size_pixels, 3] uint8; about 4 ms each."""
        wanted = as_indices(indices, self.images)
        out = np.empty((len(wanted), self.size_pixels, self.size_pixels, 3), np.uint8)
        for row, index in enumerate(wanted.tolist()):
            out[row] = self._image(index)
        return out

    def check(self) -> None:
        """Nothing can be missing."""

    @classmethod
    def example(cls, folder: Path) -> Self:
        """A few small patches."""
        return cls(images=10, size_pixels=24, seed=5)

    def _image(self, index: int) -> np.ndarray:
        patch = tissue.render(seeds.rng(self.seed, "synthetic", index), tumour=bool(index % 2))
        if self.size_pixels == tissue.SIZE:
            return patch
        side = (self.size_pixels, self.size_pixels)
        return np.asarray(Image.fromarray(patch).resize(side, Image.Resampling.BILINEAR))
