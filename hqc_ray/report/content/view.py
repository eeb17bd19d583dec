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
from hqc_ray.report.content.answer import Rows, answer
from hqc_ray.report.content.attacks import Shown, shown
from hqc_ray.report.content.cards import Card, cards
from hqc_ray.report.content.controls import Compared, compared
from hqc_ray.report.content.facts import Facts, facts_of
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
class Report:
    """Everything that tables, figures and page show; they only format it."""

    answer: tuple[str, ...]  # what the rows say, in a few sentences
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

    @property
    def unfinished(self) -> str:
        """'3 of 65 cells, 61 to come, 1 failed'; empty once every cell of the sweep has a row."""
        return self.facts.unfinished

    @cached_property
    def certified(self) -> bool:
        """Whether a line has a certificate."""
        return any(line.certified for line in self.lines)

    @classmethod
    def of(cls, rows: pd.DataFrame, cells: int | None = None) -> Report:
        """The report of a sweep's rows, whatever their order.

        Args:
            rows: one row per cell, as `hqc_ray.results.ledger.frame` gives them.
            cells: how many the sweep has, those without a row included; None: as many as there are rows.

        Raises:
            ResultsError: a column is missing.
        """
        if missing := sorted(set(Row.model_fields) - set(rows.columns)):
            what = f"rows without the column {missing[0]!r}"
            raise ResultsError(what, where="report", valid="the columns of hqc_ray.results.row.Row")
        outstanding = max(0, (cells or 0) - len(rows))
        rows = _printable(rows).sort_values(list(_SORT), kind="stable", na_position="first", ignore_index=True)
        rows = audit.annotate(rows, outstanding > 0)
        records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
        model, show = models(records), shown(records)
        lines, controls = gather(records, model, show), compared(records, model)
        raised, notes, facts = _raised(rows), audit.notes(rows, outstanding > 0), facts_of(rows, outstanding)
        return cls(
            answer=answer(Rows(records, model, show), lines, controls, facts, raised, notes),
            rows=rows,
            lines=tuple(lines),
            attacks=tuple(attacks_of(lines)),
            controls=controls,
            cards=cards(records, model),
            transfers=tuple(matrices(records, model, show)),
            shown={row["key"]: show(row) for row in records},
            models={row["key"]: model(row) for row in records},
            raised=raised,
            notes=tuple(notes),
            facts=facts,
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
