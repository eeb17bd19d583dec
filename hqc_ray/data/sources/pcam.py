"""PatchCamelyon (Veeling et al. 2018, "Rotation equivariant CNNs for digital pathology") in its official HDF5 files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args

import numpy as np

from hqc_ray.data.source import Source, as_indices, distinct_images, existing_folder, first_bytes
from hqc_ray.errors import DataError, WriteError
from hqc_ray.files import write
from hqc_ray.later import later
from hqc_ray.spec import MAX_IMAGES

if TYPE_CHECKING:
    import h5py
else:
    h5py = later("h5py")

Split = Literal["train", "valid", "test"]
Part = Literal["x", "y"]
SPLITS: tuple[Split, ...] = get_args(Split)
_SHAPES: dict[Part, tuple[int, ...]] = {"x": (96, 96, 3), "y": (1, 1, 1)}


def file_name(split: str, part: str) -> str:
    """The official name of a split's images (part 'x') or labels (part 'y')."""
    return f"camelyonpatch_level_2_split_{split}_{part}.h5"


def write_split(folder: Path, split: Split, images: np.ndarray, labels: np.ndarray, **told: str | float) -> list[Path]:
    """Write both files of a split in the official layout; each is whole or not there.

    Args:
        folder: created if it does not exist.
        split: whose names they get.
        images: [N, H, W, 3] uint8; PatchCamelyon's are 96 x 96.
        labels: [N], 0 to 255; PatchCamelyon has 0 and 1.
        told: attributes of the images' file.

    Raises:
        DataError: one of the files is there already, or they cannot be written: none is there then.
    """
    arrays: dict[Part, np.ndarray] = {"x": images, "y": labels.astype(np.uint8).reshape(-1, 1, 1, 1)}
    paths = {part: folder / file_name(split, part) for part in arrays}
    if there := next((path for path in paths.values() if path.is_symlink() or path.exists()), None):
        raise DataError("is there already, and may be another data set", where=str(there), valid="another folder")
    try:
        return [write(paths[part], partial(_fill, part=part, array=array, told=told)) for part, array in arrays.items()]
    except WriteError as problem:
        with suppress(OSError):
            paths["x"].unlink(missing_ok=True)  # without labels it is nothing
        raise DataError(str(problem), valid="a folder that can be written to") from problem


