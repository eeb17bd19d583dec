"""Geometry of the epsilon ball and the pixel box, one place for every attack."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hqc_ray.attacks.spaces import PIXELS, Space

Norm = Literal["linf", "l2"]


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """`values` [B] shaped [B, 1, ...] so that they broadcast over the images of `like` [B, ...]."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def lengths(deltas: Tensor, norm: Norm) -> Tensor:
    """The norm of each of `deltas` [B, ...]: [B], in pixel units of [0, 1]."""
    flat = deltas.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(flat, dim=1)


def project(candidates: Tensor, images: Tensor, epsilon: float, norm: Norm, space: Space = PIXELS) -> Tensor:
    """The nearest points to `candidates` [B, ...] in the ball around `images` [B, ...], cut to the box [0, 1].

    What already lies inside keeps its bits; with epsilon 0 the images come back bit for bit.
    """
    if norm == "linf":
        inside = torch.maximum(torch.minimum(candidates, images + epsilon), images - epsilon)
    else:
        deltas = candidates - images
        size = per_image(lengths(deltas, norm), images)
        inside = torch.where(size > epsilon, images + deltas * (epsilon / size), candidates)
    return inside.clamp(space.low, space.high)


def steepest(gradients: Tensor, norm: Norm) -> Tensor:
    """The directions of length 1 in `norm` along which the loss grows fastest, [B, ...]; 0 where the gradient is.

    Each gradient is scaled to 1 before it is squared, so that a gradient of 1e-30 still has a direction.
    """
    finite = torch.where(gradients.isfinite(), gradients, torch.zeros_like(gradients))
    if norm == "linf":
        return finite.sign()
    tiny = torch.finfo(finite.dtype).tiny
    scaled = finite / per_image(lengths(finite, "linf").clamp_min(tiny), finite)
    return scaled / per_image(lengths(scaled, "l2").clamp_min(tiny), finite)


def random_directions(like: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """Random vectors of length 1 in `norm`, one an image of `like` [B, ...]: signs (linf), or uniform on the sphere (l2)."""
    normal = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return steepest(normal, norm).to(like.device)


def random_in_ball(like: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """Random vectors uniform in the ball of radius 1 in `norm`, one an image of `like` [B, ...]."""
    if norm == "linf":
        return (2 * torch.rand(like.shape, generator=generator, dtype=like.dtype) - 1).to(like.device)
    directions = random_directions(like, norm, generator)
    radii = torch.rand(len(like), generator=generator, dtype=torch.float64) ** (1 / like[0].numel())
    return directions * per_image(radii.to(like), like)
