"""A whole model and an attack on it live on one torch device: on `meta`, which has no numbers, whatever asks for one fails."""

from __future__ import annotations

import copy

import pytest
import torch

from hqc_ray import attacks, devices
from hqc_ray.attacks import SPACES, View
from hqc_ray.models import backbones, heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))
DEVICES = {"tanh": None, "vqc1": None, "noisy vqc1": devices.get("qiskit.aer", noise="fake_manila")}


@pytest.fixture(scope="module")
def made() -> dict[str, Classifier]:
    """The classical control, an ideal circuit, and the surrogate of a noisy one behind one backbone."""
    backbone = backbones.get("squeezenet1_1", "random", 32)
    models = {}
    for name, device in DEVICES.items():
        spec = ModelSpec(backbone="squeezenet1_1", weights="random", head=name.split()[-1], n_qubits=3)
        head = heads.build(spec, backbone.n_features, 3, torch.Generator().manual_seed(0))
        model = Classifier(backbone, head).eval().requires_grad_(False)
        models[name] = model.on(device) if device else model
    return models


@pytest.mark.parametrize("place", ["meta", GPU])
@pytest.mark.parametrize("level", ["pixels", "features", "angles"])
@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("attack", [attacks.FGSM(), attacks.PGD(steps=2, early_stop=False), attacks.Noise()], ids=repr)
def test_no_step_of_an_attack_leaves_the_device(made, name, level, place, attack):
    cut = made[name].at(level)
    values = cut.encode(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    model = copy.deepcopy(cut.rest).to(place)
    view = View(model, 4, SPACES[level], decides=False)
    labels = torch.arange(4, device=place) % 3
    found = list(attack.find(view, values.to(place), labels, [0.1], torch.Generator().manual_seed(0)))
    assert [one.device.type for one in found] == [place]
    assert found[0].shape == values.shape


def test_what_asks_for_a_number_is_seen(made):
    class Asking(attacks.FGSM):
        def search(self, view, values, labels, epsilons, generator):
            gradient = view.gradient(values, labels).gradient
            yield values + gradient.abs().max().item()

    view = View(copy.deepcopy(made["tanh"].at("angles").rest).to("meta"), 4, SPACES["angles"], decides=False)
    values, labels = torch.zeros(4, 3, device="meta"), torch.zeros(4, dtype=torch.long, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        list(Asking().find(view, values, labels, [0.1], torch.Generator()))
