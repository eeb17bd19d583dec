"""The nearest wrong point in a metric of one's own, against all points of a grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hqc_ray.certify.certificate import nearest_wrong
from hqc_ray.models.functions import Fourier
from hqc_ray.models.head import Bottleneck


@pytest.mark.parametrize("seed", range(3))
def test_it_is_within_a_tenth_of_the_nearest(seed):
    generator = torch.Generator().manual_seed(seed)
    head = Bottleneck(5, 3, Fourier(2, generator), 2, generator).double().requires_grad_(False)
    points = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    factors = 0.4 * torch.randn(6, 2, 2, generator=generator, dtype=torch.float64)
    labels = head.concluded(points).argmax(1)
    found = nearest_wrong(head, points, factors, labels, tolerance=0.05, boxes=5000)
    radii, turns = torch.linspace(0, 5, 501, dtype=torch.float64), torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
    moves = radii[:, None, None] * torch.stack([turns.cos(), turns.sin()], -1)  # [R, T, 2]
    for point, factor, label, one in zip(points, factors, labels, found, strict=True):
        wrong = (head.concluded((point + moves @ factor.T).flatten(0, 1)).argmax(1) != label).reshape(len(radii), -1).any(1)
        away = float(torch.linalg.solve(factor, torch.from_numpy(one) - point).norm())
        if not wrong.any():
            assert math.isnan(away) or away > 5
            continue
        nearest = float(radii[wrong][0])
        assert nearest - 0.02 <= away <= 1.06 * nearest + 0.01
        assert head.concluded(torch.from_numpy(one)[None]).argmax(1) != label


def test_where_nothing_is_wrong_there_is_none():
    head = Bottleneck(5, 2, Fourier(1, torch.Generator().manual_seed(0)), 1, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        head.core.coefficients.zero_()
        head.readout.bias.copy_(torch.tensor([1.0, 0.0]))
    found = nearest_wrong(head, torch.zeros(2, 1).double(), torch.ones(2, 1, 1).double(), [0, 1])
    assert np.isnan(found[0]).all()
    assert found[1] == 0  # wrong where it is
