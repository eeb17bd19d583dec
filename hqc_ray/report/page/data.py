"""The rows as the page's scripts read them: one list per column, texts as numbers into a list of the distinct ones."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from hqc_ray.report.content.attacks import Shown, attack_style, is_clean, is_transfer
from hqc_ray.report.content.lines import Ball, gather
from hqc_ray.report.content.models import Model
from hqc_ray.report.content.stages import label, stages
from hqc_ray.report.content.training import MEASURES, Curve
from hqc_ray.report.content.transfers import ANOTHER_SEED
from hqc_ray.report.content.view import Report
from hqc_ray.report.page.columns import NUMBERS, TEXTS
from hqc_ray.report.style import head_style, norm_text, strength_text
from hqc_ray.report.tables.cell import ball_text

Record = dict[str, Any]
_SHAPES = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "<": "triangle-left",
    "*": "stroke", "p": "triangle-right",
}  # fmt: skip
_DASHES: dict[Any, list[int]] = {"-": [1, 0], "--": [6, 3], ":": [2, 2], "-.": [6, 2, 2, 2]}


def data(report: Report, training: Sequence[Curve] = ()) -> dict[str, Any]:
    """Everything that charts and the table of rows show, ready for JSON.

    Columns of text are `{"values": [...], "codes": [...]}`, in the order of the report's tables; columns of numbers are
    lists with None where nothing was measured, or of one where all are the same. Accuracies are in percent.
    """
    records = [{str(name): value for name, value in row.items()} for row in report.rows.to_dict("records")]
    worst = _worst(records, report)
    seen = [_texts(row, report) for row in records]
    texts = {name: _coded([of[name] for of in seen], _order(name, records, report)) for name, _ in TEXTS}
    numbers = [_numbers(row, worst.get((*_unit(row), _ball(row)))) for row in records]
    for of, shared in zip(numbers, _shared(records), strict=True):
        of |= shared
    return {
        "missing": report.facts.missing,
        "titles": {**dict(NUMBERS), **dict(TEXTS), "flag": "Flags"},
        "texts": texts,
        "numbers": {name: _one([_short(of.get(name)) for of in numbers]) for name, _ in NUMBERS},
        "control": [int(report.shown[row["key"]].control) for row in records],
        "flags": [row["flags"] for row in records],
        "unit": _coded(["|".join(map(str, _unit(row))) for row in records])["codes"],
        "styles": {"head": _head_styles(report), "attack": _attack_styles(report)},
        "levels": _levels(report),
        "transfers": _transfers(report),
        "training": [_curve(curve) for curve in training],
    }


def script(content: Any) -> str:
    """As JSON that no end of a script can hide in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _texts(row: Record, report: Report) -> dict[str, str]:
    model, attack = report.models[row["key"]], report.shown[row["key"]]
    return {
        "model": model.name,
        "images": model.images,
        "head": model.full_head,
        "kind": "circuit" if model.hybrid else "classical",
        "device": model.device,
        "space": "–" if is_clean(row) else _space(row),
        "epsilon": "0" if is_clean(row) else strength_text(row["epsilon"], row["level"]),
        "attack": attack.text,
        "found": _found_on(row, report) if is_transfer(row) else "itself",
        "seed": str(row["seed"]),
        "status": "failed" if row["status"] != "ok" else "flagged" if row["flags"] else "not flagged",
    }


def _found_on(row: Record, report: Report) -> str:
    return str(row["search_head"]) + (ANOTHER_SEED if row["search_seed"] != row["seed"] else "")


def _space(row: Record) -> str:
    return f"{row['level']}, {norm_text(row['norm'])}"


