"""Descent on the head alone: a landscape whose crest and corners are known, and heads that trap nobody, or everybody."""

import math

import pytest
import torch
from torch import nn

from hqc_ray.evaluation.card import card
from hqc_ray.evaluation.traps import trapped, trapped_share
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.functions import Direct
from hqc_ray.models.head import Bottleneck, Dense, linear

CREST = math.atan(0.5)


def generator():
    return torch.Generator().manual_seed(0)


class Wave(nn.Module):
    """0.2 + cos a + sin(a) / 2 of each angle a: -0.3 at one end of the cube, 0.7 at the other, with a crest at atan(1/2)."""

    stochastic = False

    def forward(self, angles):
        return 0.2 + angles.cos() + 0.5 * angles.sin()


class Still(Wave):
    def forward(self, angles):
        return super().forward(angles.detach())


def head(core, n_qubits=1, weights=((0.0,), (1.0,))):
    """Class 1 where the core's output is above 0."""
    made = Bottleneck(3, len(weights), core, n_qubits, generator())
    made.readout.weight.data = torch.tensor(weights)
    made.readout.bias.data.zero_()
    return made.requires_grad_(False)


def at(*angles):
    """Pre-activations [B, 1] at these angles."""
    return torch.atanh(torch.tensor(angles)[:, None] / (math.pi / 2))


def test_images_beyond_the_crest_are_trapped_in_the_corner_where_the_head_is_right():
    angles = [-0.2, 0.3, CREST - 0.02, CREST + 0.02, 0.9, 1.5]
    found = trapped(head(Wave()).concluded, at(*angles), torch.ones(6, dtype=torch.int64))
    assert found.tolist() == [False, False, False, True, True, True]


def test_the_share_is_of_those_that_were_right():
    angles, labels = at(-1.5, 0.0, 0.9, 1.2, 0.0), torch.tensor([1, 1, 1, 1, 0])  # the first and the last are wrong
    assert trapped_share(head(Wave()).concluded, angles, labels) == pytest.approx(2 / 3)
    assert trapped_share(head(Wave()).concluded, angles[:1], labels[:1]) is None


def test_monotone_heads_trap_nobody():
    points = 3 * torch.randn(200, 4, generator=generator())
    monotone = head(Direct(), 4, ((0.3, -1.0, 0.5, 0.1), (-0.2, 0.4, 0.9, -0.7)))
    labels = monotone.concluded(points).argmax(1)
    assert trapped_share(monotone.concluded, points, labels) == 0.0
    dense = Dense(3, 2, linear(3, 2, generator()))
    features = torch.randn(200, 3, generator=generator())
    assert trapped_share(dense.logits, features, dense.logits(features).argmax(1)) == 0.0


def test_dead_units_trap():
    """Class 1 where max(0, x) > 1; below 0 nothing has a gradient: of class 0, x = -1 and -0.5 stay, 0.5 climbs over 1."""

    def conclude(features):
        unit = features.clamp_min(0)
        return torch.cat([torch.ones_like(unit), unit], 1)

    found = trapped(conclude, torch.tensor([[-1.0], [-0.5], [0.5]]), torch.zeros(3, dtype=torch.int64))
    assert found.tolist() == [True, True, False]


def test_a_head_without_a_gradient_traps_everybody():
    assert trapped_share(head(Still()).concluded, at(0.0, 0.9), torch.tensor([1, 1])) == 1.0


class Eye(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


def test_the_card_reads_images_and_features_alike():
    made = head(Wave())
    model = Classifier(Backbone(Eye(), None), made)
    images = torch.rand(20, 3, 4, 5, generator=generator())
    labels = model(images).argmax(1)
    found = card(model, images, labels, "pixels", 6)
    there = card(model, model.at("features").encode(images), labels, "features", 6)
    alike = ("trapped_share", "random_share", "batch_dependent_share", "dead_input_share")
    assert {name: found[name] for name in alike} == {name: there[name] for name in alike}
    assert 0 <= found["trapped_share"] <= 1
    assert card(model, model.at("angles").encode(images), labels, "angles", 6) == {}
