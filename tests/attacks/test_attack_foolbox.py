"""The same attacks by Foolbox, on the same model and images: robust accuracy within 1 % (2 of 200 images)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attack_outcomes import right

from hqc_ray import attacks

foolbox = pytest.importorskip("foolbox")

LINF, L2 = [0.01, 0.03, 0.05, 0.1], [0.1, 0.3, 0.6, 1.2]


def theirs(attack, case, epsilons):
    """Correct before and after [E, N], and the adversarial images [E, N, C, H, W]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, clipped, success = attack(
            foolbox.PyTorchModel(case.model, bounds=(0, 1), device="cpu"), case.images, case.labels, epsilons=epsilons
        )
    clean = (case.model(case.images).argmax(1) == case.labels).numpy()
    return clean & ~success.numpy(), torch.stack([torch.as_tensor(c) for c in clipped])


def ours(attack, case, epsilons):
    result = attacks.run(attack, case.model, case.images, case.labels, epsilons, seed=0, keep=len(case.images))
    return right(result, case.labels), torch.stack([p.adversarial for p in result.per_epsilon]), result


def assert_close(mine, other):
    assert (np.abs(mine.sum(1) - other.sum(1)) <= 2).all(), f"{mine.mean(1)} here, {other.mean(1)} there"
    assert mine[0].any()
    assert len(set(mine.sum(1))) == len(mine)  # the epsilons tell something apart


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_is_identical(norm, toy):
    reference = foolbox.attacks.FGSM() if norm == "linf" else foolbox.attacks.FGM()
    epsilons = LINF if norm == "linf" else L2
    mine, images, result = ours(attacks.get("fgsm", norm=norm), toy, epsilons)
    other, their_images = theirs(reference, toy, epsilons)
    np.testing.assert_array_equal(mine, other)
    attacked = torch.as_tensor(result.attacked)
    tolerance = 1e-6 if norm == "linf" else 1e-5
    torch.testing.assert_close(images[:, attacked], their_images[:, attacked], atol=tolerance, rtol=0)


@pytest.mark.parametrize(("case", "random_start"), [("toy", False), ("toy", True), ("toy3", False)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd(norm, random_start, case, request):
    case = request.getfixturevalue(case)
    reference = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    epsilons, step_size = (LINF[1:], 0.02) if norm == "linf" else (L2[1:], 0.25)
    mine, _, _ = ours(attacks.get("pgd", norm=norm, steps=20, step_size=step_size, random_start=random_start), case, epsilons)
    other, _ = theirs(reference(abs_stepsize=step_size, steps=20, random_start=random_start), case, epsilons)
    assert_close(mine, other)


@pytest.mark.parametrize("case", ["toy", "toy3"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum(norm, case, request):
    case = request.getfixturevalue(case)
    reference = {
        "linf": foolbox.attacks.LinfMomentumIterativeFastGradientMethod,
        "l2": foolbox.attacks.L2MomentumIterativeFastGradientMethod,
    }[norm]
    epsilons, step_size = (LINF[1:], 0.01) if norm == "linf" else (L2[1:], 0.1)
    mine, _, _ = ours(attacks.get("momentum", norm=norm, steps=12, step_size=step_size, decay=0.9), case, epsilons)
    other, _ = theirs(reference(abs_stepsize=step_size, steps=12, momentum=0.9), case, epsilons)
    assert_close(mine, other)


@pytest.mark.parametrize("case", ["toy", "toy3"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool(norm, case, request):
    case = request.getfixturevalue(case)
    reference = {"linf": foolbox.attacks.LinfDeepFoolAttack, "l2": foolbox.attacks.L2DeepFoolAttack}[norm]
    epsilons = LINF if norm == "linf" else L2
    mine, _, _ = ours(attacks.get("deepfool", norm=norm), case, epsilons)
    other, _ = theirs(reference(steps=50, overshoot=0.02), case, epsilons)
    assert_close(mine, other)
