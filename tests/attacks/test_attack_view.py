"""The losses, and the model as a view gives it: predictions, draws of a stochastic model, a module for libraries."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.losses import cross_entropy, fooled, margin, predicted, targeted
from hqc_ray.attacks.steady import frozen
from hqc_ray.attacks.view import View


class Jittered(nn.Module):
    """Each draw shifts the input by a random vector of its own; the first draw is the model itself."""

    def __init__(self, model, k=0, scale=0.05):
        super().__init__()
        self.model, self.k, self.scale = model, k, scale

    def forward(self, values):
        noise = torch.randn(values.shape[1:], generator=torch.Generator().manual_seed(self.k), dtype=values.dtype)
        return self.model(values + self.scale * noise)

    def drawn(self, k):
        return Jittered(self.model, k, self.scale).eval()


@pytest.fixture
def seven():
    """A smooth model with 4 classes, 7 values of shape [2, 3], and labels that it gets right."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    values = torch.rand(7, 2, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return model.requires_grad_(False), values, model(values).argmax(1)


LOGITS = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]])
LABELS = torch.tensor([0, 1])


def test_losses_are_what_they_are_called():
    torch.testing.assert_close(margin(LOGITS, LABELS), torch.tensor([-2.0, 3.0]))
    odds = cross_entropy(LOGITS, LABELS)
    torch.testing.assert_close(nn.functional.softplus(odds), nn.functional.cross_entropy(LOGITS, LABELS, reduction="none"))
    targets = torch.tensor([2, 0])
    torch.testing.assert_close(targeted(targets, margin)(LOGITS, LABELS), torch.tensor([-3.0, -5.0]))
    torch.testing.assert_close(
        nn.functional.softplus(-targeted(targets)(LOGITS, LABELS)),
        nn.functional.cross_entropy(LOGITS, targets, reduction="none"),
    )
    assert predicted(torch.tensor([[0.0, 1.0], [torch.nan, 0.0]])).tolist() == [1, -1]
    assert fooled(LOGITS, LABELS).tolist() == [False, True]


def test_with_two_classes_cross_entropy_and_margin_are_one_loss():
    logits = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(50) % 2
    torch.testing.assert_close(cross_entropy(logits, labels), margin(logits, labels))


@pytest.mark.parametrize("loss", [cross_entropy, margin, targeted(torch.arange(7) % 4), targeted(torch.arange(7) % 4, margin)])
def test_gradients_of_every_loss_agree_with_finite_differences(loss, seven):
    model, values, labels = seven
    found = View(model, 7).gradient(values, labels, loss)
    torch.testing.assert_close(found.losses, loss(model(values), labels))
    torch.testing.assert_close(found.logits, model(values))
    for i in range(6):
        moved = values.clone().flatten(1)
        moved[:, i] += 1e-7
        slope = (loss(model(moved), labels) - found.losses) / 1e-7
        torch.testing.assert_close(found.gradient.flatten(1)[:, i], slope, atol=1e-5, rtol=1e-4)


def test_a_targeted_loss_leads_to_its_target(seven):
    model, values, labels = seven
    targets = (labels + 1) % 4
    view, x = View(model, 7), values.clone()
    for _ in range(300):
        x += 0.1 * view.gradient(x, labels, targeted(targets)).gradient.sign()
    assert (view.predictions(x) == targets).float().mean() > 0.8


def test_predictions_count_as_forwards(seven):
    model, values, labels = seven
    view = View(model, 7)
    assert torch.equal(view.predictions(values), labels)
    assert (view.counts.gradients, view.counts.forwards) == (0, 7)


def test_gradients_are_means_over_independent_draws(seven):
    model, values, labels = seven
    stochastic = Jittered(model)
    view = View(stochastic, 7)
    parts = [View(stochastic.drawn(k), 7).gradient(values, labels) for k in range(8)]
    assert len({p.gradient.numpy().tobytes() for p in parts}) == 8
    first, second = (view.gradient(values, labels, draws=4) for _ in range(2))
    for i, found in enumerate((first, second)):  # the second has draws 4 to 7
        for name in found._fields:
            torch.testing.assert_close(getattr(found, name), sum(getattr(p, name) for p in parts[4 * i : 4 * i + 4]) / 4)
    assert (view.counts.gradients, view.counts.forwards) == (2 * 4 * 7, 2 * 4 * 7)
    view.rewind()
    assert torch.equal(view.gradient(values, labels, draws=4).gradient, first.gradient)


def test_more_draws_come_closer_to_the_expected_gradient(seven):
    model, values, labels = seven
    stochastic = Jittered(model, scale=0.5)
    exact = View(stochastic, 7).gradient(values, labels, draws=3000).gradient
    errors = []
    for draws in (1, 100):
        view = View(stochastic, 7)
        view._next_draw = 5000
        errors.append((view.gradient(values, labels, draws=draws).gradient - exact).norm())
    assert errors[1] < 0.4 * errors[0]


