"""How things are written and coloured, the same in every table and figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

CLASSICAL_HEADS = ("linear", "mlp", "tanh", "fourier")  # in the order in which a reader climbs from a line to a circuit

# Okabe and Ito's palette, which people with any colour vision can tell apart
BLUE, SKY, GREEN, YELLOW, ORANGE, VERMILLION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E3D21B", "#E69F00", "#D55E00", "#CC79A7"
GREY, BLACK = "#8A8A8A", "#1A1A1A"

_ATTACKS = {
    "fgsm": ("FGSM", SKY, "o"), "deepfool": ("DeepFool", GREEN, "s"), "pgd": ("PGD", VERMILLION, "^"),
    "noise": ("Noise", GREY, "D"),
}  # fmt: skip
_CONTROLS = {
    "linear": (BLACK, "o", ":"), "mlp": ("#5A5A5A", "s", "--"), "tanh": (GREY, "D", "-."), "fourier": ("#ABABAB", "v", "--"),
}  # fmt: skip
_MORE = (PURPLE, ORANGE, BLUE, YELLOW)
_BACKBONES = {
    "resnet18": "ResNet18", "vgg16": "VGG16", "inceptionv3": "InceptionV3", "alexnet": "AlexNet", "cnn1": "CNN", "cnn2": "CNN2",
    "mobilenetv2": "MobileNetV2", "squeezenet10": "SqueezeNet",
}  # fmt: skip
_DASHES = ("-", "--", ":", "-.")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which vqc2 stands before vqc10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)


def head_order(head: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    """Classical controls first, then circuits by name and number."""
    return (CLASSICAL_HEADS.index(head) if head in CLASSICAL_HEADS else len(CLASSICAL_HEADS), natural(head))


def attack_order(label: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    """The paper's attacks in its order, then others, the noise control last."""
    known = ["fgsm", "deepfool", "pgd"]
    name = label.partition("(")[0]
    return (known.index(name) if name in known else len(known) + (name == "noise"), natural(label))


def attack_name(label: str) -> str:
    """'pgd(steps=40)' -> 'PGD(steps=40)'."""
    name, bracket, options = label.partition("(")
    return (_ATTACKS[name][0] if name in _ATTACKS else name) + bracket + options


def backbone_name(backbone: str) -> str:
    """As the literature writes it."""
    return _BACKBONES.get(backbone.lower().replace("_", ""), backbone)


def attack_style(labels: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """(colour, marker, dashes) of each label: an attack keeps its colour, its variants differ in dashes."""
    ordered = sorted(set(labels), key=attack_order)
    others = sorted({n for n in (label.partition("(")[0] for label in ordered) if n not in _ATTACKS})
    styles, seen = {}, dict.fromkeys(_ATTACKS, 0) | dict.fromkeys(others, 0)
    for label in ordered:
        name = label.partition("(")[0]
        colour, marker = _ATTACKS[name][1:] if name in _ATTACKS else (_MORE[others.index(name) % len(_MORE)], "v")
        styles[label] = (colour, marker, _DASHES[seen[name] % len(_DASHES)])
        seen[name] += 1
    return styles


def head_style(heads: Sequence[str]) -> list[tuple[str, str, str]]:
    """(colour, marker, dashes) of each head in turn: classical controls grey and broken, circuits coloured and solid.

    A control that comes again, in another width, keeps its colour and dashes and takes another marker.
    """
    colours, markers = (VERMILLION, BLUE, GREEN, ORANGE, PURPLE, SKY), ("o", "s", "^", "D", "v", "P")
    found: list[tuple[str, str, str]] = []
    circuits, again = 0, dict.fromkeys(_CONTROLS, 0)
    for head in heads:
        if head in _CONTROLS:
            colour, marker, dashes = _CONTROLS[head]
            found.append((colour, markers[(markers.index(marker) + again[head]) % 6], dashes))
            again[head] += 1
        else:
            found.append((colours[circuits % 6], markers[circuits % 6], "-"))
            circuits += 1
    return found


def epsilon_text(epsilon: float) -> str:
    """'0.05', or '1/255' where that is what it is."""
    if round(epsilon, 3) == epsilon:
        return f"{epsilon:g}"
    levels = epsilon * 255
    return f"{round(levels)}/255" if abs(levels - round(levels)) < 1e-4 else f"{epsilon:.3g}"


def norm_text(norm: str) -> str:
    """'linf' -> 'L∞'."""
    return {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}.get(norm, norm)


def slug(*parts: object) -> str:
    """A file name that any system takes, of what tells one figure from another."""
    return "_".join(re.sub(r"[^A-Za-z0-9.=-]+", "-", str(p)).strip("-.") for p in parts if p not in ("", None))
