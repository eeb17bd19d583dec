"""Rows into tables, figures and one page. Everything here can be made again from the rows (and the examples) alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from hqc_ray.report.content.examples import Kept, kept
from hqc_ray.report.content.reference import audit_reference, reference_table
from hqc_ray.report.content.training import curves
from hqc_ray.report.content.view import Report
from hqc_ray.report.figures import accuracy, heatmaps, patches, stages
from hqc_ray.report.files import refuse_blocked, replace
from hqc_ray.report.page import page
from hqc_ray.report.page.pictures import strips
from hqc_ray.report.tables import rows, summary
from hqc_ray.report.tables.results import table_markdown
from hqc_ray.report.tables.rows import write_rows
from hqc_ray.report.tables.terminal import TerminalTable as terminal_table
from hqc_ray.results.folder import Folder

__all__ = [
    "Report", "audit_reference", "build", "kept", "page", "reference_table", "strips", "table_markdown", "terminal_table",
    "write_rows",
]  # fmt: skip

_FAMILIES = ("accuracy_", "heads_", "levels_", "transfer_", "patches_")
DRAWN = {"heads": 3, "levels": 2, "accuracy": 3, "transfer": 2, "patches": 2}  # figures of each kind; the page draws the rest


def build(folder: Path, report: Report, provenance: Mapping[str, Any], title: str) -> list[Path]:
    """Write table.md, summary.csv, rows.csv, rows.parquet, figures/*.png and report.html into `folder`; the paths of all of them.

    Nothing is written before all of it is made. Figures that an earlier report drew and these rows do not give are removed once
    every cell of the sweep has a row; patches only if every example could be read, since the others cannot be drawn again.

    Args:
        folder: the results folder; examples are read from it, by the rows' column `example`.
        report: of the sweep's rows (`Report.of`).
        provenance: versions, commit, hardware.
        title: of the page.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    at = Folder(folder)
    for path in (at.table, at.summary, at.csv, at.parquet, at.page, at.figure("any"), *at.figures()):
        refuse_blocked(path)
    finished = len(at.order() or ()) <= len(report.rows)
    examples = kept(report, at.path)
    drawn, whole = _drawn(report, examples, at)
    sweep = at.sweep.read_text(encoding="utf-8", errors="replace") if at.sweep.is_file() else ""
    training = curves(report, at.histories())
    contents = {
        at.table: table_markdown(report).encode(), at.summary: summary.csv(report), at.csv: rows.csv(report),
        at.parquet: rows.parquet(report), **drawn,
        at.page: page(report, strips(examples, at.figure), provenance, title, sweep, training).encode(),
    }  # fmt: skip
    paths = [replace(path, content) for path, content in contents.items()]
    for old in at.figures() if finished else ():
        if old.name.startswith(_FAMILIES if whole else _FAMILIES[:-1]) and old not in contents:
            old.unlink()
    return paths


def _drawn(report: Report, examples: Sequence[Kept], at: Folder) -> tuple[dict[Path, bytes], bool]:
    """The most important figures as PNG by their paths, and whether every example could be read."""
    found: dict[Path, bytes] = {}
    lines = report.lines
    families: dict[str, Iterator[tuple[str, Figure]]] = {
        "heads": accuracy.heads(lines), "levels": stages.where_robustness_lives(lines), "accuracy": accuracy.accuracy(lines),
        "transfer": heatmaps.transfers(report.transfers),
    }  # fmt: skip
    with mpl.rc_context(accuracy.RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # of a name in a script that the font lacks
        most = chain.from_iterable(islice(figures, DRAWN[kind]) for kind, figures in families.items())
        pictures = patches.patches(examples[: DRAWN["patches"]])
        for name, figure, complete in chain(((name, figure, True) for name, figure in most), pictures):
            path = _free(at, name, found)
            if not complete and path.is_file():  # a complete old one is kept rather than replaced by one with gaps
                found[path] = path.read_bytes()
            elif figure:
                found[path] = _png(figure, name.startswith("patches"))
    return found, all(one.complete for one in examples)


def _free(at: Folder, name: str, taken: Mapping[Path, bytes]) -> Path:
    """The path of a figure; where names differ only in signs that a file's name cannot have, or in case, it is numbered."""
    known = {path.name.lower() for path in taken}
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(path for path in map(at.figure, names) if path.name.lower() not in known)


def _png(figure: Figure, photographs: bool) -> bytes:
    """A picture; photographs in 256 colours, which are a third of the bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    if not photographs:
        return buffer.getvalue()
    reduced = BytesIO()
    Image.open(buffer).convert("RGB").quantize(256).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()