def test_differences_are_means_too_about_the_same_classes(seven):
    model, values, labels = seven
    stochastic = Jittered(model, scale=0.3)
    view = View(stochastic, 7)
    view.draws = 3
    found = view.differences(values, labels, 2)
    parts = [View(stochastic.drawn(k), 7).differences(values, labels, found.others) for k in range(3)]
    torch.testing.assert_close(found.gradients, sum(p.gradients for p in parts) / 3)
    torch.testing.assert_close(found.differences, sum(p.differences for p in parts) / 3)
    assert view.counts.gradients == 7 * 2 * 3


def test_one_draw_is_the_model_itself_and_a_model_that_is_not_stochastic_has_no_more(seven):
    model, values, labels = seven
    plain = View(model, 7).gradient(values, labels)
    one = View(Jittered(model, 11), 7).gradient(values, labels)
    assert torch.equal(one.gradient, View(Jittered(model).drawn(11), 7).gradient(values, labels).gradient)
    settled = Jittered(model)
    settled.stochastic = False
    for exact in (model, settled):
        view = View(exact, 7)
        many = view.gradient(values, labels, draws=5)
        assert view.counts.gradients == 7
        assert torch.equal(many.gradient, plain.gradient) is (exact is model)


class Steps(attacks.Attack):
    """Three steps; it says nothing about draws, and does not rewind its random numbers."""

    one_search = False

    def search(self, view, values, labels, epsilons, generator):
        for epsilon in epsilons:
            x = values
            for _ in range(3):
                x = x + epsilon / 3 * view.gradient(x, labels).gradient
            yield x


L2 = {"norm": "l2", "draws": 4}
DRAWN = [Steps(draws=4), attacks.PGD(steps=3, **L2), attacks.DeepFool(**L2), attacks.FGSM(**L2)]


@pytest.mark.parametrize("attack", DRAWN, ids=repr)
def test_an_attack_with_draws_is_reproducible_and_knows_no_other_epsilon(attack, seven):
    model, values, _ = seven
    stochastic = Jittered(model, scale=0.5)
    labels = stochastic(values).argmax(1)

    def run(epsilons):
        return attacks.run(attack, stochastic, values, labels, epsilons, seed=0, keep=7)

    both, again, alone = run([0.05, 0.2]), run([0.05, 0.2]), run([0.2])
    assert torch.equal(both.per_epsilon[1].adversarial, again.per_epsilon[1].adversarial)
    assert torch.equal(both.per_epsilon[1].adversarial, alone.per_epsilon[0].adversarial)
    assert both.per_epsilon[1].gradients == alone.gradients
    single = attack.model_copy(update={"draws": 1})
    other = attacks.run(single, stochastic, values, labels, [0.2], seed=0, keep=7)
    assert not torch.equal(other.per_epsilon[0].adversarial, alone.per_epsilon[0].adversarial)
    if isinstance(attack, attacks.FGSM | Steps):
        assert alone.gradients == 4 * other.gradients


def test_the_module_is_counted_whoever_calls_backward(seven):
    model, values, labels = seven
    view = View(model, 7)
    module = view.module()
    x = values.clone().requires_grad_(True)
    nn.functional.cross_entropy(module(x), labels, reduction="sum").backward()
    y = x.detach().clone().requires_grad_(True)
    nn.functional.cross_entropy(model(y), labels, reduction="sum").backward()
    torch.testing.assert_close(x.grad, y.grad)
    assert (view.counts.gradients, view.counts.forwards) == (7, 7)
    z = values[:3].clone().requires_grad_(True)
    logits = module(z)
    for k in range(2):
        torch.autograd.grad(logits[:, k].sum(), z, retain_graph=True)
    assert (view.counts.gradients, view.counts.forwards) == (13, 10)
    with torch.no_grad():
        module(values)
    module(values)
    assert (view.counts.gradients, view.counts.forwards) == (13, 24)
    assert not view.bad_gradient.any()


def test_the_module_records_bad_gradients_and_takes_functions():
    view = View(lambda x: torch.stack([0 * x.sum(1), x[:, 0].clamp_min(0.5)], 1), 3)
    values = torch.tensor([[0.2, 0.0], [0.7, 0.0], [0.8, 0.0]], requires_grad=True)
    view.module()(values)[:, 1].sum().backward()
    assert view.bad_gradient.tolist() == [True, False, False]


def test_a_library_cannot_switch_dropout_on_and_finds_the_weights(toy):
    with frozen(toy.model):
        module = View(toy.model, 5).module()
        module.train()
        assert not module.training
        assert not any(m.training for m in toy.model.modules())
        assert [p.shape for p in module.parameters()] == [p.shape for p in toy.model.parameters()]
        with torch.no_grad():
            assert torch.equal(module(toy.images[:5]), toy.model(toy.images[:5]))


def test_a_part_counts_with_the_whole_and_has_its_own_bad_gradients(seven):
    model, values, labels = seven
    view = View(lambda x: model(x) * (x.flatten(1).sum(1, keepdim=True) > 2.2), 7)
    left = torch.tensor([1, 4, 6])
    part = view.part(torch.arange(3))
    part.gradient(values[left], labels[left])
    assert view.bad_gradient is None
    view.absorb(part, left)
    dark = values.flatten(1).sum(1) <= 2.2
    assert view.bad_gradient.tolist() == [bool(dark[i]) and i in (1, 4, 6) for i in range(7)]
    assert dark[left].any()
    assert not dark[left].all()
    assert view.counts.gradients == 3
