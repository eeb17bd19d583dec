"""What is particular to each attack, and to the view."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from attack_outcomes import after, clean, right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.balls import lengths, random_in_ball, steepest
from hqc_ray.attacks.losses import fooled
from hqc_ray.attacks.view import View
from hqc_ray.seeds import stream


class Linear(nn.Module):
    """z1 - z0 = w . x + b: every attack's answer is known in closed form."""

    def __init__(self, weights, offset):
        super().__init__()
        self.weights, self.offset = nn.Parameter(weights), offset

    def forward(self, images):
        margin = images.flatten(1) @ self.weights + self.offset
        return torch.stack([torch.zeros_like(margin), margin], 1)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return self.factor * logits


@pytest.fixture
def linear():
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(2 * 3 * 4, generator=generator, dtype=torch.float64)
    images = 0.5 + 0.05 * torch.randn(5, 2, 3, 4, generator=generator, dtype=torch.float64)
    model = Linear(weights, -0.5 * float(weights.sum()))
    return model, images, model(images).argmax(1), weights


def test_fgsm_moves_by_epsilon_along_the_sign(linear):
    model, images, labels, weights = linear
    part = attacks.run(attacks.get("fgsm"), model, images, labels, [0.03], 0, keep=5).per_epsilon[0]
    sign = torch.where(labels == 1, -1.0, 1.0).reshape(5, 1, 1, 1) * weights.sign().reshape(2, 3, 4)
    torch.testing.assert_close(part.adversarial, images + 0.03 * sign)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_finds_the_distance_to_a_hyperplane(linear, norm):
    model, images, labels, weights = linear
    distance = model(images)[:, 1].abs() / (weights.abs().sum() if norm == "linf" else weights.norm())
    result = attacks.run(attacks.get("deepfool", norm=norm), model, images, labels, [10.0], 0)
    part = result.per_epsilon[0]
    expected = (1.02 * (distance + 1e-4)).detach().numpy()
    np.testing.assert_allclose(part.linf if norm == "linf" else part.l2, expected, rtol=1e-6)
    assert not right(result, labels).any()
    assert part.gradients == 2 * 5  # one step, and one look that sees it is enough


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_lies_on_the_surface_of_the_ball(linear, norm):
    model, images, labels, _ = linear
    first, second = attacks.run(attacks.get("noise", norm=norm), model, images, labels, [0.02, 0.04], 0, keep=5).per_epsilon
    for part in (first, second):
        np.testing.assert_allclose(part.linf if norm == "linf" else part.l2, part.epsilon)
        assert part.gradients == 0
    torch.testing.assert_close(2 * (first.adversarial - images), second.adversarial - images)
    signs = (first.adversarial - images).sign().flatten(1)
    assert 0.2 < (signs > 0).double().mean() < 0.8
    assert not torch.equal(signs[0], signs[1])


def test_every_batch_has_its_own_noise(toy):
    images, labels = toy.images[:1].repeat(4, 1, 1, 1), toy.model(toy.images[:1]).argmax(1).repeat(4)
    part = attacks.run(attacks.get("noise"), toy.model, images, labels, [0.01], 0, batch_size=2, keep=4).per_epsilon[0]
    assert not torch.equal(part.adversarial[0], part.adversarial[2])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_with_one_whole_step_is_fgsm(norm, toy):
    epsilon = 0.05 if norm == "linf" else 0.5
    pgd = attacks.get("pgd", norm=norm, steps=1, step_size=epsilon, random_start=False)
    one, other = (
        attacks.run(a, toy.model, toy.images, toy.labels, [epsilon], 0, keep=200) for a in (pgd, attacks.get("fgsm", norm=norm))
    )
    np.testing.assert_array_equal(after(one), after(other))
    if norm == "linf":
        assert torch.equal(one.per_epsilon[0].adversarial, other.per_epsilon[0].adversarial)
    else:  # projected once more, onto a sphere it already lies on
        torch.testing.assert_close(one.per_epsilon[0].adversarial, other.per_epsilon[0].adversarial, atol=1e-6, rtol=0)
    assert one.gradients == other.gradients


