"""Where the bottleneck attack may aim: ways from the pre-activations of images, some to points at which the head is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.attacks.balls import Norm
from hqc_ray.attacks.cut import Cut
from hqc_ray.attacks.losses import predicted
from hqc_ray.errors import AttackError
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
    from hqc_ray.certify import certificate, margins
    from hqc_ray.models import head as heads
    from hqc_ray.models.head import Head
else:
    torch = later("torch")
    certificate, margins = later("hqc_ray.certify.certificate"), later("hqc_ray.certify.margins")
    heads = later("hqc_ray.models.head")

_BOXES = 200  # that are bounded for an image: a target need not be the very nearest


def bounded_head(view: View) -> Head | None:
    """The head of a view's model, if it is one whose margins can be bounded."""
    head = getattr(view.exact, "head", None)
    return head if isinstance(head, heads.Head) and margins.covers(head) else None


@dataclass(frozen=True)
class Linear:
    """A model, linearised at n images.

    Attributes:
        at: pre-activations u, [n, Q].
        gradients: du/dx, [n, Q, ...].
        metric: [n, Q, Q]; a move of u takes a move of x of length sqrt(move' metric move) in l2, at least.
    """

    at: Tensor
    gradients: Tensor
    metric: Tensor

    @classmethod
    def of(cls, gradients: Tensor, at: Tensor) -> Linear:
        """From what `Cut.jacobian` gives."""
        flat = gradients.flatten(2).double()
        return cls(at, gradients, torch.linalg.pinv(flat @ flat.mT, hermitian=True).to(at))

    def towards(self, points: Tensor) -> Tensor:
        """The ways [n, k, Q] to points [n, k, Q] that may be NaN: then a way of zeros."""
        return torch.einsum("nqr,nkr->nkq", self.metric, points - self.at[:, None]).nan_to_num(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Targets:
    """The kinds of targets that an attack asks for, on one model.

    A way is a vector w of Q numbers: the values are carried along w' du/dx. In l2 this carries u straight to a target.

    Args:
        directions: random ways, the same for all images of a round.
        counterexamples: whether each image has a way to about the nearest point at which the head is wrong, by branch and bound.
        neighbours: nearest training images of other classes to each of which an image has a way.
    """

    view: View
    cut: Cut
    directions: int
    counterexamples: bool
    neighbours: int

    def ways(self, linear: Linear, labels: Tensor, epsilon: float, norm: Norm, generator: torch.Generator) -> Tensor:
        """Ways [n, M, Q] for images with labels [n].

        Raises:
            AttackError: none of the kinds that are asked for knows a target.
        """
        at = linear.at
        found = []
        if self.directions:
            found.append(torch.randn(self.directions, at.shape[1], generator=generator).to(at).expand(len(at), -1, -1))
        if self.counterexamples and self._head is not None:
            found.append(linear.towards(self._nearest_wrong(self._head, linear, labels, epsilon, norm)[:, None]))
        if self.neighbours and self.view.landmarks is not None:
            found.append(linear.towards(self._neighbours(linear, labels)))
        if not found:
            raise AttackError("no targets are known of this model", where="bottleneck", valid="directions of 1 and more")
        return torch.cat(found, 1)

    @cached_property
    def _head(self) -> Head | None:
        """The head behind the cut, if it is one whose margins can be bounded."""
        return bounded_head(self.view)

    def _nearest_wrong(self, head: Head, linear: Linear, labels: Tensor, epsilon: float, norm: Norm) -> Tensor:
        """[n, Q], NaN where none was found: at angles the nearest in linf; else in l2 of the values, to first order."""
        at = linear.at
        if self.view.space.name == "angles":
            return torch.from_numpy(certificate.certify(head, "angles", at, labels, _BOXES).counterexamples).to(at)
        flat = linear.gradients.flatten(2).double()
        size = epsilon * (math.sqrt(flat.shape[2]) if norm == "linf" else 1.0)  # of a ball in l2 that holds the epsilon ball
        spread, axes = torch.linalg.eigh((flat @ flat.mT).nan_to_num(0.0, 0.0, 0.0))
        widest = spread[:, -1:]
        factors = axes * (size * spread.clamp_min(1e-10 * widest).sqrt())[:, None]
        found = np.full(at.shape, np.nan)
        moving = (widest[:, 0] > 0).nonzero()[:, 0]
        if len(moving):
            nearest = certificate.nearest_wrong(head, at[moving], factors[moving], labels[moving], boxes=_BOXES)
            found[moving.cpu().numpy()] = nearest
        return torch.from_numpy(found).to(at)

    @cached_property
    def _known(self) -> tuple[Tensor, Tensor, Tensor]:
        """Training images: pre-activations [m, Q], true classes [m], and what the head says of them [m]."""
        assert self.view.landmarks is not None  # noqa: S101 - see `ways`
        points, labels = self.view.landmarks
        return points, labels, predicted(self.cut.logits(points))

    def _neighbours(self, linear: Linear, labels: Tensor) -> Tensor:
        """[n, k, Q], NaN where there are fewer: the nearest that are, and are taken for, of another class than the image."""
        points, classes, said = (one.to(labels.device) for one in self._known)
        points = points.to(linear.at)
        others = (classes != labels[:, None]) & (said != labels[:, None]) & (said >= 0)  # [n, m]
        away = points - linear.at[:, None]
        squares = torch.einsum("nmq,nqr,nmr->nm", away, linear.metric, away).masked_fill(~others, torch.inf)
        nearest = squares.topk(min(self.neighbours, len(points)), dim=1, largest=False)
        return points[nearest.indices].masked_fill(nearest.values.isinf()[:, :, None], torch.nan)
