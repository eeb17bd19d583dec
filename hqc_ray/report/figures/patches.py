"""Clean and adversarial patches side by side, with the perturbation magnified (after Fig. 8 of arXiv 2309.06377)."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hqc_ray.report import style
from hqc_ray.report.content.attacks import Shown, is_clean, is_transfer
from hqc_ray.report.content.models import Model
from hqc_ray.report.content.view import Report
from hqc_ray.report.style import epsilon_text
from hqc_ray.results.seal import arrays, opened

COLUMNS = 9  # attack x epsilon, of one figure
FIGURES = 12  # models that are shown, of one report
IMAGES = 2  # of one figure
SIDE = 1.15  # of a patch, in inches
_GAINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_KEYS = ("clean", "adversarial", "labels", "clean_prediction", "prediction")


@dataclass(frozen=True)
class Example:
    """The first k evaluated images of a cell: `clean` and `adversarial` [k, 3, H, W] in [0, 1], three times k class numbers."""

    attack: Shown
    epsilon: float
    norm: str
    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    labels: NDArray[np.int64]
    clean_prediction: NDArray[np.int64]
    prediction: NDArray[np.int64]


def load(path: Path, attack: Shown, epsilon: float, norm: str, n_classes: int) -> Example | None:
    """The example that a cell kept; None where its file is missing or damaged: the report stands without it."""
    try:
        file = arrays(opened(path.read_bytes())[0])
        clean, adversarial = (np.asarray(file[key], dtype=np.float32) for key in _KEYS[:2])
        labels, before, after = (np.asarray(file[key], dtype=np.int64) for key in _KEYS[2:])
    except Exception:  # the reader of a damaged file may raise anything
        return None
    classes = np.stack([labels, before, after]) if labels.shape == before.shape == after.shape == clean.shape[:1] else None
    if classes is None or clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] != 3 or not clean.size:
        return None
    if classes.max() >= n_classes or labels.min() < 0 or not np.isfinite([clean.sum(), adversarial.sum()]).all():
        return None
    return Example(attack, epsilon, norm, clean, adversarial, labels, before, after)


def patches(report: Report, folder: Path) -> Iterator[tuple[str, Figure | None, bool]]:
    """(name, figure, whether it is complete) for each model and device that kept examples, at its smallest seed.

    Only attacks on pixels, and on the model itself, have patches. An example that can no longer be read (they are large, and
    often not copied with a results folder) leaves a gap, and the figure is None where none can.

    Args:
        report: of the sweep's rows.
        folder: the results folder; examples are read from it.
    """
    unread = 0
    models: dict[tuple[Model, str], list[Mapping[Any, Any]]] = defaultdict(list)
    for row in report.rows.sort_values("seed", kind="stable").to_dict("records"):
        if row["status"] == "ok" and row["example"] and _has_patches(row):
            models[report.models[row["key"]], row["norm"]].append(row)
    for model, norm in sorted(models, key=lambda one: (one[0].order, one[1]))[:FIGURES]:
        first = models[model, norm][0]
        its = [r for r in models[model, norm] if r["model_key"] == first["model_key"]]
        names = json.loads(first["class_names"])
        loaded = [load(folder / r["example"], report.shown[r["key"]], r["epsilon"], norm, len(names)) for r in its]
        examples = _same_images([e for e in loaded if e is not None])
        unread += loaded.count(None)
        figure = _figure(model, names, _columns(examples)) if examples else None
        yield style.slug("patches", *model.place, model.full_head, model.device, norm), figure, None not in loaded
    if unread:
        warnings.warn(
            f"{unread} examples are missing or damaged: their patches stay as last drawn, or are left out", stacklevel=2
        )


def _has_patches(row: Mapping[Any, Any]) -> bool:
    return row["level"] == "pixels" and not is_clean(row) and not is_transfer(row)


def _same_images(examples: Sequence[Example]) -> list[Example]:
    """Those that show the images that the first one shows, in the order of the columns."""
    first = examples[0] if examples else None
    same = [e for e in examples if first is not None and np.array_equal(e.clean, first.clean) and len(e.clean)]
    return sorted(same, key=lambda e: (e.attack.order, e.epsilon))


def _columns(examples: Sequence[Example]) -> list[Example]:
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


def _images(examples: Sequence[Example]) -> list[int]:
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


def _figure(model: Model, names: Sequence[str], examples: Sequence[Example]) -> Figure:
    """The figure of some examples; `names` are those of the classes."""
    images = _images(examples)
    height, width = examples[0].clean.shape[2:]
    beside = len(images) if len(images) * len(examples) <= COLUMNS else 1  # blocks of images side by side, else stacked
    columns, blocks = beside * len(examples), len(images) // beside
    figure = Figure(figsize=(max(SIDE * columns + 0.8, 4.2), (3 * SIDE * height / width + 0.55) * blocks + 1.0))
    figure.set_layout_engine("compressed", h_pad=0.03, hspace=0.0)  # leaves no holes between images of a fixed shape
    device = f", {model.device}" if model.device != "classical" else ""
    title = f"{model.name} {model.full_head}, {model.images}{device}"
    figure.suptitle(style.wrapped(title, int(13 * figure.get_figwidth())), fontweight="bold")
    axes = figure.subplots(3 * blocks, columns, squeeze=False)
    for number, image in enumerate(images):
        block, left = (0, number * len(examples)) if beside > 1 else (number, 0)
        for column, example in enumerate(examples, left):
            _triple(list(axes[3 * block : 3 * block + 3, column]), example, image, names, top=block == 0)
    for ax, text in zip(axes[:, 0], ("clean", "perturbation", "adversarial") * blocks, strict=True):
        ax.set_ylabel(text)
    figure.supxlabel(
        f"Predicted class above each patch, × where it is wrong. Perturbations are magnified by the factor below them "
        f"and drawn around grey. Epsilon in {style.norm_text(examples[0].norm)}.",
        fontsize=7, wrap=True,
    )  # fmt: skip
    return figure


def _triple(axes: Sequence[Axes], example: Example, i: int, names: Sequence[str], top: bool) -> None:
    """Clean patch, magnified perturbation and adversarial patch, one below the other."""
    change = example.adversarial[i] - example.clean[i]
    factor = gain(change)
    for ax, pixels in zip(axes, (example.clean[i], 0.5 + factor * change, example.adversarial[i]), strict=True):
        ax.imshow(np.clip(pixels, 0, 1).transpose(1, 2, 0), interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
        ax.spines[:].set_visible(True)
    _verdict(axes[0], int(example.clean_prediction[i]), int(example.labels[i]), names)
    _verdict(axes[2], int(example.prediction[i]), int(example.labels[i]), names)
    axes[1].set_xlabel(f"× {factor}", labelpad=1)
    if top:
        head = f"{example.attack.text}\nε = {epsilon_text(example.epsilon)}"
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes[0].annotate(head, (0.5, 1), (0, 14), fontweight="bold", **place)


def _verdict(ax: Axes, prediction: int, label: int, names: Sequence[str]) -> None:
    right = prediction == label
    colour = style.BLUE if right else style.VERMILLION
    name = names[prediction] if prediction >= 0 else "no class"  # -1: the model's outputs were not numbers
    ax.set_title(name + ("" if right else " ×"), color=colour, pad=2, fontsize=8)
    ax.spines[:].set(color=colour, linewidth=1.6)
