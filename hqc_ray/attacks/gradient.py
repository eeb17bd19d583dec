"""Attacks that climb the cross-entropy inside the ball: FGSM in one step, PGD in many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from hqc_ray.attacks.balls import project, random_in_ball, steepest
from hqc_ray.attacks.base import Attack, rewound
from hqc_ray.attacks.view import View, fooled


class FGSM(Attack):
    """The fast gradient sign method: one step of length epsilon (l2: along the normalised gradient).

    Source: Goodfellow, Shlens, Szegedy, arXiv 1412.6572, section 4. One gradient serves every epsilon.
    """

    def search(
        self, view: View, images: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the images moved by epsilon along the steepest direction at the clean image."""
        gradient, _ = view.gradient(images, labels)
        directions = steepest(gradient, self.norm)
        for epsilon in epsilons:
            yield images + epsilon * directions


class PGD(Attack):
    """Projected gradient descent (ascent of the loss): steps, each followed by a projection onto the ball and the box.

    Source: Madry et al., arXiv 1706.06083, section 2.1. The random start is uniform in the ball, the same for every
    epsilon up to its scale.

    Attributes:
        steps: per restart.
        step_size: length of a step in `norm`, pixel units of [0, 1]; None: 2.5 * epsilon / steps.
        random_start: False starts at the clean image.
        restarts: runs from different starts, each on the images that the earlier ones did not fool.
        early_stop: stop working on an image once it is fooled. Never done where another model judges, and to be
            switched off for images that are to be transferred.
    """

    one_search: ClassVar[bool] = False
    steps: int = Field(20, ge=1)
    step_size: float | None = Field(None, gt=0, allow_inf_nan=False)
    random_start: bool = True
    restarts: int = Field(1, ge=1)
    early_stop: bool = True

    @model_validator(mode="after")
    def _restarts_differ(self) -> PGD:
        if self.restarts > 1 and not self.random_start:
            raise ValueError("restarts above 1 need random_start: they would all be the same run")
        return self

    def search(
        self, view: View, images: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the first fooling iterate of each image, or the last one where none fools."""
        for epsilon in epsilons:
            yield self._restarted(view, images, labels, epsilon, rewound(generator))

    def _restarted(self, view: View, images: Tensor, labels: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        found = self._climb(view, images, labels, epsilon, generator)
        for _ in range(1, self.restarts):
            left = (~fooled(view.logits(found), labels)).nonzero()[:, 0]
            if not len(left):
                break
            found[left] = self._climb(view, images[left], labels[left], epsilon, generator)
        return found

    def _climb(self, view: View, images: Tensor, labels: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        size = 2.5 * epsilon / self.steps if self.step_size is None else self.step_size
        x = images.clone()
        if self.random_start:
            x = project(images + epsilon * random_in_ball(images, self.norm, generator), images, epsilon, self.norm)
        active = torch.arange(len(images), device=images.device)
        for _ in range(self.steps):
            gradient, logits = view.gradient(x[active], labels[active])
            if self.early_stop and view.decides:
                going = ~fooled(logits, labels[active])
                active, gradient = active[going], gradient[going]
                if not len(active):
                    break
            moved = x[active] + size * steepest(gradient, self.norm)
            x[active] = project(moved, images[active], epsilon, self.norm)
        return x
