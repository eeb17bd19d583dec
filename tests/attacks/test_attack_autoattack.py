"""AutoAttack: each stage on what is left, members that do not apply left out, and epsilons nested."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pytest
import torch
from attack_outcomes import right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.borrowed import Borrowed, Fallen
from hqc_ray.attacks.losses import margin
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError

FEW = {"apgd": {"steps": 6}, "fab": {"steps": 6}, "square": {"queries": 10}}
LADDER = [0.01, 0.02, 0.04, 0.08]


def run(attack, toy, epsilons, **options):
    return attacks.run(attack, toy.model, toy.images, toy.labels, epsilons, 0, keep=200, **options)


class Hinted(attacks.Attack):
    """Fools by a half of the images at each epsilon, whatever it is; it notes what it was asked."""

    asked: ClassVar[list[tuple[list[float], int]]] = []
    one_search: ClassVar[bool] = False

    def search(self, view, values, labels, epsilons, generator):
        Hinted.asked.append((list(epsilons), len(values)))
        for epsilon in epsilons:
            yield values + epsilon * torch.linspace(-1, 1, len(values)).reshape(-1, 1)


class Once(Hinted):
    """The same, with one search for all epsilons."""

    one_search: ClassVar[bool] = True


def halves(inputs=3):
    """A linear model of the first value, and images just on its right side."""
    model = nn.Linear(inputs, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0] + [0.0] * (inputs - 1), [-1.0] + [0.0] * (inputs - 1)]))
    values = torch.full((8, inputs), 0.05, dtype=torch.float64)
    return model, values, torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize("kind", [Hinted, Once])
def test_what_has_fallen_is_not_searched_again(kind):
    model, values, labels = halves()
    Hinted.asked.clear()
    attack = attacks.AutoAttack(members={"hinted": kind()})
    view = View(model, 8, attacks.SPACES["features"])
    found = list(attack.find(view, values, labels, [0.1, 0.2, 0.4], torch.Generator()))
    fallen = [(margin(model(x), labels) > 0) for x in found]
    assert [int(f.sum()) for f in fallen] == ([2, 3, 4] if kind is Once else [2, 4, 6])
    for less, more in itertools.pairwise(fallen):
        assert (less <= more).all()
    assert torch.equal(found[2][fallen[0]], found[0][fallen[0]])  # and keeps its nearer image
    asked = [([0.1, 0.2, 0.4], 8)] if kind is Once else [([0.1], 8), ([0.2], 6), ([0.4], 4)]
    assert Hinted.asked == asked


def test_the_worst_case_is_nested_and_no_weaker_than_its_members(toy):
    attack = attacks.get("autoattack", members=FEW)
    whole = run(attack, toy, LADDER)
    kept = right(whole, toy.labels)
    assert (kept[1:] <= kept[:-1]).all()
    assert kept[0].any()
    for name in ("apgd", "fab"):
        own = right(run(attacks.get(name, **FEW[name]), toy, LADDER), toy.labels)
        assert (kept.sum(1) <= own.sum(1) + 2).all()  # random numbers of their own
    small, large = whole.per_epsilon[:2]
    fallen = torch.as_tensor(whole.attacked & ~kept[0])
    assert fallen.any()
    assert torch.equal(small.adversarial[fallen], large.adversarial[fallen])
    assert whole.gradients == sum(part.gradients for part in whole.per_epsilon)


def test_an_image_that_falls_at_a_smaller_epsilon_only_has_fallen_at_the_larger(toy):
    class Once(attacks.Attack):
        one_search: ClassVar[bool] = False

        def search(self, view, values, labels, epsilons, generator):
            way = view.gradient(values, labels).gradient.sign()
            yield values + (epsilons[0] if epsilons[0] < 0.05 else 0.0) * way

    large, small = right(run(attacks.Ensemble(members={"once": Once()}), toy, [0.08, 0.04]), toy.labels).sum(1)
    assert large > small
    large, small = right(run(attacks.AutoAttack(members={"once": Once()}), toy, [0.08, 0.04]), toy.labels).sum(1)
    assert large == small


def test_the_order_of_the_epsilons_does_not_matter(toy):
    attack = attacks.get("autoattack", members=FEW)
    one = run(attack, toy, [0.02, 0.0, 0.08])
    other = run(attack, toy, [0.08, 0.02])
    for i, j in ((0, 1), (2, 0)):
        assert one.per_epsilon[i].epsilon == other.per_epsilon[j].epsilon
        assert torch.equal(one.per_epsilon[i].adversarial, other.per_epsilon[j].adversarial)
    assert one.per_epsilon[0].gradients == other.per_epsilon[1].gradients
    assert one.per_epsilon[1].gradients == 0


def test_five_nested_epsilons_cost_little_more_than_the_first(toy):
    attack = attacks.get("autoattack", members={"apgd": {"steps": 30}, "fab": {"steps": 10}})
    first = run(attack, toy, [0.1])
    five = run(attack, toy, [0.1, 0.12, 0.15, 0.2, 0.3])
    assert 0 < right(first, toy.labels).mean() < 0.2
    assert five.per_epsilon[0].gradients == first.gradients
    assert five.gradients <= 1.3 * first.gradients


def test_members_that_do_not_apply_are_left_out(toy):
    class Cuttable(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def preactivations(self, values):
            return self.inner(values)

        def concluded(self, points):
            return points

        def forward(self, values):
            return self.inner(values)

    attack = attacks.get("autoattack")
    assert list(attack.members) == ["ideal", "bottleneck", "control", "apgd", "fab", "square"]
    assert list(attack.running(View(toy.model, 1))) == ["apgd", "fab", "square"]
    assert list(attack.running(View(Cuttable(toy.model), 1))) == ["bottleneck", "apgd", "fab", "square"]
    lent = Borrowed(toy.model, Fallen(torch.full((1,), torch.inf), toy.images[:0]))
    assert list(attack.running(View(Cuttable(toy.model), 1, borrowed=lent))) == list(attack.members)
    angles = View(Cuttable(toy.model), 1, attacks.SPACES["angles"], borrowed=lent)
    assert list(attack.running(angles)) == ["ideal", "bottleneck", "apgd", "fab", "square"]
    alone = attacks.get("autoattack", members={"bottleneck": {"rounds": 1}})
    assert list(alone.running(View(toy.model, 1))) == ["bottleneck"]  # rather than nothing
    assert list(attacks.Ensemble(members=alone.members).running(View(toy.model, 1))) == ["bottleneck"]


def test_order_and_members_can_be_set():
    attack = attacks.get("autoattack", norm="l2", members={"fab": {"steps": 3}, "pgd": {"steps": 4}})
    assert [(name, member.norm) for name, member in attack.members.items()] == [("fab", "l2"), ("pgd", "l2")]
    assert attacks.get("autoattack", norm="l2").members["apgd"].norm == "l2"
    with pytest.raises(AttackError, match=r"members.apgd: unknown attack 'apgdd'|unknown attack"):
        attacks.get("autoattack", members={"apgdd": {}})
    with pytest.raises(AttackError, match="at least 1 item"):
        attacks.get("autoattack", members={})


def test_where_another_model_judges_every_stage_sees_every_image_and_margins_only_rise(toy):
    attack = attacks.get("autoattack", members=FEW)
    whole = run(attack, toy, [0.02, 0.05], audience="others")
    assert [part.gradients for part in whole.per_epsilon] == [200 * (7 + 6), 200 * 7]  # one FAB for both
    margins = [margin(toy.model(part.adversarial), toy.labels) for part in whole.per_epsilon]
    assert (margins[1] >= margins[0] - 1e-5).all()


def test_restarts_nest_as_well(toy):
    attack = attacks.get("autoattack", members={"pgd": {"steps": 3}}, restarts=2)
    kept = right(run(attack, toy, [0.02, 0.05]), toy.labels)
    assert (kept[1] <= kept[0]).all()
    once = right(run(attacks.get("autoattack", members={"pgd": {"steps": 3}}), toy, [0.02, 0.05]), toy.labels)
    assert (kept <= once).all()
    np.testing.assert_array_equal(kept.any(1), [True, True])
