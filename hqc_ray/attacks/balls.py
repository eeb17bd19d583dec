"""Geometry of the epsilon ball and of the box of its space, one place for every attack."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from hqc_ray.attacks.spaces import PIXELS, Space
from hqc_ray.errors import AttackError
from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")

Norm = Literal["linf", "l2"]
LEVELS = 255  # the largest grey level of an image of 8 bits
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


def admitted(candidates: object, values: Tensor, epsilon: float, norm: Norm, space: Space, where: str) -> tuple[Tensor, Tensor]:
    """What a search yielded, inside ball and box, [B, ...], and which images [B] it yielded nothing finite for.

    An image whose candidate holds a NaN or an infinity stays as it is in `values` [B, ...]: it counts as not fooled. A candidate
    in another floating precision, or on another device, is moved to that of the values.

    Raises:
        AttackError: something else was yielded than a candidate for these values; `where` says by which attack.
    """
    if wrong := _unlike(candidates, values):
        valid = f"{list(values.shape)} {values.dtype}"
        raise AttackError(f"the search yielded {wrong} at epsilon {epsilon}", where=where, valid=valid)
    assert isinstance(candidates, torch.Tensor)  # noqa: S101 - see `_unlike`
    moved = candidates.detach().to(values)
    finite = moved.isfinite().flatten(1).all(1)
    return project(torch.where(per_image(finite, values), moved, values), values, epsilon, norm, space), ~finite


def _unlike(candidates: object, values: Tensor) -> str:
    """What is wrong with candidates for `values` [B, ...], in words; nothing if they are some."""
    if candidates is None:
        return "nothing"
    if not isinstance(candidates, torch.Tensor):
        return f"no tensor but {type(candidates).__name__}"
    if candidates.shape != values.shape:
        return f"shape {list(candidates.shape)}"
    if not candidates.is_floating_point() or candidates.layout != torch.strided:
        return str(candidates.dtype if candidates.layout == torch.strided else candidates.layout)
    return "a tensor without data" if candidates.device.type == "meta" else ""


def in_grey_levels(candidates: Tensor, values: Tensor, epsilon: float, norm: Norm) -> Tensor:
    """Pixels `candidates` [B, ...] as an image of 8 bits holds them, inside box and ball around the pixels `values` [B, ...].

    Each pixel goes to the nearest grey level; in linf to the nearest one inside the ball, which ends below epsilon where that is
    no whole number of levels. In l2 an image that this carries out of the ball is rounded towards where it was instead, by which
    no pixel's change grows. The values are taken to be grey levels themselves, as images from files are; pixels that did not
    move keep their bits.
    """
    grey, own = candidates * LEVELS, values * LEVELS
    levels, slack = grey.round(), 1e-3  # of a level: float32 knows one to 2e-5
    if norm == "linf":
        reach = math.floor(epsilon * LEVELS + slack)
        levels = torch.maximum(torch.minimum(levels, own.round() + reach), own.round() - reach)
    else:
        outside = lengths(levels - own, norm) > epsilon * LEVELS + slack
        inwards = torch.where(grey > own, (grey + slack).floor(), (grey - slack).ceil())
        levels = torch.where(per_image(outside, levels), inwards, levels)
    return torch.where(candidates == values, values, levels.clamp(0, LEVELS) / LEVELS)


def rounding(values: Tensor, epsilon: float, norm: Norm) -> float:
    """By how much float arithmetic may carry a projected image of `values` [B, ...] beyond epsilon, in the unit of epsilon.

    Four units in the last place of the largest value plus epsilon: of one entry (linf), or of all n of them, sqrt(n) times that
    (l2). In float32 at pixels this is 5e-7 to 1e-6 (linf), and 2e-4 for l2 in images of 224 x 224.
    """
    entries = 1 if norm == "linf" else math.sqrt(values[0].numel())
    return 4 * torch.finfo(values.dtype).eps * (float(values.abs().max()) + epsilon) * entries


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


def slopes(gradients: Tensor, norm: Norm) -> Tensor:
    """How fast a function with these gradients [B, ...] can change per unit of distance in `norm`: [B] (l1 for linf)."""
    return gradients.flatten(1).abs().sum(1) if norm == "linf" else lengths(gradients, "l2")


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
