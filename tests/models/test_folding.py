"""BatchNorm folded into convolutions: the same features and gradients, and only where that is so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqc_ray.models import backbones
from hqc_ray.models.backbones import folding, weights
from hqc_ray.models.backbones.backbone import Backbone

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def settle(body: nn.Module) -> nn.Module:
    """BatchNorm statistics as a trained network has them: fresh ones are the identity, which anything folds rightly."""
    generator = torch.Generator().manual_seed(1)
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, start in ((layer.running_mean, -0.5), (layer.running_var, 0.5), (layer.weight.data, 0.5)):
                tensor.copy_(start + torch.rand(tensor.shape, generator=generator))
    return body.eval()


def norms(body: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in body.modules())


def built(name: str) -> nn.Module:
    made = backbones.BACKBONES[name]()
    body = made.build()
    made.initialise(body, torch.Generator().manual_seed(0))
    return settle(body)


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet18", 0), ("mobilenet_v2", 0), ("shufflenet_v2_x0_5", 0), ("regnet_x_400mf", 0), ("densenet121", 62)],
)
def test_features_and_input_gradients_stay(name, left):
    body = built(name)
    state = {key: value.clone() for key, value in body.state_dict().items()}
    found = folding.folded(body, IMAGES)
    assert norms(body) > norms(found) == left
    assert all(torch.equal(value, state[key]) for key, value in body.state_dict().items())  # it is a copy
    results = []
    for network in (body, found):
        pixels = IMAGES.clone().requires_grad_()
        features = network(pixels)
        results.append((features.detach(), torch.autograd.grad(features.square().sum(), pixels)[0]))
    (before, slope), (after, other) = results
    assert (after - before).abs().max() < 1e-4 * before.abs().max()
    assert (other - slope).norm() < 1e-2 * slope.norm()  # a ReLU at its kink may fall to the other side


def test_a_network_without_batchnorm_stays_the_same_object():
    for body in (built("squeezenet1_1"), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())):
        assert folding.folded(body, IMAGES) is body


class Net(nn.Module):
    """A user's network: its data flow depends on values, so that it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, images):
        found = self.norm(self.conv(images))
        return found.mean((2, 3)) if found.sum() > -1e9 else found.amax((2, 3))


class ReadsTwice(Net):
    """The convolution's output is used beside its BatchNorm as well."""

    def forward(self, images):
        plain = self.conv(images)
        return (self.norm(plain) + plain).mean((2, 3))


class RunsTwice(Net):
    """The convolution is run twice, once without its BatchNorm."""

    def forward(self, images):
        return (self.norm(self.conv(images)) + self.conv(images)).mean((2, 3))


class LooksInside(Net):
    """A layer is read, not only run."""

    def forward(self, images):
        return (self.norm(self.conv(images)) * self.norm.running_var[0]).mean((2, 3))


class TwoNorms(Net):
    """Two BatchNorms read one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(5)

    def forward(self, images):
        plain = self.conv(images)
        return (self.norm(plain) + self.other(plain)).mean((2, 3))


def test_a_users_network_is_folded_where_that_keeps_its_features():
    body = settle(Net())
    found = folding.folded(body, IMAGES)
    assert norms(found) == 0
    torch.testing.assert_close(found(IMAGES), body(IMAGES), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", [ReadsTwice, RunsTwice, LooksInside, TwoNorms])
def test_a_network_that_uses_its_layers_otherwise_stays_as_it_is(network):
    body = settle(network())
    assert folding.folded(body, IMAGES) is body


def test_a_wrong_fold_shows_in_the_features(monkeypatch):
    body = built("resnet18")
    fold = folding._fold

    def wrong(convolution, norm):
        fold(convolution, norm)
        convolution.bias.data += 1e-2

    monkeypatch.setattr(folding, "_fold", wrong)
    assert folding.folded(body, IMAGES) is body


def test_frozen_backbones_are_folded_and_their_weights_stay_who_they_are():
    before = weights.identify("resnet18", "random")
    backbone = backbones.get("resnet18", "random", 32)
    assert norms(backbone.body) == 0
    assert not any(p.requires_grad for p in backbone.parameters())
    assert backbones.weights_id("resnet18", "random") == before
    plain = Backbone(built("resnet18"), 32)
    features = plain(IMAGES)
    torch.testing.assert_close(plain.folded()(IMAGES), features, atol=1e-3, rtol=1e-3)


def test_a_network_that_is_trained_is_not_folded():
    class Trained(backbones.BackboneEntry):
        """Trained end to end, with BatchNorm."""

        trainable = True

        def build(self):
            return Net()

    Trained.__module__ = __name__
    globals()["Trained"] = Trained
    assert norms(backbones.get(f"{__name__}:Trained", "random", 32).body) == 1


def test_a_network_that_cannot_be_copied_stays_as_it_is():
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.product = self.layers[0].weight * 2  # no leaf: deepcopy refuses it

        def forward(self, images):
            return self.layers(images)

    body = Kept().eval()
    assert folding.folded(body, torch.rand(2, 3, 8, 8)) is body
