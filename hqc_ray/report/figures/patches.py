"""Clean and adversarial patches side by side, with the perturbation magnified (after Fig. 8 of arXiv 2309.06377)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hqc_ray.report import style
from hqc_ray.report.content.examples import COLUMNS, Example, Kept, columns_of, gain, images_of
from hqc_ray.report.content.models import Model
from hqc_ray.report.style import epsilon_text

SIDE = 1.15  # of a patch, in inches


def patches(kept: Sequence[Kept]) -> Iterator[tuple[str, Figure | None, bool]]:
    """(name, figure, whether it is complete) for each model and device that kept examples; None where none can be read."""
    for one in kept:
        figure = _figure(one.model, one.classes, columns_of(one.examples)) if one.examples else None
        yield one.name, figure, one.complete


def _figure(model: Model, names: Sequence[str], examples: Sequence[Example]) -> Figure:
    """The figure of some examples; `names` are those of the classes."""
    images = images_of(examples)
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
        f"Predicted class above each image, × where it is wrong. Perturbations are magnified by the factor below them "
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
    _verdict(axes[0], int(example.clean_prediction[i]), int(example.labels[i]), names, float(example.confidences[0, i]))
    _verdict(axes[2], int(example.prediction[i]), int(example.labels[i]), names, float(example.confidences[1, i]))
    axes[1].set_xlabel(f"× {factor}", labelpad=1)
    if top:
        head = f"{example.attack.text}\nε = {epsilon_text(example.epsilon)}"
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes[0].annotate(head, (0.5, 1), (0, 14), fontweight="bold", **place)


def _verdict(ax: Axes, prediction: int, label: int, names: Sequence[str], sure: float) -> None:
    """The predicted class, with the probability that the model gives to it where that is known."""
    right = prediction == label
    colour = style.BLUE if right else style.VERMILLION
    name = names[prediction] if prediction >= 0 else "no class"  # -1: the model's outputs were not numbers
    told = "" if np.isnan(sure) else f" {100 * sure:.0f} %"
    ax.set_title(name + ("" if right else " ×") + told, color=colour, pad=2, fontsize=8)
    ax.spines[:].set(color=colour, linewidth=1.6)
