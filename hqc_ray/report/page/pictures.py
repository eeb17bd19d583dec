"""Images in the page: small pictures with their words beside them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hqc_ray.report.content.examples import Example, Kept, columns_of, gain, images_of
from hqc_ray.report.style import epsilon_text, norm_text

WIDEST, SIDE, QUALITY = 192, 96, 80  # pixels of an image, and as it is shown; of WebP
WIDEST_FIGURE, FIGURE_QUALITY = 1400, 60


def strips(kept: Sequence[Kept], figure: Callable[[str], Path]) -> list[str]:
    """A figure of HTML for each model that kept examples.

    Args:
        kept: of each model.
        figure: the path of the PNG of that name: where examples are gone (they are large), an earlier one is shown.
    """
    found = []
    for one in kept:
        if not one.complete and (earlier := _reduced(figure(one.name))):
            found.append(_figure(one, f'<img alt="{escape(_told(one))}" src="{earlier}">'))
        elif one.examples:
            found.append(_figure(one, "".join(_strips(one))))
    return found


def _told(one: Kept) -> str:
    device = f", {one.model.device}" if one.model.device != "classical" else ""
    return f"{one.model.name} {one.model.full_head}, {one.model.images}{device} ({norm_text(one.norm)})"


def _figure(one: Kept, inner: str) -> str:
    return f'<figure class="patches"><figcaption><h3>{escape(_told(one))}</h3></figcaption>{inner}</figure>'


def _strips(one: Kept) -> Iterator[str]:
    """A strip per image: the clean image, then what each attack added and what came of it."""
    shown = columns_of(one.examples)
    for image in images_of(one.examples):
        first = shown[0]
        label = int(first.labels[image])
        shots = [_shot("clean", [_picture(first.clean[image], "clean image")], "", *_seen(first, image, 0), label, one)]
        shots += [_attacked(example, image, one) for example in shown]
        name = f"Image {image + 1}, {one.classes[label]}"
        yield f'<div class="strip" tabindex="0" role="group" aria-label="{escape(name)}">{"".join(shots)}</div>'


def _attacked(example: Example, image: int, one: Kept) -> str:
    change = example.adversarial[image] - example.clean[image]
    factor = gain(change)
    head = f"{example.attack.text} {epsilon_text(example.epsilon)}"
    pictures = [
        _picture(0.5 + factor * change, f"perturbation of {head}, times {factor}"),
        _picture(example.adversarial[image], f"adversarial image of {head}"),
    ]
    return _shot(head, pictures, f"× {factor}", *_seen(example, image, 1), int(example.labels[image]), one)


def _seen(example: Example, image: int, after: int) -> tuple[int, float]:
    """The class that the model predicts, before or after, and the probability that it gives to it."""
    return int((example.prediction if after else example.clean_prediction)[image]), float(example.confidences[after, image])


def _shot(head: str, pictures: Sequence[str], note: str, prediction: int, sure: float, label: int, one: Kept) -> str:
    name = one.classes[prediction] if prediction >= 0 else "no class"  # -1: the model's outputs were not numbers
    right = prediction == label
    told = "" if np.isnan(sure) else f"<small>{100 * sure:.0f} %</small>"
    verdict = f'<span class="{"right" if right else "wrong"}">{escape(name)}{"" if right else " ×"}</span>{told}'
    inner = f" <small>{note}</small> ".join(pictures)
    return f'<div class="shot"><b>{escape(head)}</b>{inner}{verdict}</div>'


def _picture(values: NDArray[np.floating[Any]], alt: str) -> str:
    """Values [3, H, W] in [0, 1] as an image in the page."""
    pixels = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(pixels)
    if max(picture.size) > WIDEST:
        picture.thumbnail((WIDEST, WIDEST))
    height = round(SIDE * picture.height / picture.width)
    return f'<img width="{SIDE}" height="{height}" alt="{escape(alt)}" src="{_webp(picture, QUALITY)}">'


def _reduced(path: Path) -> str:
    """A figure that was drawn earlier, smaller; nothing where there is none, or a damaged one."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError):  # Pillow raises each of them
        return ""
    picture.thumbnail((WIDEST_FIGURE, 10 * WIDEST_FIGURE))
    return _webp(picture, FIGURE_QUALITY)


def _webp(picture: Image.Image, quality: int) -> str:
    buffer = BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
