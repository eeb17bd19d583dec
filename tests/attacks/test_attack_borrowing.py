"""What an ensemble takes over from other models: the gradient of a control, and the images of an ideal twin."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.borrowed import Borrowed, Fallen, Falling
from hqc_ray.attacks.losses import margin
from hqc_ray.errors import AttackError

EPSILONS = [0.02, 0.05, 0.1]


class Blind(nn.Module):
    """The same predictions as a model, without a gradient; and a count of what it is asked."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, 0

    def forward(self, images):
        self.asked += len(images)
        return self.model(images).detach() + 0 * images.flatten(1).sum(1, keepdim=True)


def run(attack, model, toy, epsilons=EPSILONS, n=60, **options):
    return attacks.run(attack, model, toy.images[:n], toy.labels[:n], epsilons, 0, keep=n, batch_size=25, **options)


def right(result, toy, n=60):
    return np.stack(result.verdicts[0].correct(toy.labels[:n].numpy()))


def test_who_fell_first_is_kept_at_the_smallest_epsilon_whatever_the_order():
    clean = torch.zeros(4, 2)
    falling = Falling(clean)
    falling.see(0.2, clean + 2, torch.tensor([True, True, False, False]))
    falling.see(0.1, clean + 1, torch.tensor([True, False, False, False]))
    falling.see(0.3, clean + 3, torch.tensor([True, True, False, True]))
    found = falling.fallen()
    assert found.fell.tolist() == [0.1, 0.2, float("inf"), 0.3]
    assert found.values.tolist() == [[1, 1], [2, 2], [3, 3]]
    assert found.at(0.25, clean).tolist() == [[1, 1], [2, 2], [0, 0], [0, 0]]
    assert found.at(0.3, clean + 9).tolist() == [[1, 1], [2, 2], [9, 9], [3, 3]]
    some = found.of(torch.tensor([1, 2, 3]))
    assert some.at(0.3, clean[1:]).tolist() == [[2, 2], [0, 0], [3, 3]]
    twice = Fallen.joined([found, some])
    assert twice.at(1, torch.zeros(7, 2))[:, 0].tolist() == [1, 2, 0, 3, 2, 0, 3]
    again = Fallen.read(twice.arrays())
    assert torch.equal(again.fell, twice.fell)
    assert torch.equal(again.values, twice.values)


def test_the_control_is_pgd_on_another_model_with_its_whole_budget(toy):
    blind = Blind(toy.model)
    alone = run(attacks.get("ensemble", members={"control": {"steps": 5}}), blind, toy, borrowed=Borrowed(toy.model))
    assert alone.members == ("control",)
    assert alone.gradients == 5 * len(EPSILONS) * int(alone.attacked.sum())  # on images that are right, no early stop
    pgd = run(attacks.get("ensemble", members={"pgd": {"steps": 5, "early_stop": False}}), toy.model, toy)
    fallen = (~right(pgd, toy)).sum(1)  # streams have the names of members: other random starts
    assert fallen[-1] > 20
    np.testing.assert_allclose((~right(alone, toy)).sum(1), fallen, atol=3)
    assert not alone.per_epsilon[0].bad_gradient.any()  # the control's gradients say nothing about the model's


def test_the_control_is_asked_for_those_only_that_are_left(toy):
    members = {"pgd": {"steps": 5}, "control": {"steps": 7}}
    without = run(attacks.get("autoattack", members={"pgd": {"steps": 5}}), toy.model, toy, [0.05])
    both = run(attacks.get("autoattack", members=members), toy.model, toy, [0.05], borrowed=Borrowed(toy.model))
    left = int(right(without, toy).sum())
    assert 0 < left < 40
    assert both.gradients == without.gradients + 7 * left


def test_the_control_is_held_and_must_not_be_changed(toy):
    class Spoils(attacks.Attack):
        def search(self, view, values, labels, epsilons, generator):
            with torch.no_grad():
                view.borrowed.control.weight.add_(1)
            yield from (values for _ in epsilons)

    control = _Flat(nn.Linear(3 * 12 * 10, 2))
    with pytest.raises(AttackError, match="changed the model"):
        run(Spoils(), toy.model, toy, borrowed=Borrowed(control))


