"""A table of labels in a CSV file beside a folder of images, as Kaggle's histopathologic-cancer-detection set comes."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from pydantic import Field

from hqc_ray.data.source import MAX_CLASSES, distinct_images, existing_folder, natural
from hqc_ray.data.sources.imagefiles import ImageFiles, Listing, files_below
from hqc_ray.errors import DataError
from hqc_ray.guard import one_line


class Csv(ImageFiles):
    """Images that a table names and labels, in the order of its rows.

    An id is an image's name below the image folder, with or without its suffix. Each distinct label is a class: whole
    numbers, or names; they are in natural order ('9' < '10').

    Args:
        path: folder with the table and the image folder.
        size_pixels: side of the squares that images are stretched to; None keeps their own size, which must then be the
            same for all.
        table: the CSV file in `path`; its first row holds the columns' names.
        images: the image folder in `path`.
        id_column: name of the column of ids.
        label_column: name of the column of labels.
    """

    table: str = Field(default="train_labels.csv", min_length=1)
    images: str = "train"
    id_column: str = "id"
    label_column: str = "label"

    @cached_property
    def listing(self) -> Listing:
        """The images in the order of the table's rows.

        Raises:
            DataError: no table, no such columns, a row without an id or a label, an id twice or without an image, a label
                that is a number but not a whole one, or not 2 to 100 distinct labels.
        """
        root = existing_folder(self.path)
        file, folder = root / self.table, root / self.images
        if not os.path.isdir(folder):  # unlike Path's, it takes any text
            raise DataError(f"no folder {self.images!r} in {root}", where="images", valid="the folder of the images")
        rows = self._rows(file)
        classes = _classes(rows, file)
        found, _ = files_below(folder)
        by_id = _by_id(found, folder)
        missing = [name for name in rows if name not in by_id]
        if missing:
            what = f"{len(missing)} of {len(rows)} images are not in {folder}, such as {one_line(missing[0])!r}"
            raise DataError(what, where=str(file), valid="ids that are names of image files, with or without suffix")
        files = tuple(_only(by_id[name]) for name in rows)
        position = {name: label for label, name in enumerate(classes)}
        left = len(set(found) - set(files))
        return Listing(
            files=files,
            labels=np.array([position[label] for label in rows.values()], np.uint8),
            classes=classes,
            ignored=f"{left} images in {folder} have no label in {file.name}" if left else "",
        )

    def _rows(self, file: Path) -> dict[str, str]:
        """Label by id, in the order of the table."""
        rows: dict[str, str] = {}
        try:
            with file.open(newline="", encoding="utf-8-sig") as opened:
                reader = csv.DictReader(opened, strict=True)
                columns = reader.fieldnames or []
                for option in ("id_column", "label_column"):
                    if getattr(self, option) not in columns:
                        found = f"{file}: no column {getattr(self, option)!r}"
                        shown = one_line(", ".join(columns)) or "a first row with the columns' names"
                        raise DataError(found, where=option, valid=shown)
                for row in reader:
                    name, label = ((row[column] or "").strip() for column in (self.id_column, self.label_column))
                    if not name or not label or name in rows:
                        what = f"id {one_line(name)!r} twice" if name in rows else f"no {'label' if name else 'id'}"
                        raise DataError(f"{what} in line {reader.line_num}", where=str(file), valid="an id and a label per row")
                    rows[name] = _plain(label, f"{file}: line {reader.line_num}")
        except (OSError, UnicodeDecodeError, csv.Error) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise DataError(f"cannot read the table: {reason}", where=str(file), valid="a CSV file in UTF-8") from problem
        return rows

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Three classes of images of 5 x 7 pixels, in Kaggle's layout."""
        (folder / "train").mkdir()
        lines = ["id,label"]
        for i, image in enumerate(distinct_images(18, 5, 7, 3)):
            Image.fromarray(image).save(folder / "train" / f"{i:040x}.tif")
            lines.append(f"{i:040x},{i % 3}")
        (folder / "train_labels.csv").write_text("\n".join(lines) + "\n")
        return cls(path=str(folder))


def _plain(label: str, where: str) -> str:
    """A label as its class is called: '01' is '1'; numbers that are not whole are refused."""
    try:
        return str(int(label))
    except ValueError:
        pass
    try:
        float(label)
    except ValueError:
        return label
    raise DataError(f"label {one_line(label)!r}", where=where, valid="whole numbers, or names")


def _classes(rows: Mapping[str, str], file: Path) -> tuple[str, ...]:
    """The distinct labels in natural order."""
    classes = sorted(set(rows.values()), key=natural)
    if not 2 <= len(classes) <= MAX_CLASSES:
        found = ", ".join(classes[:5]) or "none"
        raise DataError(f"{len(classes)} distinct labels ({found})", where=str(file), valid=f"2 to {MAX_CLASSES}")
    return tuple(classes)


def _by_id(files: list[Path], folder: Path) -> dict[str, list[Path]]:
    """The files that an id may mean: by their path below `folder`, with and without suffix."""
    by_id: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        name = file.relative_to(folder)
        by_id[name.as_posix()].append(file)
        by_id[name.with_suffix("").as_posix()].append(file)
    return by_id


def _only(files: list[Path]) -> Path:
    if len(files) > 1:
        found = ", ".join(file.name for file in files)
        raise DataError(f"one id means {found}", where=str(files[0].parent), valid="ids with suffix")
    return files[0]
