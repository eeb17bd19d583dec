"""The distance of a box is at most that of any wrong input in it."""

from __future__ import annotations

import numpy as np
import pytest
from certify_cases import angles, features, head, random_waves

from hqc_ray.certify.margins import CUBE, decision
from hqc_ray.certify.reach import Ball, Cube
from hqc_ray.certify.search import _Run

CORES = {
    "degree 1": lambda: random_waves(2, 1, 3),
    "degree 3": lambda: random_waves(2, 3),
    "tanh": lambda: head("tanh", 2, n_features=3),
}


@pytest.mark.parametrize("level", ["angles", "features"])
@pytest.mark.parametrize("make", CORES.values(), ids=CORES.keys())
def test_no_wrong_input_of_a_box_is_nearer_than_the_box(make, level):
    made, rng = make(), np.random.default_rng(0)
    weight, bias = made.reduce.weight.double().detach().numpy(), made.reduce.bias.double().detach().numpy()
    reach = (
        Cube(angles(1, 2)[0].double().numpy()) if level == "angles" else Ball(weight, bias, features(1, 3)[0].double().numpy())
    )
    run = _Run(decision(made).margins(0), reach, 1e-3)
    middle, half = rng.uniform(-1.2, 1.2, (300, 2)), rng.uniform(0.02, 0.3, (300, 1))
    low, high = np.maximum(middle - half, -CUBE), np.minimum(middle + half, CUBE)
    bounds = run._distances(low, high)
    inside = low + (high - low) * rng.uniform(size=(800, 300, 2))
    values = np.stack([run.margins.at(points) for points in inside], 1)  # [M, 800, n]
    nearest = np.where(values <= run.slack[:, None, None], reach.length(reach.moves(inside)), np.inf).min(1)
    assert (np.minimum(bounds, reach.farthest) <= nearest + 1e-9).all()
    assert np.isfinite(nearest).any()
    plain = reach.nearest(np.zeros((1, 300, 2)), np.zeros((1, 300)), reach.moves(low), reach.moves(high))[0]
    assert (bounds > plain + 1e-3).any()  # the tangent says more than the box alone
