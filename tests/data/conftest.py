"""Small data of every kind, made anew for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data.sources.pcam import file_name


class InMemory(data.Source):
    """A source whose images [N, H, W, 3] are given; `log` collects the indices that were read."""

    images: np.ndarray
    labelled: np.ndarray
    log: list[int]

    def labels(self) -> np.ndarray:
        return self.labelled

    def read(self, indices: Iterable[int]) -> np.ndarray:
        indices = np.asarray(indices)
        self.log.extend(indices.tolist())
        return self.images[indices]

    def check(self) -> None:
        pass


@pytest.fixture
def in_memory() -> Callable[..., InMemory]:
    """Makes a source of `count` distinct 5 x 7 images of classes in turn; `copies` {i: j} makes image i a copy of image j."""

    def make(
        count: int = 60, copies: dict[int, int] | None = None, labels: np.ndarray | None = None, n_classes: int = 2
    ) -> InMemory:
        images = np.random.default_rng(1).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)
        for copy, original in (copies or {}).items():
            images[copy] = images[original]
        labels = (np.arange(count) % n_classes).astype(np.uint8) if labels is None else labels
        return InMemory(images=images, labelled=labels, log=[])

    return make


@pytest.fixture
def pcam_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a split in the official layout; `x` and `y` replace its arrays, `rows` is the length of a storage chunk."""

    def make(
        count: int = 14,
        split: str = "train",
        x: Any = None,
        y: Any = None,
        rows: int | None = None,
        compression: str | None = None,
    ) -> Path:
        folder = tmp_path / "pcam"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(2)
        x = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8) if x is None else x
        y = (np.arange(count, dtype=np.uint8) % 2).reshape(-1, 1, 1, 1) if y is None else y
        for part, array in (("x", x), ("y", y)):
            with h5py.File(folder / file_name(split, part), "w") as file:
                chunks = (rows, *array.shape[1:]) if rows else None
                file.create_dataset(part, data=array, chunks=chunks, compression=compression)
        return folder

    return make


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes class folders of noise images, 24 high and 40 wide, alternately .png, .JPG and .tif."""

    def make(names: tuple[str, ...] = ("0", "1"), count: int = 5) -> Path:
        rng = np.random.default_rng(3)
        for name in names:
            folder = tmp_path / "images" / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"patch{i}{('.png', '.JPG', '.tif')[i % 3]}")
        return tmp_path / "images"

    return make
