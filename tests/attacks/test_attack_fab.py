"""FAB: its projections are the shortest steps, one run serves every epsilon, and a linear model's distance is found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attack_outcomes import right
from scipy.optimize import linprog, minimize
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.balls import lengths
from hqc_ray.attacks.searches.fab import onto_boundary
from hqc_ray.attacks.spaces import SPACES

PIXELS, FEATURES, ANGLES = (SPACES[name] for name in ("pixels", "features", "angles"))


def planes(space, n=6, seed=0):
    """Points in the box, normals with zeros among them, and heights of which some cannot be reached."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (space.low, space.high) if math.isfinite(space.low) else (-2.0, 2.0)
    points = low + (high - low) * torch.rand(12, n, generator=generator, dtype=torch.float64)
    normals = torch.randn(12, n, generator=generator, dtype=torch.float64)
    normals[:, 2] = 0
    heights = 6 * torch.randn(12, generator=generator, dtype=torch.float64)
    return points, normals, heights


def shortest_linf(t, w, height, space):
    """By linear programming: minimise r with |d| <= r in the box on the plane; None where there is none."""
    n = len(t)
    bounds = [(space.low - x, space.high - x) if math.isfinite(space.low) else (None, None) for x in t]
    rows = np.vstack([np.hstack([np.eye(n), -np.ones((n, 1))]), np.hstack([-np.eye(n), -np.ones((n, 1))])])
    found = linprog([0] * n + [1], A_ub=rows, b_ub=np.zeros(2 * n), A_eq=[[*w, 0]], b_eq=[-height], bounds=[*bounds, (0, None)])
    return found.fun if found.success else None


def shortest_l2(t, w, height, space):
    """By a general optimiser."""
    bounds = [(space.low - x, space.high - x) if math.isfinite(space.low) else (None, None) for x in t]
    plane = {"type": "eq", "fun": lambda d: w @ d + height, "jac": lambda d: w}
    start = -height * w / (w @ w)
    found = minimize(
        lambda d: d @ d, start, jac=lambda d: 2 * d, bounds=bounds, constraints=plane, method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    return math.sqrt(found.fun) if found.success else None


@pytest.mark.parametrize("space", [PIXELS, FEATURES, ANGLES], ids=lambda s: s.name)
@pytest.mark.parametrize(("norm", "shortest"), [("linf", shortest_linf), ("l2", shortest_l2)])
def test_a_projection_is_the_shortest_step_onto_the_plane(norm, shortest, space):
    points, normals, heights = planes(space)
    steps = onto_boundary(points, normals, heights, norm, space)
    assert space.contains(points + 0.999999 * steps)
    off = (heights + (normals * steps).sum(1)).abs()
    reached = []
    for i, step in enumerate(steps):
        best = shortest(points[i].numpy(), normals[i].numpy(), float(heights[i]), space)
        assert (best is None) == (float(off[i]) > 1e-9)
        if best is not None:
            np.testing.assert_allclose(float(lengths(step[None], norm)), best, rtol=1e-5)
        reached.append(best is not None)
    assert any(reached)
    assert all(reached) == (space is FEATURES)
    assert not steps[:, 2].any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_where_the_plane_is_beyond_the_box_every_entry_goes_as_far_as_it_can(norm):
    points, normals = torch.tensor([[0.25, 0.5, 1.0]]), torch.tensor([[2.0, -1.0, 0.0]])
    steps = onto_boundary(points, normals, torch.tensor([9.0]), norm, PIXELS)
    torch.testing.assert_close(steps, torch.tensor([[-0.25, 0.5, 0.0]]))
    assert not onto_boundary(points, torch.zeros(1, 3), torch.tensor([9.0]), norm, PIXELS).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_finds_the_distance_to_a_hyperplane(norm):
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 2)).double()
    nn.init.normal_(model[1].weight, generator=generator)
    images = 0.5 + 0.02 * torch.randn(6, 2, 3, 4, generator=generator, dtype=torch.float64)
    logits = model(images)
    labels, way = logits.argmax(1), model[1].weight[1] - model[1].weight[0]
    distances = (logits[:, 1] - logits[:, 0]).abs() / (way.abs().sum() if norm == "linf" else way.norm())
    epsilon = float(distances.max()) * 1.1
    found = attacks.run(attacks.get("fab", norm=norm), model, images, labels, [epsilon, 10.0], 0).per_epsilon
    sizes = found[0].linf if norm == "linf" else found[0].l2
    np.testing.assert_allclose(sizes, distances.detach().numpy(), rtol=6e-3)
    assert (sizes >= distances.detach().numpy()).all()
    np.testing.assert_array_equal(sizes, found[1].linf if norm == "linf" else found[1].l2)
    assert found[0].gradients == 100 * 6
    assert found[0].forwards == 200 * 6


def test_it_needs_less_than_deepfool(toy3):
    sizes = {}
    for name in ("fab", "deepfool"):
        result = attacks.run(attacks.get(name), toy3.model, toy3.images, toy3.labels, [1.0], 0)
        assert not right(result, toy3.labels).any()
        sizes[name] = result.per_epsilon[0].linf[result.attacked]
    assert (sizes["fab"] <= sizes["deepfool"] + 1e-4).mean() > 0.95
    assert sizes["fab"].mean() < 0.97 * sizes["deepfool"].mean()


def test_fewer_classes_cost_fewer_gradients(toy3):
    arguments = (toy3.model, toy3.images[:20], toy3.labels[:20], [0.05], 0)
    two, three = (attacks.run(attacks.get("fab", steps=5, candidates=c), *arguments) for c in (2, 3))
    assert 2 * two.gradients == three.gradients == 5 * 2 * int(three.attacked.sum())
    assert attacks.get("fab", steps=5).cost(4, n_classes=3) == 10  # whatever the number of epsilons
