"""Certified radii, against closed forms, brute force and attacks."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from certify_cases import angles, features, head, labelled, random_waves, waves, wrong
from torch import nn

from hqc_ray import attacks, devices
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.certify import certificate
from hqc_ray.certify.certificate import certifiable, certify
from hqc_ray.errors import ModelError
from hqc_ray.models.head import Dense, linear
from hqc_ray.quantum.cores.native import Native

CUBE = math.pi / 2


def certified(made, level, values):
    labels = labelled(made, level, values)
    return labels, certify(made, level, values, labels)


def holds(found, exact, tolerance=2e-3):
    """Whether the brackets hold the exact radii, and are narrow."""
    assert (found.lower <= exact + 1e-9).all()
    assert (found.upper >= exact - 1e-9).all()
    np.testing.assert_allclose(found.lower, exact, rtol=tolerance, atol=1e-4)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_one_qubit_has_a_closed_form(degree):
    """z = cos(degree x), and the decision changes where it passes 0.3."""
    readout = np.zeros((2 * degree + 1, 1))
    readout[2 * degree - 1] = 1
    made = waves(readout, [[0.0], [2.0]], [0.6, 0.0], degree=degree)
    values = angles(25, 1, width=1.5)
    _, found = certified(made, "angles", values)
    ends = math.acos(0.3)
    changes = np.array([s * (ends + 2 * math.pi * k) / degree for k in (-1, 0, 1) for s in (-1, 1)])
    changes = changes[np.abs(changes) <= CUBE]
    holds(found, np.abs(values.double().numpy() - changes).min(1))
    assert not found.open.any()


def test_one_qubit_of_features_has_a_closed_form():
    made = waves([[0.0], [1.0], [0.0]], [[0.0], [2.0]], [1.2, 0.0])
    values = features(25, 3)
    _, found = certified(made, "features", values)
    ends = np.arctanh(math.acos(0.6) / CUBE)
    u = made.preactivations(values).double().numpy()[:, 0]
    exact = np.abs(np.abs(u) - ends) / made.reduce.weight.double().norm().item()
    within = exact < 4
    holds(dataclasses.replace(found, **{n: getattr(found, n)[within] for n in ("lower", "upper")}), exact[within], 1.2e-2)


def tanh_radius(slopes, margin, start):
    """The smallest r at which a decision that is linear in the angles can change within the cube."""
    reach = np.where(slopes > 0, start + CUBE, CUBE - start)
    radii = np.linspace(0, math.pi, 200_001)
    lost = (np.abs(slopes) * np.minimum(radii[:, None], reach)).sum(1)
    return radii[np.argmax(lost >= margin)] if (lost >= margin).any() else np.inf


@pytest.mark.parametrize("n_classes", [2, 4])
def test_angles_of_tanh_have_a_closed_form(n_classes):
    made = head("tanh", 3, n_classes, seed=3)
    values = angles(30, 3)
    labels, found = certified(made, "angles", values)
    weight, logits = made.readout.weight.double().numpy(), made.decided(values).double().numpy()
    for i, y in enumerate(labels.tolist()):
        exact = min(
            tanh_radius((weight[y] - weight[k]) / CUBE, logits[i, y] - logits[i, k], values[i].double().numpy())
            for k in range(n_classes)
            if k != y
        )
        if math.isinf(exact):
            assert found.upper[i] == np.inf
            assert found.lower[i] >= np.abs(values[i].numpy()).max() + CUBE - 1e-5  # all of the cube
        else:
            assert found.lower[i] == pytest.approx(exact, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(("n_qubits", "degree", "n_classes"), [(2, 1, 2), (2, 1, 4), (2, 2, 2), (2, 3, 3), (3, 1, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_every_point_of_a_grid(n_qubits, degree, n_classes, seed):
    made = random_waves(n_qubits, degree, n_classes, seed)
    values = angles(8, n_qubits, seed)
    labels, found = certified(made, "angles", values)
    line = np.linspace(-CUBE, CUBE, 601 if n_qubits == 2 else 81)
    points = np.array(list(itertools.product(line, repeat=n_qubits)))
    decided = labelled(made, "angles", torch.from_numpy(points).float()).numpy()
    for i, label in enumerate(labels.tolist()):
        distances = np.abs(points - values[i].double().numpy()).max(1)[decided != label]
        nearest = distances.min(initial=np.inf)
        assert found.lower[i] <= nearest + 1e-6
        assert found.upper[i] <= nearest + 1e-6 or math.isinf(nearest)
        if math.isfinite(nearest):
            assert nearest - found.lower[i] <= 2 * (line[1] - line[0])  # and no more than the grid is coarse


CASES = {
    "circuit": lambda: head("vqc1", 3, seed=1), "deep circuit": lambda: head("vqc6", 3, seed=2),
    "reuploads": lambda: head("sim14", 2, seed=1, reuploads=2), "fourier, 5 classes": lambda: head("fourier", 3, 5, seed=1),
    "tanh": lambda: head("tanh", 4, seed=1), "more wires than features": lambda: head("fourier", 4, seed=1, n_features=3),
    "noisy": lambda: head("vqc1", 3, seed=1).on(devices.get("qiskit.aer", depolarizing_2q=0.05)),
}  # fmt: skip
cases = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
levels = pytest.mark.parametrize("level", ["angles", "features"])


def images(made, level, n=6):
    return angles(n, made.reduce.out_features) if level == "angles" else features(n, made.reduce.in_features)


@levels
@cases
def test_the_counterexample_is_wrong_and_lies_at_the_upper_end(make, level):
    made = make()
    values = images(made, level)
    labels, found = certified(made, level, values)
    there = np.isfinite(found.upper)
    assert there.any()
    assert wrong(made, level, found.counterexamples[there], labels[torch.from_numpy(there)]).all()
    moved = found.counterexamples - values.double().numpy()
    lengths = np.abs(moved).max(1) if level == "angles" else np.linalg.norm(moved, axis=1)
    np.testing.assert_allclose(lengths[there], found.upper[there], rtol=1e-5, atol=1e-7)
    assert np.isnan(lengths[~there]).all()
    assert (found.lower <= found.upper).all()
    assert found.norm == {"angles": "linf", "features": "l2"}[level]


@levels
@cases
def test_no_attack_succeeds_within_the_lower_end(make, level):
    """Every image, at radii just inside and just outside of everyone's own."""
    made = make()
    values = images(made, level)
    labels, found = certified(made, level, values)
    norm = {"angles": "linf", "features": "l2"}[level]
    part = _Part(made, level)
    inside, behind = found.lower[found.lower > 0.01] * 0.999, found.upper[np.isfinite(found.upper)] * 1.02
    radii = sorted({*np.round(inside, 4), *np.round(behind, 4)})
    for attack in (attacks.get("pgd", norm=norm, steps=10), attacks.get("bottleneck", norm=norm, rounds=1, steps=4)):
        result = attacks.run(attack, part, values, labels, radii, 0, space=SPACES[level])
        for at, verdict in zip(result.per_epsilon, result.verdicts[0].correct(labels.numpy()), strict=True):
            distance = at.linf if norm == "linf" else at.l2
            assert (distance[~verdict] >= found.lower[~verdict]).all()


