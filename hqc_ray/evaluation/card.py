"""What is measured of a model on a device and the images of a search, whatever attacks them: once for all its searches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hqc_ray.evaluation.traps import trapped_share
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import Level


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
    rest: Any = model.at(level).rest
    with torch.no_grad():
        points = torch.cat([rest.preactivations(some.to(model.device)) for some in values.split(batch_size)])
    return {"trapped_share": trapped_share(model.head, points, labels.to(points.device))}
