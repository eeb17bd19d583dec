"""How models were trained: training.csv, averaged over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hqc_ray.report.content.models import Model
from hqc_ray.report.content.view import Report
from hqc_ray.results.folder import HISTORY

MEASURES = HISTORY[2:]
MOST = 200  # curves of one report


@dataclass(frozen=True, eq=False)
class Curve:
    """Of a model on one number of images.

    Args:
        model: any of its devices.
        seeds: trainings that it is the mean of.
        values: one row per epoch, indexed by it; the columns of `MEASURES`, NaN where there was no validation part.
    """

    model: Model
    seeds: int
    values: pd.DataFrame


def curves(report: Report, histories: pd.DataFrame | None) -> list[Curve]:
    """The first `MOST` curves, in the order of the report's tables."""
    if histories is None:
        return []
    keys = dict(zip(report.rows["model_key"], report.rows["key"], strict=True))
    groups: Mapping[tuple[str, ...], dict[str, Model]] = defaultdict(dict)
    for model_key, key in keys.items():
        model = report.models[key]
        groups[model.name, model.images, model.full_head][model_key] = model
    known, found = dict(list(histories.groupby("model_key"))), []
    for models in groups.values():
        its = [known[key] for key in models if key in known]
        if its:
            values = pd.concat(its).groupby("epoch")[list(MEASURES)].mean()
            found.append(Curve(min(models.values(), key=lambda model: model.order), len(its), values))
    return sorted(found, key=lambda curve: curve.model.order)[:MOST]
