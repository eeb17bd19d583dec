"""The rows as files, for spreadsheets (CSV) and for programs (Parquet); the same columns of the same types in every sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from hqc_ray.report.content import settings
from hqc_ray.report.content.view import Report
from hqc_ray.report.files import replace
from hqc_ray.results.columns import kind_of
from hqc_ray.results.folder import Folder
from hqc_ray.results.row import VOLATILE, Row

_TYPES: dict[type | None, tuple[str, pa.DataType]] = {  # a missing value does not turn whole numbers into broken ones
    bool: ("boolean", pa.bool_()), int: ("Int64", pa.int64()), float: ("float64", pa.float64()), str: ("object", pa.string()),
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one, at the start of a text


def write_rows(report: Report, folder: Path) -> list[Path]:
    """Write rows.csv and rows.parquet with the column `flags`, sorted; volatile columns stand last.

    Options that vary in the sweep have a column of their own (`model.hidden`), behind those that every sweep has. In the CSV file
    flags are joined by ';', and a text that a spreadsheet would run begins with an apostrophe.

    Raises:
        ResultsError: the folder cannot be written to.
    """
    at = Folder(folder)
    return [replace(at.csv, csv(report)), replace(at.parquet, parquet(report))]


def csv(report: Report) -> bytes:
    """The content of rows.csv. Missing numbers stay empty and whole numbers whole."""
    rows, schema = _typed(report)
    rows["flags"] = [";".join(flags) for flags in rows["flags"]]
    for name in (field.name for field in schema if field.type == pa.string()):
        rows[name] = [harmless(value) for value in rows[name]]
    text: str = rows.to_csv(index=False, lineterminator="\n")
    return text.encode()


def parquet(report: Report) -> bytes:
    """The content of rows.parquet: its types are those of `Row`, also of a column in which nothing stands."""
    rows, schema = _typed(report)
    buffer = BytesIO()
    rows.to_parquet(buffer, index=False, schema=schema)
    return buffer.getvalue()


def harmless(value: Any) -> Any:
    """A text that a spreadsheet would run, behind an apostrophe; anything else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _typed(report: Report) -> tuple[pd.DataFrame, pa.Schema]:
    """The rows with their columns in order, and the types of these."""
    rows = report.rows.astype({name: _TYPES[kind_of(column)][0] for name, column in Row.model_fields.items()})
    fields = {name: _TYPES[kind_of(column)][1] for name, column in Row.model_fields.items()} | {"flags": pa.list_(pa.string())}
    records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
    for name in settings.varying(records, ("data", "model", "device", "attack")):
        values, kind = _option([settings.values(row, name) for row in records])
        rows[name], fields[name] = pd.Series(values, rows.index, dtype=_TYPES[kind][0]), _TYPES[kind][1]
    names = [*(name for name in fields if name not in VOLATILE), *VOLATILE]
    return rows[names], pa.schema([(name, fields[name]) for name in names])


def _option(values: Sequence[Any]) -> tuple[list[Any], type]:
    """An option's values as one type: truth, numbers, or texts, where a list or a mapping is its JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return list(values), bool
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values], float
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values], str
