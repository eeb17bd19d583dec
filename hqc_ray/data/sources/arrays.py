"""What sources made of one array of images and one of labels share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from hqc_ray.data.source import MAX_CLASSES, Source, as_indices
from hqc_ray.errors import DataError

MAX_BYTES = 2**32  # of unpacked images, which are held in memory


class Arrays(Source):
    """Images in one array; each distinct label is a class, called by its number. The array is read once per process."""

    path: str

    @cached_property
    @abstractmethod
    def pixels(self) -> np.ndarray:
        """All images: [N, H, W] or [N, H, W, 3] uint8.

        Raises:
            DataError: they are missing, damaged, or of another shape or type.
        """

    @cached_property
    @abstractmethod
    def numbers(self) -> np.ndarray:
        """The labels as the file has them: [N] whole numbers.

        Raises:
            DataError: they are missing, damaged, or of another shape or type.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of `pixels`, from its header."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, ascending."""
        return tuple(str(value) for value in np.unique(self.numbers).tolist())

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.shape[1], self.shape[2]

    def labels(self) -> np.ndarray:
        """The labels: [N] uint8."""
        return np.unique(self.numbers, return_inverse=True)[1].astype(np.uint8)

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices`: [n, H, W, 3] uint8; the channels of a grey image are equal."""
        images = self.pixels[as_indices(indices, self.shape[0])]
        return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images

    def check(self) -> None:
        """Reads both arrays and compares their shapes, types, and lengths."""
        count, classes = self.shape[0], self.classes
        if len(self.numbers) != count:
            raise DataError(f"{count} images but {len(self.numbers)} labels", where=repr(self), valid="as many labels as images")
        if not 2 <= len(classes) <= MAX_CLASSES:
            found = ", ".join(classes[:5]) or "none"
            raise DataError(f"{len(classes)} distinct labels ({found})", where=repr(self), valid=f"2 to {MAX_CLASSES}")
        self.read([count - 1])
