"""A results folder as Python objects: rows, the images that each was evaluated on, its model, its adversarial examples."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hqc_ray import data, spec, usercode
from hqc_ray.data import Source, Subset
from hqc_ray.data.checked import checked_classes
from hqc_ray.data.selection import select
from hqc_ray.data.splits import read_again, subset
from hqc_ray.errors import InputError, ResultsError, shown
from hqc_ray.models.classifier import Classifier, load_classifier
from hqc_ray.quantum import devices
from hqc_ray.quantum.devices import Device
from hqc_ray.report import Report
from hqc_ray.report.tables.rows import parquet
from hqc_ray.results.folder import Folder
from hqc_ray.results.kept import kept
from hqc_ray.results.ledger import frame
from hqc_ray.results.row import Row
from hqc_ray.sweep.work.deployed import native

AnyRow = Row | str | Mapping[str, Any]  # a row, its key or how that begins, or a line of the frame
NATIVE = " (native)"
TELLING = (
    "attack",
    "epsilon",
    "head",
    "device",
    "backbone",
    "seed",
    "data_size",
    "level",
    "norm",
    "search_head",
    "search_seed",
    "access",
)


class Results:
    """What `hqc_ray.results("results/x")` gives; files are read when they are asked for.

    Args:
        folder: that `hqc sweep` made; of a sweep that still runs, what is there so far.

    Raises:
        ResultsError: no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Folder(Path(folder))
        self._all = self.folder.rows()

    def __repr__(self) -> str:
        return f"hqc_ray.results({str(self.folder.path)!r})  # {len(self._all)} rows"

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row per cell, in the order of the sweep; docs/columns.md describes the columns, and the flags.

        Whole numbers stay whole, and None is NA.
        """
        made = pd.read_parquet(io.BytesIO(parquet(Report.of(frame(self._all)))))  # sorted for a reader of the file
        return made.set_index("key", drop=False).loc[[row.key for row in self._all]].reset_index(drop=True)

    @property
    def summary(self) -> pd.DataFrame:
        """summary.csv: a line per model, device and epsilon, with the worst case over attacks.

        Raises:
            ResultsError: there is none.
        """
        try:
            return pd.read_csv(self.folder.summary, float_precision="round_trip")
        except OSError as problem:
            valid = f"hqc report {self.folder.path} writes it"
            raise ResultsError("no summary.csv", where=str(self.folder.path), valid=valid) from problem

    def row(self, key: str = "", /, **wanted: Any) -> Row:
        """The one row with this key (or its beginning), or with these values: row(head="vqc1", attack="pgd", epsilon=0.05).

        Raises:
            ResultsError: no such column, no such row, or several; it says in which columns these differ.
        """
        if unknown := sorted(wanted.keys() - Row.model_fields.keys()):
            raise ResultsError(f"no column {shown(unknown[0])}", where=str(self.folder.path), valid="those of rows.csv")
        if key and not wanted:
            return self.folder.row(key)
        found = [
            row for row in self._all if row.key.startswith(key) and all(_same(getattr(row, k), v) for k, v in wanted.items())
        ]
        if len(found) == 1:
            return found[0]
        raise ResultsError(
            f"{len(found)} rows with {shown(wanted)}", where=str(self.folder.path), valid=_telling(found or self._all, wanted)
        )

    def images(self, row: AnyRow, /, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Exactly the images that a row was evaluated on: [N, H, W, 3] uint8, and their labels [N].

        Args:
            row: see `AnyRow`.
            options: of the data source, in place of those of the row, such as `path` where the data lie elsewhere here.

        Raises:
            ResultsError: the cell failed, or the data here are not those of the row.
            DataError: the source cannot be read.
        """
        found = self._found(row)
        source, split, at = self._evaluated(found, options)
        return read_again(source, split.indices[at], split.hashes[at]), split.labels[at].astype(np.int64)

    def classifier(self, row: AnyRow, /, device: Device | Mapping[str, Any] | str | None = None) -> Classifier:
        """The model that judged a row, on the device it was judged on: a torch module, [B, 3, H, W] in [0, 1] -> logits [B, K].

        On a device with shots it is the exact function that these sample.

        Args:
            row: see `AnyRow`.
            device: puts the circuit elsewhere, see `load_classifier`.

        Raises:
            ModelError: the model's file or its backbone's weights are not here.
            ResultsError: the row does not say which device that was.
        """
        found = self._found(row)
        if found.head_kind == "classical":
            return load_classifier(self.folder.path, found.model_key)
        if device is not None:
            return load_classifier(self.folder.path, found.model_key, device)
        on = self._device(found)
        if found.mode == "native":
            return native(load_classifier(self.folder.path, found.model_key), on)[0]
        return load_classifier(self.folder.path, found.model_key, on)

    def adversarial(self, row: AnyRow, /, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images of a row after the attack, [N, H, W, 3] uint8 inside the ball, in the order of `images`, and the labels [N].

        They are what `robust_accuracy_8bit` is of; `kept/` holds the floats beside them.

        Args:
            row: see `AnyRow`.
            options: see `images`; asked for only where a model of another seed judged some of the attacked images.

        Raises:
            ResultsError: none were kept (`evaluate: {keep: true}` keeps them).
        """
        found = self._found(row)
        files = kept(self.folder, found)
        images, labels = files["adversarial_8bit"], files["labels"]
        if found.seed != found.search_seed:
            _, split, at = self._evaluated(found, options)
            seen = np.searchsorted(split.test, at)
            images, labels = images[seen], labels[seen]
        return images, labels.astype(np.int64)

    def _found(self, row: AnyRow) -> Row:
        if isinstance(row, Row):
            return row
        return self.row(row if isinstance(row, str) else str(row["key"]))

    def _evaluated(self, row: Row, options: Mapping[str, Any]) -> tuple[Source, Subset, np.ndarray]:
        """The source, the subset of the attacked model, and the positions in it of the images that the row is of."""
        if row.status != "ok":
            raise ResultsError(
                f"row {row.key} failed: no image was evaluated", where=str(self.folder.path), valid="a row with status ok"
            )
        source = _source(row, options)
        own = _subset(source, row, row.seed)
        if own.digest != row.data_digest:
            what = f"the data here are not those of row {row.key}: digest {own.digest}, not {row.data_digest}"
            raise ResultsError(what, where=str(self.folder.path), valid="the files it was computed from; images(row, path=...)")
        if row.seed == row.search_seed:
            return source, own, own.test[: row.n_evaluated]
        searched = _subset(source, row, row.search_seed)  # of which a model of another seed judges what it was not trained on
        at = searched.test[: row.evaluate_images]
        return source, searched, at[~np.isin(searched.hashes[at], own.hashes[np.concatenate([own.train, own.validation])])]

    def _device(self, row: Row) -> Device:
        """The device that a row names: its label tells the name, but for a user's own class, whose name is in the sweep file."""
        label, options = row.device.removesuffix(NATIVE), json.loads(row.device_options or "{}")
        name = label.partition("[")[0]
        for one in ["pennylane" if name.startswith("pennylane:") else name, *_own_names(self.folder)]:
            with contextlib.suppress(InputError):
                made = devices.get(one, **options)
                if made.label == label:
                    return made
        what = f"row {row.key} does not say enough about its device {shown(label)}"
        raise ResultsError(what, where=str(self.folder.path), valid="classifier(row, device=...)")


def _own_names(folder: Folder) -> list[str]:
    try:
        return usercode.names(spec.load(folder.sweep))
    except InputError:
        return []


def _source(row: Row, given: Mapping[str, Any]) -> Source:
    """The data source of a row, with the classes that the row has."""
    options = json.loads(row.data_options or "{}") | dict(given)
    options = {k: os.path.expanduser(spec.expand(v, k)) if isinstance(v, str) else v for k, v in options.items()}
    source, names = data.get(row.data_source, **options), json.loads(row.class_names)
    return source if list(checked_classes(source)) == names else select(source, names)


def _subset(source: Source, row: Row, seed: int) -> Subset:
    return subset(source, row.data_size, seed, row.data_test_fraction, row.data_validation_fraction)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and isinstance(wanted, int | float):
        return math.isclose(value, wanted, rel_tol=1e-9)
    return bool(value == wanted)


def _telling(rows: list[Row], asked: Mapping[str, Any]) -> str:
    """Columns in which rows differ, with some values of each."""
    told = []
    for name in TELLING:
        values = list(dict.fromkeys(getattr(row, name) for row in rows))
        if len(values) > 1 and (name not in asked or len(rows) == 0 or asked[name] not in values):
            told.append(f"{name}={' | '.join(shown(value) for value in values[:6])}{' ...' if len(values) > 6 else ''}")
    return ", ".join(told) or "another key"
