"""Attacks that climb the cross-entropy inside the ball: FGSM in one step, PGD in many; and the base of those in many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hqc_ray.attacks.balls import project, random_in_ball, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import fooled
from hqc_ray.attacks.searches.loop import iterate
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")


class FGSM(Attack):
    """The fast gradient sign method: one step of length epsilon (l2: along the normalised gradient).

    Source: Goodfellow, Shlens, Szegedy, arXiv 1412.6572, section 4. One gradient serves every epsilon.
    """

    @property
    def gradient_steps(self) -> int:
        """One."""
        return 1

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the values moved by epsilon along the steepest direction at the clean ones."""
        directions = steepest(view.gradient(values, labels).gradient, self.norm)
        for epsilon in epsilons:
            yield values + epsilon * directions


class Ascent(Attack):
    """Base of attacks that take steps of one length along the steepest direction, back into the ball and the box after each.

    Attributes:
        steps: iterations, of one run.
        step_size: length of a step in `norm`, in the unit of epsilon; None: what the attack's source has.
    """

    one_search: ClassVar[bool] = False
    stride: ClassVar[float]
    """Steps of the usual size times their number, over epsilon."""
    steps: int = Field(20, ge=1, le=10_000)
    step_size: float | None = Field(None, gt=0, le=10_000)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Eight steps."""
        return cls(**{"steps": 8, **options})

    @property
    def gradient_steps(self) -> int:
        """Of one run."""
        return self.steps

    @property
    def stops(self) -> bool:
        """Whether an image is done once it is fooled, where the attacked model decides."""
        return True

    def per_search(self, n_classes: int) -> float:
        """One gradient per step."""
        return float(self.steps)

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the first fooling iterate of each image, or the last one where none fools."""
        for epsilon in epsilons:
            yield self._climb(view, values, labels, epsilon, self.start(view, values, epsilon, generator))

    def start(self, view: View, values: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """Where the ascent begins, [B, ...] in the ball and the box."""
        return values.clone()

    def ahead(self, gradients: Tensor, before: Tensor) -> Tensor:
        """What a step follows, [n, ...], given the gradients here and what the last step followed."""
        return gradients

    def _climb(self, view: View, values: Tensor, labels: Tensor, epsilon: float, x: Tensor) -> Tensor:
        size = self.stride * epsilon / self.steps if self.step_size is None else self.step_size
        followed = torch.zeros_like(values)

        def look(active: Tensor) -> tuple[Tensor, Tensor]:
            found = view.gradient(x[active], labels[active])
            return found.logits, found.gradient

        def move(active: Tensor, gradient: Tensor) -> None:
            followed[active] = self.ahead(gradient, followed[active])
            moved = x[active] + size * steepest(followed[active], self.norm)
            x[active] = project(moved, values[active], epsilon, self.norm, view.space)

        def finished(active: Tensor, logits: Tensor, _: Tensor) -> Tensor:
            return fooled(logits, labels[active])

        iterate(x, self.steps, look, move, finished if self.stops and view.decides else None)
        return x


class PGD(Ascent):
    """Projected gradient descent (ascent of the loss): steps, each followed by a projection onto the ball and the box.

    Source: Madry et al., arXiv 1706.06083, section 2.1. The random start is uniform in the ball, the same for every
    epsilon up to its scale.

    Attributes:
        steps: per restart.
        step_size: length of a step in `norm`, in the unit of epsilon; None: 2.5 * epsilon / steps.
        random_start: False starts at the clean image.
        restarts: runs from different starts, each on the images that the earlier ones did not fool.
        early_stop: stop working on an image once it is fooled. Never done where another model judges, and to be
            switched off for images that are to be transferred.
    """

    random: ClassVar[bool] = True
    stride: ClassVar[float] = 2.5
    random_start: bool = True
    restarts: int = Field(1, ge=1, le=1000)  # always among the options that a row names
    early_stop: bool = True

    @property
    def varies(self) -> bool:
        """Whether another random stream gives another start."""
        return self.random_start

    @property
    def stops(self) -> bool:
        """See `early_stop`."""
        return self.early_stop

    def start(self, view: View, values: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """A point of the ball, or the values themselves."""
        if not self.random_start:
            return values.clone()
        return project(values + epsilon * random_in_ball(values, self.norm, generator), values, epsilon, self.norm, view.space)
