"""What every column of rows.csv and every flag means, from the code that fills and raises them; docs/columns.md is made of it.

python -m hqc_ray.evaluation.dictionary > docs/columns.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from hqc_ray.evaluation.flags import FLAGS, NOTES
from hqc_ray.results.columns import Part, kind_of
from hqc_ray.results.row import VOLATILE, Decided, Deployed, Planned, Row, Searched

KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}
LEVEL = "unit of epsilon"
UNITS = {  # by the column's name; counts have none
    "(clean|robust)_(shot_)?(low|high)": "fraction",
    "data_(test|validation)_fraction": "fraction",
    ".*_(accuracy|accuracy_8bit|share|undecided)|gradient_error|noise_effect": "fraction",
    "surrogate_error": "probability, or of <Z>",
    "lowest_probability|expected_error": "probability",
    "(duration|idle)_us": "microseconds",
    "surrogate_standard_error": "of <Z>, -1 to 1",
    "epsilon|mean_l.*|linear_distance_.*|certified_radius.*": LEVEL,
    "image_(size|width)": "pixels",
    "seconds": "seconds",
    "train_learning_rate": "per step",
}  # fmt: skip
FLAG_COLUMN = "the names of the flags of the row, joined by `;` in rows.csv, a list in rows.parquet and in `results(...).rows`"
PARTS: dict[str, tuple[type[Part], str]] = {
    "Planned": (Planned, "What is known before anything is computed: search x epsilon x judge."),
    "Measured, whatever the attack": (Deployed, "Of the judging model on its device; empty where it does not apply."),
    "Measured, of the search": (Searched, "What the attack did at this epsilon."),
    "Measured, of the judge": (Decided, "Accuracies are fractions; what is missing does not apply."),
}


@dataclass(frozen=True)
class Column:
    """A column of rows.csv and rows.parquet.

    Args:
        name: in the header.
        kind: of its values, in words; the choices of a choice.
        unit: empty where there is none.
        about: what it says.
    """

    name: str
    kind: str
    unit: str
    about: str


def column(name: str) -> Column:
    """What one column of a row is."""
    field = Row.model_fields[name]
    choices = [
        str(value)
        for part in (field.annotation, *get_args(field.annotation))
        if get_origin(part) is Literal
        for value in get_args(part)
    ]
    kind = " or ".join(f"`{choice}`" for choice in choices) or KINDS[kind_of(field) or str]
    unit = next((unit for pattern, unit in UNITS.items() if re.fullmatch(pattern, name)), "")
    return Column(name, kind, unit, field.description or "")


def columns() -> list[Column]:
    """All of them, in the order of the parts of a row."""
    return [column(name) for name in Row.model_fields]


def page() -> str:
    """The content of docs/columns.md."""
    lines = [
        "# Columns and flags",
        "",
        "One row per cell, in `rows.csv`, `rows.parquet`, `rows.jsonl` and `hqc_ray.results(...).rows`.",
        "This page is made from the code: `python -m hqc_ray.evaluation.dictionary > docs/columns.md`.",
    ]
    for title, (part, about) in PARTS.items():
        lines += _table(title, about, [column(name) for name in part.model_fields])
    rest = [name for name in Row.model_fields if not any(name in part.model_fields for part, _ in PARTS.values())]
    went = [Column("flags", "list of texts", "", FLAG_COLUMN), *(column(name) for name in rest)]
    about = f"{', '.join(f'`{name}`' for name in VOLATILE)} are measured; all other columns are the same in every run of a cell."
    lines += _table("How it went", about, went)
    flags, notes = ([f"| `{name}` | {_cell(text)} |" for name, text in table.items()] for table in (FLAGS, NOTES))
    lines += [
        "", "Options that vary in a sweep have a column of their own behind these, such as `model.hidden` or `attack.steps`.",
        "", "## Flags", "", "A flagged row is not evidence of robustness; [flags.md](flags.md) says what they rest on.", "",
        "| flag | what it means, and what to do |", "|---|---|", *flags,
        "", "## Notes", "", "They are about a whole report, and flag no row.", "",
        "| note | what it means |", "|---|---|", *notes,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(title: str, about: str, found: list[Column]) -> list[str]:
    rows = [f"| `{one.name}` | {one.kind} | {one.unit} | {_cell(one.about)} |" for one in found]
    return ["", f"## {title}", "", about, "", "| column | type | unit | what it says |", "|---|---|---|---|", *rows]


def _cell(text: str) -> str:
    """A text that stands in a table of Markdown."""
    return text.replace("|", "\\|").replace("<Z>", "⟨Z⟩")


if __name__ == "__main__":
    print(page(), end="")
