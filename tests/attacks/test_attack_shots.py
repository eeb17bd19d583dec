"""Sampled models at 64 shots: no early stop, and candidates are compared by the exact twin, the mean of infinitely many looks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqc_ray import attacks, circuits, devices, surrogate
from hqc_ray.attacks.losses import margin
from hqc_ray.attacks.spaces import ANGLES
from hqc_ray.attacks.view import View
from hqc_ray.quantum.cores.native import ShotEstimate

EPSILON, N = 0.35, 24


class Reading(nn.Module):
    """Angles [B, 3] -> a core's outputs -> logits [B, 2]."""

    def __init__(self, core):
        super().__init__()
        self.core = core
        self.register_buffer("weights", torch.tensor([[0.7, -1.1, 0.9], [-0.6, 0.8, -1.2]]))

    @property
    def stochastic(self):
        return self.core.stochastic

    def drawn(self, k):
        return Reading(self.core.drawn(k))

    def forward(self, angles):
        return self.core(angles) @ self.weights.T


@pytest.fixture(scope="module")
def sampled():
    """A model that gives shots, its exact twin, angles, and the classes that the twin sees."""
    circuit = circuits.get("vqc1", 3)
    weights = torch.rand(circuit.n_weights, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 6
    exact = surrogate.fit(circuit, weights, devices.get("default.qubit"))
    angles = (torch.rand(N, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * 2
    twin = Reading(exact)
    return Reading(ShotEstimate(exact, circuit, 64, seed=0)), twin, angles, twin(angles).argmax(1)


def run(attack, sampled, epsilon=EPSILON):
    model, twin, angles, labels = sampled
    result = attacks.run(
        attack, model, angles, labels, [epsilon], 0, space=ANGLES, audience="samples", reference=twin, batch_size=N, keep=N
    )
    return result, margin(twin(result.per_epsilon[0].adversarial), labels)


def test_an_attack_takes_every_step_although_many_a_look_is_wrong(sampled):
    model, _, angles, labels = sampled
    wrong = [model.drawn(k)(angles).argmax(1) != labels for k in range(20)]
    assert torch.stack(wrong).any(0).sum() > 2.5 * torch.stack(wrong).float().mean(0).sum()
    for attack, gradients in ((attacks.PGD(steps=7, restarts=3), 21), (attacks.APGD(steps=9), 10)):
        result, _ = run(attack, sampled)
        assert result.attacked.all()
        assert result.gradients == gradients * N


@pytest.fixture
def compared(monkeypatch):
    """What candidates were compared, in their order."""
    seen, expected = [], View.expected

    def listening(view, values, logits=None):
        seen.append(values.clone())
        return expected(view, values, logits)

    monkeypatch.setattr(View, "expected", listening)
    return seen


def assert_largest_exact_margin(kept, compared, sampled):
    """And a look at each candidate would have chosen others."""
    model, twin, _, labels = sampled
    every = torch.stack([margin(twin(candidates), labels) for candidates in compared])
    torch.testing.assert_close(kept, every.amax(0))
    lucky = torch.stack([margin(model(candidates), labels) for candidates in compared])
    assert (every.gather(0, lucky.argmax(0)[None])[0] < kept - 0.01).any()


@pytest.mark.parametrize("steps", [1, 4])
def test_of_several_candidates_the_one_with_the_largest_exact_margin_is_kept(steps, sampled, compared):
    attack = attacks.get("ensemble", members={"pgd": {"steps": steps, "restarts": 4}, "noise": {}, "fgsm": {}})
    _, kept = run(attack, sampled)
    assert len(compared) == 7  # four restarts, and then each of the three members
    assert_largest_exact_margin(kept, compared, sampled)


def test_apgd_keeps_the_point_with_the_largest_exact_margin(sampled, compared):
    _, kept = run(attacks.APGD(steps=9), sampled)
    assert len(compared) == 10
    assert_largest_exact_margin(kept, compared, sampled)


def test_minimal_attacks_do_not_stop_at_a_lucky_look(sampled):
    for attack in (attacks.FAB(steps=15), attacks.DeepFool(max_iter=30)):
        _, reached = run(attack, sampled, epsilon=3.0)
        assert (reached > 0).float().mean() > 0.9, attack


def test_logits_that_are_known_are_not_evaluated_again_where_nothing_is_noisy(sampled):
    model, twin, angles, _ = sampled
    view = View(twin, N, ANGLES, exact=None)
    seen = view.logits(angles)
    assert view.expected(angles, seen) is seen
    assert view.counts.forwards == N
    noisy = View(model, N, ANGLES, exact=twin)
    assert torch.equal(noisy.expected(angles, seen * 0), twin(angles))
    assert noisy.counts.forwards == N
    assert not View(model, N, ANGLES).noisy


def test_a_module_for_libraries_averages_over_draws_as_gradients_do(sampled):
    model, _, angles, labels = sampled
    view, by_hand = View(model, N, ANGLES), View(model, N, ANGLES)
    view.draws = 5
    values = angles.clone().requires_grad_(True)
    margin(view.module()(values), labels).sum().backward()
    found = by_hand.gradient(angles, labels, margin, draws=5)
    torch.testing.assert_close(values.grad, found.gradient)
    assert (view.counts.gradients, view.counts.forwards) == (5 * N, 5 * N)
    assert torch.equal(view.bad_gradient, by_hand.bad_gradient)
    with torch.no_grad():
        view.module()(angles)
    assert view.counts.forwards == 6 * N


class Cuttable(Reading):
    """The same, that can be cut in front of its circuit: at angles the cut is at the values themselves."""

    def drawn(self, k):
        return Cuttable(self.core.drawn(k))

    def preactivations(self, angles):
        return angles

    def concluded(self, angles):
        return self(angles)


def test_a_bottleneck_is_aimed_at_by_the_exact_twin(sampled):
    model, twin, angles, labels = sampled
    asked = []
    exact = Cuttable(twin.core)
    exact.register_forward_hook(lambda _, given, __: asked.append(len(given[0])))
    attack = attacks.get("bottleneck", directions=32, rounds=1, steps=2)
    _, noisy = run(attack, (Cuttable(model.core), exact, angles, labels), 0.2)
    assert sum(asked) > 32 * N  # every point that the ball reaches
    direct = attacks.run(
        attack, Cuttable(twin.core), angles, labels, [0.2], 0, space=ANGLES, audience="samples", batch_size=N, keep=N
    )
    reached = margin(twin(direct.per_epsilon[0].adversarial), labels)
    assert ((noisy > 0) == (reached > 0)).all()
