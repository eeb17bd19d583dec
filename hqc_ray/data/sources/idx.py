"""IDX files, in which MNIST and its successors (Fashion-MNIST, KMNIST, EMNIST) come, gzipped or not."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field

from hqc_ray.data.source import distinct_images, existing_folder, first_bytes, unreadable
from hqc_ray.data.sources.arrays import MAX_BYTES, Arrays
from hqc_ray.errors import DataError


class Idx(Arrays):
    """Grey images of one file `PREFIX-images-idx3-ubyte`, with their labels in `PREFIX-labels-idx1-ubyte`.

    Either may end in .gz, or be called `PREFIX-images.idx3-ubyte`.

    Args:
        path: folder with the files.
        prefix: what their names begin with: 'train' or 't10k' for MNIST.
    """

    prefix: str = Field(default="train", min_length=1, pattern=r"^[^/]+$")

    @cached_property
    def pixels(self) -> np.ndarray:
        """The images: [N, H, W] uint8."""
        return _read(self._file("images", 3), 3)

    @cached_property
    def numbers(self) -> np.ndarray:
        """The labels: [N] uint8."""
        return _read(self._file("labels", 1), 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, H, W]."""
        return self.pixels.shape

    def _file(self, what: str, dimensions: int) -> Path:
        """The file of images or labels."""
        folder = existing_folder(self.path)
        names = [f"{self.prefix}-{what}{mark}idx{dimensions}-ubyte{gz}" for mark in "-." for gz in ("", ".gz")]
        found = next((folder / name for name in names if os.path.isfile(folder / name)), None)  # Path's fails on long names
        if found is None:
            prefixes = sorted({file.name.partition(f"-{what}")[0] for file in folder.glob(f"*-{what}?idx{dimensions}-ubyte*")})
            known = f"prefix={' or '.join(prefixes)}" if prefixes else f"{names[0]} or {names[1]}"
            raise DataError(f"no {names[0]} in {folder}", where="path", valid=known)
        return found

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Three classes of images of 5 x 7 pixels; one of the two files is gzipped."""
        images, labels = distinct_images(18, 5, 7), np.arange(18, dtype=np.uint8) % 3
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(images)))
        (folder / "train-labels-idx1-ubyte").write_bytes(encode(labels))
        return cls(path=str(folder))


def encode(array: np.ndarray) -> bytes:
    """A uint8 array as an IDX file: 0, 0, type 8, the number of dimensions, each of them as a big-endian uint32, the bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def _read(file: Path, dimensions: int) -> np.ndarray:
    """The uint8 array of an IDX file, of which nothing is read before its header is believed."""
    start = 4 + 4 * dimensions
    with _opened(file) as stream:
        head = stream.read(start)
        if head[:4] != bytes([0, 0, 8, dimensions]):
            found = head[:4].hex(" ") or "nothing"
            valid = f"00 00 08 {dimensions:02}: unsigned bytes in {dimensions} dimensions"
            raise DataError(f"begins with {found}, not an IDX file of this kind", where=str(file), valid=valid)
        shape = [int(n) for n in np.frombuffer(head[4:].ljust(start - 4, b"\xff"), ">u4")]
        expected = math.prod(shape)
        if file.suffix == ".gz" and expected > MAX_BYTES:
            raise DataError(f"its header promises {shape}", where=str(file), valid=f"{MAX_BYTES:,} bytes or fewer")
        content = stream.read(expected + 1) if file.suffix == ".gz" or expected <= file.stat().st_size else stream.read()
    if len(content) != expected:
        size = len(head) + len(content)
        what = f"truncated: {size} bytes" if len(content) < expected else f"too long: {size} bytes or more"
        raise DataError(what, where=str(file), valid=f"{start + expected} bytes for {shape} by its header")
    if not all(shape):
        raise DataError(f"holds no images or labels ({shape})", where=str(file), valid="one or more")
    return np.frombuffer(content, np.uint8).reshape(shape)


@contextmanager
def _opened(file: Path) -> Iterator[gzip.GzipFile | BufferedReader]:
    """The file, unpacked; trouble while it is read becomes a DataError."""
    first_bytes(file)  # whether it can be opened
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise DataError(f"truncated, or not a gzip file ({problem})", where=str(file), valid="fetch it again") from problem
    except OSError as problem:
        raise unreadable(problem, file) from problem
