"""What every attack of the table keeps to, in each of its norms."""

from __future__ import annotations

import copy
import sys
import types

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


def accuracies(result, labels):
    """Robust accuracy by the first judge, per epsilon."""
    return [correct.mean() for correct in result.verdicts[0].correct(labels.numpy())]


def same(one, other):
    assert one.epsilon == other.epsilon
    assert (one.gradients, one.forwards) == (other.gradients, other.forwards)
    for name in ("linf", "l2", "bad_gradient"):
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
    np.testing.assert_array_equal(result.verdicts[0].attacked[0].own[0], result.clean_predictions)
    assert result.gradients == 0


@every
def test_the_projection_alone_gives_the_image_at_epsilon_zero(attack, five):
    images, _ = five
    assert torch.equal(project(images + 0.3 * torch.randn_like(images), images, 0.0, attack.norm), images)


@every
def test_initially_wrong_images_are_left_alone(attack, toy, five):
    images, labels = five
    result = attacks.run(attack, toy.model, images, labels, EPSILONS[attack.norm], seed=0, keep=5)
    assert result.attacked.tolist() == [True] * 4 + [False]
    verdict = result.verdicts[0]
    assert verdict.clean_correct(labels.numpy()).tolist() == [True] * 4 + [False]
    for part, after, correct in zip(result.per_epsilon, verdict.attacked, verdict.correct(labels.numpy()), strict=True):
        assert torch.equal(part.adversarial[4], images[4])
        assert after.own[0, 4] == result.clean_predictions[4]
        assert not correct[4]


