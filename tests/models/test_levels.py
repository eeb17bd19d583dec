"""A classifier cut in two at each level, and drawn where it is stochastic; on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hqc_ray import devices
from hqc_ray.errors import ModelError
from hqc_ray.models import backbones, features, heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec

PROCESSORS = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
CASES = ["linear", "mlp", "tanh", "fourier", "vqc1", "vqc1 on a device"]
LABELS = torch.tensor([0, 2, 1, 0, 2])


def build(name, processor="cpu") -> Classifier:
    spec = ModelSpec(backbone="squeezenet1_0", weights="random", image_size=48, head=name.split()[0], n_qubits=3)
    backbone = backbones.build(spec)
    head = heads.build(spec, backbone.n_features, 3, torch.Generator().manual_seed(0))
    head.standardise(backbone(torch.rand(9, 3, 40, 56, generator=torch.Generator().manual_seed(2))))
    model = Classifier(backbone, head).eval()
    if "device" in name:
        model = model.on(devices.get("qiskit.aer", noise="fake_manila"))
    return model.requires_grad_(False).to(processor)


def gradient(function, values):
    values = values.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(cross_entropy(function(values), LABELS.to(values.device)), values)
    return found


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", CASES)
def test_the_two_parts_are_the_whole_with_its_gradients(name, processor, images):
    model, images = build(name, processor), images.to(processor)
    assert model.device.type == processor
    whole = model(images)
    assert whole.device.type == processor
    assert whole.shape == (5, 3)
    wanted = gradient(model, images)
    assert wanted.abs().amax((1, 2, 3)).min() > 0
    for level in model.levels:
        part = model.at(level)
        values = part.encode(images)
        assert values.device.type == processor
        torch.testing.assert_close(part.rest(values), whole, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(gradient(lambda x, part=part: part.rest(part.encode(x)), images), wanted, atol=1e-6, rtol=1e-4)
        assert gradient(part.rest, values).abs().amax() > 0


@pytest.mark.parametrize("name", CASES)
def test_what_is_cut_in_front_of_the_circuit_concludes_as_the_whole_does(name, images):
    model = build(name)
    for level in model.levels:
        part = model.at(level)
        values = part.encode(images)
        points = part.rest.preactivations(values)
        assert points.shape == (5, 3)  # of a bottleneck its three, of other heads the logits
        assert torch.equal(part.rest.concluded(points), part.rest(values))


@pytest.mark.parametrize("name", CASES)
def test_values_are_what_the_level_says(name, images):
    model = build(name)
    assert model.at("pixels").encode(images) is images
    assert model.at("pixels").rest is model
    raw = model.features(images)
    standardised = (raw - model.head.center) * model.head.scale
    torch.testing.assert_close(model.at("features").encode(images), standardised)
    if "angles" in model.levels:
        angles = model.at("angles").encode(images)
        assert angles.shape == (5, 3)
        torch.testing.assert_close(angles, torch.tanh(model.head.reduce(standardised)) * torch.pi / 2)
        assert angles.abs().max() < torch.pi / 2


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", CASES)
def test_cached_features_need_no_backbone(name, processor, monkeypatch):
    model = build(name, processor)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 40, 56, 3), dtype=np.uint8)
    cached = torch.from_numpy(features.extract(model.backbone, pictures)).to(processor)
    logits = model(features.pixels(pictures).to(processor))
    calls = []
    body = model.backbone.body
    monkeypatch.setattr(body, "forward", lambda x, forward=body.forward: calls.append(len(x)) or forward(x))
    for level in model.levels[1:]:
        part = model.at(level)
        values = part.from_features(cached)
        torch.testing.assert_close(part.rest(values), logits, atol=1e-4, rtol=1e-4)
        gradient(part.rest, values)
    assert calls == []
    model(features.pixels(pictures).to(processor))
    assert calls == [5]  # else nothing was counted


def test_levels_that_a_model_does_not_have_are_refused_in_one_line():
    cnn = Classifier(backbones.get("cnn1", image_size=24), heads.build(ModelSpec(backbone="cnn1"), 64, 2, torch.Generator()))
    assert cnn.levels == ("pixels",)
    for model, level in ((build("linear"), "angles"), (build("mlp"), "angles"), (cnn, "features"), (cnn, "angles")):
        with pytest.raises(ModelError) as problem:
            model.at(level)
        assert str(problem.value) == f"level: this classifier has no {level!r} (valid: {', '.join(model.levels)})"
    with pytest.raises(ModelError, match="features do not tell the images"):
        build("linear").at("pixels").from_features(torch.zeros(1, 512))


class Noisy(nn.Module):
    """A stand-in for ShotEstimate: random outputs, a function of (seed, draw)."""

    stochastic = True

    def __init__(self, draw=0):
        super().__init__()
        self.draw = draw

    def drawn(self, k):
        return Noisy(k)

    def forward(self, angles):
        noise = torch.randn(angles.shape, generator=torch.Generator().manual_seed(self.draw))
        return angles.cos() + 0.1 * noise.to(angles)


@pytest.mark.parametrize("level", ["pixels", "features", "angles"])
def test_draws_are_other_samples_of_the_same_model(level, images):
    model = build("vqc1").with_core(Noisy())
    assert model.stochastic
    rest = model.at(level).rest
    values = model.at(level).encode(images)
    assert rest.stochastic
    first, again, second = rest.drawn(0)(values), rest.drawn(0)(values), rest.drawn(1)(values)
    assert torch.equal(first, again)
    assert torch.equal(first, rest(values))
    assert not torch.equal(first, second)
    torch.testing.assert_close(model.drawn(1)(images), second, atol=1e-6, rtol=1e-6)
    assert model.drawn(1).backbone is model.backbone
    assert model.drawn(1).head.reduce.weight.equal(model.head.reduce.weight)


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_is_not_stochastic_is_its_own_draw(name):
    model = build(name)
    assert not model.stochastic
    assert model.drawn(2) is model
    for level in model.levels:
        rest = model.at(level).rest
        assert not rest.stochastic
        assert rest.drawn(2) is rest


def test_another_core_is_not_copied():
    model, core = build("vqc1"), Noisy()
    twin = model.with_core(core)
    assert twin.head.core is core
    assert twin.head.reduce is not model.head.reduce
    assert model.head.ideal is not None
    assert twin.head.ideal is None
