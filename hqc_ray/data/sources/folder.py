"""A folder with one sub-folder of images per class."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from hqc_ray.data.source import MAX_CLASSES, distinct_images, existing_folder, natural
from hqc_ray.data.sources.imagefiles import ImageFiles, Listing, entries, files_below
from hqc_ray.data.sources.picture import SUFFIXES
from hqc_ray.errors import DataError

_PARTS = ("train", "training", "test", "testing", "val", "valid", "validation")
_NO_CLASS = re.compile(
    rf"({'|'.join(_PARTS)}|dev|eval|fold_?[0-9]+|ima?ge?s?|masks?|labels?|annotations?)([_ -](ima?ge?s?|masks?|labels?|set))?",
    re.IGNORECASE,
)
_LAYOUT = "PATH/CLASS/... with a folder per class, such as PATH/0 and PATH/1"


class Folder(ImageFiles):
    """Images in 2 to 100 class folders and their sub-folders, in the order of their class and name.

    The label is the position of the class folder in natural order ('normal' < 'tumor', '9' < '10'). Hidden images are
    counted, and said.

    Args:
        path: folder with the class folders.
        size_pixels: side of the squares that images are stretched to; None keeps their own size, which must then be the
            same for all.
        positive: of two class folders, the one whose label is 1; by default the second one.
    """

    positive: str | None = None

    @cached_property
    def listing(self) -> Listing:
        """The images of label 0, then those of label 1, ..., each sorted by path.

        Raises:
            DataError: no 2 to 100 class folders, folders that are no classes, none called `positive`, or one without an image.
        """
        root = existing_folder(self.path)
        folders = self._class_folders(root)
        per_class = [_images(folder) for folder in folders]
        counts = [len(images) for images, _ in per_class]
        others = [*(p for p in entries(root) if p.is_file() and not p.name.startswith(".")), *chain(*(o for _, o in per_class))]
        others += chain(*(files_below(p)[0] for p in entries(root) if p.is_dir() and p.name.startswith(".")))
        return Listing(
            files=tuple(chain(*(images for images, _ in per_class))),
            labels=np.repeat(np.arange(len(folders), dtype=np.uint8), counts),
            classes=tuple(folder.name for folder in folders),
            ignored=f"{len(others)} files in {root} are no images of a class{_such(others)}" if others else "",
        )

    def _class_folders(self, root: Path) -> list[Path]:
        """The K class folders in the order of their labels."""
        folders = sorted((p for p in entries(root) if p.is_dir() and not p.name.startswith(".")), key=lambda p: natural(p.name))
        names = [p.name for p in folders]
        if wrong := [name for name in names if _NO_CLASS.fullmatch(name)]:
            raise DataError(f"{', '.join(wrong)}: no names of classes", where=str(root), valid=_meant(root, wrong))
        if not 2 <= len(folders) <= MAX_CLASSES:
            found = ", ".join(names[:5]) or "none"
            raise DataError(f"{len(folders)} class folders ({found})", where=str(root), valid=f"2 to {MAX_CLASSES}: {_LAYOUT}")
        if all(_looks_like_classes(folder) for folder in folders):
            found = f"{names[0]}/0, {names[0]}/1, ..., {names[-1]}/1"
            raise DataError(f"the classes are one folder too deep ({found})", where=str(root), valid=_LAYOUT)
        if self.positive is None:
            return folders
        if len(names) != 2:
            raise DataError(f"positive={self.positive!r} with {len(names)} classes", where="positive", valid="two class folders")
        if self.positive not in names:
            raise DataError(f"no class folder {self.positive!r}", where="positive", valid=", ".join(names))
        return folders if self.positive == names[1] else folders[::-1]

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Three classes of images of 5 x 7 pixels, some in sub-folders."""
        suffixes = (".png", ".BMP", ".tif", ".ppm", ".webp")
        for i, image in enumerate(distinct_images(18, 5, 7, 3)):
            place = folder / ("class 2", "class 9", "class 10")[i % 3] / ("" if i % 2 else "more")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i}{suffixes[i % 5]}", lossless=True)
        return cls(path=str(folder))


def _such(others: list[Path]) -> str:
    """An example of what is left out, and how much of it is hidden."""
    hidden = [p for p in others if p.name.lower().endswith(SUFFIXES) and (p.name.startswith(".") or _in_hidden(p))]
    return f", such as {others[0].name}" + (f"; {len(hidden)} are hidden images, such as {hidden[0].name}" if hidden else "")


def _in_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts[-4:-1])


def _images(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images and the other files of a class."""
    images, others = files_below(folder)
    if not images:
        raise DataError("holds no images", where=str(folder), valid=", ".join(SUFFIXES))
    return images, others


def _looks_like_classes(folder: Path) -> bool:
    """Whether the folder holds nothing but folders 0 and 1: those of a patient, say, not of a class."""
    return sorted(p.name for p in entries(folder) if not p.name.startswith(".")) == ["0", "1"]


def _meant(root: Path, wrong: list[str]) -> str:
    """Which layout is meant, where folders have names of parts or of a segmentation's images and masks."""
    parts = sorted((name for name in wrong if name.lower() in _PARTS), key=lambda name: _PARTS.index(name.lower()))
    part = root / parts[0] if parts else None
    if part and any(p.is_dir() for p in entries(part)):
        return f"{_LAYOUT}; here path={part}"
    if part:
        return f"{_LAYOUT}; for images with a table of labels, the source csv"
    return f"{_LAYOUT}; parts and masks are not classes"
