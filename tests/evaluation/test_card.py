"""A model that draws random numbers, and one in which an image feels its neighbours."""

import pytest
import torch
from torch import nn

from hqc_ray.evaluation.card import card
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.functions import Direct
from hqc_ray.models.head import Bottleneck, Dense, linear


class Means(nn.Module):
    def forward(self, images):
        return images.mean((2, 3))


class Restless(Means):
    def forward(self, images):
        return super().forward(images) + torch.randn(len(images), 3)


class Neighbours(Means):
    """BatchNorm in training mode."""

    def forward(self, images):
        found = super().forward(images)
        return (found - found.mean(0)) / (found.std(0, correction=0) + 1e-3)


class Lonely(Means):
    """Only the brightest image of a batch feels the others."""

    def forward(self, images):
        found = super().forward(images)
        return found + 5 * nn.functional.one_hot(found.sum(1).argmax(), len(found))[:, None] * len(found)


def shares(body, n=40, batch_size=20):
    generator = torch.Generator().manual_seed(1)
    model = Classifier(Backbone(body, None), Dense(3, 2, linear(3, 2, generator))).eval()
    images = torch.rand(n, 3, 6, 5, generator=generator)
    found = card(model, images, torch.arange(n) % 2, "pixels", batch_size)
    return found["random_share"], found["batch_dependent_share"]


def test_a_sound_model_gives_the_same_logits_again_whoever_is_beside():
    assert shares(Means()) == (0.0, 0.0)


def test_random_numbers_are_seen():
    random, _ = shares(Restless())
    assert random == 1.0


def test_neighbours_are_seen():
    assert shares(Neighbours()) == (0.0, 1.0)
    assert shares(Neighbours(), n=3, batch_size=50) == (0.0, 1.0)


def test_the_share_counts_images():
    """In the whole batch one image is the brightest; in two halves there are two, and the first is moved by another number."""
    assert shares(Lonely()) == (0.0, pytest.approx(2 / 20))


class Some(Direct):
    """Of three wires the second moves nothing."""

    def forward(self, angles):
        return super().forward(angles) * torch.tensor([1.0, 0.0, 1.0])


class Turned(Direct):
    def forward(self, angles):
        return super().forward(angles) * 0.9


def of_core(core, ideal=None, inflate=1.0):
    """The card of a bottleneck of 3 angles around `core`, with the pre-activations times `inflate`."""
    model = Classifier(Backbone(Means(), None), Bottleneck(3, 2, core, 3, torch.Generator().manual_seed(2))).eval()
    model.head.reduce.weight.data *= inflate
    images = torch.rand(12, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    return card(model, images, torch.arange(12) % 2, "pixels", 12, ideal and model.with_core(ideal))


def test_wires_that_move_nothing_are_counted():
    assert of_core(Direct())["dead_input_share"] == 0
    assert of_core(Some())["dead_input_share"] == pytest.approx(1 / 3)
    assert of_core(Direct(), inflate=1e4)["dead_input_share"] == 0  # saturated, which is another fault


def test_noise_is_told_by_what_it_changes():
    assert "noise_effect" not in of_core(Direct())
    assert of_core(Direct(), Direct())["noise_effect"] == 0
    assert 0.01 < of_core(Turned(), Direct())["noise_effect"] < 1


def test_the_card_knows_no_slopes_of_a_model_that_draws():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(8, 3, 6, 5, generator=generator)
    for body, known in ((Means(), True), (Restless(), False)):
        model = Classifier(Backbone(body, None), Dense(3, 2, linear(3, 2, generator))).eval()
        assert ("gradient_error" in card(model, images, torch.arange(8) % 2, "pixels", 8)) == known


def test_an_image_alone_has_no_neighbours():
    assert shares(Means(), n=1) == (0.0, 0.0)
