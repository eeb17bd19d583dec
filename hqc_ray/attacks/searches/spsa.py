"""SPSA: ascent along gradients that are estimated from pairs of evaluations; it asks for logits only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hqc_ray.attacks.balls import per_image, project, steepest
from hqc_ray.attacks.base import QUERY, Attack
from hqc_ray.attacks.losses import fooled, margin
from hqc_ray.attacks.searches.loop import iterate
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8  # of Adam: how long it remembers gradients and their squares


class SPSA(Attack):
    """SPSA in linf or l2: ascent of the margin, with a gradient from antithetic pairs of random signs around the image.

    For models without gradients, or with useless ones. A pair asks at x + delta * v and at x - delta * v; the mean over pairs of
    their difference along v, over 2 delta, is the gradient up to the second order in delta. Steps are Adam's (l2: along its mean
    gradient). Source: Uesato et al., arXiv 1802.05666, algorithm 1. Signs are an image's own: what is found for it does not
    depend on the batch that it is in.

    Attributes:
        steps: iterations.
        pairs: of evaluations in each of them.
        delta: how far from the image a pair is, in the unit of epsilon.
        step_size: Adam's learning rate, in the unit of epsilon (l2: length of a step); None: 2.5 * epsilon / steps.
    """

    title: ClassVar[str] = "SPSA"
    random: ClassVar[bool] = True
    one_search: ClassVar[bool] = False
    black_box: ClassVar[bool] = True
    steps: int = Field(100, ge=1, le=10_000)
    pairs: int = Field(64, ge=1, le=10_000)
    delta: float = Field(0.01, gt=0, le=10_000)
    step_size: float | None = Field(None, gt=0, le=10_000)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Ten steps of sixteen pairs."""
        return cls(**{"steps": 10, "pairs": 16, **options})

    def per_search(self, n_classes: int) -> float:
        """Two evaluations a pair, and one of each iterate, in gradients."""
        return QUERY * self.steps * (2 * self.pairs + 1)

    def search(
        self, view: View, values: Tensor, labels: Tensor, epsilons: Sequence[float], generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield the first fooling iterate of each image, or the last one where none fools."""
        for epsilon in epsilons:
            yield self._climb(view, values, labels, epsilon)

    def _climb(self, view: View, values: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        x, first, second = values.clone(), torch.zeros_like(values), torch.zeros_like(values)
        size = 2.5 * epsilon / self.steps if self.step_size is None else self.step_size
        own = view.generators(values)
        taken = 0

        def look(active: Tensor) -> tuple[Tensor, Tensor]:
            return view.logits(x[active]), active

        def move(active: Tensor, _: Tensor) -> None:
            nonlocal taken
            taken += 1
            slope = self._slope(view, x[active], labels[active], [own[i] for i in active.tolist()])
            first[active] = _FIRST * first[active] + (1 - _FIRST) * slope
            second[active] = _SECOND * second[active] + (1 - _SECOND) * slope.square()
            mean, square = first[active] / (1 - _FIRST**taken), second[active] / (1 - _SECOND**taken)
            step = mean / (square.sqrt() + _TINY) if self.norm == "linf" else steepest(mean, "l2")
            x[active] = project(x[active] + size * step, values[active], epsilon, self.norm, view.space)

        def finished(active: Tensor, logits: Tensor, _: Tensor) -> Tensor:
            return fooled(logits, labels[active])

        iterate(x, self.steps, look, move, finished if view.decides else None)
        return x

    def _slope(self, view: View, x: Tensor, labels: Tensor, own: Sequence[torch.Generator]) -> Tensor:
        """The estimated gradients [n, ...] of the margin at `x` [n, ...], from one generator per image; asked inside the box."""
        total = torch.zeros_like(x)
        for _ in range(self.pairs):
            coins = torch.stack([torch.randint(2, x.shape[1:], generator=one) for one in own]).to(x)
            signs = 2 * coins - 1
            up, down = (margin(view.logits(view.space.clip(x + way * self.delta * signs)), labels) for way in (1, -1))
            total += per_image((up - down).nan_to_num() / (2 * self.delta), x) * signs
        return total / self.pairs
