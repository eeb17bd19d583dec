"""Who decides whether an attack succeeded: what a judge keeps of each batch, and its predictions once all batches are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hqc_ray.attacks.losses import check_logits, predicted
from hqc_ray.attacks.result import Found, Predictions, Verdict
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


def verdict(judge: Judge, seen: Sequence[Sequence[Tensor]], found: Sequence[Found]) -> Verdict:
    """What a judge says, from what it has `seen` of each batch: clean, per epsilon, and of pixels per epsilon as grey levels."""
    clean, *attacked = (torch.cat(list(same)) for same in zip(*seen, strict=True))
    before = judge.decide(clean, "clean")

    def decided(parts: Sequence[Tensor], suffix: str) -> list[Predictions]:
        after = [judge.decide(values, f"{one.epsilon!r}{suffix}") for values, one in zip(parts, found, strict=True)]
        return [_kept(before, a, one.linf == 0) for a, one in zip(after, found, strict=True)]

    n = len(found)
    return Verdict(before, decided(attacked[:n], ""), decided(attacked[n:], " in 8 bits") if attacked[n:] else [])


def _kept(before: Predictions, after: Predictions, still: np.ndarray) -> Predictions:
    """The predictions after the attack; of images that it left as they were [N], those before."""
    return Predictions(np.where(still, before.own, after.own), np.where(still, before.replicates, after.replicates))
