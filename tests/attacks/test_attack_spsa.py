"""SPSA: its gradient is the margin's, it costs evaluations only, and no neighbour changes what is found for an image."""

from __future__ import annotations

import pytest
import torch
from attack_outcomes import right

from hqc_ray import attacks
from hqc_ray.attacks.losses import margin
from hqc_ray.attacks.view import View


def test_the_estimated_slope_is_that_of_the_margin(toy3):
    model, images, labels = toy3.model.double(), toy3.images[:4].double(), toy3.labels[:4]
    try:
        attack = attacks.SPSA(pairs=1000, delta=1e-4)
        view = View(model, 4)
        slope = attack._slope(view, images, labels, view.generators(images)).flatten(1)
        exact = view.gradient(images, labels, margin).gradient.flatten(1)
        assert torch.cosine_similarity(slope, exact, dim=1).min() > 0.8  # 360 directions: 1 / sqrt(1 + 0.36)
        ratio = (slope * exact).sum(1) / exact.square().sum(1)
        torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=0.15, rtol=0)
    finally:
        toy3.model.float()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_plane_it_goes_to_the_farthest_point_of_the_ball(norm):
    weights = torch.tensor([[0.0, 0.0, 0.0], [3.0, -1.0, 2.0]], dtype=torch.float64)
    values = torch.full((2, 3), 0.5, dtype=torch.float64)
    view = View(lambda x: (x - 5) @ weights.T, 2, decides=False)
    attack = attacks.SPSA(norm=norm, steps=60, pairs=40)
    (found,) = attack.find(view, values, torch.tensor([0, 0]), [0.1], torch.Generator())
    best = weights[1].sign() if norm == "linf" else weights[1] / weights[1].norm()
    torch.testing.assert_close(found, values + 0.1 * best, atol=0.002, rtol=0)
    assert (view.counts.forwards, view.counts.gradients) == (2 * 60 * 81, 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_does_not_depend_on_its_neighbours_nor_on_the_batch(norm, toy):
    images, labels = toy.images[:6].double(), toy.labels[:6]
    model = toy.model.double()
    try:
        attack = attacks.SPSA(norm=norm, restarts=2, steps=5, pairs=8)
        epsilon = 0.03 if norm == "linf" else 0.3
        whole = attacks.run(attack, model, images, labels, [epsilon], 0, batch_size=6, keep=6).per_epsilon[0].adversarial
        order = [4, 1, 5, 0, 3, 2]
        other = attacks.run(attack, model, images[order], labels[order], [epsilon], 0, batch_size=2, keep=6)
        torch.testing.assert_close(other.per_epsilon[0].adversarial, whole[order], atol=1e-6, rtol=0)
    finally:
        toy.model.float()


def test_more_pairs_come_closer_to_pgd_and_an_image_that_fell_is_not_asked_again(toy):
    images, labels = toy.images[:40], toy.labels[:40]
    few, many, pgd = (
        attacks.run(a, toy.model, images, labels, [0.05], 0)
        for a in (attacks.SPSA(steps=10, pairs=2), attacks.SPSA(steps=10, pairs=32), attacks.PGD(steps=10))
    )
    counts = [int(right(one, labels).sum()) for one in (few, many, pgd)]
    assert counts[0] > counts[1] + 2
    assert counts[2] <= counts[1] <= counts[2] + 10
    assert many.gradients == 0
    assert many.forwards < 10 * 65 * many.attacked.sum()
    whole = attacks.run(attacks.SPSA(steps=3, pairs=2), toy.model, images, labels, [0.05], 0, audience="samples")
    assert whole.forwards == 3 * 5 * whole.attacked.sum()
