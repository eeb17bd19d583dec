import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.evaluation.cell import evaluate
from hqc_ray.evaluation.statistics import unpack


class Brightness(nn.Module):
    """Class 1 for images brighter than a half: one number decides, so every outcome can be told by hand."""

    def forward(self, images):
        score = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-score, score], 1)


@pytest.fixture
def patches():
    """Five non-square images of constant brightness, and labels: the last one is wrong from the start."""
    levels = np.array([0.30, 0.45, 0.55, 0.70, 0.60])
    images = np.broadcast_to((levels * 255).astype(np.uint8)[:, None, None, None], (5, 6, 4, 3)).copy()
    return images, np.array([0, 0, 1, 1, 0], np.uint8)


def test_the_columns_are_what_the_images_say(patches):
    found = evaluate(Brightness(), attacks.get("fgsm"), *patches, [0.0, 0.1, 0.25], seed=0, batch_size=2, keep=3)
    outcomes = [unpack(c["robust_correct"], 5).tolist() for c in found.columns]
    assert outcomes == [[True] * 4 + [False], [True, False, False, True, False], [False] * 5]
    assert [c["robust_accuracy"] for c in found.columns] == [0.8, 0.4, 0.0]
    assert {c["clean_accuracy"] for c in found.columns} == {0.8}
    assert [round(c["mean_linf"], 4) for c in found.columns] == [0.0, 0.1, 0.25]
    assert found.columns[1]["mean_l2"] == pytest.approx(0.1 * np.sqrt(6 * 4 * 3), rel=1e-5)
    assert all(c["clean_low"] < 0.8 < c["clean_high"] for c in found.columns)
    assert [c["gradients"] for c in found.columns] == [0, 4, 4]


def test_kept_images_are_in_the_unit_box_and_show_the_perturbation(patches):
    found = evaluate(Brightness(), attacks.get("fgsm"), *patches, [0.1], seed=0, keep=3)
    example = found.examples[0]
    assert example["clean"].shape == example["adversarial"].shape == (3, 3, 6, 4)
    assert example["clean"].max() <= 1
    assert example["clean"][0, 0, 0, 0] == pytest.approx(76 / 255, abs=1e-3)
    assert np.abs(example["adversarial"] - example["clean"]).max() == pytest.approx(0.1, abs=2e-3)
    assert example["clean_prediction"].tolist() == [0, 0, 1]
    assert example["prediction"].tolist() == [0, 1, 0]


def test_another_judge_decides_while_the_model_is_attacked(patches):
    class Contrary(Brightness):
        def forward(self, images):
            return super().forward(1 - images)

    images, labels = patches
    found = evaluate(Contrary(), attacks.get("fgsm"), images, labels, [0.25], seed=0, judge=Brightness())
    assert found.columns[0]["clean_accuracy"] == 0.8
    assert found.columns[0]["robust_accuracy"] == 0.8  # the attack moved every image away from the judge's boundary
