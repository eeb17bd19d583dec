"""What every attack of the table keeps to, in each of its norms."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks import contract
from hqc_ray.attacks.balls import lengths, project
from hqc_ray.errors import AttackError

EPSILONS = {"linf": [0.04, 0.0, 0.15], "l2": [0.4, 0.0, 1.5]}
CASES = [entry.example(norm=norm) for entry in attacks.ATTACKS.values() for norm in entry.norms]
SEARCHING = [a for a in CASES if a.kind != "none"]

every = pytest.mark.parametrize("attack", CASES, ids=repr)
searching = pytest.mark.parametrize("attack", SEARCHING, ids=repr)


@pytest.fixture(scope="module")
def five(toy):
    """5 images, of which the last is classified wrongly."""
    right = toy.model(toy.images).argmax(1) == toy.labels
    chosen = torch.cat([right.nonzero()[:4, 0], (~right).nonzero()[:1, 0]])
    return toy.images[chosen], toy.labels[chosen]


def same(one, other):
    assert one.epsilon == other.epsilon
    assert (one.gradients, one.forwards) == (other.gradients, other.forwards)
    for name in ("predictions", "correct", "linf", "l2", "bad_gradient"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert torch.equal(one.adversarial, other.adversarial)


@every
def test_candidates_lie_in_ball_and_box(attack, toy, five):
    images, labels = five
    result = attacks.run(attack, toy.model, images, labels, EPSILONS[attack.norm], seed=0, keep=5)
    for part in result.per_epsilon:
        assert part.adversarial.shape == images.shape
        assert part.adversarial.min() >= 0
        assert part.adversarial.max() <= 1
        size = lengths((part.adversarial - images).double(), attack.norm)
        assert size.max() <= part.epsilon + 1e-6
        np.testing.assert_allclose(size, part.linf if attack.norm == "linf" else part.l2)
    assert [p.epsilon for p in result.per_epsilon] == EPSILONS[attack.norm]


@every
def test_epsilon_zero_is_the_clean_image_bit_for_bit(attack, toy, five):
    images, labels = five
    result = attacks.run(attack, toy.model, images, labels, [0.0], seed=0, keep=5)
    assert torch.equal(result.per_epsilon[0].adversarial, images)
    np.testing.assert_array_equal(result.per_epsilon[0].predictions, result.clean_predictions)
    assert result.gradients == 0


@every
def test_the_projection_alone_gives_the_image_at_epsilon_zero(attack, five):
    images, _ = five
    assert torch.equal(project(images + 0.3 * torch.randn_like(images), images, 0.0, attack.norm), images)


@every
def test_initially_wrong_images_are_left_alone(attack, toy, five):
    images, labels = five
    result = attacks.run(attack, toy.model, images, labels, EPSILONS[attack.norm], seed=0, keep=5)
    assert result.clean_correct.tolist() == [True] * 4 + [False]
    for part in result.per_epsilon:
        assert torch.equal(part.adversarial[4], images[4])
        assert part.predictions[4] == result.clean_predictions[4]
        assert not part.correct[4]


@searching
def test_accuracy_falls_to_zero(attack, toy):
    epsilons = [0.0, 0.02, 0.05, 0.3] if attack.norm == "linf" else [0.0, 0.2, 0.5, 4.0]
    result = attacks.run(attack, toy.model, toy.images, toy.labels, epsilons, seed=0)
    accuracy = [p.correct.mean() for p in result.per_epsilon]
    assert accuracy[0] == result.clean_correct.mean() > 0.85
    assert accuracy[0] > accuracy[1] > accuracy[2] > accuracy[3] == 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_are_stronger_than_noise_and_pgd_is_the_strongest(norm, toy):
    epsilon = 0.05 if norm == "linf" else 0.5
    accuracy = {}
    for name in ("clean", "noise", "fgsm", "deepfool", "pgd"):
        result = attacks.run(attacks.get(name, norm=norm), toy.model, toy.images, toy.labels, [epsilon], 0)
        accuracy[name] = result.per_epsilon[0].correct.mean()
    assert accuracy["clean"] >= accuracy["noise"] - 0.02
    assert accuracy["noise"] > accuracy["fgsm"] + 0.2
    assert accuracy["pgd"] <= min(accuracy["fgsm"], accuracy["deepfool"]) + 0.005


@every
def test_one_epsilon_does_not_depend_on_the_others(attack, toy, five):
    together = attacks.run(attack, toy.model, *five, EPSILONS[attack.norm], seed=3, keep=5)
    for part in together.per_epsilon:
        alone = attacks.run(attack, toy.model, *five, [part.epsilon], seed=3, keep=5)
        same(part, alone.per_epsilon[0])
        assert (alone.gradients, alone.forwards) == (part.gradients, part.forwards)


@every
def test_same_seed_same_result_whatever_happened_before(attack, toy, five):
    first = attacks.run(attack, toy.model, *five, EPSILONS[attack.norm], seed=3, batch_size=2, keep=5)
    torch.rand(7)
    second = attacks.run(attack, toy.model, *five, EPSILONS[attack.norm], seed=3, batch_size=2, keep=5)
    for one, other in zip(first.per_epsilon, second.per_epsilon, strict=True):
        same(one, other)


@pytest.mark.parametrize("attack", [a for a in CASES if a.random], ids=repr)
def test_another_seed_gives_other_noise(attack, toy, five):
    one, other = (attacks.run(attack, toy.model, *five, [0.01], seed=s, keep=5).per_epsilon[0] for s in (0, 1))
    assert not torch.equal(one.adversarial, other.adversarial)


@every
def test_batches_are_joined_in_order(attack, toy):
    seen = []
    images, labels = toy.images[:23], toy.labels[:23]
    result = attacks.run(attack, toy.model, images, labels, [0.1], seed=0, batch_size=9, progress=seen.append, keep=11)
    part = result.per_epsilon[0]
    assert seen == [9, 18, 23]
    assert part.predictions.shape == part.linf.shape == part.bad_gradient.shape == (23,)
    assert part.adversarial.shape == (11, 3, 12, 10)
    np.testing.assert_allclose(lengths((part.adversarial - images[:11]).double(), "l2"), part.l2[:11])


@every
def test_weights_and_modes_are_restored(attack, toy, five):
    model = copy.deepcopy(toy.model)
    model.train()
    model.layers[1].eval()
    model.layers[0].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    attacks.run(attack, model, *five, EPSILONS[attack.norm], seed=0)
    assert [m.training for m in model.layers] == [True, False, *[True] * 7]
    assert [p.requires_grad for p in model.parameters()] == [False, *[True] * 7]
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@every
def test_dropout_and_batch_statistics_are_off_during_the_attack(attack, toy, five):
    training = copy.deepcopy(toy.model).train()
    one = attacks.run(attack, training, *five, [0.04], seed=0, keep=5).per_epsilon[0]
    same(one, attacks.run(attack, toy.model, *five, [0.04], seed=0, keep=5).per_epsilon[0])


@every
def test_weights_are_frozen_during_the_attack(attack, toy, five):
    seen = []
    model = copy.deepcopy(toy.model)
    model.register_forward_hook(lambda module, *_: seen.append(any(p.requires_grad for p in module.parameters())))
    attacks.run(attack, model, *five, [0.04], seed=0)
    assert seen
    assert not any(seen)


@every
def test_model_is_restored_when_it_raises(attack, toy, five):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(1, 2)

        def forward(self, images):
            raise RuntimeError("broken")

    model = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        attacks.run(attack, model, *five, [0.1], seed=0)
    assert model.training
    assert model.inner.weight.requires_grad


@every
def test_float64_and_other_shapes(attack):
    model = nn.Sequential(nn.Flatten(), nn.Linear(7 * 4, 3)).double()
    images = torch.rand(5, 7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = model(images).argmax(1)
    result = attacks.run(attack, model, images, labels, [0.01], seed=0, keep=5)
    assert result.per_epsilon[0].adversarial.dtype == torch.float64
    assert lengths(result.per_epsilon[0].adversarial - images, attack.norm).max() <= 0.01 + 1e-12


@every
def test_memory_format_does_not_matter(attack, toy, five):
    images, labels = five
    one = attacks.run(attack, toy.model, images, labels, [0.04], seed=0, keep=5).per_epsilon[0]
    other = attacks.run(attack, toy.model, images.to(memory_format=torch.channels_last), labels, [0.04], seed=0, keep=5)
    same(one, other.per_epsilon[0])
    model = copy.deepcopy(toy.model).to(memory_format=torch.channels_last)
    third = attacks.run(attack, model, images, labels, [0.04], seed=0, keep=5).per_epsilon[0]
    np.testing.assert_allclose(third.l2, one.l2, rtol=1e-3)


@every
def test_a_batch_without_a_correct_image(attack, toy, five):
    images, labels = five
    result = attacks.run(attack, toy.model, images[4:], labels[4:], [0.0, 0.1], seed=0)
    assert not result.clean_correct.any()
    assert (result.gradients, result.per_epsilon[1].linf.max()) == (0, 0)


BAD = [
    ({"epsilons": []}, "epsilons"),
    ({"epsilons": [-0.1]}, "epsilons: .*-0.1"),
    ({"epsilons": [float("nan")]}, "epsilons: .*nan"),
    ({"epsilons": [float("inf")]}, "epsilons: .*inf"),
    ({"images": torch.full((5, 3, 12, 10), 1.5)}, r"images: values from 1.5 to 1.5 \(valid: \[0, 1\]\)"),
    ({"images": torch.full((5, 3, 12, 10), torch.nan)}, "images: values from nan"),
    ({"images": torch.zeros((5, 3, 12, 10), dtype=torch.uint8)}, "images: .*uint8"),
    ({"images": torch.zeros(0, 3, 12, 10)}, "images: .*0, 3"),
    ({"labels": torch.zeros(4, dtype=torch.long)}, r"labels: \[4\].*\[5\] integers"),
    ({"labels": torch.zeros(5)}, "labels: .*float32"),
    ({"labels": torch.full((5,), -1)}, "labels"),
    ({"labels": torch.full((5,), 2)}, "labels: label 2 for a model with 2 classes"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"keep": -1}, "keep=-1"),
    ({"model": nn.Sequential(nn.Flatten(), nn.Linear(360, 1))}, r"model: outputs of shape \[5, 1\] for 5 images"),
    ({"model": nn.Linear(10, 2)}, "model: outputs of shape"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[m for _, m in BAD])
def test_bad_input_says_what_is_wrong(changes, message, toy, five):
    images, labels = five
    arguments = {"model": toy.model, "images": images, "labels": labels, "epsilons": [0.1], "seed": 0} | changes
    with pytest.raises(AttackError, match=message) as caught:
        attacks.run(attacks.get("fgsm"), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fgms", {}, "unknown attack 'fgms'; did you mean 'fgsm'.*clean, deepfool"),
        ("pgd", {"stepsize": 0.1}, "unknown option 'stepsize'.*steps=20"),
        ("pgd", {"steps": 0}, "steps"),
        ("pgd", {"step_size": float("inf")}, "step_size"),
        ("pgd", {"restarts": 3, "random_start": False}, "restarts above 1: PGD draws no random numbers"),
        ("deepfool", {"norm": "l1"}, "norm"),
        ("hqc_ray.entries:Entry", {}, "not a subclass of hqc_ray.attacks.Attack"),
    ],
)
def test_unknown_attacks_and_options(name, options, message):
    with pytest.raises(AttackError, match=message):
        attacks.get(name, **options)


def test_a_search_that_yields_too_little_is_an_error(toy, five):
    class Short(attacks.Attack):
        def search(self, view, images, labels, epsilons, generator):
            yield images

    with pytest.raises(AttackError, match=r"yielded nothing at epsilon 0.2"):
        attacks.run(Short(), toy.model, *five, [0.1, 0.2], seed=0)


def test_a_search_cannot_cheat(toy, five):
    class Cheat(attacks.Attack):
        def search(self, view, images, labels, epsilons, generator):
            for _ in epsilons:
                yield torch.where(images > 0.5, torch.nan, torch.inf)

    images, labels = five
    part = attacks.run(Cheat(), toy.model, images, labels, [0.01], seed=0, keep=5).per_epsilon[0]
    assert lengths((part.adversarial - images).double(), "linf").max() <= 0.01 + 1e-6
    assert part.adversarial.isfinite().all()


def test_images_go_where_the_logits_are_though_a_backbone_runs_elsewhere():
    model = nn.Sequential(nn.BatchNorm2d(3, device="meta"), nn.Linear(3, 2))
    assert contract._device_of(model, torch.zeros(1)) == torch.device("cpu")
    assert contract._device_of(model[:1], torch.zeros(1)) == torch.device("meta")
    assert contract._device_of(lambda x: x, torch.zeros(1)) == torch.device("cpu")
