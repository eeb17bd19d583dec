from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate
from torchvision import models
from torchvision.models import get_model_builder, get_model_weights, list_models

from hqc_ray.errors import ModelError
from hqc_ray.models import backbones, features, heads
from hqc_ray.models.backbones import backbone as module
from hqc_ray.models.backbones.published import networks
from hqc_ray.spec import ModelSpec

# name: features without the classification layer, image size that is cheap
FAMILIES = {
    "resnet18": (512, 32),
    "vgg16": (4096, 32),
    "inception_v3": (2048, 75),
    "alexnet": (4096, 64),
    "mobilenet_v2": (1280, 32),
    "squeezenet1_0": (512, 32),
    "densenet121": (1024, 32),
    "shufflenet_v2_x0_5": (1024, 32),
    "cnn1": (64, 24),
    "cnn2": (128, 24),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_gives_penultimate_features_and_a_gradient_for_every_image(name):
    n_features, size = FAMILIES[name]
    backbone = backbones.get(name, "random", size)
    images = torch.rand(1 if name == "vgg16" else 2, 3, size - 3, size + 5).requires_grad_()
    found = backbone(images)
    assert found.shape == (len(images), n_features)
    assert backbone.n_features == n_features
    assert found.dtype == torch.float32
    (gradient,) = torch.autograd.grad(found.square().sum(), images)
    assert gradient.shape == images.shape
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in gradient)
    assert backbone.trainable == backbones.BACKBONES[name].trainable == (name in ("cnn1", "cnn2"))


def test_table_holds_every_torchvision_classifier():
    published = {
        name for name in list_models() if "." not in get_model_builder(name).__module__.removeprefix("torchvision.models.")
    }
    assert len(published) > 60
    assert set(backbones.BACKBONES) == {*published, "cnn1", "cnn2"}


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_an_entry_carries_its_facts(name):
    made = backbones.entry(ModelSpec(backbone=name))
    assert made.title
    assert made.__doc__
    assert made.gmacs(64) == pytest.approx(4 * made.gmacs(32))
    assert heads.levels(ModelSpec(backbone=name)) == (("pixels",) if made.trainable else ("pixels", "features"))


def test_images_stay_as_they_are_without_a_size(images, monkeypatch):
    monkeypatch.setattr(module, "interpolate", lambda *args, **kwargs: pytest.fail("resized"))
    native = backbones.get("squeezenet1_0", "random")
    assert native(images).shape == (5, native.n_features)
    resized = backbones.get("squeezenet1_0", "random", 40)
    assert torch.equal(native(images[..., :40]), resized(images[..., :40]))


class Small(backbones.BackboneEntry):
    """A user's own backbone with an option."""

    title = "small"
    channels: int = 7

    def build(self):
        return nn.Sequential(nn.Conv2d(3, self.channels, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class SmallTrained(Small):
    trainable = True


def test_a_users_own_class_is_a_backbone_with_its_options():
    spec = ModelSpec(backbone=f"{__name__}:Small", weights="random", channels=5, n_qubits=3)
    assert backbones.entry(spec) == Small(channels=5)
    assert backbones.build(spec).n_features == 5
    assert not backbones.build(spec).trainable
    assert heads.get(spec) == heads.LinearHead()
    trained = backbones.build(spec.model_copy(update={"backbone": f"{__name__}:SmallTrained"}))
    assert trained.trainable
    assert trained.train().training
    with pytest.raises(ModelError, match=r"channels: backbone '.*:Small': Input should be a valid integer"):
        backbones.entry(spec.model_copy(update={"channels": "many"}))
    with pytest.raises(ModelError, match=r"unknown option 'channel'; did you mean 'channels'"):
        heads.get(ModelSpec(backbone=f"{__name__}:Small", channel=3))
    with pytest.raises(ModelError, match="is not a function"):
        backbones.of(f"{__name__}:FAMILIES")


def test_normalises_and_resizes_inside(squeezenet, images):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    resized = interpolate(images, (48, 48), mode="bilinear", antialias=True)
    torch.testing.assert_close(squeezenet(images), squeezenet.body((resized - mean) / std))


def test_an_image_of_the_right_size_is_not_resized(squeezenet, monkeypatch):
    monkeypatch.setattr(module, "interpolate", lambda *args, **kwargs: pytest.fail("resized"))
    squeezenet(torch.rand(1, 3, 48, 48))


def test_a_frozen_backbone_stays_frozen_whatever_train_says(images):
    backbone = backbones.get("densenet121", "random", 32)  # half of its BatchNorm layers follow no convolution, and stay
    before = backbone(images)
    statistics = backbone.body.features.norm5.running_mean.clone()
    nn.Sequential(backbone).train()
    assert torch.equal(backbone(images), before)
    assert torch.equal(backbone.body.features.norm5.running_mean, statistics)
    assert not any(p.requires_grad for p in backbone.parameters())


def test_a_trainable_backbone_goes_into_training_mode():
    backbone = backbones.get("cnn2", image_size=24)
    assert not backbone.training
    assert backbone.train().body.training
    assert all(p.requires_grad for p in backbone.parameters())


def test_random_weights_are_the_same_every_time_and_leave_the_global_stream_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = backbones.get("squeezenet1_0", "random", 32).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second = backbones.get("squeezenet1_0", "random", 32).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_trainable_backbone_is_drawn_by_its_generator():
    def weights(seed):
        return backbones.get("cnn1", image_size=24, generator=torch.Generator().manual_seed(seed)).body[0].weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet17",), "unknown backbone 'resnet17'; did you mean 'resnet18'?"),
        (("squeezenet1_0", "random", 0), "image_size: 0 pixels"),
        (("squeezenet1_0", "random", 5), "image_size: squeezenet1_0 does not accept images of 5 pixels"),
        (("cnn1", "other.pth"), "weights: cnn1 is trained end to end from random weights"),
        (("no_such_module:body", "random"), "cannot import backbone"),
    ],
)
def test_bad_requests_say_what_is_wrong(arguments, message):
    with pytest.raises(ModelError) as problem:
        backbones.get(*arguments)
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


