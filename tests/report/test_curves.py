"""Curves of training and confidences: what training.csv and the kept images hold is what the page shows."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from report_rows import as_frame, make_row, write_examples

from hqc_ray import report
from hqc_ray.report.content.training import MEASURES, curves
from hqc_ray.report.page.data import data
from hqc_ray.results.folder import HISTORY, Folder


def histories(keys, epochs=3):
    """Losses that fall from key to key and epoch to epoch; of the last key, without a validation part."""
    rows = []
    for k, key in enumerate(keys):
        for epoch in range(1, epochs + 1):
            loss = (k + 1) / epoch
            validation = (loss + 1, 0.5 + epoch / 10) if k + 1 < len(keys) else (np.nan, np.nan)
            rows.append((key, epoch, loss, 0.6 + epoch / 10, *validation))
    return pd.DataFrame(rows, columns=list(HISTORY))


@pytest.fixture
def made():
    rows = [make_row("pgd", 0.02, head=head, seed=seed) for head in ("vqc1", "tanh") for seed in (0, 1)]
    return report.Report.of(as_frame(rows))


def keys_of(made, head):
    return list(dict.fromkeys(made.rows.loc[made.rows["head"] == head, "model_key"]))


def test_a_curve_is_the_mean_over_seeds(made):
    (one, two), (other, last) = keys_of(made, "vqc1"), keys_of(made, "tanh")
    tanh, vqc1 = sorted(curves(made, histories([one, two, other, last])), key=lambda curve: curve.model.head)
    assert (vqc1.model.head, vqc1.seeds, tanh.seeds) == ("vqc1", 2, 2)
    np.testing.assert_allclose(vqc1.values["train_loss"], [1.5, 0.75, 0.5])
    np.testing.assert_allclose(vqc1.values["validation_loss"], [2.5, 1.75, 1.5])
    np.testing.assert_allclose(tanh.values["train_loss"], [3.5, 1.75, 3.5 / 3])
    np.testing.assert_allclose(tanh.values["validation_loss"], [4, 2.5, 2])  # of the one that has it


def test_the_page_has_them_in_percent_and_without_nan(made):
    found = data(made, curves(made, histories(keys_of(made, "vqc1")[:1])))["training"]
    (curve,) = found
    assert (curve["head"], curve["seeds"], curve["epochs"]) == ("vqc1", 1, [1, 2, 3])
    assert curve["train_accuracy"] == [70, 80, 90]
    assert curve["validation_loss"] == [None] * 3
    json.dumps(found, allow_nan=False)


def test_what_is_no_history_is_left_out(made, tmp_path):
    folder, path = Folder(tmp_path), tmp_path / "training.csv"
    assert folder.histories() is None
    for content in ("", "a,b\n1,2\n", f"{','.join(HISTORY)}\nkey,one,x,x,x,x\n"):
        path.write_text(content)
        assert folder.histories() is None
    assert curves(made, None) == []
    histories(keys_of(made, "vqc1")).to_csv(path, index=False)
    assert set(MEASURES) < set(folder.histories().columns)
    (curve,) = curves(made, folder.histories())
    assert curve.seeds == 2


def test_a_patch_has_the_probability_of_its_class_where_that_is_known(tmp_path):
    rows = write_examples(tmp_path, [make_row("clean", 0.0), make_row("pgd", 0.02)])
    made = report.Report.of(as_frame(rows))
    (strip,) = report.strips(report.kept(made, tmp_path), lambda name: tmp_path / name)
    assert " %<" not in strip
    assert "with the probability" not in report.page(made, [strip], {}, "s")
    path = tmp_path / rows[1]["example"]
    with np.load(path) as file:
        arrays = dict(file)
    before = np.array([0.61, 0.62, 0.63, 0.64, 0.65])
    np.savez(path, **arrays, clean_confidence=before, adversarial_confidence=before + 0.3)
    (strip,) = report.strips(report.kept(made, tmp_path), lambda name: tmp_path / name)
    told = re.findall(r"<small>(\d+) %</small>", strip)
    assert [int(b) - int(a) for a, b in zip(told[::2], told[1::2], strict=True)] == [30] * (len(told) // 2)
    assert len(told) == 4  # two images, before and after
    assert "with the probability that it gives to it" in report.page(made, [strip], {}, "s")
    assert set(told[::2]) <= {"61", "62", "63", "64", "65"}
