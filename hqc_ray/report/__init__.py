"""Rows into tables, figures and one page. Everything here can be made again from the rows (and the examples) alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from hqc_ray.errors import ResultsError
from hqc_ray.evaluation.audit import annotate
from hqc_ray.report import figures, patches
from hqc_ray.report.files import replace, replace_text
from hqc_ray.report.lines import gather
from hqc_ray.report.page import page
from hqc_ray.report.reference import audit_reference, reference_table
from hqc_ray.report.tables import sort_rows, table_markdown, terminal_table, write_rows

__all__ = ["audit_reference", "build", "draw", "reference_table", "table_markdown", "terminal_table", "write_rows"]

_FAMILIES = ("accuracy_", "heads_", "patches_")


def build(folder: Path, rows: pd.DataFrame, provenance: Mapping[str, Any], title: str) -> list[Path]:
    """Write table.md, rows.csv, rows.parquet, figures/*.png and report.html into `folder`; the paths of all of them.

    Args:
        folder: the results folder; examples are read from it, by the rows' column `example`.
        rows: one row a cell, as `hqc_ray.results.ledger.frame` gives them.
        provenance: versions, commit, hardware.
        title: of the page.

    Raises:
        ResultsError: a column is missing, or the folder cannot be written to.
    """
    _check(rows)
    rows = annotate(sort_rows(rows))
    written = [replace_text(folder / "table.md", table_markdown(rows)), *write_rows(rows, folder)]
    drawn = draw(rows, folder)
    return [*written, *drawn, replace_text(folder / "report.html", page(rows, drawn, provenance, title))]


def draw(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw every figure into `folder`/figures, and remove those that an earlier report drew and these rows do not give."""
    rows = annotate(sort_rows(rows))
    lines = gather(rows)
    paths = []
    with mpl.rc_context(figures.RC):
        for name, figure in chain(figures.heads(lines), figures.accuracy(lines), patches.patches(rows, folder)):
            path = folder / "figures" / f"{name}.png"
            paths.append(replace(path, partial(figure.savefig, format="png")) if figure else path)
    for old in folder.glob("figures/*.png"):
        if old.name.startswith(_FAMILIES) and old not in paths:
            old.unlink()
    return paths


def _check(rows: pd.DataFrame) -> None:
    needed = {"key", "status", "seed", "backbone", "head", "device", "attack", "attack_label", "epsilon", "robust_accuracy"}
    if missing := sorted(needed - set(rows.columns)):
        raise ResultsError(f"rows without the column {missing[0]!r}", where="report", valid="the columns of hqc_ray.results.Row")
