"""How the models of a sweep were trained, epoch by epoch: training.csv, from which the report draws the curves."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from hqc_ray.errors import ModelError
from hqc_ray.models import classifier
from hqc_ray.results.folder import HISTORY
from hqc_ray.results.store import Store


def table(store: Store, keys: Iterable[str]) -> pd.DataFrame:
    """One row per epoch of each model that the folder has, with the columns of `HISTORY`.

    Args:
        store: of the sweep.
        keys: of its models; a model that is not there, or damaged, is left out.
    """
    found = []
    for key in sorted(set(keys)):
        content = store.load(f"model/{key}", classifier.parse)
        try:
            saved = classifier.parse(content) if content is not None else None
        except ModelError:
            continue
        found += [{"model_key": key, **epoch} for epoch in (saved.meta.get("history", []) if saved else [])]
    return pd.DataFrame(found).reindex(columns=list(HISTORY))