class _Part(nn.Module):
    def __init__(self, made, level):
        super().__init__()
        self.made, self.level = made, level

    def forward(self, values):
        return self.made.decided(values) if self.level == "angles" else self.made.logits(values)


def test_noise_moves_the_certificate_with_the_logits():
    """Half the depolarized surrogate's values, without its bias, are the same decision: the same radius."""
    readout = np.zeros((9, 2))
    readout[[1, 5], [0, 1]] = [1.0, 0.7]
    whole, half = (waves(scale * readout, [[0, 0], [1.0, 1.0]], [0.4 * scale, 0.0]) for scale in (1.0, 0.5))
    values = angles(10, 2)
    assert certified(whole, "angles", values)[1].lower == pytest.approx(certified(half, "angles", values)[1].lower, rel=2e-3)


def test_an_ideal_circuit_is_its_surrogate():
    made, values = head("vqc6", 3), angles(5, 3)
    on = made.on(devices.get("default.qubit"))
    assert certified(made, "angles", values)[1].lower == pytest.approx(certified(on, "angles", values)[1].lower)


def test_linear_heads_have_a_closed_form():
    made = Dense(6, 3, linear(6, 3, torch.Generator().manual_seed(0)))
    values = features(20, 6)
    labels, found = certified(made, "features", values)
    weight, logits = made.layers.weight.detach().double().numpy(), made.logits(values).detach().double().numpy()
    rows = [
        min((logits[i, y] - logits[i, k]) / np.linalg.norm(weight[y] - weight[k]) for k in range(3) if k != y)
        for i, y in enumerate(labels.tolist())
    ]
    exact = np.array(rows)
    within = exact < certificate.FARTHEST
    np.testing.assert_allclose(found.lower[within], exact[within], rtol=1e-3, atol=1e-4)
    assert (found.upper >= exact - 1e-6).all()
    assert wrong(made, "features", found.counterexamples, labels).all()


