"""The layout of a results folder: the only place that knows the names of its files. It reads; `Store` writes."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqc_ray.errors import ModelError, ResultsError, shown

if TYPE_CHECKING:
    import pandas as pd

    from hqc_ray.results.row import Planned, Row

MADE = "a folder that `hqc sweep` made"
GO_ON = "the same `hqc sweep` again, which goes on; `hqc status` says whether one is at work"
AGAIN = "`hqc sweep` writes it again; or delete it, and all rows are shown"
EXAMPLES, KEPT, MODELS, FIGURES = "examples", "kept", "models", "figures"
HISTORY = ("model_key", "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")  # of training.csv


def kept_name(row: Planned | Row) -> str:
    """The file with all images of a row after the attack; rows that only differ in who judges share it."""
    return f"{KEPT}/{row.search_key}-{row.epsilon!r}.npz"


@dataclass(frozen=True)
class Folder:
    """A results folder, also one that a driver is writing to.

    Args:
        path: such as results/quickstart.
    """

    path: Path

    @property
    def name(self) -> str:
        """The name of the folder, which is that of its sweep."""
        return self.path.resolve().name

    @property
    def ledger(self) -> Path:
        """The rows, as JSON lines: the truth."""
        return self.path / "rows.jsonl"

    @property
    def sweep(self) -> Path:
        """The sweep file, resolved; it says whose folder this is."""
        return self.path / "sweep.yaml"

    @property
    def cells(self) -> Path:
        """The keys of the sweep's cells, in the order of its file."""
        return self.path / "cells.json"

    @property
    def provenance(self) -> Path:
        """Versions, commit and hardware of every run."""
        return self.path / "provenance.json"

    @property
    def lock(self) -> Path:
        """Which driver owns the folder."""
        return self.path / ".lock"

    @property
    def status(self) -> Path:
        """What the driver noted last, for `hqc status`."""
        return self.path / ".status.json"

    @property
    def models(self) -> Path:
        """The trained models."""
        return self.path / MODELS

    def model(self, key: str) -> Path:
        """The file of the one model whose key is `key`, or begins with it.

        Raises:
            ModelError: no model, or several of them.
        """
        stems = sorted(path.stem for path in self.models.glob("*.pt"))
        found = [stem for stem in stems if stem == key] or [stem for stem in stems if stem.startswith(key)]
        if len(found) != 1:
            what = f"{len(found)} models begin with {key!r}" if found else f"no model {key!r}"
            there = ", ".join(found or stems) or "none: no model was trained in this folder"
            raise ModelError(what, where=str(self.models), valid=there)
        return self.models / f"{found[0]}.pt"

    def figure(self, name: str) -> Path:
        """The path of a figure of the report."""
        return self.path / FIGURES / f"{name}.png"

    def figures(self) -> list[Path]:
        """The paths of all existing figures."""
        return sorted((self.path / FIGURES).glob("*.png"))

    @property
    def table(self) -> Path:
        """The report's table."""
        return self.path / "table.md"

    @property
    def page(self) -> Path:
        """The report's page."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """The numbers of the report's table, with the worst case."""
        return self.path / "summary.csv"

    @property
    def training(self) -> Path:
        """How the models were trained, epoch by epoch."""
        return self.path / "training.csv"

    def histories(self) -> pd.DataFrame | None:
        """training.csv; None where there is none, or it is something else: the report stands without it."""
        import pandas as pd  # which `hqc status` does without

        try:
            found = pd.read_csv(self.training, float_precision="round_trip")
            return found[list(HISTORY)].astype({"epoch": int, **dict.fromkeys(HISTORY[2:], float)})
        except (OSError, ValueError, KeyError):
            return None

    @property
    def csv(self) -> Path:
        """The rows as a table of text."""
        return self.path / "rows.csv"

    @property
    def parquet(self) -> Path:
        """The rows as a table with types."""
        return self.path / "rows.parquet"

    def rows(self) -> list[Row]:
        """The latest result of each cell, else its latest failure, in the order of the sweep's file, else of the ledger.

        Raises:
            ResultsError: no ledger, or a line of it is not a row; or the list of the sweep's cells is damaged.
        """
        from hqc_ray.results import ledger  # rows take 0.3 s to import, which `hqc status` does without

        if not self.path.is_dir():
            what = "not a folder" if self.path.exists() else "no such folder"
            raise ResultsError(what, where=str(self.path), valid=MADE)
        if not self.ledger.is_file() and not self.cells.is_file():
            raise ResultsError("no rows.jsonl", where=str(self.path), valid=MADE)
        found: dict[str, Row] = {}
        for row in ledger.read(self.ledger) if self.ledger.is_file() else ():
            if row.status == "ok" or row.key not in found or found[row.key].status != "ok":
                found[row.key] = row
        if not found:
            what = "no cell is done yet" + (f" (0 of {len(cells):,})" if (cells := self.order()) else "")
            raise ResultsError(what, where=str(self.path), valid=GO_ON)
        keys = dict.fromkeys(self.order() or found)
        if not keys.keys() & found.keys():
            what = f"no row of rows.jsonl is of a cell in cells.json ({len(found)} rows, {len(keys)} cells)"
            raise ResultsError(what, where=str(self.path), valid=f"the file that belongs to them: {AGAIN}")
        if left := len(found.keys() - keys.keys()):
            warnings.warn(f"{left} rows are of cells that cells.json does not list (any more): they are not shown", stacklevel=2)
        return [found[key] for key in keys if key in found]

    def row(self, key: str) -> Row:
        """The one row whose key is `key`, or begins with it.

        Raises:
            ResultsError: no row, or several of them; or `rows` cannot be read.
        """
        rows = self.rows()
        found = [row for row in rows if row.key == key] or [row for row in rows if row.key.startswith(key)]
        if len(found) != 1:
            what = f"{len(found)} rows begin with {shown(key)}" if found else f"no row {shown(key)}"
            valid = ", ".join(row.key for row in (found or rows)[:5]) + " ... in rows.csv"
            raise ResultsError(what, where=str(self.path), valid=valid)
        return found[0]

    def order(self) -> list[str] | None:
        """The keys of the sweep's cells; None where they are not listed.

        Raises:
            ResultsError: the list is damaged.
        """
        keys = _read_json(self.cells)
        if keys is None and not self.cells.exists():
            return None
        if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
            raise ResultsError("cells.json is damaged", where=str(self.path), valid=f"a list of the sweep's cells: {AGAIN}")
        return keys

    def facts(self) -> dict[str, Any]:
        """The content of `provenance`; empty if the file does not exist.

        Raises:
            ResultsError: it is damaged.
        """
        facts = _read_json(self.provenance)
        if facts is None and not self.provenance.exists():
            return {}
        runs = facts.get("runs") if isinstance(facts, dict) else None
        if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
            valid = "the runs of the sweep: mend it, or delete it, and the report stands without them"
            raise ResultsError("provenance.json is damaged", where=str(self.path), valid=valid)
        return facts


def _read_json(path: Path) -> Any:
    """What a JSON file holds; None if there is none, or if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except PermissionError as problem:
        raise ResultsError(f"cannot read {path.name}: {problem.strerror}", where=str(path.parent)) from problem
    except (OSError, ValueError, RecursionError):
        return None
