"""docs/columns.md is what the code says: every column and every flag, with its meaning."""

from pathlib import Path

import pytest

from hqc_ray.evaluation import dictionary
from hqc_ray.evaluation.flags import FLAGS, NOTES
from hqc_ray.results.row import Row

PAGE = Path(__file__).parents[2] / "docs" / "columns.md"


def test_the_committed_page_is_what_the_code_gives():
    assert PAGE.read_text(encoding="utf-8") == dictionary.page(), "python -m hqc_ray.evaluation.dictionary > docs/columns.md"


def test_every_column_has_a_description_and_every_number_a_unit_or_a_count():
    found = {one.name: one for one in dictionary.columns()}
    assert found.keys() == Row.model_fields.keys()
    assert [name for name, one in found.items() if not one.about] == []
    assert [name for name, one in found.items() if one.kind == "number" and not one.unit] == []


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("robust_accuracy", "number", "fraction"),
        ("robust_low", "number", "fraction"),
        ("test_accuracy", "number", "fraction"),
        ("epsilon", "number", "unit of epsilon"),
        ("n_qubits", "whole number", ""),
        ("aims", "true or false", ""),
        ("status", "`ok` or `failed`", ""),
        ("device", "text", ""),
        ("seconds", "number", "seconds"),
    ],
)
def test_types_and_units(name, kind, unit):
    found = dictionary.column(name)
    assert (found.kind, found.unit) == (kind, unit)


def test_the_page_has_every_column_and_flag_once():
    lines = dictionary.page().splitlines()
    for name in (*Row.model_fields, "flags", *FLAGS, *NOTES):
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1, name
