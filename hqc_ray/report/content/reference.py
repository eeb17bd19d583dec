"""The numbers of the reference study (arXiv 2309.06377, Table II), and what an audit of that table finds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd

from hqc_ray.evaluation.statistics import difference

SOURCE = "arXiv 2309.06377, Table II"
DATA_SOURCE, IMAGE_SIZE = "pcam", 96  # what it was measured on
NAMES = {"fgsm": "FGSM", "deepfool": "DeepFool", "pgd": "PGD"}
ATTACKS = tuple(NAMES)
TEST_SHARE = 0.2  # of the images; every accuracy printed in the paper is a multiple of 1 / (0.2 * images), up to rounding

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


def audit_reference() -> pd.DataFrame:
    """The paper's table with the column `flags`: lists of texts like 'FGSM rises_with_epsilon'.

    The paper prints percentages, not the outcome of each image, so rows are compared as independent samples of
    0.2 x images each (more careful than the paired test, which needs the outcomes): a flag says that the 95 % interval
    of the difference lies above 0.
    """
    table = reference_table()
    records = table.to_dict("records")
    table["flags"] = [
        [f"{NAMES[a]} rises_with_epsilon" for a in ATTACKS if any(_above(row, a, other, a) for other in _smaller(row, records))]
        + (["PGD pgd_weaker_than_fgsm"] if _above(row, "pgd", row, "fgsm") else [])
        for row in records
    ]
    return table


def _smaller(row: _Record, records: list[dict[Hashable, Any]]) -> list[dict[Hashable, Any]]:
    same = ("model", "images", "head")
    return [r for r in records if all(r[k] == row[k] for k in same) and r["epsilon"] < row["epsilon"]]


def _above(row: _Record, attack: str, other: _Record, other_attack: str) -> bool:
    n = round(row["images"] * TEST_SHARE)
    first, second = (round(r[f"{a}_accuracy"] / 100 * n) for r, a in ((row, attack), (other, other_attack)))
    return difference(first, second, n, n).low > 0
