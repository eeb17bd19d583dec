"""What a user's own backbone does wrong is one line with its place, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import dropout

from hqc_ray.errors import ModelError
from hqc_ray.models import backbones
from hqc_ray.models.backbones import BackboneEntry
from hqc_ray.models.backbones.probe import probe
from hqc_ray.spec import ModelSpec


class Body(nn.Module):
    """Means of the channels, and what `does` makes of them."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def forward(self, images):
        return self.does(images.mean((2, 3)))


def good():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def raises():
    raise KeyError("weights\nof mine")


def exits():
    raise SystemExit(3)


def needs(argument):
    return good()


def nothing():
    return None


def unseeded():
    return nn.Sequential(good(), nn.Linear(16, 4).requires_grad_(False)).apply(_unseeded)


def _unseeded(layer):
    if isinstance(layer, nn.Linear):
        layer.weight.data = torch.from_numpy(np.random.default_rng().random((4, 16), np.float32))


FREE = torch.ones(3, requires_grad=True)
SPOILT = {
    "tuple": (lambda x: (x, x), "gives a tuple"),
    "dict": (lambda x: {"features": x}, "gives a dict"),
    "none": (lambda x: None, "gives a NoneType"),
    "flat": (lambda x: x.flatten(), r"gives \[3\] for one image"),
    "empty": (lambda x: x[:, :0], r"gives \[1, 0\] for one image"),
    "batch": (lambda x: x.repeat(1, len(x)), r"gives \[2, 6\] for two images, but \[1, 3\] for one"),
    "rows": (lambda x: x.mean(0, keepdim=True), r"gives \[1, 3\] for two images"),
    "nan": (lambda x: x * float("nan"), "gives NaN or infinity"),
    "infinite": (lambda x: x / 0, "gives NaN or infinity"),
    "half": (lambda x: x.half(), "features of type torch.float16"),
    "double": (lambda x: x.double(), "features of type torch.float64"),
    "whole": (lambda x: (9 * x).long(), "features of type torch.int64"),
    "constant": (lambda x: torch.ones_like(x), "gives the same features for two images"),
    "dropout": (lambda x: dropout(x.repeat(1, 50), 0.5, True), "other features at a second call"),
    "noise": (lambda x: x + torch.randn_like(x), "other features at a second call"),
    "neighbours": (lambda x: x - x.mean(0) * (len(x) > 1), "an image in another batch"),
    "raises": (lambda x: x.nowhere, "AttributeError"),
    "shape": (lambda x: x @ torch.zeros(7, 7), "does not accept images of 8 pixels"),
    "free": (lambda x: x * FREE, "require grad and are no parameters"),
}


@pytest.fixture
def spec(monkeypatch):
    """The specification of a backbone of this module, made of `does`."""

    def make(name="spoilt", does=None, **options):
        if does:
            monkeypatch.setitem(globals(), name, lambda: Body(does))
        backbones.of.cache_clear()
        return ModelSpec(backbone=f"{__name__}:{name}", weights="random", image_size=8, **options)

    yield make
    backbones.of.cache_clear()


@pytest.mark.parametrize("case", SPOILT)
def test_features_that_are_none(spec, case):
    does, said = SPOILT[case]
    with pytest.raises(ModelError, match=rf"'{__name__}:spoilt'.*{said}.*test_probe\.py, line \d+\)") as caught:
        probe(spec(does=does))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "cannot build .*KeyError: .*line 34"),
        ("exits", "cannot build .*SystemExit"),
        ("needs", "missing 1 required positional argument"),
        ("nothing", "gives a NoneType .*valid: a torch.nn.Module"),
        ("unseeded", "is another network when it is built again"),
        ("unused", "is another network when it is built again"),
    ],
)
def test_functions_that_build_no_network(spec, name, said):
    with pytest.raises(ModelError, match=said) as caught:
        probe(spec(name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gmacs", ["many", -1, float("nan"), 1 / 3, None])
def test_costs_that_are_no_number(spec, monkeypatch, gmacs):
    own = type("Own", (BackboneEntry,), {"build": lambda self: good(), "gmacs": lambda self, size: gmacs})
    monkeypatch.setitem(globals(), "Own", own)
    if gmacs in (1 / 3, None):
        probe(spec("Own"))
        return
    with pytest.raises(ModelError, match="gmacs gives"):
        probe(spec("Own"))


@pytest.mark.parametrize("size", [8, (8, 12)])
def test_good_ones_pass(spec, size):
    assert probe(spec("good").model_copy(update={"image_size": size})).n_features > 0


def unused():
    """The same features each time, from other tensors: its digest would be another one in each process."""
    body = good()
    body.register_buffer("noise", torch.from_numpy(np.random.default_rng().normal(size=3)))
    return body
