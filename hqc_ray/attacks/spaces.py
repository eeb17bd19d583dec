"""Where perturbations live: the pixels of an image, the features that a head sees, or the angles that a circuit sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hqc_ray.spec import Level

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Space:
    """A box of values, and the unit in which they and epsilon are measured.

    Attributes:
        name: the level at which the values enter the classifier.
        low: of every value; -inf where there is no box.
        high: likewise.
        unit: of the values and of epsilon, as an axis is labelled.
    """

    name: Level
    low: float
    high: float
    unit: str

    def clip(self, values: Tensor) -> Tensor:
        """The nearest points of the box to `values` [B, ...], in the values' own precision."""
        return values.clamp(self.low, self.high) if math.isfinite(self.low) else values

    def contains(self, values: Tensor) -> bool:
        """Whether all `values` are finite and in the box, whose bounds are rounded to the values' precision."""
        return bool((values.isfinite() & (values >= self.low) & (values <= self.high)).all())


PIXELS = Space("pixels", 0.0, 1.0, "pixel value of [0, 1]")
FEATURES = Space("features", -math.inf, math.inf, "standardised feature")
ANGLES = Space("angles", -math.pi / 2, math.pi / 2, "radian")

SPACES: dict[Level, Space] = {"pixels": PIXELS, "features": FEATURES, "angles": ANGLES}
