"""Flags for results that should not be believed as they stand, from the rows alone: no model is run again."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hqc_ray.evaluation.flags import FLAGS, NOTES
from hqc_ray.evaluation.statistics import Outcomes, sign_test, unpack
from hqc_ray.results.row import AttackIdentity

RISE_LEVEL = 0.01  # one-sided, of each paired test: a row is compared with several others
NOISE_LEVEL = 0.05  # an attack has to show that it beats noise
BAD_GRADIENT_SHARE = 0.05
SURROGATE_ERROR = 1e-8
STANDARD_ERRORS = 6  # of a measured surrogate's <Z>: its error is the largest of hundreds of probabilities, of two measurements
UNBOUNDED = {"pixels": 0.5, "angles": math.pi / 2}  # in linf: from this epsilon on, every input can become the same one
CONTROL = "none"  # the kind of attacks that do not search: clean and noise


@dataclass(frozen=True)
class _Cell:
    """One evaluated row, its outcomes [n] unpacked."""

    key: str
    attack: AttackIdentity
    through: str  # the device that the attacker looked through
    transfer: bool
    epsilon: float
    steps: float  # along the gradient; NaN: unknown, or none
    clean: Outcomes | None
    robust: Outcomes | None

    @property
    def search(self) -> tuple[object, ...]:
        """What was attacked, and through what: two attacks are compared only if both had the same access."""
        return self.attack.search_model_key, self.through, self.attack.access, self.attack.audience

    @property
    def ball(self) -> tuple[object, ...]:
        """Where the perturbation had to stay."""
        return self.attack.level, self.attack.norm, self.epsilon

    @property
    def searches(self) -> bool:
        """Whether it is an attack at all, not a control."""
        return self.attack.kind != CONTROL


# One model, one device, the same images: those of the attacked seed, of which a model of another seed judges only a part
_JUDGE = ("model_key", "device", "mode", "data_source", "data_digest", "search_seed", "n_evaluated")
_IDENTITY = (
    "attack", "attack_title", "attack_kind", "attack_options", "norm", "level", "access", "audience", "search_model_key",
)  # fmt: skip
_FACTS = (
    "bad_gradient_share", "outputs_normalised", "surrogate_error", "surrogate_standard_error", "clean_low", "robust_low", "norm",
    "epsilon", "attack_kind", "level", "n_classes", "model_key", "search_model_key", "not_finite_share", "test_accuracy",
    "clean_accuracy", "n_test", "n_evaluated", "seed", "search_seed", "shots", "certified_correct", "robust_correct",
)  # fmt: skip


def flags(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The flags of every row by its key, in the order of `FLAGS`; a failed row has none.

    Rows are compared only with those that the same model judged, on the same device and images, so `rows` should be those of a
    whole sweep. Attacks of another level, norm or access, or on another model, are other attacks.

    Args:
        rows: the columns of `hqc_ray.results.row.Row`, one row per cell. Measured columns that are missing raise no flag.
    """
    found: dict[str, set[str]] = {str(key): set() for key in rows["key"]}
    evaluated = rows[rows["status"] == "ok"]
    facts = [f for f in _FACTS if f in evaluated]
    for key, *values in evaluated[["key", *facts]].itertuples(index=False, name=None):
        found[str(key)] |= set(_of_one(dict(zip(facts, values, strict=True))))
    for cells in _judged(evaluated):
        for cell in cells:
            found[cell.key] |= {name for name, compare in _COMPARISONS.items() if compare(cell, cells)}
    return {key: [f for f in FLAGS if f in mine] for key, mine in found.items()}


def annotate(rows: pd.DataFrame) -> pd.DataFrame:
    """A copy of the rows with the column `flags` (lists of text): those found here, then others that a row already has."""
    own = flags(rows)
    brought = rows["flags"] if "flags" in rows else [()] * len(rows)
    foreign = [[f for f in _list(given) if f not in FLAGS] for given in brought]
    merged = [own[str(key)] + more for key, more in zip(rows["key"], foreign, strict=True)]
    return rows.assign(flags=pd.Series(merged, index=rows.index, dtype=object))


