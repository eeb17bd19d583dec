"""How things are written and coloured, the same in every table and figure."""

from __future__ import annotations

import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence

from hqc_ray.columns import epsilon_text as epsilon_text
from hqc_ray.columns import strength_text as strength_text
from hqc_ray.errors import Natural as Natural
from hqc_ray.errors import natural as natural
from hqc_ray.files import short

# Okabe and Ito's palette, which people with any colour vision can tell apart
BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILLION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E3D21B", "#E69F00", "#D55E00", "#CC79A7"
GREY, BLACK = "#8A8A8A", "#1A1A1A"

# Preferences, in the order in which they stand in tables: an attack, head or backbone that is not listed gets the next free style
ATTACKS = {
    "fgsm": (SKY, "o"),
    "deepfool": (GREEN, "s"),
    "pgd": (VERMILLION, "^"),
    "apgd": (ORANGE, "<"),
    "fab": (PURPLE, "P"),
    "bottleneck": (BLUE, "v"),
    "autoattack": (BLACK, "*"),
    "noise": (GREY, "D"),
}
CONTROLS = {
    "linear": (BLACK, "o", ":"), "mlp": ("#5A5A5A", "s", "--"), "tanh": (GREY, "D", "-."), "fourier": ("#ABABAB", "v", "--"),
}  # fmt: skip
MORE, MORE_CONTROLS = (PURPLE, ORANGE, YELLOW, BLACK), ("#3C3C3C", "p", (0, (3, 1, 1, 1)))
DASHES = ("-", "--", ":", "-.")
_BACKBONES = {
    "resnet18": "ResNet18", "vgg16": "VGG16", "inceptionv3": "InceptionV3", "alexnet": "AlexNet", "cnn1": "CNN", "cnn2": "CNN2",
    "mobilenetv2": "MobileNetV2", "squeezenet10": "SqueezeNet",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def head_order(head: str, circuit: bool) -> tuple[bool, int, Natural]:
    """Classical controls first, from the linear head to the Fourier series; then circuits by name and number."""
    known = list(CONTROLS)
    return circuit, known.index(head) if head in known and not circuit else len(known), natural(head)


def backbone_name(backbone: str) -> str:
    """As the literature writes it."""
    return _BACKBONES.get(backbone.lower().replace("_", ""), backbone)


def head_style(heads: Sequence[tuple[str, bool]]) -> list[tuple[str, str, object]]:
    """(colour, marker, dashes) of each head in turn, given as (name, whether it is a circuit).

    Classical controls are grey and broken, circuits coloured and solid. A control that comes again, with another width,
    keeps its colour and dashes and gets another marker.
    """
    colours, markers = (VERMILLION, BLUE, GREEN, ORANGE, PURPLE, SKY), ("o", "s", "^", "D", "v", "P")
    found: list[tuple[str, str, object]] = []
    circuits, again = 0, defaultdict[str, int](int)
    for head, circuit in heads:
        if circuit:
            found.append((colours[circuits % 6], markers[circuits % 6], "-"))
            circuits += 1
            continue
        colour, marker, dashes = CONTROLS.get(head, MORE_CONTROLS)
        if again[head]:
            marker = markers[(markers.index(marker) + again[head]) % 6 if marker in markers else again[head] % 6]
        found.append((colour, marker, dashes))
        again[head] += 1
    return found


def differences(options: Iterable[str], hidden: Iterable[str] = ()) -> dict[str, str]:
    """For each JSON text of options, the values in which it differs from another one: 'steps=40,step_size=0.01'.

    Args:
        options: of one attack, or of one head on one backbone.
        hidden: names that are shown elsewhere.
    """
    known = {text: json.loads(text) for text in set(options)}
    return {
        text: ",".join(
            f"{name}={value}"
            for name, value in sorted(mine.items())
            if name not in hidden and any(json.dumps(other.get(name)) != json.dumps(value) for other in known.values())
        )
        for text, mine in known.items()
    }


def norm_text(norm: str) -> str:
    """'linf' -> 'L∞'."""
    return {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}.get(norm, norm)


def slug(*parts: object) -> str:
    """A file name that is valid on any system, made of what tells one figure from another."""
    return short("_".join(re.sub(r"[^A-Za-z0-9.=-]+", "-", str(p)).strip("-.") for p in parts if p not in ("", None)))


def listed(texts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def printable(text: str) -> str:
    """The text without what moves a terminal's cursor, colours it, or turns the direction of reading; line ends stay."""
    return _CONTROL.sub("\ufffd", text)


def wrapped(text: str, width: int) -> str:
    """Each line of a text on as many lines as it needs, of at most `width` characters; a device's label breaks at its commas."""
    broken = re.sub(r",(?=[a-z])", ",\0 ", text)
    return "\n".join(textwrap.fill(line, width) for line in broken.split("\n")).replace("\0 ", "").replace("\0", "")
