"""The packaged numbers of the paper, and the flags that its own table earns."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from hqc_ray.evaluation import comparisons
from hqc_ray.evaluation.flags import FLAGS
from hqc_ray.evaluation.statistics import one_sided
from hqc_ray.report.content import reference
from hqc_ray.report.content.reference import RULES, audit_reference, paper, paper_flagged, reference_table


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
    for epsilon, expected in ((0.05, []), (0.15, ["FGSM rises_with_epsilon"]), (0.25, ["FGSM rises_with_epsilon"])):
        assert flags_of("Hybrid ResNet18", 10000, epsilon) == [[*expected, "PGD dominated"]]
    assert not paper_flagged("resnet18", "vqc1", 10000, 0.05, "fgsm")
    assert paper_flagged("resnet18", "vqc1", 10000, 0.25, "fgsm")
    assert paper_flagged("resnet18", "vqc1", 10000, 0.05, "pgd")
    assert not paper_flagged("resnet18", "linear", 10000, 0.25, "pgd")
    assert not paper_flagged("resnet18", "vqc1", 10000, None, "clean")


def test_pgd_above_fgsm_is_flagged():
    assert flags_of("Classical CNN", 5000, 0.05) == [["PGD pgd_weaker_than_fgsm", "PGD dominated"]]


def test_rises_within_chance_are_not_flagged():
    assert flags_of("Classical ResNet18", 1000, 0.25) == [[]]  # FGSM 27.0 -> 34.5 of 200 images
    assert flags_of("Hybrid InceptionV3", 1000, 0.25) == [["PGD dominated"]]  # DeepFool 40.0 -> 43.5


@pytest.fixture
def printed(monkeypatch):
    """The flags of one model whose table prints these accuracies, of 200 images, 180 of them right before."""

    def flags(*rows, epsilons=(0.05, 0.15, 0.25), images=1000, attacks=reference.ATTACKS):
        names = ("fgsm_accuracy", "deepfool_accuracy", "pgd_accuracy")
        same = {"model": "CNN", "head": "linear", "images": images, "clean_accuracy": 90.0}
        records = [{**same, "epsilon": e, **dict(zip(names, row, strict=True))} for e, row in zip(epsilons, rows, strict=False)]
        monkeypatch.setattr(reference, "reference_table", lambda: pd.DataFrame(records))
        return audit_reference(attacks)["flags"].tolist()

    return flags


def test_three_images_more_than_another_attack_of_the_ball_dominate(printed):
    dominated = ["PGD dominated"]
    assert printed((40.0, 40.0, 41.0)) == [[]]  # 82 of 200 against 80
    assert printed((40.0, 50.0, 41.5)) == printed((50.0, 40.0, 41.5)) == [dominated]  # 83
    assert printed((40.0, 40.0, 40.1), images=10000) == [[]]  # 802 of 2,000 against 800
    assert printed((40.0, 40.0, 40.15), images=10000) == [dominated]  # 803: images count, not their share
    assert printed((40.0, 50.0, 40.0), (45.0, 50.0, 41.5)) == [[], [*dominated, "PGD plateau"]]  # at the smaller epsilon
    assert printed((60.0, 60.0, 60.0), (40.0, 50.0, 40.0)) == [[], []]  # not at a larger one
    assert printed((50.0, 40.0, 41.5), attacks=("fgsm", "pgd")) == [[]]


@pytest.mark.parametrize("right", [80, 81, 82, 83, 90])
def test_dominated_is_what_no_pairing_takes_back(printed, right):
    """Whichever of 200 images PGD left right, and whichever 80 the other: counted as the audit counts outcomes."""
    missed = [right - both for both in range(max(0, right + 80 - 200), 81)]  # images that only PGD left right
    assert (printed((40.0, 90.0, right / 2)) == [["PGD dominated"]]) == (min(missed) >= comparisons.MISSED)


@pytest.mark.parametrize("later", [90, 80, 77, 76, 75, 74, 40])
def test_a_plateau_is_what_no_pairing_shows_to_fall(printed, later):
    """Of 80 images that PGD left right at the smaller epsilon, by the audit's test of outcomes: up to 4 fewer, p = 1/16."""
    least = min(one_sided(80 - both, later - both) for both in range(min(80, later) + 1))
    second = printed((90.0, 90.0, 40.0), (90.0, 90.0, later / 2))[1]
    assert ("PGD plateau" in second) == (least >= comparisons.FALL_LEVEL) == (later >= 76)


def test_a_plateau_needs_a_doubling_and_many_that_fell_and_some_that_could(printed):
    stuck = [(40.0,) * 3] * 2
    assert printed(*stuck, epsilons=(0.05, 0.1)) == [[], ["PGD plateau"]]
    assert printed(*stuck, epsilons=(0.05, 0.09)) == [[], []]
    assert printed((88.0,) * 3, (87.5,) * 3) == [[], []]  # 4 fell before, 1 since
    assert printed((86.0,) * 3, (85.5,) * 3) == [[], []]  # 8 and 1: p = 0.02
    assert printed((85.0,) * 3, (84.5,) * 3) == [[], ["PGD plateau"]]  # 10 and 1: p = 0.006
    assert printed((3.5,) * 3, (3.5,) * 3) == [[], []]  # Wilson: from 0.017
    assert printed((4.0,) * 3, (4.0,) * 3) == [[], ["PGD plateau"]]  # from 0.0204


def test_how_much_of_the_table_is_suspect():
    table = audit_reference()
    assert isinstance(table, pd.DataFrame)
    assert int(table["flags"].map(len).gt(0).sum()) == 27
    circuits = table["computation"] == "hybrid"
    assert table[circuits]["flags"].map(bool).all()
    assert table[~circuits]["flags"].map(bool).tolist().count(True) == 6
    assert Counter(flag for flags in table["flags"] for flag in flags) == {
        "PGD dominated": 26, "PGD plateau": 6, "PGD pgd_weaker_than_fgsm": 4, "PGD rises_with_epsilon": 1,
        "FGSM rises_with_epsilon": 11, "DeepFool rises_with_epsilon": 3,
    }  # fmt: skip
    assert {flag.split()[1] for flags in table["flags"] for flag in flags} == set(RULES) <= set(FLAGS)


def test_how_much_is_suspect_if_epsilon_does_not_bound_deepfool():
    flags = audit_reference(("fgsm", "pgd"))["flags"]
    assert int(flags.map(bool).sum()) == 22
    assert sum("PGD dominated" in raised for raised in flags) == 15
