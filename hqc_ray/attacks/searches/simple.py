"""The controls: doing nothing, and noise of the attack's own strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from hqc_ray.attacks.balls import random_directions
from hqc_ray.attacks.base import Attack, Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View


class Clean(Attack):
    """No attack: robust accuracy is clean accuracy."""

    kind: ClassVar[Kind] = "none"
    perturbs: ClassVar[bool] = False

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the values themselves."""
        for _ in epsilons:
            yield values


class Noise(Attack):
    """Random noise on the surface of the ball: a random sign times epsilon for each value (linf), a random direction (l2).

    An attack that does no better than this has found nothing. Each epsilon scales the same noise.
    """

    kind: ClassVar[Kind] = "none"
    random: ClassVar[bool] = True

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the noisy values."""
        directions = random_directions(values, self.norm, generator)
        for epsilon in epsilons:
            yield values + epsilon * directions
