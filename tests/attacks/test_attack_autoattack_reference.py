"""The authors' own APGD, FAB and Square (pyautoattack) on the same model and images: the same images fall."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attack_outcomes import right

from hqc_ray import attacks

pytest.importorskip(
    "pyautoattack", reason="pyautoattack is not installed: APGD, FAB and Square are not held to their authors' code"
)
from pyautoattack.autopgd_base import APGDAttack
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

NORMS = {"linf": "Linf", "l2": "L2"}
EPSILON = {"linf": 0.03, "l2": 0.3}


def agree(mine, theirs):
    """Both [N] bool, right before and after: equal for 95 % of the images, and equal rates to 2 images."""
    assert (mine == theirs).mean() >= 0.95
    assert abs(int(mine.sum()) - int(theirs.sum())) <= 2
    assert 0.1 < mine.mean() < 0.8  # there is something to tell


@pytest.mark.parametrize(
    ("case", "loss", "name"), [("toy", "margin", "ce"), ("toy3", "cross_entropy", "ce"), ("toy3", "dlr", "dlr")]
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd(norm, case, loss, name, request):
    case = request.getfixturevalue(case)
    attack = attacks.get("apgd", norm=norm, loss=loss)
    mine = right(attacks.run(attack, case.model, case.images, case.labels, [EPSILON[norm]], 0), case.labels)[0]
    clean = case.model(case.images).argmax(1) == case.labels
    theirs = APGDAttack(case.model, norm=NORMS[norm], eps=EPSILON[norm], loss=name, device="cpu")
    theirs.init_hyperparam(case.images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, kept, _, _ = theirs.attack_single_run(case.images, case.labels)
    agree(mine, (clean & kept.bool()).numpy())


@pytest.mark.parametrize("case", ["toy", "toy3"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_needs_as_little_as_theirs(norm, case, request):
    case = request.getfixturevalue(case)
    result = attacks.run(
        attacks.get("fab", norm=norm), case.model, case.images, case.labels, [1.0 if norm == "linf" else 10.0], 0
    )
    theirs = FABAttack_PT(case.model, norm=NORMS[norm], eps=EPSILON[norm], device="cpu")
    moved = (theirs.attack_single_run(case.images, case.labels) - case.images).detach().double().flatten(1)
    other = (moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)).numpy()[result.attacked]
    mine = (result.per_epsilon[0].linf if norm == "linf" else result.per_epsilon[0].l2)[result.attacked]
    assert (np.abs(mine / other - 1) < 0.01).mean() >= 0.95
    assert 0.99 < mine.mean() / other.mean() < 1.001  # where theirs stays on a boundary, ours goes back and tries again
    agree(mine > EPSILON[norm], other > EPSILON[norm])


@pytest.mark.parametrize(("query", "share"), [(0, 1), (5, 1), (6, 2), (25, 2), (26, 4), (2400, 128), (4900, 512)])
def test_the_squares_shrink_as_theirs(query, share):
    attack = attacks.get("square")
    theirs = SquareAttack(None, n_queries=5000, eps=0.1)
    assert theirs.p_selection(query) == 0.8 / share
    assert attack.side(query, 96, 96) == (max(round((0.8 / share) ** 0.5 * 96), 1),) * 2


@pytest.mark.parametrize("case", ["toy", "toy3"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square(norm, case, request):
    case, epsilon = request.getfixturevalue(case), {"linf": 0.04, "l2": 0.5}[norm]
    images = torch.nn.functional.pad(case.images, (2, 3, 1, 2), value=0.5)  # theirs is for sides that are multiples of 5

    def model(padded):
        return case.model(padded[..., 1:-2, 2:-3]).clone()

    attack = attacks.get("square", norm=norm, queries=300)
    mine = right(attacks.run(attack, model, images, case.labels, [epsilon], 0), case.labels)[0]
    theirs = SquareAttack(model, norm=NORMS[norm], eps=epsilon, n_queries=300, device="cpu")
    with torch.random.fork_rng(devices=[]):
        kept = theirs.perturb(images, case.labels)
    other = ((model(images).argmax(1) == case.labels) & (model(kept).argmax(1) == case.labels)).numpy()
    assert (mine == other).mean() >= 0.9  # two random searches
    assert abs(int(mine.sum()) - int(other.sum())) <= 10
    assert 0.1 < mine.mean() < 0.8
