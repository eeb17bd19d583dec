"""MNIST's own files, from the sweep file to the report: two digits, and all ten of them."""

import json
import os

import numpy as np
import pytest
import torch
from rich.console import Console

from hqc_ray import cli, load_classifier
from hqc_ray.data import get, subset
from hqc_ray.evaluation import audit
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.sweep import run

MNIST = os.environ.get("HQC_MNIST")
pytestmark = pytest.mark.skipif(not MNIST, reason="needs HQC_MNIST, the folder with MNIST's t10k-images-idx3-ubyte.gz")

SWEEP = """
name: digits
defaults:
  data: {source: idx, path: '${HQC_MNIST}', prefix: t10k, size: SIZE, CLASSES test_fraction: 0.2}
  train: {epochs: 40, learning_rate: 0.02}
  evaluate: {images: 20, batch_size: 10}
  attack:
    - {name: noise, epsilon: [0.05, 0.3]}
    - {name: pgd, epsilon: [0.05, 0.3], steps: 3}
    - {name: deepfool, epsilon: [0.05, 0.3], max_iter: 10}
    - {name: ensemble, members: {fgsm: {}, pgd: {steps: 3}}, epsilon: [0.05, 0.3]}
blocks:
  - model: {backbone: 'tests.sweep.cases:strokes', weights: random, head: [linear, vqc1], n_qubits: 4}
"""
CASES = {"two": ("classes: [3, 8],", 200, ["3", "8"]), "ten": ("", 400, [str(digit) for digit in range(10)])}


@pytest.fixture(scope="module", params=CASES)
def swept(request, tmp_path_factory):
    """The names of the classes, and what the sweep left."""
    classes, size, names = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "digits.yaml").write_text(SWEEP.replace("CLASSES", classes).replace("SIZE", str(size)))
    return names, run.execute(folder / "digits.yaml", folder / "r", serial=True, console=Console(quiet=True))


def test_every_cell_is_measured_and_says_its_classes(swept):
    names, found = swept
    rows = found.rows
    assert set(rows["status"]) == {"ok"}, rows["error"].max()
    assert len(rows) == 2 * 4 * 2
    assert set(rows["n_classes"]) == {len(names)}
    assert {tuple(json.loads(text)) for text in rows["class_names"]} == {tuple(names)}
    assert set(rows["n_evaluated"]) == {20}
    assert str(MNIST) not in (found.folder / "rows.jsonl").read_text()


def test_models_learn_more_than_chance_and_read_out_every_class(swept):
    names, found = swept
    accuracy = found.rows.groupby("head")["test_accuracy"].first()
    assert accuracy["linear"] > {2: 0.85, 10: 0.6}[len(names)]
    assert accuracy["vqc1"] > {2: 0.75, 10: 0.25}[len(names)]
    for key in found.rows["model_key"].unique():
        model = load_classifier(found.folder, key)
        assert model.n_classes == len(names)
        assert model.head.n_classes == len(names)


def test_what_a_row_says_is_what_the_model_says_of_these_very_digits(swept):
    names, found = swept
    source = get("idx", path=MNIST, prefix="t10k", classes=[int(name) for name in names])
    assert list(source.classes) == names
    split = subset(source, {2: 200, 10: 400}[len(names)], 0, 0.2)
    assert np.bincount(split.labels[split.test]).tolist() == [len(split.test) // len(names)] * len(names)
    first = split.test[:20]
    images = torch.from_numpy(source.read(split.indices[first])).permute(0, 3, 1, 2).float() / 255
    for row in found.rows.drop_duplicates("model_key").to_dict("records"):
        assert row["data_digest"] == split.digest
        with torch.no_grad():
            predicted = load_classifier(found.folder, row["model_key"])(images).argmax(1).numpy()
        assert np.array_equal(unpack(row["clean_correct"], 20), predicted == split.labels[first])


def test_attacks_work_and_are_stronger_than_noise(swept):
    _, found = swept
    rows = found.rows[found.rows["head"] == "linear"]
    robust = {(row["attack"], row["epsilon"]): row["robust_accuracy"] for row in rows.to_dict("records")}
    clean = rows["clean_accuracy"].iloc[0]
    assert robust["pgd", 0.3] < clean / 2
    assert robust["deepfool", 0.3] < clean
    assert robust["ensemble", 0.3] <= robust["pgd", 0.3] + 1e-9
    assert robust["noise", 0.05] > robust["pgd", 0.3]
    assert robust["deepfool", 0.3] <= robust["deepfool", 0.05]


def test_near_chance_is_one_in_as_many_as_there_are_classes(swept):
    names, found = swept
    for low, flagged in ((0.3, len(names) == 2), (0.08, True), (0.6, False)):
        flags = audit.flags(found.rows.assign(clean_low=low))
        assert len(flags) == len(found.rows)
        assert {"near_chance" in given for given in flags.values()} == {flagged}


def test_the_report_is_built(swept):
    names, found = swept
    if len(names) == 2:
        pytest.skip("two classes have reports in every other test")
    assert cli.main(["report", str(found.folder)]) == cli.OK
    table = (found.folder / "table.md").read_text()
    assert all(name in table for name in ("linear", "vqc1", "DeepFool", "PGD"))
    assert (found.folder / "rows.csv").read_text().count("\n") == 1 + 16
    assert list(found.folder.rglob("*.html"))
