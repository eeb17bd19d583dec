"""Auto-PGD: gradient ascent whose step size follows its own progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from hqc_ray.attacks.balls import lengths, per_image, project, random_directions, steepest
from hqc_ray.attacks.base import Attack
from hqc_ray.attacks.losses import Loss, cross_entropy, dlr, fooled, margin
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_MOMENTUM = 0.75  # alpha of equation (1)
_RAISED = 0.75  # rho: the share of steps that must raise the loss
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06  # of the steps: the first checkpoint, and how the distance to the next shrinks
_LOSSES: dict[str, Loss] = {"margin": margin, "cross_entropy": cross_entropy, "dlr": dlr}


class APGD(Attack):
    """Auto-PGD: momentum steps of 2 epsilon at first, halved (and begun again at the best point) when progress stalls.

    Source: Croce and Hein, arXiv 2003.01690, algorithm 1 and section 3; the numbers are those of their code.

    Attributes:
        steps: iterations per restart.
        loss: "margin", z[other] - z[label]; "cross_entropy", as its log odds, which are neither rounded nor flat; or "dlr", the
            margin over z[1st] - z[3rd] (equation 6), for three or more classes. For two classes the first two are one, and so is
            every loss that grows with the margin: steps follow the direction of a gradient, and progress the order of losses.
    """

    title: ClassVar[str] = "APGD"
    random: ClassVar[bool] = True
    one_search: ClassVar[bool] = False
    steps: int = Field(100, ge=1, le=10_000)
    loss: Literal["margin", "cross_entropy", "dlr"] = "margin"

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Twelve steps: three checkpoints and more."""
        return cls(**{"steps": 12, **options})

    @property
    def gradient_steps(self) -> int:
        """Of one restart."""
        return self.steps

    @property
    def least_classes(self) -> int:
        """Three, where the loss divides by the distance to the third largest logit."""
        return 3 if self.loss == "dlr" else 2

    def per_search(self, n_classes: int) -> float:
        """One gradient at the start, and one per step."""
        return float(self.steps + 1)

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the first fooling iterate of each image, or the one with the largest loss."""
        for epsilon in epsilons:
            yield _Climb(self, view, values, labels, epsilon).best_from(self._start(values, epsilon, generator))

    def _start(self, values: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """A random direction, scaled to the surface of the ball, as in the source's code."""
        if self.norm == "l2":
            return values + epsilon * random_directions(values, "l2", generator)
        drawn = 2 * torch.rand(values.shape, generator=generator, dtype=values.dtype).to(values.device) - 1
        return values + epsilon * drawn / per_image(lengths(drawn, "linf"), drawn)


@dataclass
class _Climb:
    """One run over values [B, ...] with labels [B]; its state is kept for all images, and moved for those that go on."""

    attack: APGD
    view: View
    values: Tensor
    labels: Tensor
    epsilon: float

    def best_from(self, start: Tensor) -> Tensor:
        """The best point of each image, [B, ...]."""
        self.x = self._inside(start, slice(None))
        self.before, self.best = self.x.clone(), self.x.clone()
        self.gradient, self.loss = torch.zeros_like(self.x), self.x.new_full((len(self.x),), -torch.inf)
        active = self._look(torch.arange(len(self.x), device=self.x.device))
        self.best_gradient, self.best_loss = self.gradient.clone(), self.loss.clone()
        self.size = torch.full_like(self.loss, 2 * self.epsilon)
        checked, halved = self.best_loss.clone(), torch.ones_like(self.loss, dtype=torch.bool)
        rises, since, interval = torch.zeros_like(self.loss), 0, _part(_FIRST, self.attack.steps)
        for step in range(self.attack.steps):
            if not len(active):
                break
            self._move(active, 1.0 if step == 0 else _MOMENTUM)
            last = self.loss.clone()
            going = self._look(active)
            rises[active] += self.loss[active] > last[active]
            self._keep(active)
            active, since = going, since + 1
            if since == interval:
                stalled = (rises <= _RAISED * interval) | (~halved & (checked >= self.best_loss))
                self._restart(active[stalled[active]])
                checked, halved = self.best_loss.clone(), stalled
                rises, since = torch.zeros_like(rises), 0
                interval = max(interval - _part(_SHORTER, self.attack.steps), _part(_SHORTEST, self.attack.steps))
        return self.best

    def _look(self, ids: Tensor) -> Tensor:
        """Losses and gradients of images `ids` [n]; which of them go on. One that is fooled is done where this model decides."""
        loss = _LOSSES[self.attack.loss]
        found = self.view.gradient(self.x[ids], self.labels[ids], loss)
        self.gradient[ids] = found.gradient
        # what decides on steps and on the best point is no lucky look at a sampled model
        losses = loss(self.view.expected(self.x[ids]), self.labels[ids]) if self.view.noisy else found.losses
        self.loss[ids] = losses.to(self.loss).nan_to_num(torch.inf, posinf=torch.inf, neginf=-torch.inf)
        if not self.view.decides:
            return ids
        done = fooled(found.logits, self.labels[ids])
        self.loss[ids[done]] = torch.inf  # the best that there is
        return ids[~done]

    def _move(self, ids: Tensor, momentum: float) -> None:
        """A step along the gradient, mixed with the last one (equation 1)."""
        x, size = self.x[ids], per_image(self.size[ids], self.x)
        straight = self._inside(x + size * steepest(self.gradient[ids], self.attack.norm), ids)
        mixed = x + momentum * (straight - x) + (1 - momentum) * (x - self.before[ids])
        self.before[ids] = x
        self.x[ids] = self._inside(mixed, ids)

    def _keep(self, ids: Tensor) -> None:
        better = ids[self.loss[ids] > self.best_loss[ids]]
        self.best[better], self.best_gradient[better] = self.x[better], self.gradient[better]
        self.best_loss[better] = self.loss[better]

    def _restart(self, ids: Tensor) -> None:
        """Halve the step size, and go on from the best point so far."""
        self.size[ids] /= 2
        self.x[ids], self.gradient[ids] = self.best[ids], self.best_gradient[ids]
        self.loss[ids] = self.best_loss[ids]

    def _inside(self, candidates: Tensor, ids: Tensor | slice) -> Tensor:
        return project(candidates, self.values[ids], self.epsilon, self.attack.norm, self.view.space)


def _part(share: float, steps: int) -> int:
    return max(int(share * steps), 1)
