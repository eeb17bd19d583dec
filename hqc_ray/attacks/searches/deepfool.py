"""DeepFool: the smallest perturbation, by stepping onto the nearest boundary of the linearised model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from hqc_ray.attacks.balls import per_image, steepest
from hqc_ray.attacks.losses import fooled
from hqc_ray.attacks.searches.loop import iterate
from hqc_ray.attacks.searches.minimal import Minimal
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_BEYOND = 1e-4  # added to each distance, as the authors' code does, so that a step crosses the boundary it aims at
_USUAL_STEPS = 8  # until an image is fooled


class DeepFool(Minimal):
    """DeepFool in the l2 or the linf norm. One run serves every epsilon; the contract clips it to each ball.

    Source: Moosavi-Dezfooli, Fawzi, Frossard, arXiv 1511.04599: algorithm 2 (l2), equation 11 (other norms). A model
    with two classes costs one gradient per step.

    Attributes:
        max_iter: steps at most; an image stops as soon as it is fooled, whoever judges: the smallest perturbation is sought.
        overshoot: by which fraction to go beyond the boundary.
        candidates: classes to consider, counting the true one.
    """

    max_iter: int = Field(50, ge=1, le=10_000)
    overshoot: float = Field(0.02, ge=0, le=100)

    @property
    def usual_steps(self) -> int:
        """Few images need more."""
        return min(self.max_iter, _USUAL_STEPS)

    def minimal(self, view: View, values: Tensor, labels: Tensor) -> Tensor:
        """See `Minimal`."""
        x, total = values.clone(), torch.zeros_like(values)
        others: Tensor | None = None

        def look(active: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal others
            wanted = self.candidates - 1 if others is None else others[active]
            found = view.differences(x[active], labels[active], wanted)
            others = found.others if others is None else others
            return found.logits, self._step(found.gradients, found.differences)

        def finished(active: Tensor, logits: Tensor, step: Tensor) -> Tensor:
            logits = view.expected(x[active], logits)
            return fooled(logits, labels[active]) | (step == 0).flatten(1).all(1)  # without a gradient it stays for good

        def move(active: Tensor, step: Tensor) -> None:
            total[active] += step
            x[active] = view.space.clip(values[active] + (1 + self.overshoot) * total[active])

        iterate(x, self.max_iter, look, move, finished)
        return x

    def _step(self, gradients: Tensor, differences: Tensor) -> Tensor:
        """The shortest step onto one of the k linearised boundaries: [B, k, ...], [B, k] -> [B, ...]."""
        normals, _, distances = self.nearest(gradients, differences, 1e-8)
        return per_image(distances + _BEYOND, normals) * steepest(normals, self.norm)
