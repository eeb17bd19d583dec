"""Flags for results that should not be believed as they stand, from the rows alone: no model is run again."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hqc_ray.evaluation.statistics import Outcomes, sign_test, unpack

RISE_LEVEL = 0.01  # one-sided, of each paired test: a row is compared with several others
NOISE_LEVEL = 0.05  # an attack has to show that it beats noise
BAD_GRADIENT_SHARE = 0.05
SURROGATE_ERROR = 1e-8
STANDARD_ERRORS = 6  # of a measured surrogate's <Z>: its error is the largest of hundreds of probabilities, of two measurements
UNBOUNDED = 0.5  # in the largest norm: from here on every image can be turned into the same grey one
CONTROLS = ("clean", "noise")

FLAGS: dict[str, str] = {
    "rises_with_epsilon": (
        "robust accuracy is significantly higher than at a smaller epsilon of the same attack on the same images, though every "
        "smaller perturbation was allowed here too: the search failed; read the worst case, and use more steps or smaller ones."
    ),
    "pgd_weaker_than_fgsm": (
        "PGD leaves significantly more images right than one step of FGSM in the same ball: its steps are too few, too small or "
        "too large, or gradients are masked; change `steps` and `step_size` and add restarts."
    ),
    "noise_as_strong": (
        "random noise of the same size fools images and the attack is not shown to fool more: its gradient carries no "
        "information, or too few images were evaluated; evaluate more, then look for masked gradients."
    ),
    "survives_unbounded": (
        "more than half of the images stay right where every image may become the same grey one: the attack fails, "
        "the model is not robust; check its gradients and steps."
    ),
    "softmax_output": (
        "the model's outputs look like probabilities, on which the loss saturates and gradients vanish: attack its logits."
    ),
    "bad_gradients": (
        "the input gradient is zero or not finite for more than 5 % of the attacked images, so that a gradient attack does "
        "nothing to them: look for saturated angles, a dead embedding or dead units, and add a black-box attack."
    ),
    "near_chance": (
        "the interval of the clean accuracy reaches down to 50 %: the robustness of a model that learnt nothing means nothing; "
        "train it longer or on more data."
    ),
    "surrogate_inexact": (
        "the surrogate differs from its circuit by more than 1e-8, or a measured one by more than six of its standard errors, so "
        "that the attack saw another model than the one judged: run the cell in native mode, or fit the degree that the "
        "embedding needs; a machine may have drifted: measure again, with another seed."
    ),
}

NOTES: dict[str, str] = {
    "random_weights": "the backbone's weights are random, not pretrained: such rows test the tool, not the published model.",
    "no_noise_control": (
        "some attacks have no `noise` control at the same epsilon and norm: without it nobody can say that an attack does more "
        "than noise; add `{name: noise}` to the attacks of the sweep."
    ),
}


@dataclass(frozen=True)
class _Cell:
    """One evaluated row, its outcomes [n] unpacked."""

    key: str
    attack: str
    options: str
    norm: str
    epsilon: float
    clean: Outcomes | None
    robust: Outcomes | None


_GROUP = ("model_key", "device", "data_source", "data_digest", "n_evaluated")  # one model, one device, the same images
_FACTS = (
    "bad_gradient_share", "outputs_normalised", "surrogate_error", "surrogate_standard_error", "clean_low", "robust_low", "norm",
    "epsilon", "attack",
)  # fmt: skip


def flags(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The flags of every row by its key, in the order of `FLAGS`; a failed row has none.

    Rows are compared with those of the same model, device and images only, so `rows` should be those of a whole sweep.

    Args:
        rows: the columns of `hqc_ray.results.row.Row`, one row a cell. Columns that are missing raise no flag.
    """
    found: dict[str, set[str]] = {str(key): set() for key in rows["key"]}
    evaluated = rows[rows["status"] == "ok"]
    facts = [f for f in _FACTS if f in evaluated]
    for key, *values in evaluated[["key", *facts]].itertuples(index=False, name=None):
        found[str(key)] |= set(_of_one(dict(zip(facts, values, strict=True))))
    for cells in _groups(evaluated):
        for cell in cells:
            found[cell.key] |= {name for name, compare in _COMPARISONS.items() if compare(cell, cells)}
    return {key: [f for f in FLAGS if f in mine] for key, mine in found.items()}


