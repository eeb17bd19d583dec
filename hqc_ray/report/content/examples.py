"""The images that cells kept: clean and adversarial, with the classes before and after."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqc_ray.report import style
from hqc_ray.report.content.attacks import Shown, is_clean, is_transfer
from hqc_ray.report.content.models import Model
from hqc_ray.report.content.view import Report
from hqc_ray.results.seal import arrays, opened

COLUMNS = 9  # attack x epsilon, of one model
MODELS = 12  # that are shown, of one report
IMAGES = 2  # of one model
_GAINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_KEYS = ("clean", "adversarial", "labels", "clean_prediction", "prediction")
_CONFIDENCES = ("clean_confidence", "adversarial_confidence")


@dataclass(frozen=True)
class Example:
    """The first k evaluated images of a cell: `clean` and `adversarial` [k, 3, H, W] in [0, 1], three times k class numbers.

    `confidences` [2, k] are the probabilities that the model gives to its predictions before and after; NaN: not kept.
    """

    attack: Shown
    epsilon: float
    norm: str
    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    labels: NDArray[np.int64]
    clean_prediction: NDArray[np.int64]
    prediction: NDArray[np.int64]
    confidences: NDArray[np.float64]


def load(path: Path, attack: Shown, epsilon: float, norm: str, n_classes: int) -> Example | None:
    """The example that a cell kept; None where its file is missing or damaged: the report stands without it."""
    try:
        file = arrays(opened(path.read_bytes())[0])
        clean, adversarial = (np.asarray(file[key], dtype=np.float32) for key in _KEYS[:2])
        labels, before, after = (np.asarray(file[key], dtype=np.int64) for key in _KEYS[2:])
        sure = np.stack([np.asarray(file.get(key, np.full(len(labels), np.nan)), dtype=np.float64) for key in _CONFIDENCES])
    except Exception:  # the reader of a damaged file may raise anything
        return None
    same = labels.shape == before.shape == after.shape == sure.shape[1:] == clean.shape[:1]
    classes = np.stack([labels, before, after]) if same else None
    if classes is None or clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] != 3 or not clean.size:
        return None
    if classes.max() >= n_classes or labels.min() < 0 or not np.isfinite([clean.sum(), adversarial.sum()]).all():
        return None
    return Example(attack, epsilon, norm, clean, adversarial, labels, before, after, sure)


@dataclass(frozen=True)
class Kept:
    """What the cells of a model on a device kept, at its smallest seed."""

    model: Model
    norm: str
    classes: tuple[str, ...]
    examples: tuple[Example, ...]  # all of the same images; none could be read: empty
    complete: bool  # whether every one could be read

    @property
    def name(self) -> str:
        """Of a picture of it."""
        return style.slug("patches", *self.model.place, self.model.full_head, self.model.device, self.norm)


def kept(report: Report, folder: Path) -> list[Kept]:
    """What is kept of each model and device.

    Only attacks on pixels, and on the model itself, have patches. An example that can no longer be read (they are large, and
    often not copied with a results folder) leaves a gap.

    Args:
        report: of the sweep's rows.
        folder: the results folder; examples are read from it.
    """
    models: dict[tuple[Model, str], list[Mapping[Any, Any]]] = defaultdict(list)
    pictured = report.rows[(report.rows["status"] == "ok") & (report.rows["example"] != "")]
    for row in pictured.sort_values("seed", kind="stable").to_dict("records"):
        if _has_patches(row):
            models[report.models[row["key"]], row["norm"]].append(row)
    found, unread = [], 0
    for model, norm in sorted(models, key=lambda one: (one[0].order, one[1]))[:MODELS]:
        first = models[model, norm][0]
        its = [r for r in models[model, norm] if r["model_key"] == first["model_key"]]
        names = json.loads(first["class_names"])
        loaded = [load(folder / r["example"], report.shown[r["key"]], r["epsilon"], norm, len(names)) for r in its]
        unread += loaded.count(None)
        same = _same_images([e for e in loaded if e is not None])
        found.append(Kept(model, norm, tuple(names), tuple(same), None not in loaded))
    if unread and (folder / "examples").is_dir():  # which a copy of a results folder often leaves out, and means to
        warnings.warn(
            f"{unread} examples are missing or damaged: their patches stay as last drawn, or are left out", stacklevel=2
        )
    return found


def _has_patches(row: Mapping[Any, Any]) -> bool:
    return row["level"] == "pixels" and not is_clean(row) and not is_transfer(row)


def _same_images(examples: Sequence[Example]) -> list[Example]:
    """Those that show the images that the first one shows, in the order of the columns."""
    first = examples[0] if examples else None
    same = [e for e in examples if first is not None and np.array_equal(e.clean, first.clean) and len(e.clean)]
    return sorted(same, key=lambda e: (e.attack.order, e.epsilon))


def columns_of(examples: Sequence[Example]) -> list[Example]:
    """All if they fit; else as many epsilons of each attack as fit, evenly chosen, the largest among them."""
    attacks = sorted({e.attack for e in examples}, key=lambda a: a.order)[:COLUMNS]
    share = COLUMNS // len(attacks)
    chosen = []
    for attack in attacks:
        mine = [e for e in examples if e.attack == attack]
        chosen += mine if len(examples) <= COLUMNS else [mine[i] for i in _spread(len(mine), share)]
    return chosen


def _spread(n: int, k: int) -> list[int]:
    return list(range(n)) if n <= k else [n - 1] if k == 1 else [round(i * (n - 1) / (k - 1)) for i in range(k)]


def images_of(examples: Sequence[Example]) -> list[int]:
    """The best image of each class, of the best classes: right before any attack, and fooled by the most of them."""
    first = examples[0]
    fooled = sum((e.prediction != e.labels).astype(int) for e in examples)
    score = np.where(first.clean_prediction == first.labels, np.asarray(fooled), -1)
    best = [max(np.flatnonzero(first.labels == c), key=lambda i: (score[i], -i)) for c in np.unique(first.labels)]
    chosen = sorted(best, key=lambda i: -score[i])[:IMAGES]
    return [int(i) for i in best if i in chosen]


def gain(perturbation: NDArray[np.float32]) -> int:
    """By how much a perturbation is magnified: the largest round factor that keeps it within half of the grey scale."""
    largest = float(np.abs(perturbation).max(initial=0))
    return max((g for g in _GAINS if g * largest <= 0.5 + 1e-3), default=1) if largest > 1e-4 else 1
