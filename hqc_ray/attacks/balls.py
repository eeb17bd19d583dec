"""Geometry of the epsilon ball and of the box of its space, one place for every attack."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hqc_ray.attacks.spaces import PIXELS, Space
from hqc_ray.errors import AttackError

Norm = Literal["linf", "l2"]
NORMS: tuple[Norm, ...] = ("linf", "l2")


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """`values` [B] shaped [B, 1, ...] so that they broadcast over `like` [B, ...]."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def lengths(deltas: Tensor, norm: Norm) -> Tensor:
    """The norm of each of `deltas` [B, ...]: [B], in the unit of the deltas."""
    flat = deltas.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(flat, dim=1)


def project(candidates: Tensor, values: Tensor, epsilon: float, norm: Norm, space: Space = PIXELS) -> Tensor:
    """The nearest points to `candidates` [B, ...] in the ball around `values` [B, ...], cut to the box of `space`.

    What already lies inside keeps its bits; with epsilon 0 the values come back bit for bit.
    """
    if norm == "linf":
        inside = torch.maximum(torch.minimum(candidates, values + epsilon), values - epsilon)
    else:
        deltas = candidates - values
        size = per_image(lengths(deltas, norm), values)
        inside = torch.where(size > epsilon, values + deltas * (epsilon / size), candidates)
    return space.clip(inside)


def admitted(candidates: Tensor | None, values: Tensor, epsilon: float, norm: Norm, space: Space, where: str) -> Tensor:
    """What a search yielded, inside ball and box; entries that are not finite are those of `values` [B, ...].

    Raises:
        AttackError: nothing was yielded, or another shape; `where` says by which attack.
    """
    if candidates is None or candidates.shape != values.shape:
        got = "nothing" if candidates is None else f"shape {list(candidates.shape)}"
        raise AttackError(f"the search yielded {got} at epsilon {epsilon}", where=where, valid=f"{list(values.shape)}")
    candidates = candidates.detach().to(values)
    return project(torch.where(candidates.isfinite(), candidates, values), values, epsilon, norm, space)


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
    """Random vectors of length 1 in `norm`, one for each of `like` [B, ...]: signs (linf), or uniform on the sphere (l2)."""
    normal = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return steepest(normal, norm).to(like.device)


def random_in_ball(like: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """Random vectors uniform in the ball of radius 1 in `norm`, one for each of `like` [B, ...]."""
    if norm == "linf":
        return (2 * torch.rand(like.shape, generator=generator, dtype=like.dtype) - 1).to(like.device)
    directions = random_directions(like, norm, generator)
    radii = torch.rand(len(like), generator=generator, dtype=torch.float64) ** (1 / like[0].numel())
    return directions * per_image(radii.to(like), like)
