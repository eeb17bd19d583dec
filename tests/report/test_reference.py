"""The packaged numbers of the paper, and the flags that its own table earns."""

from __future__ import annotations

import pandas as pd
import pytest

from hqc_ray.report.content.reference import audit_reference, paper, paper_flagged, reference_table


def flags_of(model, images, epsilon):
    table = audit_reference()
    rows = table[(table["model"] == model) & (table["images"] == images) & (table["epsilon"] == epsilon)]
    return [rows["flags"].iloc[i] for i in range(len(rows))]


def test_table_is_whole():
    table = reference_table()
    assert len(table) == 33
    assert table[["fgsm_accuracy", "deepfool_accuracy", "pgd_accuracy"]].sum().round(2).tolist() == [1578.87, 981.41, 1330.03]
    table.loc[0, "fgsm_accuracy"] = 0.0  # the caller's copy
    assert reference_table().loc[0, "fgsm_accuracy"] == 52.90


@pytest.mark.parametrize(("cell", "percent"), [
    (("resnet18", "vqc1", 1000, 0.05, "fgsm", 4), 46.5),
    (("resnet18", "vqc1", 10000, 0.25, "fgsm", 4), 77.75),
    (("resnet18", "vqc6", 10000, 0.15, "deepfool"), 20.34),
    (("inception_v3", "vqc3", 1000, 0.25, "pgd", 5), 49.5),
    (("resnet18", "linear", 1000, 0.15, "pgd"), 14.0),
    (("cnn2", "linear", 10000, None, "clean"), 80.95),
])  # fmt: skip
def test_numbers_are_found_by_our_names(cell, percent):
    assert paper(*cell) == percent


@pytest.mark.parametrize("cell", [
    ("resnet18", "vqc1", 1000, 0.05, "fgsm", 5),  # the paper's has four qubits
    ("resnet18", "vqc1", 5000, 0.05, "fgsm"),
    ("resnet18", "tanh", 1000, 0.05, "fgsm"),
    ("resnet18", "vqc1", 1000, 0.06, "fgsm"),
    ("resnet18", "vqc1", 1000, 0.05, "noise"),
    ("resnet18", "vqc1", 1000, 0.05, "pgd(steps=40)"),
    ("resnet18", "vqc1", 777, None, "clean"),
])  # fmt: skip
def test_other_cells_have_no_number(cell):
    assert paper(*cell) is None


def test_fgsm_that_rises_from_51_to_78_is_flagged():
    assert flags_of("Hybrid ResNet18", 10000, 0.05) == [[]]
    assert flags_of("Hybrid ResNet18", 10000, 0.15) == [["FGSM rises_with_epsilon"]]
    assert flags_of("Hybrid ResNet18", 10000, 0.25) == [["FGSM rises_with_epsilon"]]
    assert paper_flagged("resnet18", "vqc1", 10000, 0.25, "fgsm")
    assert not paper_flagged("resnet18", "vqc1", 10000, 0.25, "pgd")
    assert not paper_flagged("resnet18", "vqc1", 10000, None, "clean")


def test_pgd_above_fgsm_is_flagged():
    assert flags_of("Classical CNN", 5000, 0.05) == [["PGD pgd_weaker_than_fgsm"]]


def test_rises_within_chance_are_not_flagged():
    assert flags_of("Classical ResNet18", 1000, 0.25) == [[]]  # FGSM 27.0 -> 34.5 of 200 images
    assert flags_of("Hybrid InceptionV3", 1000, 0.25) == [[]]  # DeepFool 40.0 -> 43.5


def test_how_much_of_the_table_is_suspect():
    table = audit_reference()
    assert isinstance(table, pd.DataFrame)
    assert int(table["flags"].map(len).gt(0).sum()) == 15