class _Flat(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.weight, self.inner = inner.weight, inner

    def forward(self, images):
        return self.inner(images.flatten(1))


def test_what_fell_on_the_twin_falls_without_a_gradient_and_the_rest_is_searched(toy):
    attack = attacks.get("autoattack", members={"ideal": {}, "pgd": {"steps": 5}})
    twin = run(attack, toy.model, toy, lends=True)
    assert twin.members == ("pgd",)  # nothing to begin with there
    fell = twin.fallen.fell.numpy()
    for epsilon, kept in zip(EPSILONS, right(twin, toy), strict=True):
        np.testing.assert_array_equal(twin.attacked & ~kept, fell <= epsilon)
    again = run(attack, toy.model, toy, borrowed=Borrowed(ideal=twin.fallen))
    assert again.members == ("ideal", "pgd")
    np.testing.assert_array_equal(right(again, toy), right(twin, toy))
    # those that the twin's search left are searched once more at each epsilon, with all steps: nobody else is
    assert again.gradients == 5 * int(right(twin, toy).sum())
    first = torch.as_tensor(fell <= EPSILONS[0])
    found, had = again.per_epsilon[-1].adversarial[first], twin.per_epsilon[0].adversarial[first]
    labels = toy.labels[: len(first)][first]
    gained = margin(toy.model(found), labels) - margin(toy.model(had), labels)
    assert (gained >= 0).all()
    assert (gained > 0).any()  # those perturbations were followed to the end of the larger ball
    assert torch.equal(found[gained == 0], had[gained == 0])


def test_the_twins_images_are_judged_here(toy):
    attack = attacks.get("autoattack", members={"ideal": {}, "pgd": {"steps": 5}})
    twin = run(attack, toy.model, toy, lends=True)

    def moved(images):  # another device
        return toy.model(images) + torch.tensor([0.3, 0.0])

    without = run(attack, moved, toy)
    begun = run(attack, moved, toy, borrowed=Borrowed(ideal=twin.fallen))
    assert (begun.attacked != twin.attacked).any()
    assert begun.gradients < without.gradients
    candidates = twin.fallen.at(EPSILONS[0], toy.images[:60])
    by_twin = moved(candidates).argmax(1).ne(toy.labels[:60]).numpy() & begun.attacked
    assert by_twin.any()
    assert not right(begun, toy)[0][by_twin].any()
    assert right(begun, toy).sum() <= right(without, toy).sum()


def test_who_fell_on_the_twin_and_not_here_is_climbed_to_and_nobody_else(toy):
    """On a device with another boundary a step or two from the twin's images do what a whole search would."""

    def moved(images):
        return toy.model(images) + torch.tensor([0.3, -0.3])

    members = {"bottleneck": {"rounds": 1, "steps": 4, "directions": 8}, "pgd": {"steps": 20}}
    attack, alone = (attacks.get("autoattack", members={"ideal": {"steps": steps}, **members}) for steps in (3, 0))
    twin = run(attack, toy.model, toy, lends=True)
    stepped, plain = (run(one, moved, toy, borrowed=Borrowed(ideal=twin.fallen)) for one in (attack, alone))
    assert right(stepped, toy).sum() <= right(plain, toy).sum()
    assert stepped.gradients < plain.gradients
    only = {steps: attacks.member("ideal", steps=steps) for steps in (0, 1, 3)}
    found = {steps: run(one, moved, toy, borrowed=Borrowed(ideal=twin.fallen)) for steps, one in only.items()}
    assert found[0].gradients == 0
    left = [right(found[steps], toy) for steps in (0, 1, 3)]
    assert (left[1] <= left[0]).all()
    assert (left[2] <= left[0]).all()
    assert left[2].sum() < left[0].sum()
    fell = twin.fallen.fell.numpy()
    for i, epsilon in enumerate(EPSILONS):
        np.testing.assert_array_equal(left[0][i] & (fell > epsilon), left[2][i] & (fell > epsilon))  # nothing to begin with
    may_step = sum(int((left[0][i] & (fell <= epsilon)).sum()) for i, epsilon in enumerate(EPSILONS))
    assert found[1].gradients == may_step
    assert may_step < found[3].gradients < 3 * may_step


@pytest.mark.parametrize("order", [("ideal", "pgd"), ("pgd", "ideal")])
def test_the_order_is_that_of_the_mapping(toy, order):
    members = {name: {"steps": 5} if name == "pgd" else {} for name in order}
    twin = run(attacks.get("autoattack", members=members), toy.model, toy, lends=True)
    begun = run(attacks.get("autoattack", members=members), toy.model, toy, borrowed=Borrowed(ideal=twin.fallen))
    assert begun.members == order
    np.testing.assert_array_equal(right(begun, toy), right(twin, toy))
    assert (begun.gradients < twin.gradients) == (order[0] == "ideal")


def test_restarts_begin_with_the_same_images(toy):
    attack = attacks.get("autoattack", members={"ideal": {}, "pgd": {"steps": 3}}, restarts=2)
    twin = run(attack, toy.model, toy, lends=True)
    begun = run(attack, toy.model, toy, borrowed=Borrowed(ideal=twin.fallen))
    assert (right(begun, toy) <= right(twin, toy)).all()
    assert begun.gradients < twin.gradients


class Mine(attacks.Attack):
    """A user's own member beside those that borrow."""

    levels: ClassVar = ("pixels",)

    def search(self, view, values, labels, epsilons, generator):
        yield from (values for _ in epsilons)


def test_members_that_borrow_are_members_only():
    with pytest.raises(AttackError, match="unknown attack 'control'"):
        attacks.get("control")
    with pytest.raises(AttackError, match="did you mean 'control'"):
        attacks.get("autoattack", members={"contol": {}})
    with pytest.raises(AttackError, match="a member of autoattack alone"):
        attacks.get("ensemble", members={"ideal": {}, "pgd": {}})
    with pytest.raises(AttackError, match="there are none"):
        attacks.get("autoattack", members={"ideal": {}})
    attack = attacks.get("ensemble", members={"control": {}, "pgd": {}})
    assert (attack.borrows, attack.alone, attack.reaches) == (("control",), False, ("pixels", "features"))
    attack = attacks.AutoAttack(members={"control": attacks.member("control"), "mine": Mine()})
    assert (attack.borrows, attack.alone, attack.reaches) == (("control",), True, ("pixels", "features"))
    assert attacks.get("autoattack").reaches == ("pixels", "features", "angles")


def test_nothing_to_borrow_is_said(toy):
    with pytest.raises(AttackError, match="no control"):
        run(attacks.get("autoattack", members={"control": {}}), toy.model, toy)
    with pytest.raises(AttackError, match="no images of an ideal twin"):
        run(attacks.member("ideal"), toy.model, toy)


def test_an_ensemble_may_hold_autoattack_whose_own_defaults_borrow(toy):
    both = attacks.get("ensemble", members={"autoattack": {}, "pgd": {"steps": 2}})
    assert "ideal" not in both.borrows
    with pytest.raises(AttackError, match="`ideal` is a member of autoattack alone"):
        attacks.get("ensemble", members={"ideal": {}, "pgd": {}})


def test_autoattack_of_members_that_cost_nothing_has_a_cost():
    assert attacks.get("autoattack", members={"clean": {}}).cost(3) == 0
