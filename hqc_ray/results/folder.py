"""The layout of a results folder: the only place that knows the names of its files. It reads; `Store` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqc_ray.errors import ModelError, ResultsError
from hqc_ray.results import ledger
from hqc_ray.results.row import Row

EXAMPLES, MODELS, FIGURES = "examples", "models", "figures"


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
    def csv(self) -> Path:
        """The rows as a table of text."""
        return self.path / "rows.csv"

    @property
    def parquet(self) -> Path:
        """The rows as a table with types."""
        return self.path / "rows.parquet"

    def rows(self) -> list[Row]:
        """The latest row of each cell, in the order of the sweep's file; without that, in the order of the ledger.

        Raises:
            ResultsError: no ledger, or a line of it is not a row.
        """
        if not self.ledger.is_file():
            raise ResultsError("no rows.jsonl", where=str(self.path), valid="a folder that `hqc sweep` made")
        latest = {row.key: row for row in ledger.read(self.ledger)}
        order = json.loads(self.cells.read_text()) if self.cells.exists() else latest
        return [latest[key] for key in order if key in latest]

    def facts(self) -> dict[str, Any]:
        """The content of `provenance`; empty if the file does not exist."""
        return json.loads(self.provenance.read_text()) if self.provenance.exists() else {}
