"""Gradients against differences: functions whose slopes are known, and gradients that lie about them."""

import pytest
import torch
from planted import Before, StraightThrough, WrongSigns
from torch import nn

from hqc_ray.evaluation.slopes import gradient_error, linear_distances


def generator():
    return torch.Generator().manual_seed(0)


class Curved(nn.Module):
    """Logits (0, mean of sin(5 x) + x^2) after a first function."""

    def __init__(self, first):
        super().__init__()
        self.first = Before(first)

    def forward(self, values):
        values = self.first(values)
        found = ((5 * values).sin() + values.square()).flatten(1).mean(1)
        return torch.stack([torch.zeros_like(found), found], 1)


class Single(Curved):
    """What cannot be computed in float64."""

    def forward(self, values):
        if values.dtype != torch.float32:
            raise TypeError(values.dtype)
        return super().forward(values)


def error(first, kind=Curved, boxed=True):
    values = torch.rand(9, 3, 12, 10, generator=generator())
    return gradient_error(kind(first), values, torch.arange(9) % 2, boxed)


def test_right_gradients_have_no_error():
    assert error(lambda x: x) < 1e-5
    assert error(lambda x: x, boxed=False) < 1e-5
    assert error(lambda x: x, Single) < 0.01
    assert error(lambda x: 1e4 * x / 1e4) < 1e-5


def test_invented_gradients_are_seen_in_either_precision():
    assert error(WrongSigns.apply) > 0.8
    assert error(WrongSigns.apply, Single) > 0.8


def test_a_detached_part_shows_by_its_share():
    assert error(lambda x: x.detach()) == 1
    assert error(lambda x: (x + 3 * x.detach()) / 4) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("kind", [Curved, Single])
def test_a_straight_through_gradient_is_right_in_spirit_unless_it_leads_nowhere(kind):
    assert error(StraightThrough.apply, kind) < 0.15
    assert error(lambda x: WrongSigns.apply(StraightThrough.apply(x)), kind) > 0.5


def test_a_constant_has_no_slopes_and_a_gradient_of_it_is_wrong():
    assert error(lambda x: 0 * x) == 0
    assert error(lambda x: x - x.detach()) > 0.9


def test_a_gradient_that_is_not_finite_is_another_fault():
    assert error(lambda x: (x - x).sqrt() + x) is None


def test_ties_and_edges_of_flat_pictures_are_no_error():
    """Half of the pictures' pixels sit on the box, where a clamp has half a slope, and in ties, where a maximum has two."""
    values = torch.rand(4, 3, 8, 8, generator=generator()).round()
    model = nn.Sequential(Before(lambda x: x.clamp(0, 1)), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 2))
    assert gradient_error(model, values, torch.arange(4) % 2, True) < 1e-5


def test_distances_of_a_linear_model_are_exact():
    """Logits (0, w x + b): |w x + b| / |w|_1 and / |w|_2; the one image that is wrong does not count."""
    weights, bias = torch.tensor([3.0, -4.0]), 1.0
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0], [2.0, 0.0], [5.0, 0.0]])  # 4, -7, 7, 16
    labels = torch.tensor([1, 0, 1, 0])

    def model(x):
        z = x @ weights + bias
        return torch.stack([torch.zeros_like(z), z], 1)

    found = linear_distances(model, values, labels)
    assert found == {"linear_distance_linf": pytest.approx(7 / 7), "linear_distance_l2": pytest.approx(7 / 5)}
    assert linear_distances(model, values, 1 - labels)["linear_distance_l2"] == pytest.approx(16 / 5)  # the last alone
    assert linear_distances(lambda x: model(x.detach()), values, labels) == dict.fromkeys(found)
