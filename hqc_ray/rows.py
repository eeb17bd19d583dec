"""The row of a cell, the ledger that keeps rows for good, and where the numbers come from. A row is never half, never twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hqc_ray.errors import ResultsError, WriteError

VOLATILE = ("seconds", "host", "finished_at")  # measured; every other column is the same in every run


class Row(BaseModel):
    """One cell and what was found. Accuracies are fractions; epsilon, mean_linf and mean_l2 are in pixel units of [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    status: Literal["ok", "failed"]
    sweep: str
    data_source: str
    data_size: int
    data_digest: str
    seed: int
    backbone: str
    weights: str
    weights_origin: str
    image_size: int
    head: str
    n_qubits: int | None
    embedding: str | None
    layers: int | None
    reuploads: int | None = None
    train_device: str = Field("", description="label of the noisy device that it was trained on; empty: an ideal one")
    model_key: str
    device: str
    attack: str
    attack_options: str = Field(description="JSON of the attack's options, defaults included")
    attack_label: str
    norm: str
    epsilon: float
    n_train: int | None = None
    n_test: int | None = None
    test_accuracy: float | None = Field(
        None, description="on the whole test part, on this device (of sampled ones: its exact twin)"
    )
    n_evaluated: int | None = None
    clean_accuracy: float | None = Field(None, description="on the evaluated images")
    clean_low: float | None = Field(None, description="95 % Wilson interval")
    clean_high: float | None = None
    robust_accuracy: float | None = Field(None, description="correct before and after, over the evaluated images")
    robust_low: float | None = None
    robust_high: float | None = None
    clean_correct: str | None = Field(None, description="one bit an evaluated image, packed, hexadecimal")
    robust_correct: str | None = None
    mean_linf: float | None = Field(None, description="mean over the attacked images of the largest change of a pixel")
    mean_l2: float | None = None
    bad_gradient_share: float | None = Field(None, description="of the attacked images: input gradient zero or not finite")
    gradients: int | None = Field(None, description="input gradients of single images that this epsilon took")
    forwards: int | None = None
    surrogate_error: float | None = Field(None, description="largest error of the surrogate's probabilities at fresh angles")
    circuits: int | None = Field(None, description="circuit executions that measured the surrogate on the device")
    surrogate_standard_error: float | None = Field(
        None, description="of <Z>, the largest at the same angles, by the shots of a measured surrogate; None is exact"
    )
    depth: int | None = Field(None, description="of the circuit as the device's compiler left it, readout not counted")
    two_qubit_gates: int | None = Field(None, description="in the compiled circuit")
    layout: str | None = Field(None, description="JSON: physical qubit of each wire at the end; None where nothing is compiled")
    shots: int | None = Field(None, description="per circuit; None is exact")
    repeats: int | None = Field(None, description="evaluations of each image on a sampled device; accuracies are their means")
    clean_shot_low: float | None = Field(None, description="95 % interval of one evaluation of the same images by other shots")
    clean_shot_high: float | None = None
    robust_shot_low: float | None = Field(
        None, description="the same of the same perturbations; where the surrogate is measured, both by another measurement too"
    )
    robust_shot_high: float | None = None
    shot_flip_share: float | None = Field(None, description="of clean images and repeats: shot noise changed the prediction")
    mode: str = Field("surrogate", description="how the circuit ran: as its exact surrogate, or natively on the device")
    access: str = Field("exact", description="what the attacker differentiates: the device, its shots, or the ideal twin")
    outputs_normalised: bool | None = Field(None, description="the outputs look like probabilities, not logits")
    example: str = ""
    error: str = ""
    seconds: float | None = Field(None, description="wall time of the cell's group, shared evenly over its cells")
    host: str = ""
    finished_at: str = ""

    def facts(self) -> dict[str, Any]:
        """All but the volatile columns: equal in every run of the same cell."""
        return self.model_dump(exclude=set(VOLATILE))


class Ledger:
    """Rows in a file of JSON lines. Each append is on disk when it returns; a half-written last line is cut off on opening."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        if path.exists():
            _cut_half_line(path)
            for row in read(path):
                self._take(row)

    def _take(self, row: Row) -> None:
        """A failure may be followed by a result, never a result by anything."""
        if row.key in self.rows and self.rows[row.key].status == "ok":
            raise ResultsError(f"the row {row.key} is there already", where=str(self.path.name))
        self.rows[row.key] = row

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows and wait until the disk has them, all in one write.

        Raises:
            ResultsError: a row of that key is there already.
            WriteError: the disk does not take it.
        """
        rows = list(rows)
        for row in rows:
            self._take(row)
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as problem:
            for row in rows:
                del self.rows[row.key]
            raise WriteError(f"{self.path.name}: cannot write a row: {problem.strerror}") from problem

    def done(self) -> set[str]:
        """The keys of the cells that have a result."""
        return {k for k, r in self.rows.items() if r.status == "ok"}

    def frame(self, order: Iterable[str] | None = None) -> pd.DataFrame:
        """The rows as a table, in the order of the keys given, or sorted by key."""
        keys = [k for k in order if k in self.rows] if order is not None else sorted(self.rows)
        return frame(self.rows[k] for k in keys)


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a pandas table with every column, also when there is no row."""
    return pd.DataFrame([r.model_dump() for r in rows], columns=list(Row.model_fields))


def read(path: Path) -> Iterator[Row]:
    """The rows of a ledger.

    Raises:
        ResultsError: a line that is no row; it says which.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return  # half a line: of a driver that died while it wrote, or is writing now
            try:
                yield Row(**json.loads(line))
            except (json.JSONDecodeError, ValidationError, TypeError) as problem:
                raise ResultsError("not a row of this version", where=f"{path.name}, line {number}") from problem


def _cut_half_line(path: Path) -> None:
    """A driver that died in the middle of a write leaves a line without its end: it never counted."""
    with path.open("rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            file.truncate(end)
