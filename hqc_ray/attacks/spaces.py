"""Where perturbations live: the pixels of an image, the features that a head sees, or the angles that a circuit sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hqc_ray.errors import AttackError
from hqc_ray.later import later
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")


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


def checked(values: Any, labels: Any, epsilons: Sequence[float], space: Space) -> tuple[Tensor, Tensor, list[float]]:
    """Values [N, ...] of a space, labels [N] and epsilons, as an attack takes them.

    Raises:
        AttackError: what is wrong with one of them.
    """
    values, labels = torch.as_tensor(values).detach(), torch.as_tensor(labels)
    if values.dim() < 2 or not len(values) or not values.is_floating_point():
        raise AttackError(f"{list(values.shape)} {values.dtype}", where=space.name, valid="float [N, ...], N >= 1")
    if not space.contains(values):
        low, high = float(values.min()), float(values.max())
        raise AttackError(f"values from {low:g} to {high:g}", where=space.name, valid=f"[{space.low:g}, {space.high:g}]")
    if labels.shape != values.shape[:1] or labels.is_floating_point() or int(labels.min()) < 0:
        raise AttackError(f"{list(labels.shape)} {labels.dtype}", where="labels", valid=f"[{len(values)}] integers >= 0")
    budgets = [float(e) for e in epsilons]
    if not budgets or not all(math.isfinite(e) and e >= 0 for e in budgets):
        raise AttackError(f"{budgets}", where="epsilons", valid="one or more finite numbers >= 0")
    return values.contiguous(), labels.long(), budgets
