"""A model that draws random numbers, and one in which an image feels its neighbours."""

import pytest
import torch
from torch import nn

from hqc_ray.evaluation.card import card
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.head import Dense, linear


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


def test_an_image_alone_has_no_neighbours():
    assert shares(Means(), n=1) == (0.0, 0.0)