def _order(name: str, records: Sequence[Record], report: Report) -> list[str]:
    """The distinct values of a column as tables order them; empty: as they sort by themselves."""
    if name in ("model", "images", "head", "device", "kind"):
        models = sorted(set(report.models.values()), key=lambda m: m.order)
        of = {"model": "name", "images": "images", "head": "full_head", "device": "device"}
        kinds = (("circuit" if m.hybrid else "classical") for m in models)
        return list(dict.fromkeys(kinds if name == "kind" else (getattr(m, of[name]) for m in models)))
    if name == "attack":
        return list(dict.fromkeys(a.text for a in sorted(set(report.shown.values()), key=lambda a: a.order)))
    if name in ("epsilon", "space"):
        attacked = sorted((row for row in records if not is_clean(row)), key=lambda row: _ball(row).order)
        first = "0" if name == "epsilon" else "–"
        told = (strength_text(r["epsilon"], r["level"]) if name == "epsilon" else _space(r) for r in attacked)
        return list(dict.fromkeys([first, *told]))
    return ["itself"] if name == "found" else []


def _coded(texts: Sequence[str], order: Iterable[str] = ()) -> dict[str, list[Any]]:
    there = set(texts)
    rest = sorted(there, key=lambda t: (not t.isdigit(), int(t) if t.isdigit() else 0, t))
    values = list(dict.fromkeys([*(text for text in order if text in there), *rest]))
    place = {text: code for code, text in enumerate(values)}
    return {"values": values, "codes": [place[text] for text in texts]}


def _numbers(row: Record, worst: float | None) -> Record:
    found: Record = {"qubits": row["n_qubits"], "strength": 0.0 if is_clean(row) else row["epsilon"], "shots": row["shots"]}
    found |= {"images_evaluated": row["n_evaluated"], "seconds": row["seconds"]}
    found |= {name: _percent(row[f"{name}_accuracy"]) for name in ("clean", "robust", "certified")}
    return found | {"worst": worst}


def _percent(value: Any) -> float | None:
    return None if pd.isna(value) else 100 * float(value)


def _one(values: list[Any]) -> list[Any]:
    """The values; where all are the same, one of them."""
    return values[:1] if len(set(values)) == 1 else values


def _short(value: Any) -> float | int | None:
    """Five digits, and none for whole numbers: they are a third of the page."""
    if value is None or pd.isna(value):
        return None
    number = float(f"{value:.5g}") if abs(value) < 1e5 else round(float(value))
    return int(number) if float(number).is_integer() else number


def _unit(row: Record) -> tuple[str, str]:
    """A trained model on a device: what a seed of a line is."""
    return row["model_key"], row["device"]


def _ball(row: Record) -> Ball:
    return Ball(row["level"], row["epsilon_unit"], row["norm"], float(row["epsilon"]))


def _worst(records: Sequence[Record], report: Report) -> dict[tuple[Any, ...], float]:
    """Of each trained model on its device and each ball its own worst case, in percent."""
    alone = {(line.model, line.ball): line.worst for line in report.lines if line.ball and line.worst and line.worst.seeds == 1}
    models, shown = report.models, report.shown
    found: dict[tuple[Any, ...], float] = {}
    units: dict[tuple[str, str], list[Record]] = defaultdict(list)  # of several seeds: each for itself
    for row in records:
        known = alone.get((models[row["key"]], _ball(row)))
        if known is not None:
            found[(*_unit(row), _ball(row))] = known.mean
        units[_unit(row)].append(row)
    for unit, rows in units.items():
        if all((*unit, _ball(row)) in found or is_clean(row) for row in rows):
            continue
        for line in gather(rows, lambda row: models[row["key"]], lambda row: shown[row["key"]]):
            if line.ball and line.worst and line.worst.seeds:
                found[(*unit, line.ball)] = line.worst.mean
    return found


def _shared(records: Sequence[Record]) -> list[Record]:
    """Work that several rows share, evenly, so that sums over rows are the work that was done."""
    names = (
        ("gradients", ("search_key", "epsilon")),
        ("forwards", ("search_key", "epsilon")),
        ("circuits", ("model_key", "device")),
    )
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    largest: dict[str, float] = {}
    for row in records:
        for name, keys in names:
            counts[(name, *(row[key] for key in keys))] += 1
        largest[row["search_key"]] = max(largest.get(row["search_key"], 0.0), float(row["epsilon"]))
    found = []
    for row in records:
        mine: Record = {}
        for name, keys in names:
            counted = name == "circuits" or not row["one_search"] or row["epsilon"] == largest[row["search_key"]]
            if not pd.isna(row[name]):
                mine[name] = float(row[name]) / counts[(name, *(row[key] for key in keys))] if counted else 0.0
        found.append(mine)
    return found