def annotate(rows: pd.DataFrame) -> pd.DataFrame:
    """A copy of the rows with the column `flags` (lists of text): those found here, then foreign ones that a row brought."""
    own = flags(rows)
    brought = rows["flags"] if "flags" in rows else [()] * len(rows)
    foreign = [[f for f in _list(given) if f not in FLAGS] for given in brought]
    merged = [own[str(key)] + more for key, more in zip(rows["key"], foreign, strict=True)]
    return rows.assign(flags=pd.Series(merged, index=rows.index, dtype=object))


def notes(rows: pd.DataFrame) -> list[str]:
    """Which of `NOTES` hold for these rows."""
    evaluated = rows[rows["status"] == "ok"]
    where = ["model_key", "device", "norm", "epsilon"]
    tried = evaluated[~evaluated["attack"].isin(CONTROLS)][where].itertuples(index=False, name=None)
    controlled = set(evaluated[evaluated["attack"] == "noise"][where].itertuples(index=False, name=None))
    holds = {
        "random_weights": bool((rows["weights"] == "random").any()),
        "no_noise_control": any(place not in controlled for place in tried),
    }
    return [name for name in NOTES if holds[name]]


def _of_one(row: dict[str, Any]) -> Iterator[str]:
    """The flags that a row earns by itself. A missing number is a NaN, and a comparison with it is false."""
    if row.get("outputs_normalised") is True or row.get("outputs_normalised") == 1:
        yield "softmax_output"
    if _number(row.get("bad_gradient_share")) > BAD_GRADIENT_SHARE:
        yield "bad_gradients"
    allowed = STANDARD_ERRORS * _number(row.get("surrogate_standard_error"))  # NaN of an exact one
    if _number(row.get("surrogate_error")) > (SURROGATE_ERROR if math.isnan(allowed) else allowed):
        yield "surrogate_inexact"
    if _number(row.get("clean_low")) <= 0.5:
        yield "near_chance"
    unbounded = row.get("norm") == "linf" and _number(row.get("epsilon")) >= UNBOUNDED and row.get("attack") not in CONTROLS
    if unbounded and _number(row.get("robust_low")) > 0.5:
        yield "survives_unbounded"


def _rises(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    same = (cell.attack, cell.options, cell.norm)
    smaller = [c for c in cells if (c.attack, c.options, c.norm) == same and c.epsilon < cell.epsilon]
    return cell.attack != "clean" and any(_higher(cell, c) for c in smaller)


def _weaker_than_fgsm(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    return cell.attack == "pgd" and any(_higher(cell, c) for c in _beside(cell, cells, "fgsm"))


def _as_noise(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    if cell.attack in CONTROLS or cell.robust is None:
        return False
    for noise in _beside(cell, cells, "noise"):
        if noise.robust is None or noise.clean is None:
            continue
        fooled = bool(np.any(noise.clean & ~noise.robust))
        if fooled and sign_test(noise.robust, cell.robust) >= NOISE_LEVEL:
            return True
    return False


_COMPARISONS: dict[str, Callable[[_Cell, Sequence[_Cell]], bool]] = {
    "rises_with_epsilon": _rises,
    "pgd_weaker_than_fgsm": _weaker_than_fgsm,
    "noise_as_strong": _as_noise,
}


def _higher(first: _Cell, second: _Cell) -> bool:
    """Whether the first leaves significantly more of the same images right."""
    if first.robust is None or second.robust is None:
        return False
    return sign_test(first.robust, second.robust) < RISE_LEVEL


def _beside(cell: _Cell, cells: Sequence[_Cell], attack: str) -> list[_Cell]:
    return [c for c in cells if c.attack == attack and c.norm == cell.norm and c.epsilon == cell.epsilon]


def _groups(evaluated: pd.DataFrame) -> Iterator[list[_Cell]]:
    """Evaluated rows that saw the same images through the same model and device."""
    groups: dict[Hashable, list[_Cell]] = {}
    columns = ["key", "attack", "attack_options", "norm", "epsilon", "n_evaluated", "clean_correct", "robust_correct"]
    places = evaluated[list(_GROUP)].itertuples(index=False, name=None)
    for place, values in zip(places, evaluated[columns].itertuples(index=False, name=None), strict=True):
        key, attack, options, norm, epsilon, n, clean, robust = values
        if not _number(n) > 0:
            continue
        bits = (_bits(clean, int(n)), _bits(robust, int(n)))
        groups.setdefault(place, []).append(_Cell(str(key), str(attack), str(options), str(norm), float(epsilon), *bits))
    yield from groups.values()


def _bits(text: Any, n: int) -> Outcomes | None:
    return unpack(text, n) if isinstance(text, str) and text else None


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _list(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else []
