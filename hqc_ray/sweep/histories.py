"""How the models of a sweep were trained, epoch by epoch: training.csv, from which the report draws the curves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hqc_ray.errors import ModelError
from hqc_ray.models import classifier
from hqc_ray.results.folder import HISTORY
from hqc_ray.results.store import Store


def table(store: Store, keys: Iterable[str]) -> pd.DataFrame:
    """One row per epoch of each model that the folder has, with the columns of `HISTORY`; what is written down is not read again.

    Args:
        store: of the sweep.
        keys: of its models; a model that is not there, or damaged, is left out.
    """
    wanted = set(keys)
    known = store.at.histories()
    kept = [] if known is None else [known[known["model_key"].isin(wanted)]]
    new = sorted(wanted - {key for frame in kept for key in frame["model_key"]})
    read = pd.DataFrame([row for key in new for row in _epochs(store, key)]).reindex(columns=list(HISTORY))
    return pd.concat([*kept, read]).sort_values("model_key", kind="stable", ignore_index=True) if kept else read


def _epochs(store: Store, key: str) -> list[dict[str, Any]]:
    content = store.load(f"model/{key}", classifier.parse)
    try:
        saved = classifier.parse(content) if content is not None else None
    except ModelError:
        return []
    return [{"model_key": key, **epoch} for epoch in (saved.meta.get("history", []) if saved else [])]