def notes(rows: pd.DataFrame) -> list[str]:
    """Which of `NOTES` hold for these rows."""
    evaluated = rows[rows["status"] == "ok"]
    control, where = evaluated["attack_kind"] == CONTROL, ["model_key", "device", "search_seed", "level", "norm", "epsilon"]
    tried = evaluated[~control][where].itertuples(index=False, name=None)
    controlled = set(evaluated[control][where].itertuples(index=False, name=None))
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


def _rises(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    same = [c for c in cells if c.attack == cell.attack and c.through == cell.through]
    return any(c.epsilon < cell.epsilon and _higher(cell, c) for c in same)


def _weaker_than_one_step(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    if not cell.steps > 1:
        return False
    single = [c for c in cells if c.steps == 1 and c.search == cell.search and c.ball == cell.ball]
    return any(_higher(cell, c) for c in single)


def _as_noise(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    if not cell.searches or cell.robust is None:
        return False
    for noise in _noise(cell, cells):
        if noise.robust is None or noise.clean is None:
            continue
        fooled = bool(np.any(noise.clean & ~noise.robust))
        if fooled and sign_test(noise.robust, cell.robust) >= NOISE_LEVEL:
            return True
    return False


def _noise(cell: _Cell, cells: Sequence[_Cell]) -> list[_Cell]:
    """Noise in the same ball: of the same search if there is any, else all of it, since noise depends on no model."""
    noise = [c for c in cells if not c.searches and c.ball == cell.ball]
    return [c for c in noise if c.search == cell.search] or noise


def _transfer_stronger(cell: _Cell, cells: Sequence[_Cell]) -> bool:
    here = [c for c in cells if c.searches and c.ball == cell.ball]
    own = [c for c in here if not c.transfer]
    transfers = [c for c in here if c.transfer and (c is cell or not cell.transfer)]
    return cell.searches and bool(own) and any(all(_higher(mine, c) for mine in own) for c in transfers)


_COMPARISONS: dict[str, Callable[[_Cell, Sequence[_Cell]], bool]] = {
    "rises_with_epsilon": _rises,
    "pgd_weaker_than_fgsm": _weaker_than_one_step,
    "noise_as_strong": _as_noise,
    "transfer_stronger": _transfer_stronger,
}


def _higher(first: _Cell, second: _Cell) -> bool:
    """Whether the first leaves significantly more of the same images right."""
    if first.robust is None or second.robust is None:
        return False
    return sign_test(first.robust, second.robust) < RISE_LEVEL


def _judged(evaluated: pd.DataFrame) -> Iterator[list[_Cell]]:
    """Evaluated rows that one model judged on one device, of the same images."""
    groups: dict[Hashable, list[_Cell]] = {}
    identities: dict[tuple[Any, ...], AttackIdentity] = {}  # a sweep has few: each is made once
    columns = [
        "key", "model_key", "search_device", "epsilon", "gradient_steps", "n_evaluated", "clean_correct", "robust_correct",
    ]  # fmt: skip
    if "gradient_steps" not in evaluated:  # rows of before
        evaluated = evaluated.assign(gradient_steps=None)
    parts = (evaluated[list(some)].itertuples(index=False, name=None) for some in (_JUDGE, _IDENTITY, columns))
    for judge, named, (key, model, through, epsilon, steps, n, clean, robust) in zip(*parts, strict=True):
        if not _number(n) > 0:
            continue
        if named not in identities:
            identities[named] = AttackIdentity.of(dict(zip(_IDENTITY, named, strict=True)))
        attack = identities[named]
        bits = (_bits(clean, int(n)), _bits(robust, int(n)))
        cell = _Cell(str(key), attack, str(through), attack.search_model_key != model, float(epsilon), _number(steps), *bits)
        groups.setdefault(judge, []).append(cell)
    yield from groups.values()


def _bits(text: Any, n: int) -> Outcomes | None:
    return unpack(text, n) if isinstance(text, str) and text else None


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _list(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else []
