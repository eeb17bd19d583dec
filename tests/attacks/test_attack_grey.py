"""Perturbed images as files of 8 bits hold them: nearest grey levels, inside ball and box, judged again."""

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.balls import in_grey_levels, lengths
from hqc_ray.evaluation.measure import Seen, measure
from hqc_ray.evaluation.sampled import Samples
from hqc_ray.models.features import pixels
from hqc_ray.results.row import Deployed


def grey(*levels):
    return torch.tensor(levels, dtype=torch.float32).reshape(1, 1, 1, -1) / 255


def in_levels(found):
    return (found.double() * 255).round().flatten().tolist()


def test_each_pixel_goes_to_its_nearest_level_inside_the_ball_and_the_box():
    clean = grey(0, 10, 100, 200, 255, 50)
    moved = (clean + torch.tensor([-0.0, 2.4, -2.6, 2.75, 0.0, 0.3]) / 255).clamp(0, 1)
    found = in_grey_levels(moved, clean, 2.75 / 255, "linf")
    assert in_levels(found) == [0, 12, 98, 202, 255, 50]  # 97.4 and 202.75 would be 97 and 203, beyond 2 whole levels
    assert in_levels(in_grey_levels(moved, clean, 3 / 255, "linf")) == [0, 12, 97, 203, 255, 50]


@pytest.mark.parametrize("epsilon", [1 / 255, 2 / 255, 4 / 255, 8 / 255])
def test_whole_levels_are_reached_whole(epsilon):
    """Float rounding of x + 1/255 must not make it a level less."""
    clean = pixels(np.arange(256, dtype=np.uint8).reshape(1, 8, 32, 1).repeat(3, 3))
    for sign in (1, -1):
        found = in_grey_levels((clean + sign * epsilon).clamp(0, 1), clean, epsilon, "linf")
        wanted = (torch.arange(256) + sign * round(epsilon * 255)).clamp(0, 255).double()
        assert in_levels(found[:, 0]) == wanted.tolist()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [0.3 / 255, 1 / 255, 0.05, 0.3])
def test_what_is_rounded_lies_in_ball_and_box_and_on_levels(norm, epsilon):
    generator = torch.Generator().manual_seed(0)
    clean = pixels(torch.randint(0, 256, (40, 5, 4, 3), generator=generator).byte().numpy())
    away = torch.randn(clean.shape, generator=generator)
    size = lengths(away, norm).reshape(-1, 1, 1, 1)
    moved = (clean + epsilon * away / size).clamp(0, 1)
    found = in_grey_levels(moved, clean, epsilon, norm)
    assert lengths((found - clean).double(), norm).max() <= epsilon + 1e-5
    assert ((found * 255) - (found * 255).round()).abs().max() < 1e-4
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert (found - moved).abs().max() <= (1 if norm == "l2" else 0.5 + epsilon * 255 % 1) / 255 + 1e-6


def test_images_that_did_not_move_keep_their_bits():
    clean = pixels(np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8))
    for values in (clean, torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0))):
        for norm in ("linf", "l2"):
            assert torch.equal(in_grey_levels(values, values, 0.05, norm), values)


class Threshold(nn.Module):
    """Class 1 for images whose mean is above 100.4 grey levels."""

    def forward(self, images):
        score = 10 * (images.mean((1, 2, 3)) - 100.4 / 255)
        return torch.stack([-score, score], 1)


class Nudge(attacks.Attack):
    """Adds a given number of grey levels to each image."""

    levels_added: float

    def search(self, view, values, labels, epsilons, generator):
        for _ in epsilons:
            yield values + self.levels_added / 255


IMAGES = np.array([97, 99, 100, 103], np.uint8)[:, None, None, None].repeat(4, 1).repeat(5, 2).repeat(3, 3)
LABELS = np.array([0, 0, 0, 1])


def columns(attack, epsilon, judge=(), repeats=None, **more):
    result = attacks.run(attack, Threshold(), pixels(IMAGES), LABELS, [epsilon], 0, judges=judge, batch_size=3, **more)
    return measure(result, LABELS, epsilon, 0, Seen(Deployed(test_accuracy=None), repeats))


def test_an_attack_that_ends_just_behind_the_boundary_is_lost_in_rounding():
    found = columns(Nudge(levels_added=0.45), 1 / 255)
    assert (found.clean_accuracy, found.robust_accuracy, found.robust_accuracy_8bit) == (1.0, 0.75, 1.0)
    whole = columns(Nudge(levels_added=1.0), 1 / 255)
    assert (whole.robust_accuracy, whole.robust_accuracy_8bit) == (0.75, 0.75)


def test_an_epsilon_between_levels_is_rounded_inwards():
    found = columns(Nudge(levels_added=1.75), 1.75 / 255)  # 99 becomes 100.75, which is 101 and too far: 100
    assert (found.robust_accuracy, found.robust_accuracy_8bit) == (0.5, 0.75)


def test_what_nothing_attacks_is_as_right_as_before():
    found = columns(attacks.get("clean"), 0.0)
    assert found.robust_accuracy_8bit == found.clean_accuracy == 1.0


def test_there_are_no_grey_levels_of_features():
    values, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), np.array([0, 1] * 3)
    model = nn.Linear(3, 2)
    result = attacks.run(attacks.get("fgsm"), model, values, labels, [0.1], 0, space=attacks.SPACES["features"])
    assert result.verdicts[0].rounded == []
    assert measure(result, labels, 0.1, 0, Seen(Deployed(test_accuracy=None))).robust_accuracy_8bit is None


def test_samples_judge_rounded_images_with_shots_of_their_own(monkeypatch):
    names = []
    decide = Samples.decide
    monkeypatch.setattr(Samples, "decide", lambda self, seen, name: names.append(name) or decide(self, seen, name))

    class Head:
        def squeezed(self, values):
            return values

        def standardised(self, values):
            return values

        def sampled(self, angles, shots, generator, repeats, replicas):
            return Threshold()(angles[..., None, None].expand(-1, -1, 1, 1))[None].expand(repeats, -1, -1)

    class Model:
        head, measured = Head(), False

        def features(self, images):
            return images.mean((2, 3))

    found = columns(Nudge(levels_added=0.45), 1 / 255, [Samples(Model(), 10, 2, 0)], 2)
    assert names == ["clean", repr(1 / 255), f"{1 / 255!r} in 8 bits"]
    assert (found.robust_accuracy, found.robust_accuracy_8bit) == (0.75, 1.0)