def test_an_image_that_is_wrong_before_has_no_radius():
    made, values = head("vqc1", 3), angles(6, 3)
    found = certify(made, "angles", values, 1 - labelled(made, "angles", values))
    assert (found.lower == 0).all()
    assert (found.upper == 0).all()
    assert not found.open.any()


@levels
def test_where_boxes_run_out_the_bracket_says_so_and_still_holds(level):
    made = head("vqc6", 4, seed=1)
    values = images(made, level, 8)
    labels, exact = certified(made, level, values)
    short = certify(made, level, values, labels, boxes=1)
    assert (short.lower <= exact.upper).all()
    assert (short.upper >= exact.lower).all()
    assert short.open.any()
    assert not exact.open.any()
    assert (short.boxes <= exact.boxes).all()


def test_an_image_s_certificate_does_not_depend_on_its_neighbours():
    made, values = head("vqc6", 3, 3), angles(6, 3)
    labels, found = certified(made, "angles", values)
    alone = certify(made, "angles", values[4:5], labels[4:5])
    assert (alone.lower[0], alone.upper[0], alone.boxes[0]) == (found.lower[4], found.upper[4], found.boxes[4])


def test_a_constant_head_is_certified_as_far_as_anything_is():
    made, values = waves(np.zeros((9, 2)), [[0, 0], [1.0, 1.0]], [0.0, 1.0]), angles(2, 2)
    of_angles, of_features = certified(made, "angles", values)[1], certified(made, "features", features(2, 3))[1]
    np.testing.assert_allclose(of_angles.lower, values.abs().amax(1).double().numpy() + CUBE, rtol=1e-5)
    np.testing.assert_allclose(of_features.lower, certificate.FARTHEST, rtol=1e-5)
    assert np.isinf(of_angles.upper).all()  # nothing wrong was found
    assert not of_angles.open.any()


def test_what_has_no_certificate():
    circuit = head("vqc1", 3)
    native = circuit.with_core(Native(circuit.core.circuit, circuit.core.weights, devices.get("default.qubit")))
    users = head("fourier", 3)
    users.__class__ = type("Users", (type(users),), {"decided": lambda self, angles: -angles})
    for made, level in (
        (users, "angles"),
        (head("mlp"), "features"),
        (native, "angles"),
        (circuit, "pixels"),
        (head("linear"), "angles"),
    ):
        assert not certifiable(made, level)
        with pytest.raises(ModelError, match="no certificate"):
            certify(made, level, torch.zeros(1, 3), [0])
