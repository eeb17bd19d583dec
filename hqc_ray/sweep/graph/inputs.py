"""What jobs read, as recipes: the driver, which alone reads files, makes each input when it publishes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hqc_ray.data import Source
from hqc_ray.data.splits import read_again
from hqc_ray.errors import HqcError
from hqc_ray.results.store import Store


class Input(Protocol):
    """How an input is made."""

    def make(self, store: Store) -> Any:
        """The input itself."""


@dataclass(frozen=True)
class Given:
    """A value at hand."""

    value: Any

    def make(self, store: Store) -> Any:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Stored:
    """The artifact of a job that was done before."""

    id: str

    def make(self, store: Store) -> Any:
        """The artifact, from the store.

        Raises:
            HqcError: it was there when the sweep began.
        """
        found = store.load(self.id)
        if found is None:
            raise HqcError(f"{self.id} was lost or damaged while the sweep ran; run the same command again, which makes it again")
        return found


@dataclass(frozen=True)
class Images:
    """Images of a source: [n, H, W, 3] uint8; `hashes` [n] of their contents, as they were when they were chosen."""

    source: Source
    indices: np.ndarray
    hashes: np.ndarray

    def make(self, store: Store) -> np.ndarray:
        """The images, in the order of the indices."""
        return read_again(self.source, self.indices, self.hashes.tolist())


@dataclass(frozen=True)
class Pixels:
    """Images of any sources, with the hashes of their contents, by which their features will be found."""

    hashes: tuple[bytes, ...]
    places: tuple[tuple[Source, int], ...]

    def make(self, store: Store) -> dict[str, np.ndarray]:
        """`hashes` [n] and `images` [n, H, W, 3] uint8."""
        source = self.places[0][0]
        if all(s is source for s, _ in self.places):  # the usual case: one read
            images = read_again(source, np.array([i for _, i in self.places]), self.hashes)
        else:
            one = zip(self.places, self.hashes, strict=True)
            images = np.concatenate([read_again(s, np.array([i]), [wanted]) for (s, i), wanted in one])
        return {"hashes": np.array(self.hashes), "images": images}


@dataclass(frozen=True)
class Content:
    """A file as bytes: [n] uint8, which workers of one node read from shared memory."""

    path: Path

    def make(self, store: Store) -> np.ndarray:
        """The content of the file."""
        return np.fromfile(self.path, np.uint8)
