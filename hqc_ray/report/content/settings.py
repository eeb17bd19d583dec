"""What a sweep file sets beyond a table's own columns: training, split, evaluation, options. It is told where it varies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from hqc_ray.report.style import Natural, natural

Row = Mapping[str, Any]
Setting = tuple[str, str]  # its name in the sweep file, and its value as text

_KEYS = {
    f"{section}.{key}": f"{section}_{key}"
    for section, keys in {
        "data": ("test_fraction", "validation_fraction"),
        "train": ("epochs", "batch_size", "learning_rate"),
        "evaluate": ("images", "batch_size", "repeats"),
    }.items()
    for key in keys
}
_OPTIONS = {"data": "data_options", "model": "model_options", "device": "device_options", "attack": "attack_options"}
_SHOWN = ("model.n_qubits", "model.embedding", "model.layers", "model.reuploads", "model.readout", "device.shots")  # elsewhere
_NONE = {"evaluate.images": "all"}
NOT_SET = "–"  # of an option that a model does not have, or that is left open
UNKNOWN = "?"  # of a row of an older version, beside rows that have the setting


def settings(rows: Sequence[Row]) -> Callable[[Row], tuple[Setting, ...]]:
    """The settings of each of these rows that vary among them and that no column of the table shows."""
    chosen = varying(rows, ("data", "model", "device"), device="device")  # a device's label tells most of its options
    keys = [name for name, column in _KEYS.items() if _varies(rows, name, column)]
    names = sorted([*keys, *chosen], key=_section)

    def told(row: Row) -> tuple[Setting, ...]:
        mine = {**_keys(row), **dict(_options(row, ("data", "model", "device")))}
        known = bool(row["data_options"])
        return tuple((name, text(name, mine.get(name)) if known or name in mine else UNKNOWN) for name in names)

    return told


def varying(rows: Sequence[Row], sections: Sequence[str], device: str = "") -> list[str]:
    """The options that have several values among rows of the same source, backbone and head, device or attack.

    Args:
        rows: of one report.
        sections: of the sweep file.
        device: the column that says which devices are the same; else they are by their names.
    """
    known: dict[tuple[str, Any], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        for section in sections:
            if content := row[_OPTIONS[section]]:
                known[section, _entry(row, section, device)][content] = json.loads(content)
    found = set()
    for (section, _), each in known.items():
        for name in {name for options in each.values() for name in options}:
            if len({json.dumps(options.get(name)) for options in each.values()}) > 1:
                found.add(f"{section}.{name}")
    return sorted(found - set(_SHOWN))


def values(row: Row, name: str) -> Any:
    """The value of one option of a row; None where it has none."""
    section, _, option = name.partition(".")
    content = row[_OPTIONS[section]]
    return json.loads(content).get(option) if content else None


def text(name: str, value: Any) -> str:
    """A value as a table writes it."""
    if value is None:
        return _NONE.get(name, NOT_SET)
    return value if isinstance(value, str) else json.dumps(value)


def order(setting: Setting) -> tuple[int, float, Natural]:
    """Sorts the values of a setting: numbers by size, then texts."""
    try:
        return 0, float(setting[1]), ()
    except ValueError:
        return 1, 0.0, natural(setting[1])


def _section(name: str) -> tuple[int, str]:
    return ("data", "model", "train", "device", "evaluate").index(name.partition(".")[0]), name


def _entry(row: Row, section: str, device: str) -> Any:
    """What the options belong to."""
    if section == "device":
        return row[device] if device else str(row["device"]).partition("[")[0]
    return {"data": row["data_source"], "model": (row["backbone"], row["head"]), "attack": row["attack"]}[section]


def _keys(row: Row) -> dict[str, Any]:
    if not row["data_options"]:
        return {}
    return {name: None if pd.isna(row[column]) else _whole(row[column]) for name, column in _KEYS.items()}


def _whole(value: float) -> float | int:
    """A whole number stays whole, though another row of its column has none."""
    return int(value) if float(value).is_integer() and abs(value) >= 1 else float(value)


def _options(row: Row, sections: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for section in sections:
        if content := row[_OPTIONS[section]]:
            yield from ((f"{section}.{name}", value) for name, value in json.loads(content).items())


def _varies(rows: Sequence[Row], name: str, column: str) -> bool:
    """Whether rows that have settings differ; how often a sampled device judges says nothing about others."""
    seen: dict[Any, set[str]] = defaultdict(set)
    for row in rows:
        if row["data_options"]:
            seen[row["device"] if name == "evaluate.repeats" else ""].add(str(row[column]))
    return any(len(found) > 1 for found in seen.values())
