"""The content of a report, computed once: the rows with their flags, the lines of the table, and the transfer matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from hqc_ray.errors import ResultsError
from hqc_ray.evaluation import audit
from hqc_ray.evaluation.flags import FLAGS
from hqc_ray.evaluation.statistics import total_gradients
from hqc_ray.report.content.attacks import Shown, shown
from hqc_ray.report.content.cards import Card, cards
from hqc_ray.report.content.controls import Compared, compared
from hqc_ray.report.content.lines import Line, attacks_of, gather
from hqc_ray.report.content.models import Model, models
from hqc_ray.report.content.transfers import Matrix, matrices
from hqc_ray.report.style import printable
from hqc_ray.results.columns import kind_of
from hqc_ray.results.row import Row

_SORT = (
    "data_source", "data_size", "backbone", "weights", "image_size", "head", "n_qubits", "embedding", "device", "attack",
    "attack_options", "level", "norm", "epsilon", "seed", "key",
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """Numbers of the whole report."""

    cells: int
    failed: int
    models: int
    seeds: int
    flagged: int
    searches: int  # of those that were evaluated
    gradients: int  # input gradients of single images, each search counted once however many judges it had


@dataclass(frozen=True)
class Report:
    """Everything that tables, figures and page show; they only format it."""

    rows: pd.DataFrame  # sorted, with the column `flags`
    lines: tuple[Line, ...]
    attacks: tuple[Shown, ...]  # of the lines, in the table's order
    controls: tuple[Compared, ...]
    cards: tuple[Card, ...]  # of models on their devices
    transfers: tuple[Matrix, ...]
    shown: Mapping[str, Shown]  # the attack of each row, by the row's key
    models: Mapping[str, Model]  # the model that judged each row
    raised: dict[str, int]  # flag -> number of rows that carry it, in the audit's order
    notes: tuple[str, ...]  # names of `hqc_ray.evaluation.flags.NOTES` that hold
    facts: Facts

    @cached_property
    def certified(self) -> bool:
        """Whether a line has a certificate."""
        return any(line.certified for line in self.lines)

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Report:
        """The report of a sweep's rows, whatever their order.

        Args:
            rows: one row per cell, as `hqc_ray.results.ledger.frame` gives them.

        Raises:
            ResultsError: a column is missing.
        """
        if missing := sorted(set(Row.model_fields) - set(rows.columns)):
            what = f"rows without the column {missing[0]!r}"
            raise ResultsError(what, where="report", valid="the columns of hqc_ray.results.row.Row")
        rows = audit.annotate(_printable(rows).sort_values(list(_SORT), kind="stable", na_position="first", ignore_index=True))
        records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
        model, show = models(records), shown(records)
        lines = gather(records, model, show)
        return cls(
            rows=rows,
            lines=tuple(lines),
            attacks=tuple(attacks_of(lines)),
            controls=compared(records, model),
            cards=cards(records, model),
            transfers=tuple(matrices(records, model, show)),
            shown={row["key"]: show(row) for row in records},
            models={row["key"]: model(row) for row in records},
            raised=_raised(rows),
            notes=tuple(audit.notes(rows)),
            facts=_facts(rows),
        )


def _printable(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every text as it may be shown: names and errors come from users' code."""
    columns: dict[str, pd.Series] = {}
    for name, column in Row.model_fields.items():
        if kind_of(column) is str:
            odd = {text: printable(text) for text in rows[name].unique() if isinstance(text, str) and printable(text) != text}
            columns |= {name: rows[name].replace(odd)} if odd else {}
    return rows.assign(**columns)


def _raised(rows: pd.DataFrame) -> dict[str, int]:
    counts = Counter(flag for its in rows["flags"] for flag in its)
    return {flag: counts[flag] for flag in [*FLAGS, *sorted(set(counts) - set(FLAGS))] if flag in counts}


def _facts(rows: pd.DataFrame) -> Facts:
    good = rows["status"] == "ok"
    return Facts(
        cells=len(rows),
        failed=int((~good).sum()),
        models=int(rows["model_key"].nunique()),
        seeds=int(rows["seed"].nunique()),
        flagged=int(rows["flags"].map(len).gt(0).sum()),
        searches=int(rows[good]["search_key"].nunique()),
        gradients=total_gradients(rows),
    )