def test_pgd_stops_on_fooled_images_and_loses_nothing(toy):
    stopping, patient = (
        attacks.run(attacks.get("pgd", early_stop=e), toy.model, toy.images, toy.labels, [0.05], 0) for e in (True, False)
    )
    assert patient.gradients == 20 * patient.attacked.sum()
    assert stopping.gradients < 0.8 * patient.gradients
    assert right(stopping, toy.labels).sum() <= right(patient, toy.labels).sum()


def test_pgd_uses_its_whole_budget_when_another_model_judges(toy):
    result = attacks.run(attacks.get("pgd"), toy.model, toy.images, toy.labels, [0.05], 0, audience="others")
    assert result.gradients == 20 * 200


def test_pgd_restarts_only_what_is_left(toy):
    once, thrice = (
        attacks.run(attacks.get("pgd", steps=3, restarts=r), toy.model, toy.images, toy.labels, [0.05], 0) for r in (1, 3)
    )
    assert (right(thrice, toy.labels) <= right(once, toy.labels)).all()
    left = int(right(once, toy.labels).sum())
    assert 0 < thrice.gradients - once.gradients <= 2 * 3 * left


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_momentum_follows_the_sum_of_directions_of_length_1_in_l1(norm, toy):
    model, epsilon = copy.deepcopy(toy.model).double(), 0.05 if norm == "linf" else 0.5
    images, labels = toy.images[:6].double(), toy.labels[:6]
    attack = attacks.get("momentum", norm=norm, steps=5, decay=0.7)
    found = attacks.run(attack, model, images, labels, [epsilon], 0, audience="others", keep=6)
    x, total = images.clone(), torch.zeros_like(images)
    for _ in range(5):
        at = x.clone().requires_grad_(True)
        logits = model(at)
        rival = logits.gather(1, 1 - labels[:, None]) - logits.gather(1, labels[:, None])
        gradient = torch.autograd.grad(rival.sum(), at)[0]
        total = 0.7 * total + gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
        step = total.sign() if norm == "linf" else total / total.square().sum((1, 2, 3), keepdim=True).sqrt()
        x = (x + epsilon / 5 * step).clamp(0, 1)
    assert (found.per_epsilon[0].linf if norm == "linf" else found.per_epsilon[0].l2).min() > 0
    torch.testing.assert_close(found.per_epsilon[0].adversarial, x, atol=1e-7, rtol=0)
    assert found.gradients == attack.gradient_steps * 6


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_starts_anywhere_in_the_ball(norm):
    draws = random_in_ball(torch.zeros(4000, 1, 1, 3, dtype=torch.float64), norm, torch.Generator().manual_seed(0))
    share = (lengths(draws, norm) < 0.5).double().mean()  # a ball of half the radius has 1/8 of the volume
    assert lengths(draws, norm).max() <= 1
    assert abs(share - 0.125) < 0.02
    assert draws.mean((0, 1, 2)).abs().max() < 0.03


