"""Rows, one a cell, gathered into lines, one a model x images x device x epsilon, with the seeds averaged."""

from __future__ import annotations

import statistics as st
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hqc_ray.evaluation.statistics import unpack, wilson, worst_case
from hqc_ray.report import reference
from hqc_ray.report.style import attack_order, backbone_name, head_order, natural

Row = Mapping[str, Any]
IDEAL = ("classical", "default.qubit", "lightning.qubit", "qiskit.aer")  # what the paper's simulator stands for


@dataclass(frozen=True)
class Model:
    """What stands at the left of a line: everything of a cell but its seed, attack and epsilon."""

    backbone: str
    weights: str
    image_size: int
    head: str
    n_qubits: int | None
    embedding: str
    data_source: str
    data_size: int
    device: str
    layers: int | None = None
    reuploads: int = 1
    train_device: str = ""  # the noisy one that it was trained on
    variant: str = ""  # the start of the model's key, where nothing else tells two models apart (their training does)

    @property
    def hybrid(self) -> bool:
        """Whether a circuit is in it."""
        return self.device != "classical"

    @property
    def name(self) -> str:
        """The backbone, with what is not usual about it."""
        unusual = [w for w in [f"{self.weights} weights" if self.weights == "random" else "", self.variant] if w]
        if self.image_size != 96:
            unusual.append(f"at {self.image_size} px")
        return backbone_name(self.backbone) + (f" ({', '.join(unusual)})" if unusual else "")

    @property
    def head_name(self) -> str:
        """The head, with a control's width, more than one layer or upload, an embedding other than RX, and noise in training."""
        width = f" ({self.n_qubits})" if not self.hybrid and self.n_qubits is not None else ""
        layers = f" x{self.layers}" if self.hybrid and self.layers is not None and self.layers > 1 else ""
        layers += f" r{self.reuploads}" if self.reuploads > 1 else ""
        embedding = f" ({self.embedding})" if self.hybrid and self.embedding not in ("rx", "") else ""
        trained = f", trained on {self.train_device}" if self.train_device else ""
        return self.head + width + layers + embedding + trained

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts lines as the paper does: by backbone, size and head."""
        place = (self.data_source, natural(self.backbone), self.weights, self.image_size, self.data_size, head_order(self.head))
        circuit = (self.n_qubits or 0, self.layers or 0, self.reuploads, self.embedding)
        return (*place, *circuit, natural(self.train_device), natural(self.device), self.variant)


@dataclass(frozen=True)
class Value:
    """An accuracy in percent over the seeds of a line."""

    mean: float  # NaN: no seed was evaluated
    spread: float | None  # sample standard deviation over seeds; None of fewer than two
    low: float  # 95 % Wilson interval over the images of all seeds together
    high: float
    seeds: int
    failed: int = 0
    flags: Counter[str] = field(default_factory=Counter)  # flag -> how many seeds earned it
    paper: float | None = None
    paper_flagged: bool = False


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    model: Model
    norm: str
    epsilon: float | None  # None: only clean accuracies
    clean: Value
    attacks: Mapping[str, Value]  # by the attack's label
    worst: Value | None  # over attacks and smaller epsilons of the same norm

    @property
    def flags(self) -> dict[str, dict[str, str]]:
        """Flag -> label of what earned it (`clean` or an attack) -> '1/3' where not every seed did, else ''."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for label, value in {"clean": self.clean, **self.attacks}.items():
            for flag, count in value.flags.items():
                found[flag][label] = f"{count}/{value.seeds}" if count < value.seeds else ""
        return dict(found)


def gather(rows: pd.DataFrame) -> list[Line]:
    """The lines of rows that carry the column `flags` (see `hqc_ray.evaluation.audit.annotate`), in the table's order."""
    models: dict[Model, list[Row]] = defaultdict(list)
    for row in rows.to_dict("records"):
        models[_model(row)].append({str(k): v for k, v in row.items()})
    told_apart = {m: r for model, its in models.items() for m, r in _told_apart(model, its).items()}
    return [line for model in sorted(told_apart, key=lambda m: m.order) for line in _lines(model, told_apart[model])]


def labels(lines: Iterable[Line]) -> list[str]:
    """Every attack label of the lines, in the table's order."""
    return sorted({label for line in lines for label in line.attacks}, key=attack_order)


def _model(row: Mapping[Any, Any]) -> Model:
    fields: dict[str, Any] = {k: str(row[k]) for k in ("backbone", "weights", "head", "data_source", "device")}
    fields |= {k: int(row[k]) for k in ("image_size", "data_size")}
    fields |= {k: None if pd.isna(row.get(k)) else int(row[k]) for k in ("n_qubits", "layers")}
    fields["reuploads"] = 1 if pd.isna(row.get("reuploads")) else int(row["reuploads"])  # rows of before had no such column
    fields["train_device"] = "" if pd.isna(row.get("train_device")) else str(row["train_device"])  # nor this one
    return Model(**fields, embedding="" if pd.isna(row["embedding"]) else str(row["embedding"]))


