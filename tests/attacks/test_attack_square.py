"""Square: what it draws, that it only climbs, and that queries are all it costs."""

from __future__ import annotations

import math

import pytest
import torch
from attack_outcomes import right

from hqc_ray import attacks
from hqc_ray.attacks.losses import margin
from hqc_ray.attacks.searches.square import _get, _put, _pyramid, _pyramids, _Walk
from hqc_ray.attacks.view import View


class Logged(View):
    """A view that keeps what it was asked."""

    def logits(self, values):
        self.asked = [*getattr(self, "asked", []), values.clone()]
        return super().logits(values)


def walk(case, norm, epsilon, queries=80, n=6, decides=False):
    view = Logged(case.model, n, decides=decides)
    images, labels = case.images[:n], case.labels[:n]
    attack = attacks.get("square", norm=norm, queries=queries)
    found = next(attack.search(view, images, labels, [epsilon], torch.Generator().manual_seed(3)))
    return view, images, labels, found


def test_every_perturbation_is_plus_or_minus_epsilon_and_changes_in_one_square(toy):
    view, images, labels, _ = walk(toy, "linf", 0.01)
    inside = (images > 0.01) & (images < 0.99)
    best, before = view.asked[0], None
    for query, tried in enumerate(view.asked):
        delta = (tried - images)[inside].abs()
        torch.testing.assert_close(delta, torch.full_like(delta, 0.01), atol=1e-6, rtol=0)
        if query:
            changed = ((tried - best).abs() > 1e-6).any(1)  # [n, H, W]
            rows, columns = changed.any(2), changed.any(1)
            side = attacks.get("square", queries=80).side(query - 1, 12, 10)
            for picture in range(len(images)):
                for marks, length in ((rows[picture], side[0]), (columns[picture], side[1])):
                    where = marks.nonzero()[:, 0]
                    assert not len(where) or int(where[-1] - where[0]) < length
        reached = margin(toy.model(tried), labels)
        better = torch.ones_like(labels, dtype=torch.bool) if before is None else reached > before
        best = torch.where(better[:, None, None, None], tried, best)
        before = reached if before is None else torch.maximum(before, reached)
    corners = {tuple(((asked - view.asked[0]).abs() > 1e-6).any(1)[i].nonzero()[:1].flatten().tolist())
               for asked in view.asked[1:2] for i in range(6)}  # fmt: skip
    assert len(corners) > 2  # images have squares of their own


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_margin_only_rises_and_queries_are_counted(norm, toy):
    view, _, labels, found = walk(toy, norm, 0.03 if norm == "linf" else 0.4)
    margins = torch.stack([margin(toy.model(asked), labels) for asked in view.asked])
    torch.testing.assert_close(margin(toy.model(found), labels), margins.amax(0), atol=1e-5, rtol=0)
    assert (margins.amax(0) > margins[0] + 0.01).any()
    assert (view.counts.forwards, view.counts.gradients) == (80 * 6, 0)


def test_in_l2_each_perturbation_is_as_long_as_epsilon_before_the_box(toy):
    view, images, _, _ = walk(toy, "l2", 0.05)
    for asked in view.asked:
        sizes = (asked - images).flatten(1).norm(dim=1)
        clipped = ((asked == 0) | (asked == 1)).flatten(1).any(1)
        torch.testing.assert_close(sizes[~clipped], torch.full_like(sizes[~clipped], 0.05), atol=1e-5, rtol=0)
        assert (sizes <= 0.05 + 1e-6).all()


def test_it_stops_on_fooled_images(toy):
    attack = attacks.get("square", queries=150)
    own, whole = (attacks.run(attack, toy.model, toy.images, toy.labels, [0.05], 0, audience=a) for a in ("itself", "samples"))
    assert whole.forwards == 150 * whole.attacked.sum()
    assert own.forwards < 0.8 * whole.forwards
    assert right(own, toy.labels).sum() == right(whole, toy.labels).sum()


def test_more_queries_find_more(toy):
    kept = [right(attacks.run(attacks.get("square", queries=q), toy.model, toy.images, toy.labels, [0.04], 0), toy.labels).sum()
            for q in (1, 30, 400)]  # fmt: skip
    assert kept[0] > kept[1] + 5 > kept[2] + 10


def test_a_pyramid_is_that_of_the_source():
    rings = [1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9]
    flat = torch.tensor([[rings[max(abs(i - 2), abs(j - 2))] for j in range(5)] for i in range(5)], dtype=torch.float64)
    torch.testing.assert_close(_pyramid(5, 5), flat / flat.norm())
    both = _pyramids(5, 5)
    assert (both[:2] > 0).all()
    assert (both[2:] < 0).all()
    assert math.isclose(float(both.norm()), 1)


def test_squares_are_taken_and_put_where_they_belong():
    delta = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    corner = torch.tensor([[1, 2], [3, 0]])  # rows 1 and 2, columns 3 and 0
    some = _get(delta, corner, 2, 2)
    torch.testing.assert_close(some[0], delta[0, :, 1:3, 3:5])
    torch.testing.assert_close(some[1], delta[1, :, 2:4, 0:2])
    changed = _put(delta, corner, torch.zeros(2, 3, 2, 2))
    assert not _get(changed, corner, 2, 2).any()
    assert int((changed != delta).sum()) == 24 - int((some == 0).sum())


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 500), (1, 400)), ((12, 10), (10, 10)), ((3, 40), (3, 32)), ((96, 96), (86, 86))]
)
def test_what_is_longer_than_wide_has_rectangles_of_the_same_share(size, expected):
    attack = attacks.get("square")
    assert attack.side(0, *size) == expected
    assert attack.side(0, *size[::-1]) == expected[::-1]
    assert attack.side(4999, 1, 500) == (1, 1)
    assert attacks.get("square", norm="l2").side(4999, 1, 500) == (1, 3)


def test_what_clipping_has_taken_from_a_perturbation_goes_into_the_next_lump(toy):
    epsilon, images = 0.5, toy.images[:6]
    attack = attacks.get("square", norm="l2")
    one = _Walk(attack, View(toy.model, 6), images, toy.labels[:6], epsilon, torch.Generator().manual_seed(0))
    one.shape = tuple(images.shape)
    delta = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=images.dtype)
    delta *= 0.6 * epsilon / delta.flatten(1).norm(dim=1)[:, None, None, None]
    corner, ids = torch.tensor([[0] * 6, [1] * 6]), torch.arange(6)
    lengths = one._lumps(delta, ids, corner, 5, 5).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, epsilon), rtol=1e-4, atol=0)
