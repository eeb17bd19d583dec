"""A model on its data and device, as at the left of a table's line: everything of a cell except seed, attack and epsilon."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hqc_ray.report.content import reference
from hqc_ray.report.content.settings import NOT_SET, Setting, order, settings
from hqc_ray.report.style import backbone_name, head_order, natural

Row = Mapping[str, Any]
FEW = 3  # classes that are named one by one
_PLACE = ("data", "evaluate")  # the sections whose settings decide on which images a model stands
_SPLIT = "data.split="  # which images of its data were taken: no column of the reference study's table


@dataclass(frozen=True)
class Model:
    """What judges, apart from its seed."""

    backbone: str
    weights: str
    image_size: int | str  # side in pixels, or 'height x width'
    head: str
    head_kind: str
    n_qubits: int | None
    embedding: str
    data_source: str
    data_size: int
    n_classes: int
    class_names: str  # JSON list
    device: str
    device_kind: str
    shots: int | None = None
    layers: int | None = None
    reuploads: int = 1
    readout: str = ""
    train_device: str = ""  # the noisy one that it was trained on
    backbone_title: str = ""
    head_title: str = ""
    settings: tuple[Setting, ...] = ()  # of the sweep file, those that vary in the report
    task: str = ""  # the classes, where the same source gives other tasks too
    variant: str = ""  # the start of the model's key, where nothing else tells two models apart (their training does)

    @property
    def hybrid(self) -> bool:
        """Whether a circuit is in it."""
        return self.head_kind == "circuit"

    @property
    def chance(self) -> float:
        """The accuracy of a guess, in percent."""
        return 100 / self.n_classes

    @property
    def backbone_name(self) -> str:
        """The backbone alone."""
        return self.backbone_title or backbone_name(self.backbone)

    @property
    def name(self) -> str:
        """The backbone, with what is unusual about it."""
        unusual = [w for w in [f"{self.weights} weights" if self.weights == "random" else "", self.variant] if w]
        if self.image_size != reference.IMAGE_SIZE:
            unusual.append(f"at {self.image_size} px")
        return self.backbone_name + (f" ({', '.join(unusual)})" if unusual else "")

    @property
    def data(self) -> str:
        """What is unusual about the data: '(idx, 3 / 8)', '(idx, 10 classes)'; empty for those of Table II."""
        others = self.data_source != reference.DATA_SOURCE
        few = _task(self.class_names) if others and self.n_classes <= FEW else ""
        told = [self.data_source] if others else []
        told += [self.task or few or f"{self.n_classes} classes"] if self.task or few or self.n_classes != 2 else []
        return f"({', '.join(told)})" if told else ""

    @property
    def images(self) -> str:
        """'1,000 images (idx, 10 classes), evaluate.images=40': the data, and what varies of them and of their evaluation."""
        return ", ".join([f"{self.data_size:,} images {self.data}".strip(), *self._told(lambda section: section in _PLACE)])

    @property
    def full_head(self) -> str:
        """The head's name, and what varies of model, training and device: 'mlp, model.hidden=16, train.epochs=3'."""
        return ", ".join([self.head_name, *self._told(lambda section: section not in _PLACE)])

    def _told(self, wanted: Callable[[str], bool]) -> list[str]:
        return [f"{name}={value}" for name, value in self.settings if value != NOT_SET and wanted(name.partition(".")[0])]

    @property
    def head_name(self) -> str:
        """The head, with a control's width, and what is unusual: layers, uploads, embedding, readout, training device."""
        width = f" ({self.n_qubits})" if not self.hybrid and self.n_qubits is not None else ""
        layers = f" x{self.layers}" if self.hybrid and self.layers is not None and self.layers > 1 else ""
        layers += f" r{self.reuploads}" if self.reuploads > 1 else ""
        told = [self.embedding] if self.hybrid and self.embedding not in ("rx", "") else []
        told += [f"readout {self.readout}"] if self.readout not in ("z", "") else []
        trained = f", trained on {self.train_device}" if self.train_device else ""
        return (self.head_title or self.head) + width + layers + (f" ({', '.join(told)})" if told else "") + trained

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts lines as the paper does: by backbone, size and head."""
        place = (self.data_source, natural(self.backbone), self.weights, natural(str(self.image_size)), self.data_size, self.task)
        head = head_order(self.head, self.hybrid)
        circuit = (self.n_qubits or 0, self.layers or 0, self.reuploads, self.embedding, self.readout)
        values = tuple(map(order, self.settings))
        return (*place, head, *circuit, natural(self.train_device), natural(self.device), values, self.variant)

    @property
    def place(self) -> tuple[object, ...]:
        """Data and backbone: what the models of one figure share, and what its file is named after."""
        size = "" if self.image_size == reference.IMAGE_SIZE else self.image_size
        told = self._told(lambda section: section in _PLACE)
        return self.data_source, self.task, self.data_size, self.backbone, self.weights, size, *told

    @property
    def in_table2(self) -> bool:
        """Whether the reference study may have such a model; the columns of its table decide the rest."""
        ideal = self.device_kind in ("classical", "ideal") and self.shots is None
        varied = [told for told in self._told(lambda section: section != "evaluate") if not told.startswith(_SPLIT)]
        plain = not (self.variant or varied or self.task or self.train_device) and self.weights != "random"
        circuit = (self.layers or 1) == 1 and self.reuploads == 1 and self.readout in ("z", "")
        return self.data_source == reference.DATA_SOURCE and self.n_classes == 2 and ideal and plain and circuit


def models(rows: Sequence[Row]) -> Callable[[Row], Model]:
    """The model of each of these rows."""
    told = settings(rows)
    tasks: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        tasks[row["data_source"]].add(row["class_names"])

    def model(row: Row) -> Model:
        names = ("backbone", "weights", "head", "head_kind", "data_source", "class_names", "device", "device_kind")
        fields: dict[str, Any] = {k: str(row[k]) for k in (*names, "backbone_title", "head_title")}
        fields |= {k: int(row[k]) for k in ("image_size", "data_size", "n_classes")}
        if not pd.isna(width := row.get("image_width")):
            fields["image_size"] = f"{row['image_size']} x {int(width)}"
        fields |= {k: None if pd.isna(row[k]) else int(row[k]) for k in ("n_qubits", "layers", "shots")}
        fields |= {k: "" if pd.isna(row[k]) else str(row[k]) for k in ("embedding", "readout", "train_device")}
        return Model(
            **fields,
            reuploads=1 if pd.isna(row["reuploads"]) else int(row["reuploads"]),
            settings=told(row),
            task=_task(row["class_names"]) if len(tasks[row["data_source"]]) > 1 else "",
        )

    return model


def _task(class_names: str) -> str:
    """'3 / 8', or for more than a few classes their number, the first and the last: '4 classes, 0 to 9'."""
    names = json.loads(class_names)
    return " / ".join(names) if len(names) <= FEW else f"{len(names)} classes, {names[0]} to {names[-1]}"
