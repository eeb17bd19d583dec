"""Whether a model's gradients are right, by differences of its outputs; how far its boundary would be if it were linear."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hqc_ray.attacks.losses import cross_entropy, margin, predicted

Classify = Callable[[Tensor], Tensor]  # values [B, ...] -> logits [B, K]

IMAGES, DIRECTIONS = 4, 2  # that are differenced; the directions besides the gradient's own
FINE = {torch.float64: 1e-8, torch.float32: 1e-3}  # steps that no kink or threshold is likely to lie within
COARSE = tuple(4.0**-k for k in (5, 4, 3, 2))  # from where many pixels average thresholds out to beyond the quantum of 4 bits
LINEAR_IMAGES = 16
SAME = 0.1  # of two differences, relative: the function has a derivative
TWIN = 0.05  # of the largest logit: a twin in float64 may round a few pixels the other way, where a model rounds
GREY = 0.05  # a share of it is mixed into pixels, with noise of the same size: off the box's faces and off ties of flat areas


def gradient_error(model: Classify, values: Tensor, labels: Tensor, boxed: bool) -> float | None:
    """How far the gradients that an attacker is given are from differences of the outputs: 0 right, 1 unrelated.

    The mean over a few images of the relative error of slopes: along the signs of the gradient and along random signs, with a
    step so small that only rounding is left, in float64 where the model can be computed so. Where such a step sees no derivative
    (what is quantised is constant, or jumps), the gradient can only be right in spirit: then it counts whether the loss rises
    along it over some larger step as much as it says, which tells a straight-through estimate from an invented one.

    Args:
        model: values [B, ...] -> logits [B, K].
        values: [N, ...].
        labels: [N], the true classes.
        boxed: the values are pixels in [0, 1].
    """
    points, labels = values[:IMAGES], labels[:IMAGES].long()
    generator = torch.Generator().manual_seed(0)
    if boxed:
        noise = torch.rand(points.shape, generator=generator).to(points)
        points = (1 - 2 * GREY) * points + 2 * GREY * noise
    gradient, _ = _gradient(model, points, labels, cross_entropy)
    if not bool(gradient.isfinite().all()):
        return None
    twin = _in_double(model, points)

    def slope(direction: Tensor, step: float) -> Tensor:
        with torch.no_grad():
            exact = points.to(twin[1])
            up, down = (cross_entropy(twin[0](exact + sign * step * direction.to(exact)), labels) for sign in (1, -1))
        return (up - down).double() / (2 * step)

    own, fine = gradient.sign(), FINE[twin[1]]
    ways = [own, *(torch.randn(points.shape, generator=generator).to(points).sign() for _ in range(DIRECTIONS))]
    said, seen = _said(gradient, ways), torch.stack([slope(way, fine) for way in ways])
    errors = torch.maximum(_error(said[:1], seen[:1]), _error(said[1:], seen[1:]))  # along it, and across
    if bool((errors > SAME).any()):
        finer = torch.stack([slope(way, fine / 8) for way in ways])
        broken = (seen[0] == 0) | (torch.maximum(_error(seen[:1], finer[:1]), _error(seen[1:], finer[1:])) > SAME)
        rough = torch.stack([_error(said[:1], slope(own, step)[None]) for step in COARSE]).amin(0)
        some = gradient.flatten(1).abs().amax(1) > 0  # without a gradient there is no direction to go along
        errors = torch.where(broken & some, rough, errors)
    return float(errors.nan_to_num(1.0).clamp(max=1.0).mean())


def linear_distances(model: Classify, values: Tensor, labels: Tensor) -> dict[str, float | None]:
    """The perturbation that would reach the boundary if the model were linear, the median over images that are right.

    Args:
        model: values [B, ...] -> logits [B, K].
        values: [N, ...].
        labels: [N], the true classes.

    Returns:
        `linear_distance_linf` and `linear_distance_l2`, in the unit of the values; None where it is infinite or nobody is right.
    """
    some, labels = values[:LINEAR_IMAGES], labels[:LINEAR_IMAGES].long()
    gradient, logits = _gradient(model, some, labels, margin)
    right = predicted(logits) == labels
    found: dict[str, float | None] = {}
    for name, order in (("linf", 1), ("l2", 2)):  # the dual norm says how much a ball of this one can change
        sizes = torch.linalg.vector_norm(gradient.flatten(1).double(), ord=order, dim=1)
        distances = (-margin(logits, labels).double() / sizes)[right]
        middle = float(distances.median()) if len(distances) else float("inf")
        found[f"linear_distance_{name}"] = middle if 0 <= middle < float("inf") else None
    return found


def _gradient(model: Classify, values: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Of the loss at values [B, ...], and the logits [B, K]; zero where nothing depends on them."""
    with torch.enable_grad():
        values = values.detach().clone().requires_grad_(True)
        logits = model(values)
        total = loss(logits, labels).sum()
        found = torch.autograd.grad(total, values, allow_unused=True)[0] if total.requires_grad else None
    return torch.zeros_like(values.detach()) if found is None else found, logits.detach()


def _in_double(model: Classify, points: Tensor) -> tuple[Classify, torch.dtype]:
    """The same model in float64; itself, where a user's own code cannot be computed so."""
    if not isinstance(model, nn.Module):
        return model, points.dtype
    with torch.no_grad():
        wanted = model(points).double()
        try:
            twin = copy.deepcopy(model).double()
            found = twin(points.double())
        except Exception:  # whatever a user's own code raises about types that it did not expect
            return model, points.dtype
    same = found.dtype == torch.float64 and bool((found - wanted).abs().max() <= TWIN * wanted.abs().max())
    return (twin, torch.float64) if same else (model, points.dtype)


def _said(gradient: Tensor, ways: list[Tensor]) -> Tensor:
    """What a gradient [B, ...] says of the slopes [D, B] along D directions [B, ...]."""
    return torch.stack([(gradient.double() * way).flatten(1).sum(1) for way in ways])


def _error(first: Tensor, second: Tensor) -> Tensor:
    """How far two lists of slopes [D, B] are apart, relative to the longer one: [B]."""
    size = torch.maximum(first.norm(dim=0), second.norm(dim=0))
    return torch.where(size > 0, (first - second).norm(dim=0) / size, 0.0)
