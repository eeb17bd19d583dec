"""Who decides whether an attack succeeded: what a judge keeps of each batch, and its predictions once all batches are seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from hqc_ray.attacks.losses import check_logits, predicted
from hqc_ray.attacks.result import Predictions
from hqc_ray.attacks.view import Classify


class Judge(Protocol):
    """Decides on the same values that a search perturbs."""

    def see(self, values: Tensor) -> Tensor:
        """What is needed of a batch of values [B, ...] to decide later: [B, ...], such as its logits; no gradient."""

    def decide(self, seen: Tensor, name: str) -> Predictions:
        """Predictions of all that was seen, [N, ...]; `name` tells one evaluation from another, where it is sampled."""


class Exact:
    """A model whose logits decide.

    Args:
        model: values [B, ...] -> logits [B, K].
    """

    def __init__(self, model: Classify) -> None:
        self.model: Callable[[Tensor], Tensor] = model

    def see(self, values: Tensor) -> Tensor:
        """Logits [B, K]."""
        with torch.no_grad():
            return check_logits(self.model(values), len(values))

    def decide(self, seen: Tensor, name: str) -> Predictions:
        """The classes of the largest logits, [1, N]."""
        own = predicted(seen).cpu().numpy()[None]
        return Predictions(own, own)
