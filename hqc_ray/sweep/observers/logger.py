"""What a logger is: it gets each result once, when the ledger has it, as a point of a run's curve."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from hqc_ray.entries import Entry
from hqc_ray.errors import SpecError
from hqc_ray.results.row import Row

PARAMETERS = (
    "sweep", "data_source", "data_size", "seed", "backbone", "weights", "image_size", "head", "head_kind", "n_qubits",
    "embedding", "layers", "reuploads", "readout", "train_device", "train_epochs", "train_batch_size", "train_learning_rate",
    "device", "device_kind", "shots", "mode", "model_key",
)  # fmt: skip
AT_ONCE = ("clean_accuracy", "test_accuracy")  # of a run's first row: they are the same in all
MILLION = 1_000_000  # steps of a curve are whole numbers: millionths of epsilon


@dataclass(frozen=True)
class Run:
    """A trained model on a device: what the tools call a run."""

    key: str
    name: str
    parameters: dict[str, str | int | float]

    @classmethod
    def of(cls, row: Row) -> Run:
        """The run that a row belongs to; the same in every process, so that a resumed sweep goes on with it."""
        key = hashlib.sha256(f"{row.sweep}\n{row.model_key}\n{row.device}".encode()).hexdigest()[:16]
        name = f"{row.backbone} {row.head} {row.device} size {row.data_size} seed {row.seed}"
        return cls(key, name, {column: value for column in PARAMETERS if (value := getattr(row, column)) not in (None, "")})


def metric(row: Row) -> str:
    """The curve that a row is a point of, over epsilon: 'robust_accuracy/pgd', with what tells it from others of the run."""
    parts = [row.attack_label]
    parts += [row.level] if row.level != "pixels" else []
    parts += [f"access {row.access}"] if row.access != "exact" else []
    transfer = row.search_model_key != row.model_key
    parts += [f"from {row.search_head} seed {row.search_seed}"] if transfer else []
    parts += [f"from {row.search_device}"] if row.foreign_device and row.access == "exact" else []
    return f"robust_accuracy/{' '.join(parts)}"


def step(row: Row) -> int:
    """Where a row stands on its curve, in millionths of epsilon."""
    return round(row.epsilon * MILLION)


class Session:
    """An open logger. Whatever it raises is said once, and ends it; the sweep goes on."""

    @abstractmethod
    def log(self, run: Run, rows: Sequence[Row]) -> None:
        """Take new results of a run."""

    def close(self) -> None:
        """Nothing more comes."""


class Logger(Entry):
    """Base class of loggers. Its fields are its options in the sweep file.

    Attributes:
        modules: that it imports.
        extra: what `pip install 'hqc_ray[...]'` brings them.
    """

    modules: ClassVar[tuple[str, ...]]
    extra: ClassVar[str]

    def check(self) -> None:
        """Refuse it where its packages are not installed; imports nothing.

        Raises:
            SpecError: with the line that installs them.
        """
        if lacking := [module for module in self.modules if find_spec(module) is None]:
            raise SpecError(
                f"logger {self.extra!r} needs {', '.join(lacking)}, not installed", valid=f"pip install 'hqc_ray[{self.extra}]'"
            )

    @abstractmethod
    def open(self, folder: Path, sweep: str) -> Session:
        """Begin a session.

        Args:
            folder: the results folder.
            sweep: the name of the sweep.
        """


def described(row: Row) -> dict[str, Any]:
    """The numbers of a run's model, from any of its rows."""
    return {name: value for name in AT_ONCE if (value := getattr(row, name)) is not None}
