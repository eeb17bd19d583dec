"""The numbers of the reference study (arXiv 2309.06377, Table II), and what an audit of that table finds."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd

from hqc_ray.evaluation.comparisons import FLOOR, MISSED, doubled, stopped
from hqc_ray.evaluation.statistics import difference, wilson

SOURCE = "arXiv 2309.06377, Table II"
DATA_SOURCE, IMAGE_SIZE = "pcam", 96  # what it was measured on
NAMES = {"fgsm": "FGSM", "deepfool": "DeepFool", "pgd": "PGD"}
ATTACKS = tuple(NAMES)
TEST_SHARE = 0.2  # of the images; every accuracy printed in the paper is a multiple of 1 / (0.2 * images), up to rounding
RULES = {  # when one of its numbers earns a flag: the audit's, as far as counts without the outcome of each image can tell
    "rises_with_epsilon": (
        "the accuracy is higher than at a smaller epsilon, and the 95 % interval of the difference of two independent samples, "
        "of a fifth of the images each, lies above 0."
    ),
    "pgd_weaker_than_fgsm": "PGD's accuracy is higher than FGSM's, with such an interval above 0.",
    "dominated": (
        f"PGD leaves at least {MISSED} images more right than another attack at the same epsilon, or any at a smaller one: "
        "however the images pair, so many at least that PGD left right fell to the other."
    ),
    "plateau": (
        "over a doubling of epsilon or more PGD's accuracy falls by so few images that no pairing of them makes it significant, "
        "though the smaller epsilon took many and images are left that could fall."
    ),
}

_MODEL = ("model", "images", "head")  # the columns that tell its models apart
_Record = Mapping[Hashable, Any]
_BACKBONES = {
    "CNN": "cnn1", "CNN2": "cnn2", "ResNet18": "resnet18", "VGG16": "vgg16", "InceptionV3": "inceptionv3", "AlexNet": "alexnet",
}  # fmt: skip


@cache
def _table() -> pd.DataFrame:
    with resources.as_file(resources.files("hqc_ray.report.content") / "table2.csv") as path:
        table = pd.read_csv(path)
    circuit = table["computation"] == "hybrid"
    table["backbone"] = [_BACKBONES[name.split()[-1]] for name in table["model"]]
    table["head"] = [f"vqc{int(vqc)}" if hybrid else "linear" for vqc, hybrid in zip(table["vqc"], circuit, strict=True)]
    return table


def reference_table() -> pd.DataFrame:
    """The paper's table, accuracies in percent, with the columns `backbone` and `head` by this project's names."""
    return _table().copy()


@cache
def _flagged() -> frozenset[tuple[str, str, int, float, str]]:
    """(backbone, head, images, epsilon, attack) of the paper's accuracies that the audit flags."""
    return frozenset(
        (row["backbone"], row["head"], int(row["images"]), float(row["epsilon"]), flag.split()[0].lower())
        for row in audit_reference().to_dict("records")
        for flag in row["flags"]
    )


def paper_flagged(backbone: str, head: str, images: int, epsilon: float | None, attack: str) -> bool:
    """Whether the paper's own number of that cell would be flagged; arguments as for `paper`."""
    return epsilon is not None and (_name(backbone), head, images, round(epsilon, 9), attack) in _flagged()


def _name(backbone: str) -> str:
    return backbone.lower().replace("_", "")


@cache
def _cells() -> dict[tuple[str, str, int, float], dict[str, float]]:
    """(backbone, head, images, epsilon) -> `clean`, an attack or `qubits` -> number."""
    cells = {}
    for row in _table().to_dict("records"):
        numbers = {"clean": row["clean_accuracy"], "qubits": row["qubits"], **{a: row[f"{a}_accuracy"] for a in ATTACKS}}
        cells[row["backbone"], row["head"], int(row["images"]), float(row["epsilon"])] = numbers
    return cells


def paper(backbone: str, head: str, images: int, epsilon: float | None, attack: str, n_qubits: int | None = None) -> float | None:
    """The paper's accuracy in percent of `attack` (or `clean`), None where the paper has no such cell.

    Args:
        backbone: by this project's name; underscores do not matter.
        head: `linear` or a circuit; the paper names no other.
        images: the size of the data, training part included.
        epsilon: in pixel units; None asks for a clean accuracy, which has none.
        attack: `clean`, or the name of an attack that runs with its default options.
        n_qubits: of the circuit; another number than the paper's makes it another model.
    """
    name = _name(backbone)
    if epsilon is None:
        same = [numbers for place, numbers in _cells().items() if place[:3] == (name, head, images)]
    else:
        same = [numbers for numbers in [_cells().get((name, head, images, round(epsilon, 9)))] if numbers]
    if not same or attack not in same[0] or (n_qubits is not None and head != "linear" and n_qubits != same[0]["qubits"]):
        return None
    return float(same[0][attack])


def audit_reference(attacks: Collection[str] = ATTACKS) -> pd.DataFrame:
    """The paper's table with the column `flags`: lists of texts like 'FGSM rises_with_epsilon', by what `RULES` says.

    Of `plateau`: an unpaired interval would be careless, since it overlooks falls that the paired test shows. That test's
    p-value is least where no image is right again at the larger epsilon; the flag needs that not even this one shows a fall,
    which is so up to four images. The same fall is held against what the smaller epsilon had taken.

    Args:
        attacks: whose numbers to use, FGSM's and PGD's among them: all keep within the epsilon of their row, as the table has it.
    """
    table = reference_table()
    records = table.to_dict("records")
    table["flags"] = [_flags(row, [r for r in records if all(r[k] == row[k] for k in _MODEL)], attacks) for row in records]
    return table


def _flags(row: _Record, model: list[dict[Hashable, Any]], attacks: Collection[str]) -> list[str]:
    smaller = [r for r in model if r["epsilon"] < row["epsilon"]]
    pgd, least = _right(row, "pgd"), min(_right(r, a) for r in [row, *smaller] for a in attacks)
    lasting = wilson(pgd, _tested(row)).low > FLOOR
    rises = [f"{NAMES[a]} rises_with_epsilon" for a in attacks if any(_above(row, a, other, a) for other in smaller)]
    of_pgd = {
        "pgd_weaker_than_fgsm": _above(row, "pgd", row, "fgsm"),
        "dominated": pgd - least >= MISSED,
        "plateau": lasting and any(_stopped(r, row) for r in smaller if doubled(r["epsilon"], row["epsilon"])),
    }
    return rises + [f"{NAMES['pgd']} {flag}" for flag, raised in of_pgd.items() if raised]


def _stopped(small: _Record, large: _Record) -> bool:
    clean, before, after = _right(small, "clean"), _right(small, "pgd"), _right(large, "pgd")
    return stopped(clean - before, max(before - after, 0), 0)


def _above(row: _Record, attack: str, other: _Record, other_attack: str) -> bool:
    n = _tested(row)
    return difference(_right(row, attack), _right(other, other_attack), n, n).low > 0


def _right(row: _Record, attack: str) -> int:
    return round(row[f"{attack}_accuracy"] / 100 * _tested(row))


def _tested(row: _Record) -> int:
    return round(row["images"] * TEST_SHARE)
