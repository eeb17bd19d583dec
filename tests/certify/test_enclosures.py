"""What bounds a head over a box, against the head itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from certify_cases import angles, features, head, random_waves

from hqc_ray.certify.basis import Line, Waves
from hqc_ray.certify.margins import CUBE, corners, decision
from hqc_ray.certify.reach import Ball, Cube

BASES = [Line(), Waves(1), Waves(2), Waves(3)]
CORES = {
    "tanh": lambda: head("tanh", 3), "fourier": lambda: head("fourier", 3, n_classes=3), "circuit": lambda: head("vqc6", 3),
    "reuploads": lambda: head("sim14", 2, reuploads=2), "wave 3": lambda: random_waves(2, 3),
}  # fmt: skip
cores = pytest.mark.parametrize("make", CORES.values(), ids=CORES.keys())


def intervals(n, seed=0, widest=1.3):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-1.5, 1.0, n)
    return low, low + rng.uniform(0.01, 2 * widest, n)


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_the_hull_of_an_interval_holds_every_function_on_it(basis):
    low, high = intervals(60)
    hull = basis.hull(low, high)
    inside = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 41)
    for ways in np.random.default_rng(1).normal(size=(60, hull.shape[-1])):
        values, bounds = basis.functions(inside) @ ways, hull @ ways
        assert (values.min(1) >= bounds.min(1) - 1e-9).all()
        assert (values.max(1) <= bounds.max(1) + 1e-9).all()
    np.testing.assert_allclose(hull[:, 0], basis.functions(low), atol=1e-9)
    np.testing.assert_allclose(hull[:, -1], basis.functions(high), atol=1e-9)


def test_an_arc_lies_in_the_triangle_of_its_ends_and_of_its_tangents():
    hull = Waves(1).hull(np.array(0.2), np.array(1.0))
    assert hull[1] == pytest.approx([1, np.cos(0.6) / np.cos(0.4), np.sin(0.6) / np.cos(0.4)])


@pytest.mark.parametrize("basis", BASES, ids=str)
def test_slopes_and_sizes(basis):
    at = np.linspace(-np.pi / 2, np.pi / 2, 201)
    numeric = (basis.functions(at + 1e-6) - basis.functions(at - 1e-6)) / 2e-6
    np.testing.assert_allclose(basis.slopes(at), numeric, atol=1e-8)
    ends = [start for start, _ in basis.groups[1:]] + [numeric.shape[1]]
    for (start, sizes), end in zip(basis.groups, ends, strict=True):
        assert np.linalg.norm(basis.functions(at)[:, start:end], axis=1).max() <= sizes.value + 1e-12
        assert np.linalg.norm(basis.slopes(at)[:, start:end], axis=1).max() <= sizes.slope + 1e-12
        bends = (basis.slopes(at + 1e-6) - basis.slopes(at - 1e-6)) / 2e-6
        assert np.linalg.norm(bends[:, start:end], axis=1).max() <= sizes.bend + 1e-6


@cores
def test_margins_are_those_of_the_head_to_within_their_slack(make):
    made = make()
    where = angles(400, made.reduce.out_features, width=CUBE)
    logits, exact = made.decided(where).double().numpy(), decision(made)
    margins = exact.margins(1)
    found = margins.at(where.double().numpy())
    others = np.delete(logits, 1, 1)
    assert (np.abs(found - (logits[:, [1]] - others).T) <= margins.slack[:, None]).all()
    assert (margins.slack < 2e-4 * np.abs(logits).max()).all()  # and it is no excuse for anything


@cores
def test_slopes_steepness_and_curvature_of_margins(make):
    margins = decision(make()).margins(0)
    where, q = angles(50, margins.n_wires, width=1.5).double().numpy(), margins.n_wires
    for wire in range(q):
        step = 1e-5 * np.eye(q)[wire]
        numeric = (margins.at(where + step) - margins.at(where - step)) / 2e-5
        np.testing.assert_allclose(margins.slopes(where)[..., wire], numeric, atol=1e-7)
        assert (np.abs(numeric).max(1) <= margins.steepness[:, wire] + 1e-7).all()
        bends = (margins.slopes(where + step) - margins.slopes(where - step)) / 2e-5
        assert (np.abs(bends).max(1) <= margins.curvature[:, wire] + 1e-6).all()


@cores
def test_no_margin_in_a_box_is_below_its_bound(make):
    margins, rng = decision(make()).margins(0), np.random.default_rng(2)
    low, high = (side.reshape(40, -1) for side in intervals(40 * margins.n_wires, 3))
    bounds, real = margins.over(low, high)
    for _ in range(60):
        inside = low + (high - low) * rng.uniform(size=low.shape)
        assert (margins.at(inside) >= bounds - 1e-9).all()
    for number, corner in enumerate(corners(low, high)):
        np.testing.assert_allclose(real[:, number], margins.at(corner), atol=1e-9)


def test_of_tanh_the_bound_is_exact_and_too_wide_a_box_of_a_circuit_has_none():
    low, high = np.full((1, 3), -1.5), np.full((1, 3), 1.5)
    bounds, real = decision(head("tanh", 3)).margins(0).over(low, high)
    assert bounds == pytest.approx(real.min(1))
    assert decision(head("fourier", 3)).margins(0).over(low, high)[0] == -np.inf


def reaches():
    made = head("vqc1", 3)
    weight, bias = made.reduce.weight.double().numpy(), made.reduce.bias.double().numpy()
    for seed in range(4):
        yield Cube(angles(1, 3, seed)[0].double().numpy())
        yield Ball(weight, bias, features(1, seed=seed)[0].double().numpy())


@pytest.mark.parametrize("reach", reaches(), ids=lambda r: type(r).__name__)
def test_the_nearest_move_of_a_box_behind_a_plane(reach):
    """Against points all over boxes: none that is behind the plane is shorter than the bound, and about one is as short."""
    rng = np.random.default_rng(5)
    low = rng.uniform(-1.4, 0.5, (30, 3))
    high = low + rng.uniform(0.1, 0.9, (30, 3))
    first, last = reach.moves(low), reach.moves(high)
    normals, offsets = rng.normal(size=(2, 30, 3)), rng.normal(size=(2, 30)) * 0.3
    with np.errstate(all="ignore"):
        lengths, _ = reach.nearest(normals, offsets, first, last)
    inside = first + (last - first) * rng.uniform(size=(20_000, 1, 3)) ** rng.choice([0, 0.3, 1, 3], (20_000, 1, 3))
    inside = np.concatenate([inside, np.clip(0, first, last)[None]])
    behind = np.einsum("mnq,pnq->mpn", normals, inside) <= -offsets[:, None]
    shortest = np.where(behind, reach.length(inside), np.inf).min(1)
    assert (np.minimum(lengths, reach.farthest) <= shortest + 1e-9).all()
    near = lengths < reach.farthest
    slack = 0.35 if isinstance(reach, Ball) else 0.1
    assert np.median((shortest - lengths)[near & np.isfinite(shortest)]) < slack * np.median(lengths[near])


def test_a_ball_of_features_is_an_ellipsoid_of_moves():
    made = head("vqc1", 3)
    values = features(1)[0].double().numpy()
    reach = Ball(made.reduce.weight.double().numpy(), made.reduce.bias.double().numpy(), values)
    move = np.array([0.3, -0.2, 0.5])
    moved = reach.inputs(move)
    assert np.linalg.norm(moved - values) == pytest.approx(float(reach.length(move)))
    after, before = made.preactivations(torch.from_numpy(np.stack([moved, values])).float())
    assert (after - before).numpy() == pytest.approx(move, abs=1e-5)
    for way in np.random.default_rng(0).normal(size=(200, len(values))):
        shift = way / np.linalg.norm(way)
        assert reach.length(reach.weight @ shift) <= 1 + 1e-9  # what a perturbation of length 1 moves, is no longer


def test_angles_of_features_are_known_to_within_their_blur():
    made = head("vqc1", 3, n_features=512)
    values = features(200, 512)
    weight, bias = made.reduce.weight.double().numpy(), made.reduce.bias.double().numpy()
    for value, seen in zip(values.double().numpy(), made.squeezed(values).double().numpy(), strict=True):
        reach = Ball(weight, bias, value)
        assert (np.abs(reach.start - seen) <= reach.blur).all()
        assert (reach.blur < 3e-3).all()