def test_grey_images_are_refused(squeezenet):
    with pytest.raises(ModelError, match=r"valid: \[B, 3, H, W\]"):
        squeezenet(torch.rand(2, 1, 48, 48))


def own_body() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class OneSize(nn.Module):
    """As torchvision's vision transformers do it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch._assert(images.shape[-1] == 30, f"Wrong image width! Expected 30 but got {images.shape[-1]}!")
        return images.mean((2, 3))


def unpooled_body() -> nn.Module:
    return nn.Conv2d(3, 7, 3)


def test_a_users_own_backbone(images):
    backbone = backbones.get(f"{__name__}:own_body", "random", 20)
    assert backbone(images).shape == (5, 7)
    with pytest.raises(ModelError, match=r"gives .* for one image"):
        backbones.get(f"{__name__}:unpooled_body", "random", 20)
    assert backbones.get(f"{__name__}:OneSize", "random", 30).n_features == 3
    with pytest.raises(ModelError, match=r"image_size: .*does not accept images of 20 pixels: Wrong image width.*line"):
        backbones.get(f"{__name__}:OneSize", "random", 20)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "mobilenet_v2", "cnn2"])
def test_features_of_an_image_do_not_depend_on_its_neighbours(name):
    backbone = backbones.get(name, "random", 40)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (13, 40, 40, 3), dtype=np.uint8)
    order = rng.permutation(13)
    whole = features.extract(backbone, images, batch_size=8)
    assert whole.shape == (13, backbone.n_features)
    assert whole.dtype == np.float32
    assert np.array_equal(features.extract(backbone, images[order], batch_size=8), whole[order])
    assert np.array_equal(features.extract(backbone, images[11:12], batch_size=8), whole[11:12])
    assert len({row.tobytes() for row in whole}) == 13


def test_features_are_those_of_the_pixels_in_unit_range(squeezenet):
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 56, 3), dtype=np.uint8)
    expected = squeezenet(torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255)))
    np.testing.assert_allclose(features.extract(squeezenet, images, batch_size=2), expected.numpy(), rtol=1e-4, atol=1e-4)
    assert features.extract(squeezenet, images[:0]).shape == (0, 512)


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3, 8, 8), np.uint8), np.ones((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)]
)
def test_pixels_of_another_kind_are_refused(squeezenet, bad):
    with pytest.raises(ModelError, match="valid: uint8"):
        features.extract(squeezenet, bad)


def test_images_that_are_not_square_stay_as_they_are(monkeypatch):
    images = torch.rand(2, 3, 40, 56)
    monkeypatch.setattr(module, "interpolate", lambda *args, **kwargs: pytest.fail("resized"))
    native, free = backbones.get("squeezenet1_0", "random", (40, 56)), backbones.get("squeezenet1_0", "random")
    assert torch.equal(native(images), free(images))


def test_images_are_resized_to_height_and_width_in_this_order():
    images = torch.rand(2, 3, 40, 40)
    resized = interpolate(images, (24, 36), mode="bilinear", antialias=True)
    backbone = backbones.get("squeezenet1_0", "random", (24, 36))
    assert torch.equal(backbone(images), backbone(resized))


def test_a_size_that_a_network_does_not_accept_is_said_as_height_and_width():
    with pytest.raises(ModelError, match=r"does not accept images of 224 x 200 pixels"):
        backbones.get("vit_b_16", "random", (224, 200))


@pytest.mark.parametrize("name", list_models(module=models))
def test_the_table_says_of_every_network_what_torchvision_says(name):
    known, said = networks()[name], get_model_weights(name)
    first = next(iter(said))
    assert known.gmacs == first.meta["_ops"]
    assert known.side == first.transforms.keywords["crop_size"]
    assert known.url == (said["IMAGENET1K_V1"].url if "IMAGENET1K_V1" in said.__members__ else "")


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_0", "resnet18", "mobilenet_v3_small", "cnn1", "cnn2"])
@pytest.mark.parametrize("more", [0, 13])
def test_what_is_foreseen_of_a_backbone_is_what_it_gives(name, more):
    entry = backbones.BACKBONES[name]()
    smallest = networks()[name].smallest if name in networks() else 2**entry.blocks
    size = (smallest, smallest + more)
    assert backbones.get(name, "random", size).n_features == entry.foreseen(size) == entry.foreseen((300, 500))


def test_what_may_not_fit_is_not_foreseen(tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"of any network")
    model = ModelSpec(backbone="resnet18", weights="random", image_size=28)
    assert backbones.foreseen(model, "random") == 512
    assert backbones.foreseen(model, str(own)) is None
    torch.save({}, own)
    assert backbones.foreseen(model, str(own)) is None  # whose name says nothing of the network
    assert backbones.foreseen(model.model_copy(update={"image_size": 27}), "random") is None
    assert backbones.foreseen(ModelSpec(backbone="vit_b_16", image_size=225), "random") is None
    assert backbones.foreseen(ModelSpec(backbone="vit_b_16", image_size=224), "random") == 768
    assert backbones.foreseen(ModelSpec(backbone=f"{__name__}:Small", image_size=96), "random") is None
