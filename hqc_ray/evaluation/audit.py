"""Flags for results that should not be believed as they stand, from the rows alone: no model is run again."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from hqc_ray.evaluation.comparisons import COMPARISONS, CONTROL, Cell, revocable
from hqc_ray.evaluation.flags import FLAGS, NOTES
from hqc_ray.evaluation.statistics import Outcomes, unpack
from hqc_ray.models.levels import NARROW
from hqc_ray.results.row import AttackIdentity

GRADIENT_ERROR = 0.3  # right ones differ by 1e-5; straight-through ones of 2 to 8 bits by up to 0.15, of twice the size by 0.5
NOISE_EFFECT = 1e-5  # of the largest logit; the noise of the calmest fake machine moves them by 1e-2
UNSTEADY_SHARE = 0.1  # of images; a model that rounds inside may change its mind on single ones
LOST = 0.05  # accuracy that rounding gives back
BAD_GRADIENT_SHARE = 0.05
SURROGATE_ERROR = 1e-8
STANDARD_ERRORS = 6  # of a measured surrogate's <Z>: its error is the largest of hundreds of probabilities, of two measurements
UNBOUNDED = {"pixels": 0.5, "angles": math.pi / 2}  # in linf: from this epsilon on, every input can become the same one


# One model, one device, the same images: those of the attacked seed, of which a model of another seed judges only a part
_JUDGE = ("model_key", "device", "mode", "data_source", "data_digest", "search_seed", "n_evaluated")
_IDENTITY = (
    "attack", "attack_title", "attack_kind", "attack_options", "norm", "level", "access", "audience", "search_model_key",
)  # fmt: skip
_COMPARED = (
    "key", "model_key", "search_device", "epsilon", "gradient_steps", "aims", "black_box", "shots", "trapped_share", "n_qubits",
    "linear_distance_linf", "linear_distance_l2", "robust_low", "n_evaluated", "clean_correct", "robust_correct",
    "certified_correct", "head", "model_options",
)  # fmt: skip
_FACTS = (
    "bad_gradient_share", "outputs_normalised", "surrogate_error", "surrogate_standard_error", "clean_low", "robust_low", "norm",
    "epsilon", "attack_kind", "level", "n_classes", "model_key", "search_model_key", "not_finite_share", "test_accuracy",
    "clean_accuracy", "n_test", "n_evaluated", "seed", "search_seed", "shots", "random_share", "batch_dependent_share",
    "certified_correct", "robust_correct", "gradient_error", "black_box", "dead_input_share", "n_qubits", "noise_effect",
    "device_kind",
)  # fmt: skip


def flags(rows: pd.DataFrame, unfinished: bool = False) -> dict[str, list[str]]:
    """The flags of every row by its key, in the order of `FLAGS`; a failed row has none.

    Rows are compared only with those that the same model judged, on the same device and images, so `rows` should be those of a
    whole sweep. Attacks of another level, norm or access, or on another model, are other attacks.

    Args:
        rows: the columns of `hqc_ray.results.row.Row`, one row per cell. Measured columns that are missing raise no flag.
        unfinished: cells of the sweep are still to come: nothing is flagged that these may take back.
    """
    found: dict[str, set[str]] = {str(key): set() for key in rows["key"]}
    evaluated = rows[rows["status"] == "ok"]
    facts = [f for f in _FACTS if f in evaluated]
    for key, *values in evaluated[["key", *facts]].itertuples(index=False, name=None):
        found[str(key)] |= set(_of_one(dict(zip(facts, values, strict=True))))
    for cells in _judged(evaluated):
        for cell in cells:
            raised = {name for name, compare in COMPARISONS.items() if compare(cell, cells)}
            found[cell.key] |= {name for name in raised if not (unfinished and revocable(name, cell, cells))}
    return {key: [f for f in FLAGS if f in mine] for key, mine in found.items()}


def annotate(rows: pd.DataFrame, unfinished: bool = False) -> pd.DataFrame:
    """A copy of the rows with the column `flags` (lists of text): those found here, then others that a row already has."""
    own = flags(rows, unfinished)
    brought = rows["flags"] if "flags" in rows else [()] * len(rows)
    foreign = [[f for f in _list(given) if f not in FLAGS] for given in brought]
    merged = [own[str(key)] + more for key, more in zip(rows["key"], foreign, strict=True)]
    return rows.assign(flags=pd.Series(merged, index=rows.index, dtype=object))


def notes(rows: pd.DataFrame, unfinished: bool = False) -> list[str]:
    """Which of `NOTES` hold for these rows; where cells are still to come, none that these may take back."""
    evaluated = rows[rows["status"] == "ok"]
    control, where = evaluated["attack_kind"] == CONTROL, ["model_key", "device", "search_seed", "level", "norm", "epsilon"]
    tried = evaluated[~control][where].itertuples(index=False, name=None)
    planned = rows[rows["attack_kind"] == CONTROL]  # one that failed is in the sweep, and is told of as a failure
    controlled = set(planned[where].itertuples(index=False, name=None))
    holds = {
        "random_weights": bool((rows["weights"] == "random").any()),
        "between_grey_levels": bool(_between_levels(evaluated[~control]).any()),
        "lost_in_rounding": "robust_accuracy_8bit" in rows
        and bool((evaluated["robust_accuracy_8bit"] - evaluated["robust_accuracy"] > LOST).any()),
        "no_noise_control": not unfinished and any(place not in controlled for place in tried),
    }
    return [name for name in NOTES if holds[name]]


def _between_levels(rows: pd.DataFrame) -> pd.Series:
    levels = rows["epsilon"].astype(float) * 255  # of no row, pandas 2 keeps a column of objects
    return (rows["level"] == "pixels") & (rows["norm"] == "linf") & ((levels - levels.round()).abs() > 1e-3)


def _of_one(row: dict[str, Any]) -> Iterator[str]:
    """The flags that a row earns by itself. A missing number is a NaN, and a comparison with it is false."""
    if row.get("outputs_normalised") is True or row.get("outputs_normalised") == 1:
        yield "softmax_output"
    if _number(row.get("bad_gradient_share")) > BAD_GRADIENT_SHARE:
        yield "bad_gradients"
    allowed = STANDARD_ERRORS * _number(row.get("surrogate_standard_error"))  # NaN of an exact one
    if _number(row.get("surrogate_error")) > (SURROGATE_ERROR if math.isnan(allowed) else allowed):
        yield "surrogate_inexact"
    if _number(row.get("random_share")) > UNSTEADY_SHARE:
        yield "random_outputs"
    elif _number(row.get("batch_dependent_share")) > UNSTEADY_SHARE:
        yield "depends_on_batch"
    if row["attack_kind"] != CONTROL and row.get("black_box") != 1 and _number(row.get("gradient_error")) > GRADIENT_ERROR:
        yield "gradients_wrong"
    if _number(row.get("dead_input_share")) > (0 if _number(row.get("n_qubits")) > 0 else 1 - 1e-9):
        yield "dead_inputs"
    if row.get("device_kind") == "noisy" and _number(row.get("noise_effect")) < NOISE_EFFECT:
        yield "noise_inactive"
    if _number(row.get("not_finite_share")) > 0:
        yield "candidates_not_finite"
    if _contradicted(row):
        yield "certificate_contradicted"
    if _differ(row):
        yield "accuracies_differ"
    chance = 1 / _number(row["n_classes"])
    if _number(row.get("clean_low")) <= chance:
        yield "near_chance"
    own = row["attack_kind"] != CONTROL and row["search_model_key"] == row["model_key"]
    unbounded = row["norm"] == "linf" and row["epsilon"] >= UNBOUNDED.get(row["level"], math.inf)
    if own and unbounded and _number(row.get("robust_low")) > chance:
        yield "survives_unbounded"


def _contradicted(row: dict[str, Any]) -> bool:
    """Whether an exact judge gets an image wrong that is certified; one that samples is certified as its exact twin only."""
    texts = [row.get(name) for name in ("certified_correct", "robust_correct")]
    if not math.isnan(_number(row.get("shots"))) or not all(isinstance(text, str) and text for text in texts):
        return False
    certified, robust = (unpack(str(text), int(row["n_evaluated"])) for text in texts)
    return bool((certified & ~robust).any())


def _differ(row: dict[str, Any]) -> bool:
    """Whether an exact judge got another number of images right than the test did, though both saw all of the test part.

    The judge of another seed has another test part.
    """
    n, test, clean = (_number(row.get(name)) for name in ("n_evaluated", "test_accuracy", "clean_accuracy"))
    whole = n == _number(row.get("n_test")) and row.get("seed") == row.get("search_seed")
    return whole and math.isnan(_number(row.get("shots"))) and abs(test - clean) * n > 0.5


def _judged(evaluated: pd.DataFrame) -> Iterator[list[Cell]]:
    """Evaluated rows that one model judged on one device, of the same images."""
    groups: dict[Hashable, list[Cell]] = {}
    identities: dict[tuple[Any, ...], AttackIdentity] = {}  # a sweep has few: each is made once
    if missing := [name for name in _COMPARED if name not in evaluated]:  # rows of before
        evaluated = evaluated.assign(**dict.fromkeys(missing))
    parts = (evaluated[list(some)].itertuples(index=False, name=None) for some in (_JUDGE, _IDENTITY, _COMPARED))
    for judge, named, values in zip(*parts, strict=True):
        row = dict(zip(_COMPARED, values, strict=True))
        if not _number(row["n_evaluated"]) > 0:
            continue
        if named not in identities:
            identities[named] = AttackIdentity.of(dict(zip(_IDENTITY, named, strict=True)))
        groups.setdefault(judge, []).append(_cell(row, identities[named]))
    yield from groups.values()


def _cell(row: dict[str, Any], attack: AttackIdentity) -> Cell:
    n = int(row["n_evaluated"])
    return Cell(
        key=str(row["key"]),
        attack=attack,
        through=str(row["search_device"]),
        transfer=attack.search_model_key != row["model_key"],
        epsilon=float(row["epsilon"]),
        steps=_number(row["gradient_steps"]),
        aims=_number(row["aims"]) == 1 and _narrow(row),  # elsewhere the members that aim are left out
        sampled=not math.isnan(_number(row["shots"])),
        trapped_share=_number(row["trapped_share"]),
        narrow=_narrow(row),
        black_box=_number(row["black_box"]) == 1,
        linear_distance=_number(row[f"linear_distance_{attack.norm}"]),
        robust_low=_number(row["robust_low"]),
        clean=_bits(row["clean_correct"], n),
        robust=_bits(row["robust_correct"], n),
        certified=_bits(row["certified_correct"], n),
    )


def _narrow(row: dict[str, Any]) -> bool:
    """Whether the model has a bottleneck that an attack can aim through: angles, or the few hidden units of a small MLP."""
    if row["head"] != "mlp" or not isinstance(row["model_options"], str):
        return not math.isnan(_number(row["n_qubits"]))
    return bool(json.loads(row["model_options"]).get("hidden", math.inf) <= NARROW)


def _bits(text: Any, n: int) -> Outcomes | None:
    return unpack(text, n) if isinstance(text, str) and text else None


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _list(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else []
