"""Base of attacks that look for the smallest perturbation of each image: one search serves every epsilon."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hqc_ray.attacks.balls import slopes
from hqc_ray.attacks.base import Attack, Kind
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")


class Minimal(Attack):
    """The nearest fooled point of each image, by way of the boundaries to its likeliest other classes.

    Attributes:
        candidates: classes to consider, counting the true one: the most likely at first.
    """

    kind: ClassVar[Kind] = "minimal"
    candidates: int = Field(10, ge=2, le=100)

    @property
    @abstractmethod
    def usual_steps(self) -> int:
        """Steps that a search is expected to take."""

    @abstractmethod
    def minimal(self, view: View, values: Tensor, labels: Tensor) -> Tensor:
        """The fooled points of values [B, ...] with labels [B]; the last one tried where none is fooled."""

    def per_search(self, n_classes: int) -> float:
        """One gradient per step and other class."""
        return float(self.usual_steps * (min(self.candidates, n_classes) - 1))

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the same minimal perturbation for every epsilon."""
        found = self.minimal(view, values, labels)
        for _ in epsilons:
            yield found

    def nearest(self, gradients: Tensor, differences: Tensor, least: float) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest of k linearised boundaries [B, k, ...], [B, k]: gradients [B, ...], differences and distances [B].

        Args:
            gradients: of the differences.
            differences: of the true class's logit and the others'.
            least: added to each slope, so that none is zero.
        """
        batch, k = differences.shape
        distances = differences.abs() / (slopes(gradients.flatten(0, 1), self.norm).reshape(batch, k) + least)
        rows, chosen = torch.arange(batch, device=distances.device), distances.argmin(1)
        return gradients[rows, chosen], differences[rows, chosen], distances[rows, chosen]
