"""APGD keeps to the schedule of its paper, and for two classes every loss that grows with the margin is one attack."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from attack_outcomes import right
from torch import nn

from hqc_ray import attacks
from hqc_ray.attacks.losses import cross_entropy, dlr, margin
from hqc_ray.attacks.searches import apgd
from hqc_ray.errors import AttackError

EPSILON = {"linf": 0.05, "l2": 0.5}


class Recorded(nn.Module):
    """A model that keeps all values whose gradient is taken."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, values):
        if values.requires_grad:
            self.seen.append(values.detach().clone())
        return self.inner(values)


def inside(x, center, epsilon, norm):
    if norm == "linf":
        return np.clip(np.clip(x, center - epsilon, center + epsilon), 0, 1)
    size = np.linalg.norm(x - center)
    return np.clip(center + (x - center) * min(1, epsilon / size) if size > epsilon else x, 0, 1)


def by_the_paper(ask, center, start, epsilon, norm, steps):
    """Algorithm 1 for one image, word by word; `ask` gives loss and gradient. All points that it visits."""
    p = [0.0, 0.22]
    while p[-1] + max(p[-1] - p[-2] - 0.03, 0.06) <= 1 + 1e-9:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    checkpoints = [round(part * steps) for part in p]

    def direction(g):
        return np.sign(g) if norm == "linf" else g / np.linalg.norm(g)

    xs, size, sizes = [start], 2 * epsilon, [2 * epsilon]
    f, g = ask(start)
    fs, gs = [f], [g]
    visited = [start]
    best, at, slope = f, start, g
    bests = [best]
    for k in range(steps):
        z = inside(xs[k] + size * direction(gs[k]), center, epsilon, norm)
        alpha, back = (1.0, xs[k]) if k == 0 else (0.75, xs[k - 1])
        new = inside(xs[k] + alpha * (z - xs[k]) + (1 - alpha) * (xs[k] - back), center, epsilon, norm)
        f, g = ask(new)
        visited.append(new)
        xs, fs, gs = [*xs, new], [*fs, f], [*gs, g]
        if f > best:
            best, at, slope = f, new, g
        if k + 1 in checkpoints[1:]:
            j = checkpoints.index(k + 1)
            before = checkpoints[j - 1]
            rises = sum(fs[i + 1] > fs[i] for i in range(before, k + 1))
            stalled = rises <= 0.75 * (k + 1 - before)
            unmoved = len(sizes) > 1 and sizes[-2] == sizes[-1] and bests[-1] == best
            if stalled or unmoved:
                size /= 2
                xs[k + 1], fs[k + 1], gs[k + 1] = at, best, slope
            sizes, bests = [*sizes, size], [*bests, best]
    return visited, sizes


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_visits_what_the_paper_says(norm, toy):
    model, epsilon = copy.deepcopy(toy.model).double(), EPSILON[norm] / 2
    images, labels = toy.images[:12].double(), toy.labels[:12]
    seen = Recorded(model)
    attacks.run(attacks.get("apgd", norm=norm), seen, images, labels, [epsilon], 0, audience="others")
    ours = torch.stack(seen.seen).numpy()  # [101, 12, ...]

    halvings = set()
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):

        def ask(x, label=label):
            values = torch.as_tensor(x)[None].requires_grad_(True)
            loss = margin(model(values), label[None]).sum()
            return loss.item(), torch.autograd.grad(loss, values)[0][0].numpy()

        theirs, sizes = by_the_paper(ask, image.numpy(), ours[0, i], epsilon, norm, 100)
        np.testing.assert_allclose(ours[:, i], np.stack(theirs), atol=1e-10)
        halvings.add(tuple(np.round(np.log2(2 * epsilon / np.array(sizes)))))
    assert len(halvings) > 1  # images have schedules of their own


