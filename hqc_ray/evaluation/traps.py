"""Whether the head of a model traps attacks: descent on what lies behind the bottleneck alone, without images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hqc_ray.attacks.balls import steepest
from hqc_ray.attacks.losses import cross_entropy, predicted

Conclude = Callable[[Tensor], Tensor]  # what a head reads [B, n] -> logits [B, K]
STEPS, SIZE = 400, 0.2  # far enough to carry all wires of a head from one end of tanh to the other; shorter ones find the same


def trapped(conclude: Conclude, points: Tensor, labels: Tensor) -> Tensor:
    """Which images [B] stay right along the steepest ascent of the loss in the head's own input.

    The gradient of an attack on images ends where this ends, since it sees the head through nothing else: in a corner of the
    cube of angles, or where all units of an MLP are dead. Where the head is right there, such an attack says nothing about
    whether the image is robust. tanh alone, being monotone, has no such corner with two classes; a trigonometric head has.

    Args:
        conclude: the head on its device, from its pre-activations [B, Q] on; without a bottleneck from its features [B, F].
        points: these of the images, from which the ascent starts.
        labels: [B], the true classes; the head is right about all of these images.
    """
    points, labels = points.detach().clone(), labels.long()
    left = torch.arange(len(points), device=points.device)
    for _ in range(STEPS):
        if not len(left):
            break
        with torch.enable_grad():
            here = points[left].requires_grad_(True)
            loss = cross_entropy(conclude(here), labels[left]).sum()
            gradient = torch.autograd.grad(loss, here)[0] if loss.requires_grad else torch.zeros_like(here)
        points[left] += SIZE * steepest(gradient, "l2")
        left = left[_right(conclude, points[left], labels[left])]
    found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    found[left] = True
    return found


def trapped_share(conclude: Conclude, points: Tensor, labels: Tensor) -> float | None:
    """Of the images [N] that the head gets right, those that it traps; None where it gets none right."""
    right = _right(conclude, points, labels)
    return float(trapped(conclude, points[right], labels[right]).double().mean()) if bool(right.any()) else None


def _right(conclude: Conclude, points: Tensor, labels: Tensor) -> Tensor:
    """[B] bool."""
    with torch.no_grad():
        return predicted(conclude(points)) == labels
