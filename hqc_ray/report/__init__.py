"""Rows into tables, figures and one page. Everything here can be made again from the rows (and the examples) alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl

from hqc_ray.report.content.reference import audit_reference, reference_table
from hqc_ray.report.content.view import Report
from hqc_ray.report.figures import accuracy, heatmaps, patches
from hqc_ray.report.files import replace, replace_text
from hqc_ray.report.page import page
from hqc_ray.report.tables.results import table_markdown, terminal_table, write_rows
from hqc_ray.results.folder import Folder

__all__ = ["Report", "audit_reference", "build", "draw", "reference_table", "table_markdown", "terminal_table", "write_rows"]

_FAMILIES = ("accuracy_", "heads_", "transfer_", "patches_")


def build(folder: Path, report: Report, provenance: Mapping[str, Any], title: str) -> list[Path]:
    """Write table.md, rows.csv, rows.parquet, figures/*.png and report.html into `folder`; the paths of all of them.

    Args:
        folder: the results folder; examples are read from it, by the rows' column `example`.
        report: of the sweep's rows (`Report.of`).
        provenance: versions, commit, hardware.
        title: of the page.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    written = [replace_text(Folder(folder).table, table_markdown(report)), *write_rows(report, folder)]
    drawn = draw(report, folder)
    return [*written, *drawn, replace_text(Folder(folder).page, page(report, drawn, provenance, title))]


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw every figure into `folder`/figures, and remove those that an earlier report drew and these rows do not give."""
    paths = []
    families = (accuracy.heads(report.lines), accuracy.accuracy(report.lines), heatmaps.transfers(report.transfers))
    with mpl.rc_context(accuracy.RC):
        for name, figure in chain(*families, patches.patches(report, folder)):
            path = Folder(folder).figure(name)
            paths.append(replace(path, partial(figure.savefig, format="png")) if figure else path)
    for old in Folder(folder).figures():
        if old.name.startswith(_FAMILIES) and old not in paths:
            old.unlink()
    return paths
