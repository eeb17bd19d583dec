"""The kinds of targets of the bottleneck attack: each alone leaves the corner that holds every gradient."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from attack_outcomes import right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.cut import Cut
from hqc_ray.attacks.landmarks import Landmarks
from hqc_ray.attacks.searches.targets import Linear, Targets
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.attacks.view import View
from hqc_ray.errors import AttackError
from hqc_ray.models.functions import Fourier
from hqc_ray.models.head import Bottleneck, Dense
from hqc_ray.models.part import Rest
from hqc_ray.quantum.cores.surrogate import trig_features

SHAPE = (2, 3, 4)
KINDS = {
    "reach": {},
    "counterexample": {"directions": 0, "counterexamples": True},
    "training": {"directions": 0, "neighbours": 2},
}


def head(classes: int) -> Bottleneck:
    """One wire, whose first class wins by cos(a) + 0.8 sin(a) + 0.5: it is wrong at a = -pi/2 only, where the second class wins.

    From an angle above atan(0.8) the margin falls towards +pi/2, where it is 1.3: gradients lead away from the wrong end. The
    others of K classes never win.
    """
    made = Bottleneck(
        math.prod(SHAPE), classes, Fourier(1, torch.Generator().manual_seed(0)), 1, torch.Generator().manual_seed(0)
    )
    order = trig_features(torch.tensor([[math.pi / 6]]))[0]  # 1, cos, sin in the order in which the core has them
    wanted = torch.tensor([0.5, 1.0, 0.8])
    ways = [int((order - value).abs().argmin()) for value in (1.0, math.cos(math.pi / 6), math.sin(math.pi / 6))]
    with torch.no_grad():
        made.core.coefficients[ways, 0] = wanted
        made.reduce.weight.copy_(4 * torch.linspace(-1, 1, math.prod(SHAPE)).roll(5))
        made.reduce.bias.copy_(-2 * torch.linspace(-1, 1, math.prod(SHAPE)).sum())
        made.readout.weight.zero_()
        made.readout.weight[0] = 1
        made.readout.bias.copy_(torch.tensor([0.0, 0.0, *[-3.0] * (classes - 2)]))
    return made.double().requires_grad_(False).eval()


class Model(nn.Module):
    """Images in front of that head, as a classifier has them."""

    bottleneck: ClassVar[bool] = True

    def __init__(self, classes: int = 2):
        super().__init__()
        self.head = head(classes)

    def preactivations(self, values):
        return self.head.preactivations(values.flatten(1))

    def concluded(self, preactivations):
        return self.head.concluded(preactivations)

    def forward(self, values):
        return self.concluded(self.preactivations(values))


LANDMARKS = Landmarks(torch.tensor([[-2.5], [-3.0], [0.5], [-2.0], [2.9]], dtype=torch.float64), torch.tensor([1, 1, 0, 0, 1]))


def images(model: nn.Module) -> torch.Tensor:
    """Three, beyond the top of the margin."""
    made = torch.full((3, *SHAPE), 0.5, dtype=torch.float64)
    made += 0.05 * model.head.reduce.weight.sign().reshape(SHAPE) * torch.tensor([1.0, 1.2, 1.4]).reshape(3, 1, 1, 1)
    assert (model.head.squeezed(made.flatten(1)) > math.atan(0.8)).all()
    return made


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.3), ("l2", 0.45)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_breaks_what_apgd_leaves(kind, norm, epsilon, classes):
    model, labels = Model(classes), torch.zeros(3, dtype=torch.int64)
    values = images(model)
    climb = attacks.get("apgd", norm=norm, steps=20)
    assert right(attacks.run(climb, model, values, labels, [epsilon], 0), labels).all()
    aim = attacks.get("bottleneck", norm=norm, **KINDS[kind])
    first, again = (attacks.run(aim, model, values, labels, [epsilon], 0, landmarks=LANDMARKS, keep=3) for _ in range(2))
    assert not right(first, labels).any()
    assert first.gradients == 3  # one pre-activation: one gradient per image, and the jump lands
    assert torch.equal(first.per_epsilon[0].adversarial, again.per_epsilon[0].adversarial)


@pytest.mark.parametrize("kind", ["counterexample", "reach"])
def test_at_angles_a_target_is_an_angle(kind):
    class Behind(Model):
        def preactivations(self, values):
            return values

        def concluded(self, angles):
            return self.head.decided(angles)

    model, labels = Behind(), torch.zeros(2, dtype=torch.int64)
    values = torch.tensor([[0.8], [1.2]], dtype=torch.float64)
    attack = attacks.get("bottleneck", **KINDS[kind])
    result = attacks.run(attack, model, values, labels, [1.7, 2.7], 0, space=SPACES["angles"])
    # wrong below a = -2 atan((...)): cos a + 0.8 sin a = -0.5 at a = atan(0.8) - acos(-0.5 / sqrt(1.64)) = -1.298
    assert right(result, labels).tolist() == [[True, True], [False, False]]


def targets(model, **options):
    view = View(model, 3, landmarks=LANDMARKS)
    chosen = {"directions": 0, "counterexamples": False, "neighbours": 0, **options}
    return Targets(view, Cut(view), **chosen), Linear.of(*Cut(view).jacobian(images(model)))


def test_the_counterexample_is_the_nearest_wrong_point():
    asked, linear = targets(Model(), counterexamples=True)
    way = asked.ways(linear, torch.zeros(3, dtype=torch.int64), 0.3, "linf", torch.Generator())
    reached = linear.at + torch.einsum("nq,nqd->nd", way[:, 0], linear.gradients.flatten(2) @ linear.gradients.flatten(2).mT)
    nearest = math.atan(0.8) - math.acos(-0.5 / math.hypot(1, 0.8))
    torch.testing.assert_close(reached, torch.full_like(reached, math.atanh(nearest * 2 / math.pi)), rtol=0, atol=1e-3)


def test_neighbours_are_of_other_classes_and_taken_for_them():
    asked, linear = targets(Model(), neighbours=3)
    way = asked.ways(linear, torch.zeros(3, dtype=torch.int64), 0.3, "linf", torch.Generator())
    gram = linear.gradients.flatten(2) @ linear.gradients.flatten(2).mT
    reached = linear.at[:, None] + torch.einsum("nkq,nqr->nkr", way, gram)
    # -2.0 and 0.5 are of the images' own class, 2.9 is taken for it: there is no third neighbour
    torch.testing.assert_close(reached[:, :2, 0], torch.tensor([[-2.5, -3.0]] * 3, dtype=torch.float64))
    assert (way[:, 2] == 0).all()


def test_without_landmarks_neighbours_change_nothing():
    model, labels = Model(), torch.zeros(3, dtype=torch.int64)
    found = [
        attacks.run(attacks.get("bottleneck", neighbours=n, rounds=1), model, images(model), labels, [0.05], 0, keep=3)
        for n in (0, 8)
    ]
    assert torch.equal(found[0].per_epsilon[0].adversarial, found[1].per_epsilon[0].adversarial)


def test_a_model_of_which_no_target_is_known_is_refused(toy):
    attack = attacks.get("bottleneck", directions=0, counterexamples=True)
    with pytest.raises(AttackError, match="no targets are known"):
        attacks.run(attack, toy.model, toy.images[:4], toy.labels[:4], [0.05], 0)
    with pytest.raises(AttackError, match="nothing to aim at"):
        attacks.get("bottleneck", directions=0)


def dead() -> Rest:
    """An MLP on six features, all of whose three units are dead near 0; the second class wins where the first unit is above 1."""
    first, last = nn.Linear(6, 3), nn.Linear(3, 2)
    with torch.no_grad():
        first.weight.copy_(torch.eye(3, 6) + 0.1)
        first.bias.fill_(-2.0)
        last.weight.copy_(torch.tensor([[0.0, 3.0, 3.0], [2.0, 0.0, 0.0]]))
        last.bias.copy_(torch.tensor([1.0, 0.0]))
    return Rest(Dense(6, 2, nn.Sequential(first, nn.ReLU(), last)).requires_grad_(False).eval(), "features")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_dead_units_hold_gradients_and_not_the_attack(norm):
    model, labels, epsilon = dead(), torch.zeros(4, dtype=torch.int64), 2.3 if norm == "linf" else 3.0
    values = 0.05 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    told = {"space": SPACES["features"]}
    for name in ("apgd", "fab"):
        climb = attacks.get(name, norm=norm, steps=20)
        assert right(attacks.run(climb, model, values, labels, [epsilon], 0, **told), labels).any()
    result = attacks.run(attacks.get("bottleneck", norm=norm), model, values, labels, [epsilon], 0, **told)
    assert not right(result, labels).any()


def test_a_wide_mlp_and_a_linear_head_are_cut_at_their_logits():
    values = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    wide, linear = nn.Sequential(nn.Linear(6, 13), nn.ReLU(), nn.Linear(13, 2)), nn.Linear(6, 2)
    for layers in (wide, linear):
        head = Dense(6, 2, layers)
        assert not head.bottleneck
        assert torch.equal(head.concluded(head.preactivations(values)), head.logits(values))
    narrow = dead().head
    assert narrow.bottleneck
    assert narrow.preactivations(values).shape == (5, 3)
    assert torch.equal(narrow.concluded(narrow.preactivations(values)), narrow.logits(values))
