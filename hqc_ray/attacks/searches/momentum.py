"""Gradient ascent that averages the directions of its steps: the momentum iterative method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from hqc_ray.attacks.balls import per_image, project, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import fooled
from hqc_ray.attacks.searches.loop import iterate
from hqc_ray.attacks.view import View


class Momentum(Attack):
    """MI-FGSM: each step follows the sum of all gradients so far, each scaled to length 1 in l1.

    Source: Dong et al., arXiv 1710.06081, algorithm 1 (linf) and section 3.3 (l2). It starts at the values themselves.

    Attributes:
        steps: iterations.
        step_size: length of a step in `norm`, in the unit of epsilon; None: epsilon / steps, as the source has it.
        decay: of the sum, per step; 0 forgets all but the last gradient.
    """

    one_search: ClassVar[bool] = False
    steps: int = Field(10, ge=1, le=10_000)
    step_size: float | None = Field(None, gt=0, le=10_000)
    decay: float = Field(1.0, ge=0, le=1)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Eight steps, longer than they need to be."""
        return cls(**{"steps": 8, **options})

    @property
    def gradient_steps(self) -> int:
        """All of them."""
        return self.steps

    def per_search(self, n_classes: int) -> float:
        """One gradient per step."""
        return float(self.steps)

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the first fooling iterate of each image, or the last one where none fools."""
        for epsilon in epsilons:
            yield self._climb(view, values, labels, epsilon)

    def _climb(self, view: View, values: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        size = epsilon / self.steps if self.step_size is None else self.step_size
        x, total = values.clone(), torch.zeros_like(values)

        def look(active: Tensor) -> tuple[Tensor, Tensor]:
            found = view.gradient(x[active], labels[active])
            return found.logits, found.gradient

        def move(active: Tensor, gradient: Tensor) -> None:
            total[active] = self.decay * total[active] + _of_length_1(gradient)
            moved = x[active] + size * steepest(total[active], self.norm)
            x[active] = project(moved, values[active], epsilon, self.norm, view.space)

        def finished(active: Tensor, logits: Tensor, _: Tensor) -> Tensor:
            return fooled(logits, labels[active])

        iterate(x, self.steps, look, move, finished if view.decides else None)
        return x


def _of_length_1(gradients: Tensor) -> Tensor:
    """Each of `gradients` [B, ...] over its l1 norm; its direction first, so that one of 1e-30 has a length as well."""
    directions = steepest(gradients, "l2")
    sizes = directions.flatten(1).abs().sum(1).clamp_min(torch.finfo(directions.dtype).tiny)
    return directions / per_image(sizes, directions)