def _styled(styles: Mapping[str, tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Colours, shapes and dashes by Vega's names; where a colour comes again with its shape, it gets the next shape."""
    found: dict[str, dict[str, Any]] = {}
    shapes, used = list(_SHAPES.values()), set[tuple[str, str]]()
    for name, (colour, marker, dashes) in styles.items():
        first = list(_SHAPES).index(marker) if marker in _SHAPES else 0
        turned = [*shapes[first:], *shapes[:first]]
        shape = next((shape for shape in turned if (colour, shape) not in used), turned[0])
        used.add((colour, shape))
        found[name] = {"colour": colour, "shape": shape, "dash": _DASHES.get(str(dashes), [3, 1, 1, 1])}
    return found


def _head_styles(report: Report) -> dict[str, dict[str, Any]]:
    heads = {m.full_head: m for m in sorted(set(report.models.values()), key=lambda m: m.order)}
    return _styled(dict(zip(heads, head_style([(m.head, m.hybrid) for m in heads.values()]), strict=True)))


def _attack_styles(report: Report) -> dict[str, dict[str, Any]]:
    attacks: list[Shown] = sorted(set(report.shown.values()), key=lambda a: a.order)
    styles = attack_style(attacks)
    return _styled({attack.text: styles[attack] for attack in attacks})


def _levels(report: Report) -> list[Record]:
    """Multiples of the reference's distance, level by level; see `content.stages`."""
    found = []
    for place in stages(report.lines):
        for model in place.models[1:]:
            for level in place.levels:
                multiple, mine = place.multiple(model, level), place.distances.get((model, level))
                if multiple is None or mine is None:
                    continue
                unit = place.distances[place.reference, level].middle
                ends = [min(end, mine.tried) / unit for end in (mine.low, mine.high)]
                found.append(
                    {**_place(model), "head": model.full_head, "device": model.device, "level": level[0],
                     "multiple": round(multiple, 4), "low": round(ends[0], 4), "high": round(ends[1], 4), "open": mine.open,
                     "reference": label(place.reference), "fallen": place.fallen}
                )  # fmt: skip
    return found


def _curve(curve: Curve) -> Record:
    """A list per measure, over epochs; accuracies in percent."""
    scales = {name: 100.0 if name.endswith("accuracy") else 1.0 for name in MEASURES}
    lists = {name: [_short(scale * value) for value in curve.values[name]] for name, scale in scales.items()}
    told = {**_place(curve.model), "head": curve.model.full_head, "seeds": curve.seeds}
    return {**told, "epochs": [int(epoch) for epoch in curve.values.index], **lists}


def _place(model: Model) -> Record:
    return {"model": model.name, "images": model.images}


def _transfers(report: Report) -> list[Record]:
    """Each matrix with its values as cells."""
    found = []
    for matrix in report.transfers:
        cells = [
            {"found": f, "judge": j, "robust": round(value.mean, 2), "low": round(value.low, 2), "high": round(value.high, 2),
             "flagged": bool(value.flags), "own": (a, b) in matrix.own}
            for a, (f, values) in enumerate(zip(matrix.found_on, matrix.values, strict=True))
            for b, (j, value) in enumerate(zip(matrix.judges, values, strict=True)) if value and not math.isnan(value.mean)
        ]  # fmt: skip
        title = f"{matrix.attack.text} at {ball_text(matrix.ball)}: {matrix.model.name}, {matrix.model.images}"
        found.append({"title": title, "found": list(matrix.found_on), "judges": list(matrix.judges), "cells": cells})
    return found
