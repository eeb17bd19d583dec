"""What an attacker may know of other images than those that it attacks."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Landmarks(NamedTuple):
    """Training images, as the part of a model behind its bottleneck sees them.

    Attributes:
        points: [n, Q], what the model's `preactivations` gives of them.
        labels: [n] int64, their true classes.
    """

    points: Tensor
    labels: Tensor
