"""What a view of a model hands out: gradients and logit differences, and the count of what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass
class Counts:
    """Work done, per image: a batch of 50 counts 50. A gradient counts as a forward as well."""

    gradients: int = 0
    forwards: int = 0

    def __sub__(self, earlier: Counts) -> Counts:
        return Counts(self.gradients - earlier.gradients, self.forwards - earlier.forwards)


class Gradient(NamedTuple):
    """The gradient [B, ...] of a loss, the losses [B] and the logits [B, K] that it was taken at."""

    gradient: Tensor
    losses: Tensor
    logits: Tensor


class Differences(NamedTuple):
    """z[other] - z[label] for k other classes: gradients [B, k, ...], differences [B, k], logits [B, K], others [B, k]."""

    gradients: Tensor
    differences: Tensor
    logits: Tensor
    others: Tensor


def mean(parts: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """The mean of each member of equal tuples; of one tuple, its own tensors."""
    return [members[0] if len(parts) == 1 else torch.stack(members).mean(0) for members in zip(*parts, strict=True)]
