"""Gradient ascent that averages the directions of its steps: the momentum iterative method."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hqc_ray.attacks.balls import per_image, steepest
from hqc_ray.attacks.searches.gradient import Ascent
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")


class Momentum(Ascent):
    """MI-FGSM: each step follows the sum of all gradients so far, each scaled to length 1 in l1.

    Source: Dong et al., arXiv 1710.06081, algorithm 1 (linf) and section 3.3 (l2). It starts at the values themselves.

    Attributes:
        steps: iterations.
        step_size: length of a step in `norm`, in the unit of epsilon; None: epsilon / steps, as the source has it.
        decay: of the sum, per step; 0 forgets all but the last gradient.
    """

    stride: ClassVar[float] = 1.0
    steps: int = Field(10, ge=1, le=10_000)
    decay: float = Field(1.0, ge=0, le=1)

    def ahead(self, gradients: Tensor, before: Tensor) -> Tensor:
        """The sum of the gradients so far."""
        return self.decay * before + _of_length_1(gradients)


def _of_length_1(gradients: Tensor) -> Tensor:
    """Each of `gradients` [B, ...] over its l1 norm; its direction first, so that one of 1e-30 has a length as well."""
    directions = steepest(gradients, "l2")
    sizes = directions.flatten(1).abs().sum(1).clamp_min(torch.finfo(directions.dtype).tiny)
    return directions / per_image(sizes, directions)
