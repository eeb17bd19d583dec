"""Numbers of a whole report: how many cells there are, and how many are still to come."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from hqc_ray.columns import counted
from hqc_ray.evaluation.statistics import total_gradients


@dataclass(frozen=True)
class Facts:
    """Numbers of the whole report."""

    cells: int  # that have a row
    failed: int
    missing: int  # cells of the sweep that have no row yet
    models: int
    seeds: int
    flagged: int
    searches: int  # of those that were evaluated
    gradients: int  # input gradients of single images, each search counted once however many judges it had

    @property
    def unfinished(self) -> str:
        """'3 of 65 cells, 61 to come, 1 failed'; empty once every cell of the sweep has a row."""
        if not self.missing:
            return ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.cells - self.failed:,} of {counted(self.cells + self.missing, 'cell')}, {self.missing:,} to come{failed}"


def facts_of(rows: pd.DataFrame, missing: int = 0) -> Facts:
    """The numbers of these rows, which have the column `flags`.

    Args:
        rows: one per cell.
        missing: cells of the sweep that have no row yet.
    """
    good = rows["status"] == "ok"
    return Facts(
        cells=len(rows),
        failed=int((~good).sum()),
        missing=missing,
        models=int(rows["model_key"].nunique()),
        seeds=int(rows["seed"].nunique()),
        flagged=int(rows["flags"].map(len).gt(0).sum()),
        searches=int(rows[good]["search_key"].nunique()),
        gradients=total_gradients(rows),
    )
