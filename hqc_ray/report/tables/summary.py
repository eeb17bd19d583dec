"""The numbers of the table as a file, summary.csv: a line per model, device, level, norm and epsilon, with the worst case."""

from __future__ import annotations

from collections.abc import Iterator
from csv import DictWriter
from io import StringIO
from typing import Any

from hqc_ray.report.content.lines import Line, Value
from hqc_ray.report.content.view import Report
from hqc_ray.report.tables.cell import NOTHING
from hqc_ray.report.tables.rows import harmless

MODEL = (
    "data_source", "data_size", "n_classes", "class_names", "backbone", "weights", "image_size", "head", "head_kind", "n_qubits",
    "embedding", "layers", "reuploads", "readout", "train_device", "device", "device_kind", "shots", "variant",
)  # fmt: skip
BALL = ("level", "norm", "epsilon", "epsilon_unit")


def csv(report: Report) -> bytes:
    """The content of summary.csv, in the order of the table.

    Accuracies are fractions, as in rows.csv: the mean over `seeds`, `sd` over seeds, the 95 % Wilson interval from `low` to
    `high` of `right` in `images` of all seeds together. Columns of an attack begin with its name; `worst` is over all attacks
    of the line, those found on other models of the seed included, at this epsilon or a smaller one. Flags are joined by ';'.
    """
    known = any(value.paper is not None for line in report.lines for value in (line.clean, *line.attacks.values()))
    lines = [dict(_line(line, report, known)) for line in report.lines]
    out = StringIO()
    writer = DictWriter(out, list(lines[0]) if lines else [*MODEL, *BALL], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: harmless(value) for name, value in its.items()} for its in lines)
    return out.getvalue().encode()


def _line(line: Line, report: Report, compared: bool) -> Iterator[tuple[str, Any]]:
    """One line, the same columns in each.

    Args:
        line: of the table.
        report: whose line it is.
        compared: with the reference study, of which a number stands somewhere in the table.
    """
    yield from ((name, getattr(line.model, name)) for name in MODEL)
    ball = line.ball
    yield from zip(BALL, (ball.level, ball.norm, ball.epsilon, ball.unit) if ball else (None,) * 4, strict=True)
    yield from ((name, None if value == NOTHING else value) for name, value in line.model.settings)
    yield "attacks", ";".join(attack.key for attack in line.attacks)
    yield from _value("clean", line.clean, compared)
    for attack in report.attacks:
        yield from _value(attack.key, line.attacks.get(attack), compared)
    yield from _value("worst", line.worst, False)
    found = line.certified
    yield from _value("certified", found.value if found else None, False)
    yield "certified_undecided", _share(found.undecided) if found else None
    yield "certified_radius", found.radius if found else None
    yield "certified_radius_high", found.radius_high if found else None
    yield "flags", ";".join(line.flags)
    yield "preliminary", bool(report.unfinished)


def _value(name: str, value: Value | None, compared: bool) -> Iterator[tuple[str, Any]]:
    """`name`_accuracy and what belongs to it; empty where there is no number."""
    there = value if value and value.seeds else None
    yield f"{name}_accuracy", _share(there.mean) if there else None
    yield f"{name}_sd", _share(there.spread) if there else None
    yield f"{name}_low", _share(there.low) if there else None
    yield f"{name}_high", _share(there.high) if there else None
    yield f"{name}_right", there.right if there else None
    yield f"{name}_images", there.images if there else None
    yield f"{name}_seeds", there.seeds if there else None
    yield f"{name}_failed", value.failed if value else None
    yield f"{name}_flags", ";".join(value.flags) if value else None
    if compared:
        yield f"{name}_paper", _share(value.paper) if value else None


def _share(percent: float | None) -> float | None:
    """A percentage as a fraction."""
    return None if percent is None else round(percent / 100, 12)
