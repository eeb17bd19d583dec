"""A task of fewer classes out of a source: 3 against 8, say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import SerializationInfo, SerializeAsAny, model_serializer

from hqc_ray.data.checked import checked_classes, checked_labels
from hqc_ray.data.source import Source, as_indices, faulty
from hqc_ray.errors import DataError, unknown


class Selection(Source):
    """The images of some classes of a source, labelled 0 to k - 1 in the order in which the classes are named.

    It is shown and dumped as the source with one more option, `classes`.

    Args:
        source: where the images come from.
        names: two or more of its class names.
    """

    source: SerializeAsAny[Source]
    names: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The chosen names, in their order."""
        return self.names

    @property
    def image_size(self) -> tuple[int, int]:
        """That of the source."""
        return self.source.image_size

    @cached_property
    def chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the images of the chosen classes are in the source, ascending, and their new labels: [n] int64, [n] uint8."""
        new = np.full(len(self.source.classes), len(self.names))
        new[[self.source.classes.index(name) for name in self.names]] = np.arange(len(self.names))
        labels = new[checked_labels(self.source)]
        places = np.flatnonzero(labels < len(self.names))
        return places, labels[places].astype(np.uint8)

    def labels(self) -> np.ndarray:
        """The new labels: [n] uint8."""
        return self.chosen[1].copy()

    def read(self, indices: Iterable[int]) -> np.ndarray:
        """The images at `indices` among those of the chosen classes: [., H, W, 3] uint8."""
        return self.source.read(self.chosen[0][as_indices(indices, len(self.chosen[0]))])

    def check(self) -> None:
        """Checks the source, and that there are images of each chosen class."""
        self.source.check()
        for label, name in enumerate(self.names):
            if not (self.chosen[1] == label).any():
                raise faulty(self.source, f"no image of class {name!r}", "labels", "images of each class")

    @model_serializer
    def _dump(self, info: SerializationInfo) -> dict[str, Any]:
        names = list(self.names) if info.mode == "json" else self.names
        return {**self.source.model_dump(mode=info.mode), "classes": names}

    def __repr_name__(self) -> str:
        return type(self.source).__name__

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from self.source.__repr_args__()
        yield "classes", self.names


def select(source: Source, classes: Sequence[str | int]) -> Selection:
    """The images of `classes`, each a class name of the source or, where no class is called so, a label.

    Raises:
        DataError: fewer than two classes, one of them unknown or named twice.
    """
    known = checked_classes(source)
    if isinstance(classes, str) or len(classes) < 2:
        raise DataError(f"{classes!r}", where="classes", valid=f"two or more of {', '.join(known)}")
    names = tuple(_name(wanted, known) for wanted in classes)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"class {twice[0]!r} twice", where="classes", valid=f"two or more of {', '.join(known)}")
    return Selection(source=source, names=names)


def _name(wanted: str | int, known: tuple[str, ...]) -> str:
    text = str(wanted)
    if isinstance(wanted, (str, int)) and not isinstance(wanted, bool):
        if text in known:
            return text
        if text.isdecimal() and int(text) < len(known):
            return known[int(text)]
    raise unknown("class", wanted, known, DataError, "classes")
