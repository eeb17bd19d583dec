"""NumPy archives in the layout of MedMNIST (Yang et al. 2023): `train_images`, `train_labels`, and so on."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.lib import format as npy

from hqc_ray.data.source import distinct_images, existing_file, first_bytes
from hqc_ray.data.sources.arrays import MAX_BYTES, Arrays
from hqc_ray.errors import DataError

Header = tuple[tuple[int, ...], np.dtype]


class Npz(Arrays):
    """Images `SPLIT_images` and labels `SPLIT_labels` of one .npz file; its pickles are never loaded.

    The images of the split are held in memory: 200 MB for MedMNIST's largest set of 28 x 28 pixels.

    Args:
        path: the .npz file.
        split: which images to read.
    """

    split: Literal["train", "val", "test"] = "train"

    @cached_property
    def pixels(self) -> np.ndarray:
        """The images: [N, H, W] or [N, H, W, 3] uint8."""
        images = self._read("images", self._header("images"))
        return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images

    @cached_property
    def numbers(self) -> np.ndarray:
        """The labels: [N] whole numbers, which the file may keep as [N, 1]."""
        shape, dtype = header = self._header("labels")
        if dtype.kind not in "iu" or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
            valid = "whole numbers [N] or [N, 1]: one class per image"
            raise DataError(f"{self.split}_labels is {dtype} {list(shape)}", where=self.path, valid=valid)
        return self._read("labels", header).reshape(-1)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the images."""
        shape, dtype = self._header("images")
        grey, colour = len(shape) == 3, len(shape) == 4 and shape[3] in (1, 3)
        if dtype != np.uint8 or not (grey or colour) or not all(shape):
            valid = "uint8 [N, H, W] or [N, H, W, 3], of one image or more"
            raise DataError(f"{self.split}_images is {dtype} {list(shape)}", where=self.path, valid=valid)
        return shape

    def _read(self, part: str, header: Header) -> np.ndarray:
        with self._member(part) as (archive, name), archive.open(name) as member:
            return npy.read_array(member, allow_pickle=False)

    def _header(self, part: str) -> Header:
        """Shape and type of an array, which must have the bytes that they promise."""
        with self._member(part) as (archive, name), archive.open(name) as member:
            version = npy.read_magic(member)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(member)
            expected = member.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
            size = archive.getinfo(name).file_size
        if dtype.hasobject:
            raise DataError(f"{name} holds Python objects", where=self.path, valid="arrays of numbers")
        if size != expected:
            valid = f"{expected} bytes for {dtype} {list(shape)} by its header"
            raise DataError(f"{name} has {size} bytes", where=self.path, valid=valid)
        if size > MAX_BYTES:
            raise DataError(f"{name} has {size:,} bytes", where=self.path, valid=f"{MAX_BYTES:,} or fewer, unpacked")
        return shape, dtype

    @contextmanager
    def _member(self, part: str) -> Iterator[tuple[zipfile.ZipFile, str]]:
        """The open archive, and the name of an array in it; trouble while it is read becomes a DataError."""
        file, name = existing_file(self.path), f"{self.split}_{part}.npy"
        first_bytes(file)  # whether it can be opened
        try:
            with zipfile.ZipFile(file) as archive:
                if name not in archive.namelist():
                    found = ", ".join(sorted(Path(n).stem for n in archive.namelist())) or "none"
                    raise DataError(f"no array {self.split}_{part}", where=str(file), valid=found)
                yield archive, name
        except DataError:
            raise
        except Exception as problem:  # damaged bytes make zipfile and numpy raise errors of many classes
            what = f"truncated, or not an .npz file ({str(problem).splitlines()[0] if str(problem) else type(problem).__name__})"
            raise DataError(what, where=str(file), valid="fetch it again") from problem

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Three classes of grey images of 5 x 7 pixels, with labels [N, 1]."""
        labels = (np.arange(18, dtype=np.uint8) % 3)[:, None]
        np.savez_compressed(folder / "tiny.npz", train_images=distinct_images(18, 5, 7), train_labels=labels)
        return cls(path=str(folder / "tiny.npz"))
