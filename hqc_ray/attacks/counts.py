"""What a view of a model hands out: gradients and logit differences, the count of what they cost, and a module that counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hqc_ray.attacks.view import View


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


class Counted(nn.Module):
    """A view's model as a torch module: see `View.module`. It stays in evaluation mode, whatever a library asks for."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.training = False
        self._view, self._model = view, view._model  # a torch module is registered: its weights and device are found here

    def forward(self, values: Tensor) -> Tensor:
        """Logits [B, K] of `values` [B, ...]."""
        if not (torch.is_grad_enabled() and values.requires_grad):
            return self._view._forward(self._model, values)
        values, averaged = values.view_as(values), []
        values.register_hook(self._view.record)
        for model in self._view._models(None):
            own = values.view_as(values)
            own.register_hook(self._count)
            averaged.append(self._view._forward(model, own))
        return averaged[0] if len(averaged) == 1 else torch.stack(averaged).mean(0)

    def train(self, mode: bool = True) -> Counted:
        """Nothing: dropout and batch statistics stay off during an attack."""
        return self

    def _count(self, gradient: Tensor) -> None:
        self._view._counts.gradients += len(gradient)


def mean(parts: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    """The mean of each member of equal tuples; of one tuple, its own tensors."""
    return [members[0] if len(parts) == 1 else torch.stack(members).mean(0) for members in zip(*parts, strict=True)]
