"""The spaces that perturbations live in: the level of an attack."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hqc_ray.spec import Level


@dataclass(frozen=True)
class Space:
    """A box of values.

    Args:
        name: the level.
        low: smallest value, maybe -inf.
        high: largest value, maybe inf.
        unit: of values and of epsilon.
    """

    name: Level
    low: float
    high: float
    unit: str


PIXELS = Space("pixels", 0.0, 1.0, "of [0, 1]")
FEATURES = Space("features", -math.inf, math.inf, "standardised")
ANGLES = Space("angles", -math.pi / 2, math.pi / 2, "rad")
SPACES: dict[Level, Space] = {space.name: space for space in (PIXELS, FEATURES, ANGLES)}
