"""Drawn patches are a problem of the right difficulty, told apart by their centre alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data.sources import tissue
from hqc_ray.errors import DataError

COUNT, TRAINED = 900, 600


@pytest.fixture(scope="module")
def patches():
    source = data.get("synthetic", images=COUNT)
    return source.read(range(COUNT)), source.labels()


def ridge_accuracy(features, labels, strength=1000.0):
    """Accuracy on the last images of a linear classifier, trained on the first [n, F]."""
    train = slice(0, TRAINED)
    scaled = (features - features[train].mean(0)) / (features[train].std(0) + 1e-6)
    gram = scaled[train].T @ scaled[train] + strength * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled[train].T @ (2.0 * labels[train] - 1))
    return float(((scaled[TRAINED:] @ weights > 0) == labels[TRAINED:]).mean())


def blocks(images, side):
    """Means over squares of `side` pixels: [n, F]."""
    n, size = images.shape[0], images.shape[1] // side
    return images.reshape(n, size, side, size, side, 3).mean(axis=(2, 4)).reshape(n, -1)


def test_a_linear_probe_of_pixels_is_neither_blind_nor_perfect(patches):
    images, labels = patches
    assert 0.62 < ridge_accuracy(blocks(images, 8), labels) < 0.9


def test_colour_alone_tells_nothing(patches):
    images, labels = patches
    assert ridge_accuracy(images.mean(axis=(1, 2)), labels, strength=1.0) < 0.6


def test_surround_tells_nothing(patches):
    images, labels = patches
    surround = images.copy()
    surround[:, 16:80, 16:80] = 0  # a nucleus of the centre reaches at most this far
    assert ridge_accuracy(blocks(surround, 8), labels) < 0.6


def test_texture_of_the_centre_tells_more_than_that_of_the_surround(patches):
    images, labels = patches
    grey = images.mean(axis=3)

    def texture(rows, columns):  # fine and coarse contrast, and how they relate: few numbers that a small CNN finds at once
        area = grey[:, rows, columns]
        scales = [np.abs(np.roll(area, step, 1) - area)[:, step:].mean((1, 2)) for step in (1, 2, 4, 6, 9)]
        return np.log(np.stack([*scales, area.mean((1, 2)), area.std((1, 2))], axis=1) + 1)

    centre, corner = texture(slice(32, 64), slice(32, 64)), texture(slice(0, 22), slice(0, 22))
    assert ridge_accuracy(centre, labels, strength=1.0) > 0.7
    assert ridge_accuracy(corner, labels, strength=1.0) < 0.6


def test_only_the_centre_changes_with_the_class():
    for seed in range(20):
        normal, tumour = (tissue.render(np.random.default_rng(seed), tumour).astype(int) for tumour in (False, True))
        changed = np.abs(normal - tumour).max(axis=2) > 0
        assert changed[36:60, 36:60].mean() > 0.5
        changed[14:-14, 14:-14] = False  # a nucleus of the centre may reach beyond it
        assert not changed.any()


def test_an_image_depends_on_its_seed_and_index_only():
    few, many = data.get("synthetic", images=4), data.get("synthetic", images=400)
    np.testing.assert_array_equal(few.read([3, 1]), many.read([1, 3])[::-1])
    assert not np.array_equal(few.read([3]), data.get("synthetic", images=4, seed=1).read([3]))


def test_patches_vary_in_stain_and_use_the_range(patches):
    images, _ = patches
    assert images.min() < 40
    assert images.max() > 240
    assert images.mean((1, 2)).std(0).min() > 10


def test_size_only_rescales():
    large, small = (data.get("synthetic", size_pixels=size).read([5])[0].astype(float) for size in (96, 48))
    halved = large.reshape(48, 2, 48, 2, 3).mean((1, 3))
    assert small.shape == (48, 48, 3)
    assert np.abs(halved - small).mean() < 6


def test_drawing_is_fast():
    source = data.get("synthetic")
    source.read([0])
    start = time.process_time()
    source.read(range(40))
    assert (time.process_time() - start) / 40 < 0.025  # 0.004 s on an idle core


@pytest.mark.parametrize("options", [{"images": 1}, {"size_pixels": 4}, {"images": "many"}])
def test_synthetic_options_out_of_range(options):
    with pytest.raises(DataError, match=f"{next(iter(options))}: .*Input should be"):
        data.get("synthetic", **options)
