"""Rows, one per cell, gathered into lines, one per model, data, device and epsilon, with the seeds averaged."""

from __future__ import annotations

import statistics as st
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from hqc_ray.evaluation.statistics import unpack, wilson, worst_case
from hqc_ray.report.content import reference
from hqc_ray.report.content.attacks import OTHERS, Row, Shown, is_clean, is_transfer
from hqc_ray.report.content.models import Model
from hqc_ray.report.style import norm_text, strength_text
from hqc_ray.spec import LEVELS

CONTRADICTED = "certificate_contradicted"


@dataclass(frozen=True)
class Ball:
    """Where perturbations had to stay: the level, its unit, the norm and the radius."""

    level: str
    unit: str
    norm: str
    epsilon: float

    @property
    def order(self) -> tuple[int, bool, str, float]:
        """Pixels first, and the largest norm first."""
        return LEVELS.index(self.level), self.norm != "linf", self.norm, self.epsilon

    @property
    def text(self) -> str:
        """'4/255', '2 (L2)', or at other levels than pixels '0.1 rad (angles, L2)'."""
        told = [] if self.level == "pixels" else [self.level]
        told += [] if self.norm == "linf" else [norm_text(self.norm)]
        return strength_text(self.epsilon, self.level) + (f" ({', '.join(told)})" if told else "")


def ball_of(row: Row) -> Ball:
    """The ball of a row."""
    return Ball(row["level"], row["epsilon_unit"], row["norm"], float(row["epsilon"]))


@dataclass(frozen=True)
class Value:
    """An accuracy in percent over the seeds of a line."""

    mean: float  # NaN: no seed was evaluated
    spread: float | None  # sample standard deviation over seeds; None for fewer than two
    low: float  # 95 % Wilson interval over the images of all seeds together
    high: float
    seeds: int
    failed: int = 0
    flags: Counter[str] = field(default_factory=Counter)  # flag -> how many seeds earned it
    paper: float | None = None
    paper_flagged: bool = False
    right: int = 0  # images of all seeds together
    images: int = 0


@dataclass(frozen=True)
class Certified:
    """What no attack can break, means over seeds; whatever attack stands beside it."""

    value: Value  # right, and nothing within epsilon changes that; flagged where an attack contradicts it
    undecided: float  # percent: right, but neither certified nor known to be breakable
    radius: float | None  # median over the right images of what is certified, in the unit of epsilon
    radius_high: float | None  # of what is known to break them; None: of half of them nothing is


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    model: Model
    ball: Ball | None  # None: only clean accuracies
    clean: Value
    attacks: Mapping[Shown, Value]  # on the model itself
    worst: Value | None  # over all attacks on the same images, transferred ones included, at this or a smaller epsilon
    certified: Certified | None = None  # None: nobody asked, or there is no certificate

    @property
    def epsilon(self) -> float:
        """The radius; 0 where nothing was attacked."""
        return self.ball.epsilon if self.ball else 0.0

    @property
    def flags(self) -> dict[str, dict[Shown | None, str]]:
        """Flag -> the attack that earned it (None: the clean accuracy) -> '1/3' where not every seed did, else ''."""
        found: dict[str, dict[Shown | None, str]] = defaultdict(dict)
        values: list[tuple[Shown | None, Value]] = [(None, self.clean), *self.attacks.items()]
        for attack, value in values:
            for flag, count in value.flags.items():
                found[flag][attack] = f"{count}/{value.seeds}" if count < value.seeds else ""
        return dict(found)


def gather(rows: Sequence[Row], model: Callable[[Row], Model], show: Callable[[Row], Shown]) -> list[Line]:
    """The lines of rows that carry the column `flags` (see `hqc_ray.evaluation.audit.annotate`), in the table's order.

    Args:
        rows: one per cell.
        model: the model that judged a row.
        show: the attack of a row.
    """
    models: dict[Model, list[Row]] = defaultdict(list)
    for row in rows:
        models[model(row)].append(row)
    told_apart = {m: r for one, its in models.items() for m, r in _told_apart(one, its).items()}
    return [line for one in sorted(told_apart, key=lambda m: m.order) for line in _lines(one, told_apart[one], show)]