def test_steepest_direction_of_strange_gradients():
    gradients = torch.tensor([[3.0, -4.0, 0.0], [3e-30, 4e-30, 0.0], [0.0, 0.0, 0.0], [torch.nan, torch.inf, -2.0]])
    signs = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    units = torch.tensor([[0.6, -0.8, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    assert torch.equal(steepest(gradients, "linf"), signs)
    torch.testing.assert_close(steepest(gradients, "l2"), units)


def test_deepfool_costs_one_gradient_a_step_for_two_classes_and_two_for_three(toy, toy3):
    for case, rivals in ((toy, 1), (toy3, 2)):
        view = View(case.model, 5)
        gradients, differences, logits, others = view.differences(case.images[:5], case.labels[:5], 9)
        assert gradients.shape == (5, rivals, 3, 12, 10)
        assert differences.shape == others.shape == (5, rivals)
        assert (view.counts.gradients, view.counts.forwards) == (5 * rivals, 5)
        expected = logits.gather(1, others) - logits.gather(1, case.labels[:5, None])
        torch.testing.assert_close(differences, expected)


def test_gradients_of_differences_agree_with_finite_differences(toy3):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    images, labels = torch.rand(5, 1, 3, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    gradients, differences, _, others = View(model, 5).differences(images, labels, 2)
    for c in range(12):
        moved = images.clone().flatten(1)
        moved[:, c] += 1e-6
        logits = model(moved.view_as(images))
        slope = (logits.gather(1, others) - logits.gather(1, labels[:, None]) - differences) / 1e-6
        torch.testing.assert_close(gradients.flatten(2)[:, :, c], slope.detach(), atol=1e-5, rtol=1e-4)


def test_bad_gradients_are_recorded_for_the_right_images():
    def margin(image):
        """No gradient where the first pixel is dark, one that is not a number where it is bright."""
        first = image[0, 0, 0].item()
        if first < 0.3:
            return image.sum() * 0 + 5
        return image.sum() + (0 * image[0, 1, 1]).sqrt() if first > 0.7 else image.sum()

    def model(images):
        margins = torch.stack([margin(image) for image in images])
        return torch.stack([torch.zeros_like(margins), margins], 1)

    images = torch.full((5, 1, 2, 3), 0.5)
    images[1, 0, 0, 0], images[3, 0, 0, 0] = 0.1, 0.9
    labels = torch.tensor([1, 1, 1, 1, 0])  # the last is wrong from the start
    for name in ("fgsm", "pgd", "deepfool"):
        options = {"random_start": False} if name == "pgd" else {}
        result = attacks.run(attacks.get(name, **options), model, images, labels, [0.0, 0.1], 0, batch_size=2)
        assert result.per_epsilon[1].bad_gradient.tolist() == [False, True, False, True, False], name
        assert not result.per_epsilon[0].bad_gradient.any()
    assert not attacks.run(attacks.get("noise"), model, images, labels, [0.1], 0).per_epsilon[0].bad_gradient.any()


def test_a_model_that_ignores_its_input_has_only_bad_gradients():
    def constant(images):
        return torch.tensor([[0.0, 1.0]]).repeat(len(images), 1)

    for name in ("fgsm", "deepfool"):
        result = attacks.run(attacks.get(name), constant, torch.rand(5, 1, 3, 4), torch.ones(5, dtype=torch.long), [0.3], 0)
        assert result.per_epsilon[0].bad_gradient.all()
        assert right(result, torch.ones(5)).all()
        assert result.gradients == 5  # DeepFool does not come back to an image that cannot move


def test_bad_gradients_of_pgd_are_those_of_each_epsilon():
    def steep_near_grey(images):
        margin = (images - 0.5).clamp(-0.05, 0.05).flatten(1).sum(1) + 1
        return torch.stack([torch.zeros_like(margin), margin], 1)

    images, labels = torch.full((5, 1, 1, 2), 0.5), torch.ones(5, dtype=torch.long)
    near, far = attacks.run(attacks.get("pgd"), steep_near_grey, images, labels, [0.04, 0.4], 0).per_epsilon
    assert not near.bad_gradient.any()
    assert far.bad_gradient.any()


def test_gradient_has_the_direction_of_the_cross_entropy(toy3):
    images = toy3.images[:5].clone().requires_grad_(True)
    logits = toy3.model(images)
    loss = nn.functional.cross_entropy(logits, toy3.labels[:5], reduction="none")
    (expected,) = torch.autograd.grad(loss.sum(), images)
    gradient, losses, seen = View(toy3.model, 5).gradient(toy3.images[:5], toy3.labels[:5])
    unsure = 1 - torch.exp(-loss.detach()).reshape(5, 1, 1, 1)
    torch.testing.assert_close(gradient * unsure, expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(seen, logits)
    torch.testing.assert_close(nn.functional.softplus(losses), loss)  # the losses are its log odds


def test_a_very_confident_model_still_has_a_gradient(linear):
    """In float32 the cross-entropy of a logit difference of 400 is 0, and its gradient loses the true class."""
    model, images, _, weights = linear
    images = images.float()

    def confident(x):  # the last class alone depends on the image: the rounded loss has no gradient for it
        margins = model(x.double())[:, 1:].float()
        return torch.cat([torch.zeros_like(margins), margins + 400], 1)

    labels = torch.ones(5, dtype=torch.long)
    gradient, _, _ = View(confident, 5).gradient(images, labels)
    assert torch.equal(gradient.flatten(1).sign().double(), -weights.sign().expand(5, -1))


def test_float32_gradients_have_the_signs_of_float64(toy):
    """With logit differences around 20 a loss in float32 gets 1 sign in 40 wrong."""
    sure = nn.Sequential(copy.deepcopy(toy.model), Scale(5.0))
    one, _, logits = View(sure, 200).gradient(toy.images, toy.labels)
    other, _, _ = View(copy.deepcopy(sure).double(), 200).gradient(toy.images.double(), toy.labels)
    assert (logits[:, 0] - logits[:, 1]).abs().median() > 15
    assert (one.sign() != other.sign()).sum() <= 2


def test_logits_that_are_not_numbers_are_never_correct(toy):
    def broken(images):
        return torch.where(images.flatten(1)[:, :1] > 0.5, torch.nan, toy.model(images))

    result = attacks.run(attacks.get("clean"), broken, toy.images, toy.labels, [0.0], 0)
    dead = toy.images.flatten(1)[:, 0].numpy() > 0.5
    assert (result.clean_predictions[dead] == -1).all()
    assert not clean(result, toy.labels)[dead].any()
    assert clean(result, toy.labels)[~dead].any()


def test_fooled_needs_more_than_rounding():
    logits = torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0 + 1e-6, 0.0], [2.0, 1.0, 0.0], [torch.nan, 0.0, 0.0]])
    assert fooled(logits, torch.zeros(5, dtype=torch.long)).tolist() == [True, False, False, False, True]


def test_softmax_outputs_are_noticed(toy):
    softmax = nn.Sequential(toy.model, nn.Softmax(dim=1))
    for model, expected in ((softmax, True), (toy.model, False)):
        result = attacks.run(attacks.get("clean"), model, toy.images[:5], toy.labels[:5], [0.0], 0, batch_size=3)
        assert result.outputs_normalised is expected
    assert not attacks.outputs_normalised(torch.tensor([[1.5, -0.5]]))
    assert not attacks.outputs_normalised(torch.tensor([[0.5, 0.6]]))


def test_the_judge_decides_before_and_after(toy):
    def contrary(images):
        return -toy.model(images)

    result = attacks.run(attacks.get("fgsm"), toy.model, toy.images, toy.labels, [0.05], 0, judges=[attacks.Exact(contrary)])
    own = (toy.model(toy.images).argmax(1) == toy.labels).numpy()
    np.testing.assert_array_equal(clean(result, toy.labels), ~own)
    np.testing.assert_array_equal(result.attacked, own)


def test_a_judge_that_samples_is_told_what_it_decides_on(toy):
    class Sampling(attacks.Exact):
        """Each evaluation has noise of its own name."""

        def decide(self, seen, name):
            generator = torch.Generator().manual_seed(stream(0, name))
            return super().decide(seen + 2 * torch.randn(seen.shape, generator=generator), name)

    def run(epsilons):
        judges = [Sampling(toy.model)]
        return attacks.run(attacks.get("fgsm"), toy.model, toy.images, toy.labels, epsilons, 0, judges=judges, audience="samples")

    together, alone = run([0.0, 0.02, 0.05]), run([0.05])
    np.testing.assert_array_equal(after(together)[2], after(alone)[0])
    before, wrong = together.verdicts[0].clean.own[0], ~together.attacked
    np.testing.assert_array_equal(after(together)[0], before)  # nothing was moved: nothing is sampled a second time
    for one in after(together):
        np.testing.assert_array_equal(one[wrong], before[wrong])
    assert right(together, toy.labels)[2].sum() < clean(together, toy.labels).sum()
    assert (before != together.clean_predictions).any()


def test_counts_are_per_image(toy):
    result = attacks.run(attacks.get("fgsm"), toy.model, toy.images, toy.labels, [0.02, 0.05, 0.0], 0)
    attacked = int(result.attacked.sum())
    assert result.gradients == attacked
    assert result.forwards == attacked
    assert [p.gradients for p in result.per_epsilon] == [attacked, attacked, 0]
    assert [p.forwards for p in result.per_epsilon] == [attacked, attacked, 0]
