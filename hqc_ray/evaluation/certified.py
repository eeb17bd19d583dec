"""What a judge's certificates say of a row: how many images nothing within epsilon can change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from hqc_ray.attacks.balls import NORMS, rounding
from hqc_ray.certify.certificate import Certificate
from hqc_ray.evaluation.statistics import pack


@dataclass(frozen=True, eq=False)
class Certified:
    """Certificates of the images that are attacked.

    Args:
        certificate: of N images.
        values: [N, ...], which the certificates are of: epsilon holds but for their float rounding.
    """

    certificate: Certificate
    values: Tensor

    def columns(self, epsilon: float, kept: np.ndarray) -> dict[str, Any]:
        """The columns of a row at `epsilon`, over the images `kept` [N]; a judge that samples is certified as its exact twin."""
        found = self.certificate
        norm = next(norm for norm in NORMS if norm == found.norm)
        lower, upper = found.lower[kept], found.upper[kept]
        certified = lower > epsilon + rounding(self.values, epsilon, norm)
        undecided = (lower > 0) & ~certified & (upper > epsilon)
        n = max(len(lower), 1)
        return {
            "certified_accuracy": float(certified.sum() / n), "certified_undecided": float(undecided.sum() / n),
            "certified_radius": _middle(lower[lower > 0], "lower"), "certified_radius_high": _middle(upper[lower > 0], "higher"),
            "certified_correct": pack(certified),
        }  # fmt: skip


def _middle(radii: np.ndarray, which: Literal["lower", "higher"]) -> float | None:
    """The median, of two in the middle one of them; None without any, or where it is infinite."""
    middle = float(np.quantile(radii, 0.5, method=which)) if len(radii) else math.inf
    return middle if math.isfinite(middle) else None
