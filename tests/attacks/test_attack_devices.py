"""The same attacks on every device at hand; everything stays there, and no step waits for a number to come to the host."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hqc_ray import attacks
from hqc_ray.attacks.balls import lengths
from hqc_ray.attacks.losses import cross_entropy, margin, targeted
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.attacks.view import View

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TO_HOST = {"aten._local_scalar_dense.default", "aten.item.default"}
LOOKS = {"aten.nonzero.default"}  # which images are active: a transfer too, and the only one that early stopping needs
BY_MASK = {"aten.index.Tensor", "aten.index_put_.default", "aten.index_put.default"}  # with a mask, these look as well

device = pytest.mark.parametrize("device", DEVICES)


class Watch(TorchDispatchMode):
    """Counts the operations that wait for a device, and refuses tensors on another than `device`."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device, self.waits, self.looks = device, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        self.waits += name in TO_HOST
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool] if name in BY_MASK else []
        self.looks += (name in LOOKS) + len(masks)
        result = func(*args, **(kwargs or {}))
        if self.device != "cpu" and name == "aten._to_copy.default":
            assert result.device.type == self.device, f"{name} to {result.device}"
        return result


def problem(level, device, classes=3):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"pixels": (6, 3, 5, 4), "features": (6, 8), "angles": (6, 4)}[level]
        width = torch.zeros(shape)[0].numel()
        model = nn.Sequential(nn.Flatten(), nn.Linear(width, 16), nn.Tanh(), nn.Linear(16, classes)).requires_grad_(False)
        values = SPACES[level].clip(0.5 + 0.2 * torch.randn(shape))
    model, values = model.to(device), values.to(device)
    return model, values, model(values).argmax(1)


EVERY = [(e.example(norm=n), level) for e in attacks.ATTACKS.values() for n in e.norms for level in e.levels]


@device
@pytest.mark.parametrize(("attack", "level"), EVERY, ids=repr)
def test_candidates_are_those_of_the_cpu(attack, level, device):
    results = []
    for where in ("cpu", device):
        model, values, labels = problem(level, where)
        view = View(model, len(values), SPACES[level])
        found = list(attack.find(view, values, labels, [0.05, 0.3], torch.Generator().manual_seed(1)))
        assert all(c.device.type == where for c in found)
        assert view.bad_gradient is None or view.bad_gradient.device.type == where
        results.append(torch.stack(found).cpu())
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)


@device
@pytest.mark.parametrize("attack", [e.example(norm=n) for e in attacks.ATTACKS.values() for n in e.norms], ids=repr)
def test_the_contract_goes_to_the_models_device(attack, device):
    model, values, labels = problem("pixels", device)
    result = attacks.run(attack, model, values.cpu(), labels.cpu(), [0.1], seed=0, keep=6)
    assert result.per_epsilon[0].adversarial.device.type == "cpu"
    assert lengths(result.per_epsilon[0].adversarial - values.cpu(), attack.norm).max() <= 0.1 + 1e-6


PATIENT = [a for n in ("linf", "l2") for a in (attacks.FGSM(norm=n), attacks.PGD(norm=n, steps=5, early_stop=False))]


@device
@pytest.mark.parametrize("level", SPACES)
@pytest.mark.parametrize("attack", PATIENT, ids=repr)
def test_no_step_waits(attack, level, device):
    model, values, labels = problem(level, device)
    view = View(model, len(values), SPACES[level])
    with Watch(device) as watch:
        list(attack.find(view, values, labels, [0.05, 0.3], torch.Generator().manual_seed(1)))
    assert view.counts.gradients >= 6
    assert (watch.waits, watch.looks) == (0, 0)


@device
@pytest.mark.parametrize("level", SPACES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_that_may_stop_looks_once_and_waits_for_nothing_else(norm, level, device):
    model, values, labels = problem(level, device)
    for attack in (attacks.DeepFool(norm=norm), attacks.PGD(norm=norm, steps=5)):
        view = View(model, len(values), SPACES[level])
        counted = []
        model.register_forward_hook(lambda *_, seen=counted: seen.append(1))
        with Watch(device) as watch:
            list(attack.find(view, values, labels, [0.05], torch.Generator().manual_seed(1)))
        assert watch.waits == 0
        assert watch.looks == len(counted) > 1


@device
@pytest.mark.parametrize("loss", [cross_entropy, margin, targeted])
def test_no_gradient_waits_whatever_the_loss(loss, device):
    model, values, labels = problem("pixels", device)
    view = View(model, len(values))
    chosen = loss((labels + 1) % 3) if loss is targeted else loss
    with Watch(device) as watch:
        view.gradient(values, labels, chosen)
        view.predictions(values)
        view.logits(values)
    assert watch.waits == watch.looks == 0


def test_the_watch_sees_what_it_looks_for():
    values = torch.rand(4)
    mask = values > 0.5
    with Watch("cpu") as watch:
        float(values.sum())
        values.max().item()
        values[mask] = values[mask] + 1
        mask.nonzero()
        values[torch.tensor([1, 2])]
    assert (watch.waits, watch.looks) == (2, 3)