def attacks_of(lines: Iterable[Line]) -> list[Shown]:
    """Every attack of the lines, in the table's order."""
    return sorted({attack for line in lines for attack in line.attacks}, key=lambda a: a.order)


def _told_apart(model: Model, rows: list[Row]) -> dict[Model, list[Row]]:
    """Split rows in which one seed has several models: these differ in their training, and must not be averaged like seeds."""
    keys = defaultdict(set)
    for row in rows:
        keys[row["seed"]].add(row["model_key"])
    if all(len(k) == 1 for k in keys.values()):
        return {model: rows}
    variants: dict[Model, list[Row]] = defaultdict(list)
    for row in rows:
        variants[replace(model, variant=str(row["model_key"])[:8])].append(row)
    return dict(variants)


def _lines(model: Model, rows: Sequence[Row], show: Callable[[Row], Shown]) -> list[Line]:
    clean = value_of(_clean_rows(rows), "clean", _paper(model, None, "clean"))
    balls: dict[Ball, dict[Shown, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if not is_clean(row):
            its = balls[ball_of(row)]
            if not is_transfer(row):
                its[show(row)].append(row)
    if not balls:
        return [Line(model, None, clean, {}, None)]
    lines = []
    for ball in sorted(balls, key=lambda b: b.order):
        ordered = sorted(balls[ball].items(), key=lambda item: item[0].order)
        attacks = {attack: value_of(its, "robust", _of_table2(model, ball, attack)) for attack, its in ordered}
        lines.append(Line(model, ball, clean, attacks, _worst(rows, ball), _certified(balls[ball])))
    return lines


def _certified(attacks: Mapping[Shown, Sequence[Row]]) -> Certified | None:
    rows = [row for its in attacks.values() for row in its if not pd.isna(row.get("certified_accuracy"))]
    if not rows:
        return None
    broken = Counter({CONTRADICTED: n} if (n := sum(CONTRADICTED in row["flags"] for row in rows)) else {})
    once = _once(rows)
    undecided = [row["certified_undecided"] for row in once if not pd.isna(row["certified_undecided"])]
    value = replace(value_of(rows, "certified"), flags=broken)
    return Certified(
        value, 100 * st.fmean(undecided or [0.0]), *(_mean(once, f"certified_{n}") for n in ("radius", "radius_high"))
    )


def _mean(rows: Sequence[Row], name: str) -> float | None:
    """The mean of a column; None where a row has nothing there."""
    values = [float(row[name]) for row in rows if not pd.isna(row[name])]
    return st.fmean(values) if values and len(values) == len(rows) else None


def _clean_rows(rows: Sequence[Row]) -> list[Row]:
    """One row per trained model: a clean one, else the first attacked one, without the flags that belong to its attack."""
    chosen: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda r: (r["status"] != "ok", not is_clean(r), is_transfer(r), r["epsilon"], r["attack"])):
        own = is_clean(row)
        chosen.setdefault(row["model_key"], row if own else {**row, "flags": [f for f in row["flags"] if f == "near_chance"]})
    return list(chosen.values())


def _of_table2(model: Model, ball: Ball, attack: Shown) -> tuple[float | None, bool]:
    if not attack.plain or (ball.level, ball.norm) != ("pixels", "linf"):
        return None, False
    return _paper(model, ball.epsilon, attack.name)


def _paper(model: Model, epsilon: float | None, attack: str) -> tuple[float | None, bool]:
    """The paper's number and whether it would be flagged, if the cell is one of the paper's."""
    if not model.in_table2:
        return None, False
    place = (model.backbone, model.head, model.data_size, epsilon, attack)
    return reference.paper(*place, n_qubits=model.n_qubits), reference.paper_flagged(*place)


def value_of(rows: Sequence[Row], kind: str, paper: tuple[float | None, bool] = (None, False)) -> Value:
    """Mean over seeds and the pooled interval of `clean_accuracy` or `robust_accuracy`; each pair of models counts once."""
    good = _once([r for r in rows if r["status"] == "ok" and not pd.isna(r[f"{kind}_accuracy"])])
    counts = [(round(r[f"{kind}_accuracy"] * r["n_evaluated"]), int(r["n_evaluated"])) for r in good]
    flags = Counter(flag for r in good for flag in r["flags"])
    failed = len({_pair(r) for r in rows}) - len(good)
    return of_counts(counts, failed=failed, flags=flags, paper=paper[0], paper_flagged=paper[1])


def _pair(row: Row) -> tuple[Any, Any]:
    """The models that judged and were attacked: what one seed is, however often it was evaluated."""
    return row["model_key"], row["search_model_key"]


def _once(rows: Sequence[Row]) -> list[Row]:
    """Of several evaluations of the same models the one of the most images, then of the most repeats, then of a whole budget.

    They are no independent samples: counted as seeds, they would make an interval too narrow.
    """

    def weight(row: Row) -> tuple[int, int, bool]:
        repeats: Any = row["repeats"]
        return int(row["n_evaluated"]), 1 if pd.isna(repeats) else int(repeats), row["audience"] == OTHERS

    chosen: dict[tuple[Any, Any], Row] = {}
    for row in rows:
        if _pair(row) not in chosen or weight(row) > weight(chosen[_pair(row)]):
            chosen[_pair(row)] = row
    return list(chosen.values())


def of_counts(counts: Sequence[tuple[int, int]], **more: Any) -> Value:
    """The value of (right, of all) images, one pair per seed."""
    shares = [100 * k / n for k, n in counts if n]
    if not shares:
        return Value(float("nan"), None, float("nan"), float("nan"), 0, **more)
    right, images = sum(k for k, _ in counts), sum(n for _, n in counts)
    low, high = wilson(right, images)
    spread = st.stdev(shares) if len(shares) > 1 else None
    return Value(st.fmean(shares), spread, 100 * low, 100 * high, len(shares), right=right, images=images, **more)


def _worst(rows: Sequence[Row], ball: Ball) -> Value | None:
    """Images that are right and that nothing fooled within this epsilon, counted per model from the stored outcomes.

    Attacks on a model of another seed were found for that seed's images, and do not count here. Where shots decide, each outcome
    is one noisy look, and an image that is right in 98 of 100 looks is wrong in one of 20 attacks: there it is the strongest
    attack's accuracy.
    """
    outcomes: dict[tuple[Any, int], list[tuple[float, Any]]] = defaultdict(list)
    fewest: dict[tuple[Any, int], int] = {}
    for row in rows:
        bits, inside = row["robust_correct"], (row["level"], row["norm"]) == (ball.level, ball.norm) and not is_clean(row)
        inside = inside and row["search_seed"] == row["seed"]
        if row["status"] == "ok" and inside and isinstance(bits, str) and bits:
            n = int(row["n_evaluated"])
            outcomes[row["model_key"], n].append((float(row["epsilon"]), unpack(bits, n)))
            if not pd.isna(row["shots"]) and float(row["epsilon"]) <= ball.epsilon:
                fewest[row["model_key"], n] = min(fewest.get((row["model_key"], n), n), round(row["robust_accuracy"] * n))
    counts = {}
    for (key, n), tried in sorted(outcomes.items(), key=lambda item: item[0][1]):  # of a model that of the most images stays
        if any(e <= ball.epsilon for e, _ in tried):
            counts[key] = (fewest.get((key, n), int(worst_case(tried, ball.epsilon).sum())), n)
    return of_counts(list(counts.values())) if counts else None
