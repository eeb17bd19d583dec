"""Transferred attacks as matrices: the model that an attack was found on, against the model that judged it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hqc_ray.report.content.attacks import Row, Shown, is_transfer
from hqc_ray.report.content.lines import Ball, Value, ball_of, value_of
from hqc_ray.report.content.models import Model

ANOTHER_SEED = ", another seed"


@dataclass(frozen=True)
class Matrix:
    """One attack at one strength, on one data set and backbone."""

    model: Model  # the first that judges
    attack: Shown
    ball: Ball
    found_on: tuple[str, ...]  # S models that were attacked
    judges: tuple[str, ...]  # J models that judged
    values: tuple[tuple[Value | None, ...], ...]  # [S, J]
    own: frozenset[tuple[int, int]]  # where a model judges attacks on itself


@dataclass(frozen=True)
class _Point:
    """A row: who judged (with its device where there are several), what was attacked, and the row itself."""

    judge: tuple[Any, str]
    found_on: tuple[Any, str]
    own: bool
    row: Row


def matrices(rows: Sequence[Row], model: Callable[[Row], Model], show: Callable[[Row], Shown]) -> list[Matrix]:
    """One matrix per transferred attack, strength, data set and backbone; the diagonal has the attacks on the judge itself.

    A value is the mean over all pairs of seeds of attacked and judging model.
    """
    searched = [row for row in rows if not show(row).control]
    known = {row["model_key"]: model(row) for row in rows}
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in searched:
        groups[known[row["model_key"]].place].append(row)
    found = []
    for its in groups.values():
        if any(map(is_transfer, its)):
            found += _of_place(its, model, show, known)
    return sorted(found, key=lambda m: (tuple(map(str, m.model.place)), m.attack.order, m.ball.order))


def _of_place(
    rows: Sequence[Row], model: Callable[[Row], Model], show: Callable[[Row], Shown], known: Mapping[Any, Model]
) -> list[Matrix]:
    judging, seen = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for row in rows:
        judging[model(row).full_head].add(row["device"])
        seen[_name(row, known)].add(row["search_device"])
    points: dict[tuple[Shown, Ball], list[_Point]] = defaultdict(list)
    for row in rows:
        judge, name, own = model(row), _name(row, known), not is_transfer(row)
        judged = judge.full_head + (f" on {row['device']}" if len(judging[judge.full_head]) > 1 else "")
        found_on = name + (f" through {row['search_device']}" if len(seen[name]) > 1 else "")
        found_on += ANOTHER_SEED if not own and name == judge.full_head else ""
        point = _Point((judge.order, judged), (_order(row, known), found_on), own, row)
        points[replace(show(row), through="", whole=False), ball_of(row)].append(point)
    transferred = {where: its for where, its in points.items() if any(not point.own for point in its)}
    return [_matrix(model(its[0].row), attack, ball, its) for (attack, ball), its in transferred.items()]


def _order(row: Row, known: Mapping[Any, Model]) -> tuple[Any, ...]:
    attacked = known.get(row["search_model_key"])
    return (0, *attacked.order) if attacked else (1, str(row["search_head"]))


def _name(row: Row, known: Mapping[Any, Model]) -> str:
    """The head that was attacked, by its full name where the model stands in the report."""
    attacked = known.get(row["search_model_key"])
    return attacked.full_head if attacked else str(row["search_head"])


def _matrix(model: Model, attack: Shown, ball: Ball, points: Sequence[_Point]) -> Matrix:
    judges, found_on = _ordered(p.judge for p in points), _ordered(p.found_on for p in points)
    cells: dict[tuple[str, str], list[_Point]] = defaultdict(list)
    for point in points:
        cells[point.found_on[1], point.judge[1]].append(point)
    values = tuple(
        tuple(value_of([p.row for p in cells[f, j]], "robust") if (f, j) in cells else None for j in judges) for f in found_on
    )
    own = {(f, j) for f, name in enumerate(found_on) for j, judge in enumerate(judges) if _is_own(cells.get((name, judge)))}
    return Matrix(model, attack, ball, found_on, judges, values, frozenset(own))


def _is_own(points: Sequence[_Point] | None) -> bool:
    return bool(points) and all(point.own for point in points or ())


def _ordered(named: Iterable[tuple[Any, str]]) -> tuple[str, ...]:
    """The distinct names, in the order of what they stand for."""
    first: dict[str, Any] = {}
    for order, name in named:
        first[name] = min(first.get(name, order), order)
    return tuple(sorted(first, key=lambda name: (first[name], name)))
