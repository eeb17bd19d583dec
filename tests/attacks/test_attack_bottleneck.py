"""The bottleneck attack: it leaves a corner in which the gradient of any loss is trapped, and costs what it says."""

from __future__ import annotations

import math

import pytest
import torch
from attack_outcomes import right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.cut import Cut
from hqc_ray.attacks.view import View

SHAPE = (2, 3, 4)


class Trap(nn.Module):
    """One pre-activation, whose margin cos(a) + 0.8 sin(a) + 0.5 of the first class is wrong at a = -pi/2 only.

    From an angle above atan(0.8) the margin falls towards +pi/2, where it is 1.3: the gradient leads away from the wrong end.
    """

    def __init__(self):
        super().__init__()
        self.weights = torch.linspace(-1, 1, math.prod(SHAPE), dtype=torch.float64).roll(5)

    def preactivations(self, values):
        return 4 * (values.flatten(1) @ self.weights)[:, None]

    def concluded(self, preactivations):
        angles = torch.tanh(preactivations) * (math.pi / 2)
        wins = 0.5 + angles.cos() + 0.8 * angles.sin()
        return torch.cat([wins, torch.zeros_like(wins)], 1)

    def forward(self, values):
        return self.concluded(self.preactivations(values))


@pytest.fixture
def trapped():
    """Three images beyond the top of the margin."""
    model, images = Trap(), torch.full((3, *SHAPE), 0.5, dtype=torch.float64)
    images += 0.05 * model.weights.sign().reshape(SHAPE) * torch.tensor([1.0, 1.2, 1.4]).reshape(3, 1, 1, 1)
    assert (torch.tanh(model.preactivations(images)) * math.pi / 2 > math.atan(0.8)).all()
    return model, images, torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.3), ("l2", 1.3)])
def test_it_leaves_the_corner_that_holds_every_gradient(trapped, norm, epsilon):
    model, images, labels = trapped
    climb = attacks.get("pgd", norm=norm, steps=40, random_start=False)
    assert right(attacks.run(climb, model, images, labels, [epsilon], 0), labels).all()
    result = attacks.run(attacks.get("bottleneck", norm=norm), model, images, labels, [epsilon], 0, keep=3)
    assert not right(result, labels).any()
    assert (result.per_epsilon[0].linf if norm == "linf" else result.per_epsilon[0].l2).max() <= epsilon + 1e-12
    assert result.gradients == 3  # one pre-activation: one gradient per image, and the jump lands


class Band(Trap):
    """Wrong only where its one pre-activation is within 0.05 of 1, and bent, so that a linear jump to 1 goes too far."""

    def preactivations(self, values):
        straight = ((values - 0.5).flatten(1) @ self.weights)[:, None]
        return straight + 0.3 * straight**3

    def concluded(self, preactivations):
        wins = (preactivations - 1).abs() - 0.05
        return torch.cat([wins, torch.zeros_like(wins)], 1)


def test_where_the_jump_misses_the_climb_arrives():
    model, images = Band(), torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    labels, reach = torch.zeros(2, dtype=torch.int64), float(model.weights.abs().sum())
    attack = attacks.get("bottleneck", rounds=1, steps=30)
    result = attacks.run(attack, model, images, labels, [2 / reach], 0, keep=2)  # of [-2, 2], half the way is 1
    assert not right(result, labels).any()
    assert result.gradients > 2 * 2  # not by the jump
    assert right(attacks.run(attacks.get("bottleneck", rounds=1, steps=1), model, images, labels, [2 / reach], 0), labels).all()


def test_without_a_point_that_is_wrong_it_uses_its_budget_and_no_more(trapped):
    model, images, labels = trapped
    result = attacks.run(attacks.get("bottleneck", rounds=2, steps=3), model, images, labels, [0.001], 0)
    assert right(result, labels).all()
    assert result.gradients == 3 * 2 * (1 + 3)
    assert result.forwards == 3 * 2 * (1 + 1 + 3 + 1)


@pytest.mark.parametrize(
    ("rounds", "budget", "spent"), [(3, 40, 4 + 4 + 4), (3, 8, 4 + 4), (3, 11, 4 + 4 + 3), (3, 9, 4 + 4 + 1), (2, 1, 4)]
)
def test_its_budget_cuts_the_last_climb_and_leaves_the_first_round_whole(trapped, rounds, budget, spent):
    model, images, labels = trapped  # one gradient for the jump, three for the climb
    attack = attacks.get("bottleneck", rounds=rounds, steps=3, budget=budget)
    assert attacks.run(attack, model, images, labels, [0.001], 0).gradients == 3 * spent
    assert attack.per_search(1) >= spent


def test_a_wide_bottleneck_costs_no_more_than_forty_gradients():
    attack = attacks.get("bottleneck")
    assert [attack.per_search(q) for q in (4, 5, 7, 12)] == [36, 39, 40, 40]


def test_where_others_judge_it_keeps_the_largest_margin(trapped):
    model, images, labels = trapped
    attack = attacks.get("bottleneck", rounds=1, steps=4)
    result = attacks.run(attack, model, images, labels, [0.3], 0, audience="others", keep=3)
    assert result.gradients == 3 * (1 + 4)
    margins = model(result.per_epsilon[0].adversarial)[:, 0]
    floor = 0.5 + math.cos(math.pi / 2) - 0.8
    assert (margins < floor + 0.01).all()  # the best that there is, not the first that fools


def test_a_model_without_a_bottleneck_is_cut_at_its_logits(toy):
    epsilon, seed = 0.05, 0
    ours = attacks.run(attacks.get("bottleneck"), toy.model, toy.images, toy.labels, [epsilon], seed)
    pgd = attacks.run(attacks.get("pgd"), toy.model, toy.images, toy.labels, [epsilon], seed)
    assert right(ours, toy.labels).sum() <= right(pgd, toy.labels).sum() + 2
    cut = Cut(View(toy.model, 5))
    assert torch.equal(cut.at(toy.images[:5]), toy.model(toy.images[:5]))
    assert torch.equal(cut.logits(cut.at(toy.images[:5])), toy.model(toy.images[:5]))


def test_the_jacobian_is_that_of_the_pre_activations_and_is_counted(trapped):
    model, images, _ = trapped
    view = View(model, 3)
    found = Cut(view).jacobian(images)
    torch.testing.assert_close(found.gradients, (4 * model.weights).reshape(1, 1, *SHAPE).expand(3, 1, *SHAPE))
    assert (view.counts.gradients, view.counts.forwards) == (3, 3)
    assert not view.bad_gradient.any()
    pulled = Cut(view).pull(images, lambda points: 3 * points.sum(1))
    torch.testing.assert_close(pulled.gradient, 3 * found.gradients[:, 0])
    assert view.counts.gradients == 6
