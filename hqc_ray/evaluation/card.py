"""What is measured of a model on a device and the images of a search, whatever attacks them: once for all its searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hqc_ray.evaluation.slopes import gradient_error, linear_distances
from hqc_ray.evaluation.traps import trapped_share
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.head import Head
from hqc_ray.spec import Level

ROUNDING = 1e-3  # of the largest logit
DEAD = 1e-6  # of the largest logit, or slope of one: an input whose slopes are all below moves nothing


def card(
    model: Classifier, values: Tensor, labels: Tensor, level: Level, batch_size: int, ideal: Classifier | None = None
) -> dict[str, Any]:
    """Columns of `hqc_ray.results.row.Deployed`.

    Args:
        model: exact, on its device.
        values: [N, ...] of the level, those that are attacked.
        labels: [N], the true classes.
        level: of the values.
        batch_size: of evaluations.
        ideal: of a model on a device the same with its ideal circuit.
    """
    if level == "angles" or not len(labels):  # of angles, the pre-activations are not known
        return {}
    rest, head = model.at(level).rest, model.head
    narrow = "angles" in head.levels
    with torch.no_grad():
        batches = [some.to(model.device) for some in values.split(batch_size)]
        read = torch.cat([head.standardised(model.features(b)) if level == "pixels" else b for b in batches])
        points = head.preactivations(read) if narrow else read
    labels = labels.to(points.device)
    first, steady = values[:batch_size].to(model.device), _steadiness(rest, values[:batch_size].to(model.device))
    found = {"trapped_share": trapped_share(head.concluded if narrow else head.logits, points, labels), **steady}
    found |= {"dead_input_share": _dead(head, read), **linear_distances(rest, first, labels[:batch_size])}
    if not steady["random_share"]:  # else every difference is a draw
        found["gradient_error"] = gradient_error(rest, first, labels[:batch_size], boxed=level == "pixels")
    if ideal is not None:
        found["noise_effect"] = _changed(ideal.head, head, points)
    return found


def _dead(head: Head, read: Tensor) -> float:
    """The share of a head's inputs on which no logit of any image depends, at standardised features [N, F].

    Of a bottleneck these are its wires, seen at their angles: where tanh saturates they have no gradient, but move the logits.
    """
    with torch.enable_grad():
        inputs = (head.squeezed(read) if "angles" in head.levels else read).detach().requires_grad_(True)
        logits = head.decided(inputs) if "angles" in head.levels else head.logits(inputs)
        weights = torch.linspace(1, 2, logits.shape[1]).to(logits)  # no gradient of different classes cancels by symmetry
        total = (logits * weights).sum()
        slopes = torch.autograd.grad(total, inputs, allow_unused=True)[0] if total.requires_grad else None
    if slopes is None:
        return 1.0
    size = torch.maximum(slopes.abs().max(), logits.detach().abs().max())
    return float((slopes.abs().amax(0) <= DEAD * size).double().mean())


def _changed(ideal: Head, there: Head, points: Tensor) -> float:
    """The largest change of a logit at what the heads conclude from, [N, Q], over the largest logit."""
    with torch.no_grad():
        before, after = ideal.concluded(points), there.concluded(points)
    return float((after - before).abs().max() / before.abs().max())


def _steadiness(rest: Callable[[Tensor], Tensor], values: Tensor) -> dict[str, float]:
    """The shares of values [B, ...] whose logits differ when asked again, and when half of their neighbours are missing."""
    with torch.no_grad():
        first, again = rest(values), rest(values)
        halves = torch.cat([rest(some) for some in values.split(-(-len(values) // 2))])
    return {"random_share": _differing(first, again), "batch_dependent_share": _differing(first, halves)}


def _differing(first: Tensor, second: Tensor) -> float:
    """The share of logits [B, K] that differ by more than float rounding does between batches; NaN equals NaN."""
    size = first.nan_to_num().abs().max()
    same = torch.isclose(first, second, rtol=0.0, atol=float(ROUNDING * size), equal_nan=True)
    return float((~same.all(1)).double().mean())
