"""The columns of the page's table of rows, and the dictionary of all columns of the data files."""

from __future__ import annotations

from collections.abc import Iterator

from hqc_ray.results.columns import Part
from hqc_ray.results.row import Deployed, Planned, Row, Searched

# name and title; those of text can be filtered by
TEXTS = (
    ("model", "Model"), ("images", "Images"), ("head", "Head"), ("kind", "Kind"), ("device", "Device"), ("space", "Perturbed"),
    ("epsilon", "Epsilon"), ("attack", "Attack"), ("found", "Found on"), ("seed", "Seed"), ("status", "Audit"),
)  # fmt: skip
NUMBERS = (
    ("qubits", "Qubits"), ("strength", "Epsilon"), ("clean", "Clean"), ("robust", "Robust"), ("worst", "Worst case"),
    ("certified", "Certified"), ("images_evaluated", "Evaluated"), ("seconds", "Seconds"), ("gradients", "Gradients"),
    ("forwards", "Evaluations"), ("circuits", "Circuits"), ("shots", "Shots"),
)  # fmt: skip


def dictionary() -> Iterator[tuple[str, str, str]]:
    """(column, whom it is of, what it means) for each column of rows.csv and rows.parquet."""
    of: dict[str, type[Part]] = {"the plan": Planned, "the model": Deployed, "the search": Searched}
    for name, column in Row.model_fields.items():
        whose = next((text for text, part in of.items() if name in part.model_fields), "the result")
        yield name, whose, column.description or ""
    yield "flags", "the audit", "what the audit says against the row; the flags' meanings stand above"
