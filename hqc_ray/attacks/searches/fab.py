"""The fast adaptive boundary attack: the smallest perturbation, by steps onto linearised boundaries that lean to the original."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hqc_ray.attacks.balls import Norm, lengths, per_image
from hqc_ray.attacks.losses import at_boundary, fooled
from hqc_ray.attacks.searches.minimal import Minimal
from hqc_ray.attacks.spaces import Space
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

_FAR = 1e30  # room where there is no box
_TINY = 1e-8  # a shorter step has this length where lengths are compared


class FAB(Minimal):
    """FAB in linf or l2: steps onto the nearest linearised boundary, mixed with steps from the original onto the same boundary.

    One run serves every epsilon. An iterate that is fooled is kept where it is the nearest so far, and the next step begins
    on the way back from it. Source: Croce and Hein, arXiv 1907.02044, algorithm 1 without restarts; the numbers are those of
    their code. The projections are onto the hyperplane within the box, and hold for boxes of any size, or none.

    Attributes:
        steps: iterations, all of which are taken.
        alpha_max: the largest weight of the step from the original.
        eta: how far to go, of the way onto the boundary.
        beta: where the next step begins after success, of the way from the original to the fooled iterate.
        candidates: classes to consider, counting the true one: the most likely at first.
    """

    title: ClassVar[str] = "FAB"
    steps: int = Field(100, ge=1, le=10_000)
    alpha_max: float = Field(0.1, ge=0, le=1)
    eta: float = Field(1.05, ge=1, le=100)
    beta: float = Field(0.9, ge=0, le=1)

    @classmethod
    def example(cls, **options: Any) -> Self:
        """Twelve steps."""
        return cls(**{"steps": 12, **options})

    @property
    def usual_steps(self) -> int:
        """All of them."""
        return self.steps

    def minimal(self, view: View, values: Tensor, labels: Tensor) -> Tensor:
        """See `Minimal`."""
        x, best = values.clone(), values.clone()
        nearest = values.new_full((len(values),), torch.inf)
        others: Tensor | int = self.candidates - 1
        for _ in range(self.steps):
            found = view.differences(x, labels, others)
            others = found.others
            x = self._step(view.space, values, x, found.gradients, found.differences)
            logits, distance = view.expected(x), lengths(x - values, self.norm)
            better = fooled(logits, labels) & (distance < nearest)
            best = torch.where(per_image(better, x), x, best)
            nearest = torch.where(better, distance, nearest)
            # from the wrong side the two steps cancel on the boundary: there none would lead anywhere
            back = per_image(at_boundary(logits, labels), x)
            x = torch.where(back, values + self.beta * (x - values), x)
        return torch.where(per_image(nearest.isfinite(), x), best, x)

    def _step(self, space: Space, values: Tensor, x: Tensor, gradients: Tensor, differences: Tensor) -> Tensor:
        """Where one step leads from `x` [B, ...], given the k linearised boundaries: [B, k, ...], [B, k] -> [B, ...]."""
        gradients = torch.where(gradients.isfinite(), gradients, torch.zeros_like(gradients))
        differences = differences.nan_to_num()
        normal, value, _ = self.nearest(gradients, differences, 1e-12)
        at_values = value.double() + (normal.double() * (values - x).double()).flatten(1).sum(1)
        here = onto_boundary(x, normal, value, self.norm, space)
        there = onto_boundary(values, normal, at_values, self.norm, space)
        near, far = (lengths(step, self.norm).clamp_min(_TINY) for step in (here, there))
        alpha = per_image((near / (near + far)).clamp_max(self.alpha_max), x)
        return space.clip((1 - alpha) * (x + self.eta * here) + alpha * (values + self.eta * there))


def onto_boundary(points: Tensor, normals: Tensor, heights: Tensor, norm: Norm, space: Space) -> Tensor:
    """The shortest steps [B, ...] from `points` within the box to where heights + normals . step = 0.

    With the room r that each entry has, the step is -+min(lambda, r) in linf, and -+min(lambda |w|, r) in l2, of the lambda at
    which the height is gone: piecewise linear in lambda, so that sorting the entries by where they reach the box finds it.
    Where no point of the box is on the boundary, each entry goes as far as it can.

    Args:
        points: [B, ...] in the box.
        normals: [B, ...], gradients of the height.
        heights: [B] at the points.
        norm: in which the step is the shortest.
        space: whose box it is.
    """
    t, w, height = points.flatten(1).double(), normals.flatten(1).double(), heights.double()
    down = torch.where(height >= 0, 1.0, -1.0)[:, None] * w.sign()  # against it the height shrinks
    room = torch.where(down > 0, t - space.low, space.high - t).clamp(0.0, _FAR)
    speed = (w != 0).double() if norm == "linf" else w.abs()
    ends = torch.where(w != 0, room / speed, 0.0).clamp_max(_FAR)
    sorted_ends, order = ends.sort(1)
    rates = (w.abs() * speed).gather(1, order)
    gone = (rates * sorted_ends).cumsum(1)  # by entries that have reached the box
    left = rates.sum(1, keepdim=True) - rates.cumsum(1)
    reached = gone + left.clamp_min(0) * sorted_ends  # how much of the height is gone at each end
    index = (reached < height.abs()[:, None]).sum(1).clamp_max(w.shape[1] - 1)[:, None]
    before = (gone - rates * sorted_ends).gather(1, index)[:, 0]
    rate = (left + rates).gather(1, index)[:, 0]
    scale = ((height.abs() - before) / rate.clamp_min(torch.finfo(w.dtype).tiny)).clamp(0.0, _FAR)
    enough = reached[:, -1] >= height.abs()
    size = speed * torch.minimum(torch.where(enough, scale, torch.full_like(scale, _FAR))[:, None], ends)
    return (-down * size).reshape(points.shape).to(points)