def _fill(path: Path, part: Part, array: np.ndarray, told: Mapping[str, str | float]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(part, data=array)
        file.attrs.update(told if part == "x" else {})


class PCam(Source):
    """Patches of 96 x 96 pixels; label 1 = tumour tissue in the centre 32 x 32 pixels.

    Args:
        path: folder with the official files.
        split: which of them to read; `train+valid` is both, the images of `train` first: more to draw a balanced subset from.
    """

    about_centre: ClassVar[bool] = True
    path: str
    split: Split | Literal["train+valid"] = "train"

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels mean."""
        return "normal", "tumour"

    @property
    def image_size(self) -> tuple[int, int]:
        """96 x 96."""
        return 96, 96

    def labels(self) -> np.ndarray:
        """The labels of the split: [N] uint8 in {0, 1}."""
        return np.concatenate([self._labels(split) for split in self._splits])

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The patches at `indices`: [n, 96, 96, 3] uint8. Each file is opened and closed by each call."""
        ends = np.cumsum([0, *(self._count(split) for split in self._splits)])
        wanted, back = np.unique(as_indices(indices, int(ends[-1])), return_inverse=True)
        found = []
        for split, first, last in zip(self._splits, ends[:-1], ends[1:], strict=True):
            with self._open(split, "x") as dataset:
                found.append(_read_rows(dataset, wanted[(first <= wanted) & (wanted < last)] - first))
        return np.concatenate(found)[back]

    def check(self) -> None:
        """Opens all files; compares names, types, shapes and lengths; reads all labels and the last patch of each."""
        for split in self._splits:
            labels, count = self._labels(split), self._count(split)
            if count != len(labels):
                raise DataError(
                    f"{count} images but {len(labels)} labels in {self._file(split, 'y').name}",
                    where=str(self._file(split, "x")),
                    valid="as many labels as images",
                )
            if not count:
                raise DataError("holds no images", where=str(self._file(split, "x")))
            with self._open(split, "x") as dataset:
                _read_rows(dataset, np.array([count - 1]))

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Both classes, in the official layout."""
        write_split(folder, "train", distinct_images(14, 96, 96, 3), np.arange(14) % 2)
        return cls(path=str(folder))

    @property
    def _splits(self) -> list[str]:
        return self.split.split("+")

    def _labels(self, split: str) -> np.ndarray:
        with self._open(split, "y") as dataset:
            labels = dataset[:].reshape(-1)
        if labels.size and labels.max() > 1:
            bad = int(np.argmax(labels > 1))
            raise DataError(f"label {labels[bad]} at index {bad}", where=str(self._file(split, "y")), valid="0, 1")
        return labels

    def _count(self, split: str) -> int:
        with self._open(split, "x") as dataset:
            return len(dataset)

    def _file(self, split: str, part: Part) -> Path:
        return existing_folder(self.path) / file_name(split, part)

    @contextmanager
    def _open(self, split: str, part: Part) -> Iterator[h5py.Dataset]:
        """The validated dataset of one file; trouble while it is read becomes a DataError too."""
        file = self._file(split, part)
        if (head := first_bytes(file)) is None:
            raise DataError(f"no {file.name} in {file.parent}", where="path", valid=_instead(file))
        try:
            with h5py.File(file, "r") as opened:
                yield _dataset(opened, part, file)
        except DataError:
            raise
        except BlockingIOError as problem:
            valid = "the program that writes it to end, or HDF5_USE_FILE_LOCKING=FALSE"
            raise DataError(
                "locked by another program, or on a file system without locks", where=str(file), valid=valid
            ) from problem
        except Exception as problem:  # h5py raises errors of many classes on damage
            what = "a gzip file" if head.startswith(b"\x1f\x8b") else "a web page" if head.lstrip()[:1] == b"<" else ""
            reason = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise DataError(
                f"{what}, not an HDF5 file" if what else f"truncated, or not an HDF5 file ({reason})",
                where=str(file),
                valid="gunzip it" if what == "a gzip file" else f"delete it, then: hqc data pcam --download {file.parent}",
            ) from problem


def _instead(file: Path) -> str:
    """Where a file that is not there may be: not unpacked, or where torchvision puts it."""
    packed, folder = file.with_name(f"{file.name}.gz"), file.parent
    if packed.exists():
        return f"gunzip {packed}"
    return f"path={folder / 'pcam'}" if (folder / "pcam" / file.name).exists() else f"hqc data pcam --download {folder}"


def _dataset(opened: h5py.File, part: Part, file: Path) -> h5py.Dataset:
    """The dataset `part` of an open file, of the official shape and type."""
    valid = f"dataset {part!r}, uint8 [N, {', '.join(map(str, _SHAPES[part]))}]"
    dataset = opened.get(part)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"no dataset {part!r}, only {sorted(opened)}", where=str(file), valid=valid)
    if dataset.dtype != np.uint8 or dataset.shape is None or dataset.shape[1:] != _SHAPES[part]:
        raise DataError(f"dataset {part!r} is {dataset.dtype} {list(dataset.shape or ())}", where=str(file), valid=valid)
    if len(dataset) > MAX_IMAGES:
        raise DataError(f"dataset {part!r} promises {len(dataset):,} images", where=str(file), valid=f"{MAX_IMAGES:,} or fewer")
    return dataset


def _read_rows(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """The rows at strictly increasing indices [n].

    One slice per storage chunk: a compressed chunk is decoded once, and h5py's own indexing with a list, quadratic in its
    length, is avoided. Without compression the chunk does not matter, and each run of neighbours is one slice.
    """
    out = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    if not len(rows):
        return out
    by_chunk = dataset.chunks is not None and dataset.compression is not None
    group = rows // dataset.chunks[0] if by_chunk else rows - np.arange(len(rows))
    starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        first, last = int(rows[start]), int(rows[stop - 1])
        out[start:stop] = dataset[first : last + 1][rows[start:stop] - first]
    return out