def _told_apart(model: Model, rows: list[Row]) -> dict[Model, list[Row]]:
    """Two models of one seed differ in what no column shows (their training): never average them as if they were seeds."""
    keys = defaultdict(set)
    for row in rows:
        keys[row["seed"]].add(row["model_key"])
    if all(len(k) == 1 for k in keys.values()):
        return {model: rows}
    variants: dict[Model, list[Row]] = defaultdict(list)
    for row in rows:
        fields = {k: v for k, v in vars(model).items() if k != "variant"}
        variants[Model(**fields, variant=str(row["model_key"])[:8])].append(row)
    return dict(variants)


def _lines(model: Model, rows: Sequence[Row]) -> list[Line]:
    clean = _value(_clean_rows(rows), "clean", _paper(model, None, "clean"))
    cells: dict[tuple[str, float], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["attack"] != "clean":
            cells[str(row["norm"]), float(row["epsilon"])][str(row["attack_label"])].append(row)
    if not cells:
        return [Line(model, "", None, clean, {}, None)]
    lines = []
    for norm, epsilon in sorted(cells, key=lambda c: (c[0] != "linf", c)):
        attacks = {
            label: _value(its, "robust", _paper(model, epsilon, label) if norm == "linf" else (None, False))
            for label, its in sorted(cells[norm, epsilon].items(), key=lambda item: attack_order(item[0]))
        }
        lines.append(Line(model, norm, epsilon, clean, attacks, _worst(rows, norm, epsilon)))
    return lines


def _clean_rows(rows: Sequence[Row]) -> list[Row]:
    """One row a trained model: that of the attack `clean`, or the first other one without its flags, which are its attack's."""
    chosen: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda r: (r["status"] != "ok", r["attack"] != "clean", r["epsilon"], str(r["attack_label"]))):
        own = row["attack"] == "clean"
        chosen.setdefault(row["model_key"], row if own else {**row, "flags": [f for f in row["flags"] if f == "near_chance"]})
    return list(chosen.values())


def _paper(model: Model, epsilon: float | None, label: str) -> tuple[float | None, bool]:
    """The paper's number and whether it would be flagged, if the cell is one of the paper's."""
    if model.data_source != "pcam" or model.device not in IDEAL or model.weights == "random":
        return None, False
    if model.variant or model.train_device or (model.layers or 1) > 1 or model.reuploads > 1:
        return None, False
    place = (model.backbone, model.head, model.data_size, epsilon, label)
    return reference.paper(*place, n_qubits=model.n_qubits), reference.paper_flagged(*place)


def _value(rows: Sequence[Row], kind: str, paper: tuple[float | None, bool] = (None, False)) -> Value:
    """Mean over seeds and the pooled interval of `clean_accuracy` or `robust_accuracy`."""
    good = [r for r in rows if r["status"] == "ok" and not pd.isna(r[f"{kind}_accuracy"])]
    counts = [(round(r[f"{kind}_accuracy"] * r["n_evaluated"]), int(r["n_evaluated"])) for r in good]
    flags = Counter(flag for r in good for flag in r["flags"])
    return _of_counts(counts, failed=len(rows) - len(good), flags=flags, paper=paper[0], paper_flagged=paper[1])


def _of_counts(counts: Sequence[tuple[int, int]], **more: Any) -> Value:
    """The value of (right, of all) images, one pair a seed."""
    shares = [100 * k / n for k, n in counts if n]
    if not shares:
        return Value(float("nan"), None, float("nan"), float("nan"), 0, **more)
    low, high = wilson(sum(k for k, _ in counts), sum(n for _, n in counts))
    return Value(st.fmean(shares), st.stdev(shares) if len(shares) > 1 else None, 100 * low, 100 * high, len(shares), **more)


def _worst(rows: Sequence[Row], norm: str, epsilon: float) -> Value | None:
    """Right images that nothing fooled at this epsilon or a smaller one, model by model, from the stored outcomes."""
    outcomes: dict[tuple[Any, int], list[tuple[float, Any]]] = defaultdict(list)
    for row in rows:
        bits = row["robust_correct"]
        if row["status"] == "ok" and row["attack"] != "clean" and row["norm"] == norm and isinstance(bits, str) and bits:
            n = int(row["n_evaluated"])
            outcomes[row["model_key"], n].append((float(row["epsilon"]), unpack(bits, n)))
    counts = [
        (int(worst_case(tried, epsilon).sum()), n) for (_, n), tried in outcomes.items() if any(e <= epsilon for e, _ in tried)
    ]
    return _of_counts(counts) if counts else None
