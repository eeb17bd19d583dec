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