@searching
def test_accuracy_falls_to_zero(attack, toy):
    epsilons = [0.0, 0.02, 0.05, 0.3] if attack.norm == "linf" else [0.0, 0.2, 0.5, 4.0]
    if "queries" in type(attack).model_fields:  # a hundred leave 2 to 4 %, as the processor rounds
        attack = attack.model_copy(update={"queries": 300})
    result = attacks.run(attack, toy.model, toy.images, toy.labels, epsilons, seed=0)
    accuracy = accuracies(result, toy.labels)
    assert accuracy[0] == result.attacked.mean() > 0.85
    assert accuracy[0] > accuracy[1] > accuracy[2] > accuracy[3]
    assert accuracy[3] <= (0.03 if attack.black_box else 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_are_stronger_than_noise_and_pgd_is_the_strongest(norm, toy):
    epsilon = 0.05 if norm == "linf" else 0.5
    accuracy = {}
    for name in ("clean", "noise", "fgsm", "deepfool", "pgd"):
        result = attacks.run(attacks.get(name, norm=norm), toy.model, toy.images, toy.labels, [epsilon], 0)
        accuracy[name] = accuracies(result, toy.labels)[0]
    assert accuracy["clean"] >= accuracy["noise"] - 0.02
    assert accuracy["noise"] > accuracy["fgsm"] + 0.2
    assert accuracy["pgd"] <= min(accuracy["fgsm"], accuracy["deepfool"]) + 0.005


@pytest.mark.parametrize("attack", [a for a in CASES if not a.nested], ids=repr)
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
    images, labels = toy.images[:23], toy.labels[:23]
    result = attacks.run(attack, toy.model, images, labels, [0.1], seed=0, batch_size=9, keep=11)
    part = result.per_epsilon[0]
    assert part.linf.shape == part.bad_gradient.shape == result.attacked.shape == (23,)
    assert result.verdicts[0].clean.own.shape == result.verdicts[0].attacked[0].own.shape == (1, 23)
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
    assert not result.attacked.any()
    assert (result.gradients, result.per_epsilon[1].linf.max()) == (0, 0)


BAD = [
    ({"epsilons": []}, "epsilons"),
    ({"epsilons": [-0.1]}, "epsilons: .*-0.1"),
    ({"epsilons": [float("nan")]}, "epsilons: .*nan"),
    ({"epsilons": [float("inf")]}, "epsilons: .*inf"),
    ({"values": torch.full((5, 3, 12, 10), 1.5)}, r"pixels: values from 1.5 to 1.5 \(valid: \[0, 1\]\)"),
    ({"values": torch.full((5, 3, 12, 10), torch.nan)}, "pixels: values from nan"),
    ({"values": torch.zeros((5, 3, 12, 10), dtype=torch.uint8)}, "pixels: .*uint8"),
    ({"values": torch.zeros(0, 3, 12, 10)}, "pixels: .*0, 3"),
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
    arguments = {"model": toy.model, "values": images, "labels": labels, "epsilons": [0.1], "seed": 0} | changes
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


class Counting(nn.Module):
    """A model that says how many values it has evaluated."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, 0

    def forward(self, values):
        self.seen += len(values)
        return self.inner(values)


def test_one_search_serves_many_judges(toy, five):
    images, labels = five
    others = [copy.deepcopy(toy.model), Counting(toy.model)]
    with torch.no_grad():
        others[0].layers[-1].bias.add_(torch.tensor([0.3, -0.3]))  # leans towards one class
    judges = [attacks.Exact(toy.model), *(attacks.Exact(other) for other in others)]
    attack = attacks.get("pgd", steps=3)
    alone = attacks.run(attack, toy.model, images, labels, [0.0, 0.05], 0, audience="others")
    together = attacks.run(attack, toy.model, images, labels, [0.0, 0.05], 0, audience="others", judges=judges)
    assert together.gradients == alone.gradients == 5 * 3  # no judge costs a gradient
    assert others[1].seen == 5 * 4  # and one evaluation each: clean, at both epsilons, and in grey levels what moved
    first, second, third = (verdict.attacked[1].own for verdict in together.verdicts)
    np.testing.assert_array_equal(first, alone.verdicts[0].attacked[1].own)
    np.testing.assert_array_equal(first, third)
    moved = attacks.run(attacks.get("clean"), others[0], images, labels, [0.0], 0).verdicts[0].clean.own
    np.testing.assert_array_equal(together.verdicts[1].clean.own, moved)
    assert second.shape == first.shape


def test_an_audience_of_others_has_every_image_attacked_with_the_whole_budget(toy, five):
    images, labels = five
    attack = attacks.get("pgd", steps=5)
    own = attacks.run(attack, toy.model, images, labels, [0.1], 0, keep=5)
    samples = attacks.run(attack, toy.model, images, labels, [0.1], 0, audience="samples", keep=5)
    others = attacks.run(attack, toy.model, images, labels, [0.1], 0, audience="others", keep=5)
    assert (samples.gradients, others.gradients) == (4 * 5, 5 * 5)
    assert own.gradients < samples.gradients  # it stops where it has succeeded
    assert [r.attacked.sum() for r in (own, samples, others)] == [4, 4, 5]
    assert not torch.equal(others.per_epsilon[0].adversarial[4], images[4])


def test_a_reference_decides_which_images_are_attacked(toy, five):
    images, labels = five

    def contrary(values):
        return -toy.model(values)

    result = attacks.run(attacks.get("fgsm"), toy.model, images, labels, [0.1], 0, reference=contrary, audience="samples")
    assert result.attacked.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("level", ["features", "angles"])
@every
def test_the_same_contract_holds_at_every_level(attack, level):
    space = attacks.SPACES[level]
    generator = torch.Generator().manual_seed(3)
    values = 3 * torch.rand(6, 4, generator=generator) - 1.5
    head = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    labels = head(values).argmax(1)
    result = attacks.run(attack, head, values, labels, [0.0, 0.2, 5.0], 0, space=space, keep=6)
    assert torch.equal(result.per_epsilon[0].adversarial, values)
    for part in result.per_epsilon:
        assert lengths((part.adversarial - values).double(), attack.norm).max() <= part.epsilon + 1e-6
        assert part.adversarial.min() >= space.low
        assert part.adversarial.max() <= space.high
    if attack.kind != "none" and level == "features":  # at a level without a box the perturbation may be as long as epsilon
        assert result.verdicts[0].correct(labels.numpy())[2].mean() <= result.verdicts[0].correct(labels.numpy())[1].mean()
    outside = torch.full((1, 4), 2.0)
    if level == "angles":
        with pytest.raises(AttackError, match=r"angles: values from 2 to 2 \(valid: \[-1.5708, 1.5708\]\)"):
            attacks.run(attack, head, outside, [0], [0.1], 0, space=space)


def test_a_search_that_works_in_place_moves_nothing_but_its_candidate(toy, five):
    class InPlace(attacks.Attack):
        def search(self, view, images, labels, epsilons, generator):
            for _ in epsilons:
                yield images.add_(1.0)

    images, labels = five
    before = images.clone()
    part = attacks.run(InPlace(), toy.model, images, labels, [0.01, 0.02], seed=0, keep=5).per_epsilon
    assert torch.equal(images, before)
    assert [p.linf.max() <= p.epsilon + 1e-6 for p in part] == [True, True]


@pytest.mark.parametrize("field", ["name", "level", "epsilon"])
def test_an_attack_whose_option_is_called_as_a_key_of_its_section_is_refused(field, monkeypatch):
    module = types.ModuleType("clashing")
    module.Mine = type("Mine", (attacks.FGSM,), {"__annotations__": {field: str}, field: "x"})
    monkeypatch.setitem(sys.modules, "clashing", module)
    with pytest.raises(AttackError, match=f"attack 'clashing:Mine' has an option called '{field}', a key of its section"):
        attacks.get("clashing:Mine")