def test_the_checkpoints_are_those_of_the_paper(toy, monkeypatch):
    stuck = nn.Sequential(nn.Flatten(), nn.Linear(360, 2))
    nn.init.zeros_(stuck[1].weight)  # nothing rises, so that every checkpoint halves
    nn.init.zeros_(stuck[1].bias)
    halved = []
    restart = apgd._Climb._restart

    def noted(self, ids):
        halved.append((self.view.counts.gradients - 1, float(self.size[0])))
        restart(self, ids)

    monkeypatch.setattr(apgd._Climb, "_restart", noted)
    attacks.run(attacks.get("apgd"), stuck, toy.images[:1], torch.tensor([0]), [0.1], 0, audience="others")
    assert [k for k, _ in halved] == [22, 41, 57, 70, 80, 87, 93, 99]
    np.testing.assert_allclose([size for _, size in halved], [0.2 / 2**j for j in range(8)], rtol=1e-6)


LOSSES = {
    "cross-entropy": lambda logits, labels: nn.functional.cross_entropy(logits, labels, reduction="none"),
    "its log odds": cross_entropy,
    "probability margin": lambda logits, labels: margin(logits.softmax(1), labels),
}


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", LOSSES)
def test_for_two_classes_they_are_one_attack_bit_for_bit(name, norm, toy, monkeypatch):
    model, images = copy.deepcopy(toy.model).double(), toy.images[:40].double()
    attack, arguments = attacks.get("apgd", norm=norm, steps=40), (images, toy.labels[:40], [EPSILON[norm]], 0)
    one = attacks.run(attack, model, *arguments, audience="others", keep=40)
    monkeypatch.setitem(apgd._LOSSES, "margin", LOSSES[name])
    other = attacks.run(attack, model, *arguments, audience="others", keep=40)
    if norm == "linf":
        assert torch.equal(one.per_epsilon[0].adversarial, other.per_epsilon[0].adversarial)
    else:  # a gradient is divided by its length, and the length is rounded
        torch.testing.assert_close(one.per_epsilon[0].adversarial, other.per_epsilon[0].adversarial, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(right(one, toy.labels[:40]), right(other, toy.labels[:40]))


def test_in_float32_the_cross_entropy_is_flat_where_the_margin_is_not(toy, monkeypatch):
    sure = nn.Sequential(toy.model, Times(300.0))
    arguments = (toy.images, toy.labels, [0.05], 0)
    ours = attacks.run(attacks.get("apgd", steps=40), sure, *arguments)
    monkeypatch.setitem(apgd._LOSSES, "margin", LOSSES["cross-entropy"])
    flat = attacks.run(attacks.get("apgd", steps=40), sure, *arguments)
    assert flat.per_epsilon[0].bad_gradient.mean() > 0.3
    assert not ours.per_epsilon[0].bad_gradient.any()
    assert right(flat, toy.labels).sum() > right(ours, toy.labels).sum()


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return self.factor * logits


def test_dlr_is_the_papers_and_does_not_know_the_scale():
    logits = torch.tensor([[3.0, 1.0, -1.0, -2.0], [0.5, 2.0, 1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0])
    torch.testing.assert_close(dlr(logits, labels), torch.tensor([-2 / 4, 1.5 / 1.5], dtype=torch.float64))
    torch.testing.assert_close(dlr(100 * logits, labels), dlr(logits, labels))


def test_dlr_needs_three_classes(toy, toy3):
    attack = attacks.get("apgd", loss="dlr", steps=4)
    assert (attack.least_classes, attacks.get("apgd").least_classes) == (3, 2)
    assert attacks.get("ensemble", members={"fgsm": {}, "apgd": {"loss": "dlr"}}).least_classes == 3
    with pytest.raises(AttackError, match="loss: dlr for 2 classes"):
        attacks.run(attack, toy.model, toy.images, toy.labels, [0.05], 0)
    result = attacks.run(attack, toy3.model, toy3.images, toy3.labels, [0.05], 0)
    assert right(result, toy3.labels).mean() < 0.8 * result.attacked.mean()


def test_it_stops_on_fooled_images_and_costs_what_it_says(toy):
    attack = attacks.get("apgd", steps=30)
    own, whole = (attacks.run(attack, toy.model, toy.images, toy.labels, [0.05], 0, audience=a) for a in ("itself", "samples"))
    assert whole.gradients == 31 * whole.attacked.sum() == attack.cost(1) * whole.attacked.sum()
    assert own.gradients < 0.8 * whole.gradients
    assert attack.gradient_steps == 30
    assert right(own, toy.labels).sum() == right(whole, toy.labels).sum()
