"""What is known of torchvision's classifiers without importing it, which takes seconds; `.ci/networks.py` writes the table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

WEIGHTS = "IMAGENET1K_V1"


@dataclass(frozen=True)
class Network:
    """A classifier of torchvision's.

    Attributes:
        gmacs: multiply-adds of an image, in 1e9, of its first published weights.
        side: pixels of that image.
        features: F, what its last layer reads.
        smallest: pixels of a side from which on it takes images; a smaller one must be tried.
        largest: up to which it takes them; 0: there is no end.
        url: of the file of `WEIGHTS`; empty where there is none.
    """

    gmacs: float
    side: float
    features: int
    smallest: int
    largest: int
    url: str

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether it is known to take images of (height, width)."""
        return all(self.smallest <= side <= (self.largest or side) for side in size)


@cache
def networks() -> dict[str, Network]:
    """The table, by torchvision's names."""
    with resources.files(__package__).joinpath("torchvision.csv").open() as file:
        return {
            row["name"]: Network(
                float(row["gmacs"]),
                float(row["side"]),
                int(row["features"]),
                int(row["smallest"]),
                int(row["largest"]),
                row["url"],
            )
            for row in csv.DictReader(file)
        }
