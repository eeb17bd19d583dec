import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.judges import Exact
from hqc_ray.evaluation.measure import Seen, example, measure
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.models.features import pixels
from hqc_ray.results.row import Deployed

KNOWN = Deployed(test_accuracy=0.75)


class Brightness(nn.Module):
    """Class 1 for images brighter than a half: one number decides, so every outcome can be told by hand."""

    def forward(self, images):
        score = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-score, score], 1)


class Contrary(Brightness):
    def forward(self, images):
        return super().forward(1 - images)


@pytest.fixture
def patches():
    """Five non-square images of constant brightness, and labels: the last one is wrong from the start."""
    levels = np.array([0.30, 0.45, 0.55, 0.70, 0.60])
    images = np.broadcast_to((levels * 255).astype(np.uint8)[:, None, None, None], (5, 6, 4, 3)).copy()
    return pixels(images), np.array([0, 0, 1, 1, 0], np.uint8)


def run(patches, epsilons, model=None, judges=(), **options):
    return attacks.run(attacks.get("fgsm"), model or Brightness(), *patches, epsilons, 0, judges=judges, **options)


def test_the_columns_are_what_the_images_say(patches):
    epsilons = [0.0, 0.1, 0.25]
    result = run(patches, epsilons, batch_size=2)
    found = [measure(result, patches[1], epsilon, 0, Seen(KNOWN)) for epsilon in epsilons]
    outcomes = [unpack(c.robust_correct, 5).tolist() for c in found]
    assert outcomes == [[True] * 4 + [False], [True, False, False, True, False], [False] * 5]
    assert [c.robust_accuracy for c in found] == [0.8, 0.4, 0.0]
    assert {c.clean_accuracy for c in found} == {0.8}
    assert {c.test_accuracy for c in found} == {0.75}
    assert [round(c.mean_linf, 4) for c in found] == [0.0, 0.1, 0.25]
    assert found[1].mean_l2 == pytest.approx(0.1 * np.sqrt(6 * 4 * 3), rel=1e-5)
    assert all(c.clean_low < 0.8 < c.clean_high for c in found)
    assert [c.gradients for c in found] == [0, 4, 4]
    assert [c.forwards for c in found] == [10, 14, 14]
    assert {(c.repeats, c.clean_shot_low, c.shot_flip_share) for c in found} == {(None, None, None)}


def test_kept_images_are_in_the_unit_box_and_show_the_perturbation(patches):
    kept = example(run(patches, [0.1], keep=3), patches[0].numpy(), patches[1], 0.1, 0, 3)
    assert kept["clean"].shape == kept["adversarial"].shape == (3, 3, 6, 4)
    assert kept["clean"].max() <= 1
    assert kept["clean"][0, 0, 0, 0] == pytest.approx(76 / 255, abs=1e-3)
    assert np.abs(kept["adversarial"] - kept["clean"]).max() == pytest.approx(0.1, abs=2e-3)
    assert kept["clean_prediction"].tolist() == [0, 0, 1]
    assert kept["prediction"].tolist() == [0, 1, 0]


def test_another_judge_decides_while_the_model_is_attacked(patches):
    judges = [Exact(Brightness()), Exact(Contrary())]
    result = run(patches, [0.25], Contrary(), judges, audience="others")
    one, other = (measure(result, patches[1], 0.25, judge, Seen(KNOWN)) for judge in (0, 1))
    # the attack moved every image away from the first judge's boundary, and into the second's mistakes
    assert (one.clean_accuracy, one.robust_accuracy) == (0.8, 0.8)
    assert other.clean_accuracy == pytest.approx(0.2)
    assert other.robust_accuracy == 0.0
    assert (one.gradients, other.gradients) == (5, 5)


def test_a_judge_is_only_asked_about_images_that_it_was_not_trained_on(patches):
    fresh = np.array([True, False, True, False, True])
    found = measure(run(patches, [0.1]), patches[1], 0.1, 0, Seen(KNOWN, fresh=fresh))
    assert found.n_evaluated == 3
    assert unpack(found.clean_correct, 3).tolist() == [True, True, False]
    assert unpack(found.robust_correct, 3).tolist() == [True, False, False]
    nobody = measure(run(patches, [0.1]), patches[1], 0.1, 0, Seen(KNOWN, fresh=~np.ones(5, bool)))
    sampled = measure(run(patches, [0.1]), patches[1], 0.1, 0, Seen(KNOWN, repeats=1, fresh=~np.ones(5, bool)))
    assert (sampled.n_evaluated, sampled.clean_shot_low, sampled.shot_flip_share) == (0, None, None)
    assert (nobody.n_evaluated, nobody.clean_low, nobody.clean_high, nobody.mean_linf) == (0, 0.0, 1.0, None)
