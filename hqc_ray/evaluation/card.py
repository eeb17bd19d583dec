"""What is measured of a model on a device and the images of a search, whatever attacks them: once for all its searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hqc_ray.evaluation.traps import trapped_share
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import Level

ROUNDING = 1e-3  # of the largest logit


def card(model: Classifier, values: Tensor, labels: Tensor, level: Level, batch_size: int) -> dict[str, Any]:
    """Columns of `hqc_ray.results.row.Deployed`.

    Args:
        model: exact, on its device.
        values: [N, ...] of the level, those that are attacked.
        labels: [N], the true classes.
        level: of the values.
        batch_size: of evaluations.
    """
    if level == "angles" or not len(labels):  # of angles, the pre-activations are not known
        return {}
    rest, head = model.at(level).rest, model.head
    narrow = "angles" in head.levels
    with torch.no_grad():
        batches = [some.to(model.device) for some in values.split(batch_size)]
        read = torch.cat([head.standardised(model.features(b)) if level == "pixels" else b for b in batches])
        points = head.preactivations(read) if narrow else read
    trapped = trapped_share(head.concluded if narrow else head.logits, points, labels.to(points.device))
    return {"trapped_share": trapped, **_steadiness(rest, values[:batch_size].to(model.device))}


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
