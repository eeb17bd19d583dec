"""Every attack of the table at every level it declares: values of any shape, in the box of their space, epsilon in its unit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.balls import admitted, lengths, project
from hqc_ray.attacks.losses import fooled
from hqc_ray.attacks.spaces import ANGLES, FEATURES, PIXELS, SPACES
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError
from hqc_ray.spec import LEVELS

SHAPES = {"pixels": (5, 3, 4, 6), "features": (5, 7), "angles": (5, 3)}


class Own(attacks.Attack):
    """A user's own, with nothing but a search; it leaves the box and the ball."""

    def search(self, view, values, labels, epsilons, generator):
        for _ in epsilons:
            yield values + 50 * view.gradient(values, labels).gradient.sign()


CASES = [(e.example(norm=n), level) for e in (*attacks.ATTACKS.values(), Own) for n in e.norms for level in e.levels]
every = pytest.mark.parametrize(("attack", "level"), CASES, ids=repr)


def problem(level, classes=2, seed=0):
    """A small network in the space of `level`, none of its classes rare, and five values, some on the box, with its answers."""
    generator = torch.Generator().manual_seed(seed)
    shape, space = SHAPES[level], SPACES[level]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape[1:]), 9), nn.Tanh(), nn.Linear(9, classes))
    middle = 0.5 if level == "pixels" else 0.0
    values = space.clip(middle + torch.randn(200, *shape[1:], generator=generator))
    model.requires_grad_(False)[-1].bias -= model(values).mean(0)
    return model.eval(), values[:5], model(values[:5]).argmax(1), space


def found(attack, model, values, labels, space, epsilons, decides=True):
    view = View(model, len(values), space, decides)
    yielded = attack.find(view, values, labels, epsilons, torch.Generator().manual_seed(3))
    kept = [admitted(c, values, e, attack.norm, space, repr(attack))[0] for e, c in zip(epsilons, yielded, strict=True)]
    return kept, view


@every
def test_candidates_are_in_ball_and_box_and_strong_ones_fool(attack, level):
    model, values, labels, space = problem(level)
    epsilons = [0.05, 40.0]
    candidates, view = found(attack, model, values, labels, space, epsilons)
    for candidate, epsilon in zip(candidates, epsilons, strict=True):
        assert candidate.shape == values.shape
        assert space.contains(candidate)
        assert lengths(candidate - values, attack.norm).max() <= epsilon + 1e-5
        assert torch.equal(candidate, values) is (attack.title == "Clean")
    if attack.kind != "none":
        assert fooled(view.logits(candidates[1]), labels).float().mean() >= 0.6


@every
def test_a_candidate_does_not_know_the_other_epsilons(attack, level):
    model, values, labels, space = problem(level)
    together, view = found(attack, model, values, labels, space, [0.05, 0.3])
    alone, _ = found(attack, model, values, labels, space, [0.3])
    falls = fooled(view.logits(together[0]), labels) if attack.nested else torch.zeros(len(labels), dtype=torch.bool)
    assert torch.equal(together[1][falls], together[0][falls])  # those of nested ones that fell before
    assert torch.equal(together[1], alone[0]) or attack.nested


@every
def test_a_hundred_classes(attack, level):
    model, values, labels, space = problem(level, classes=100)
    candidates, view = found(attack, model, values, labels, space, [40.0])
    if attack.kind != "none":
        assert fooled(view.logits(candidates[0]), labels).float().mean() >= 0.6


@pytest.mark.parametrize("rivals", [1, 9, 99])
def test_deepfool_among_a_hundred_classes_looks_at_the_candidates_only(rivals):
    model, values, labels, space = problem("features", classes=100)
    attack = attacks.get("deepfool", candidates=rivals + 1, max_iter=1)
    _, view = found(attack, model, values, labels, space, [1.0])
    assert (view.counts.gradients, view.counts.forwards) == (5 * rivals, 5)
    assert attack.cost(3, n_classes=100) == rivals


@pytest.mark.parametrize(("attack", "level"), [(a, level) for a, level in CASES if a.per_search(2) > 1], ids=repr)
def test_iterates_stay_in_the_box(attack, level):
    model, values, labels, space = problem(level)
    seen = []
    model.register_forward_hook(lambda _, args, __: seen.append(args[0].detach().clone()))
    found(attack, model, values, labels, space, [40.0], decides=False)
    assert level == "pixels" or (torch.cat(seen[1:]) < 0).any()  # not in the box of pixels
    assert all(space.contains(s) for s in seen)


def test_the_box_is_that_of_the_space():
    far, values = torch.tensor([[9.0, -9.0, 0.25]]), torch.zeros(1, 3)
    assert project(far, values, 100.0, "linf").tolist() == [[1.0, 0.0, 0.25]]
    assert project(far, values, 100.0, "l2", PIXELS).tolist() == [[1.0, 0.0, 0.25]]
    assert project(far, values, 100.0, "linf", FEATURES).tolist() == [[9.0, -9.0, 0.25]]
    torch.testing.assert_close(project(far, values, 100.0, "linf", ANGLES), torch.tensor([[math.pi / 2, -math.pi / 2, 0.25]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bounds_of_a_box_are_inside_in_every_precision(dtype):
    """float32's pi/2 is greater than float64's."""
    corner = torch.tanh(torch.tensor([[100.0, -100.0]], dtype=dtype)) * (math.pi / 2)
    assert ANGLES.contains(corner)
    assert ANGLES.contains(ANGLES.clip(10 * corner))
    assert torch.equal(ANGLES.clip(corner), corner)
    assert not ANGLES.contains(corner * 1.001)
    assert not FEATURES.contains(corner * torch.inf)
    assert not PIXELS.contains(torch.full((2, 2), torch.nan, dtype=dtype))
    assert FEATURES.contains(1e9 * corner)


def test_each_level_has_a_space():
    assert tuple(SPACES) == LEVELS == ("pixels", "features", "angles")
    assert all(space.name == name for name, space in SPACES.items())


def test_an_attack_of_one_level_refuses_the_others():
    class OnImages(attacks.FGSM):
        levels = ("pixels",)

    model, values, labels, space = problem("angles")
    with pytest.raises(AttackError, match=r"level: OnImages does not work at angles \(valid: pixels\)"):
        found(OnImages(), model, values, labels, space, [0.1])
    found(OnImages(), *problem("pixels"), [0.1])
