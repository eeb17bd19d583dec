"""Subsets are balanced, nested, without duplicates, and the same each time."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data import splits
from hqc_ray.errors import DataError

COPIES = {2: 0, 4: 0, 7: 3, 9: 10, 21: 20, 50: 51}  # within and across classes


def fields(subset):
    return [getattr(subset, name) for name in ("indices", "labels", "hashes", "train", "validation", "test", "digest", "classes")]


@pytest.mark.parametrize(("size", "fractions"), [(4, {}), (22, {}), (40, {"test_fraction": 0.3, "validation_fraction": 0.25})])
def test_parts_are_disjoint_complete_and_balanced(in_memory, size, fractions):
    source = in_memory(60, COPIES)
    found = data.subset(source, size, seed=3, **fractions)
    parts = [found.train, found.validation, found.test]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(size))
    np.testing.assert_array_equal(found.labels, source.labels()[found.indices])
    for part in parts:
        for end in range(0, len(part) + 1, 2):
            assert found.labels[part[:end]].sum() == end // 2


@pytest.mark.parametrize(("size", "parts"), [(1000, (800, 0, 200)), (1002, (602, 200, 200)), (5000, (3000, 1000, 1000))])
def test_default_fractions_follow_the_size(in_memory, size, parts):
    found = data.subset(in_memory(5200), size, seed=0)
    assert (len(found.train), len(found.validation), len(found.test)) == parts


def test_fractions_can_be_set(in_memory):
    found = data.subset(in_memory(60), 40, seed=0, test_fraction=0.5, validation_fraction=0.1)
    assert (len(found.train), len(found.validation), len(found.test)) == (16, 4, 20)


def test_small_subsets_begin_large_ones(in_memory, monkeypatch):
    monkeypatch.setattr(splits, "_CHUNK", 5)  # the order must not depend on how images are read
    source = in_memory(60, COPIES)
    large = data.subset(source, 48, seed=1)
    for size in (4, 10, 30):
        small = data.subset(source, size, seed=1)
        np.testing.assert_array_equal(small.indices, large.indices[:size])
        np.testing.assert_array_equal(small.hashes, large.hashes[:size])
        assert set(small.test) <= set(large.test)


def test_duplicates_are_left_out_within_and_across_classes(in_memory):
    source = in_memory(60, COPIES)
    found = data.subset(source, 48, seed=0)
    assert len({image.tobytes() for image in source.images[found.indices]}) == 48
    assert len(set(found.hashes)) == 48


def test_hashes_are_of_the_images_in_order(in_memory):
    source = in_memory(20)
    found = data.subset(source, 8, seed=0)
    assert found.hashes.dtype == "S32"
    assert [splits.content_hash(image) for image in source.read(found.indices)] == found.hashes.tolist()


def test_hash_knows_the_shape():
    image = np.zeros((4, 6, 3), np.uint8)
    assert splits.content_hash(image) != splits.content_hash(image.reshape(6, 4, 3))


def test_same_seed_same_subset_other_seed_another(in_memory):
    source = in_memory(60)
    once, again, other = (data.subset(source, 30, seed) for seed in (4, 4, 5))
    for a, b in zip(fields(once), fields(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(once.indices) != set(other.indices)
    assert once.digest != other.digest


def test_digest_follows_pixels_labels_and_split(in_memory):
    source = in_memory(60)
    first = data.subset(source, 30, seed=0)
    pixels = source.images.copy()
    pixels[first.indices[17], 4, 6, 2] ^= 1
    swapped = source.labelled.copy()
    swapped[:] = 1 - swapped
    unused = source.images.copy()
    unused[next(i for i in range(60) if i not in first.indices)] ^= 1
    assert data.subset(source.model_copy(update={"images": unused}), 30, seed=0).digest == first.digest
    others = [
        data.subset(source.model_copy(update={"images": pixels}), 30, seed=0),
        data.subset(source.model_copy(update={"labelled": swapped}), 30, seed=0),
        data.subset(source, 30, seed=0, test_fraction=0.4),
        data.subset(source, 30, seed=0, validation_fraction=0.2),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 5


def test_reads_no_more_than_needed(in_memory, monkeypatch):
    monkeypatch.setattr(splits, "_CHUNK", 20)
    source = in_memory(2000)
    data.subset(source, 100, seed=0)
    assert len(source.log) <= 100 + 2 * 20


@pytest.mark.parametrize(("size", "n_classes"), [(-2, 2), (0, 2), (2, 2), (7, 2), (10, 10), (25, 10), (0, 3)])
def test_sizes_that_are_no_multiple_or_too_small(in_memory, size, n_classes):
    expected = f"^size: {size} images .*{splits.multiple(n_classes)}, { {2: 10, 3: 12, 10: 20}[n_classes] } or more"
    with pytest.raises(DataError, match=expected):
        data.subset(in_memory(60, n_classes=n_classes), size, seed=0)


@pytest.mark.parametrize("fractions", [(0, 0), (1, 0), (0.5, 0.5), (0.2, -0.1), (float("nan"), 0)])
def test_fractions_out_of_range(in_memory, fractions):
    with pytest.raises(DataError, match="together below 1"):
        data.subset(in_memory(60), 40, 0, *fractions)


def test_size_that_leaves_nothing_to_train_on(in_memory):
    with pytest.raises(
        DataError, match=r"4 images leave none to train on .*valid: 6 images or validation_fraction 0, test_fraction up to 0.5\)"
    ):
        data.subset(in_memory(60), 4, seed=0, validation_fraction=0.2)
    assert len(data.subset(in_memory(60), 6, seed=0, validation_fraction=0.2).train) == 2


@pytest.mark.parametrize(("test", "enough"), [(0.9, 20), (0.95, 44), (0.99, 204)])
def test_the_size_that_it_names_is_enough(test, enough):
    with pytest.raises(
        DataError, match=rf"8 images leave none to train on .*valid: {enough} images or test_fraction up to 0.5\)"
    ):
        splits.parts(8, test, 0, 4)
    assert len(splits.parts(enough, test, 0, 4)[0]) == 4


@pytest.mark.parametrize(("size", "test", "validation", "says"), [
    (40, 0.9999, 0, "10002 images or test_fraction up to 0.95"),
    (40, 0.9999, None, "test_fraction up to 0.95"),  # above 1,000 images a fifth is for validation
    (40, 0.98, None, "50 images or test_fraction up to 0.95"),
    (40, 1 - 1e-9, 0, "test_fraction up to 0.95"),  # no size that a sweep may have
    (40, 0.2, 0.79, "44 images or test_fraction up to 0.15"),
    (10_000, 0.99999, 0, "100002 images or test_fraction up to 0.9998"),
    (4, 0.1, 0.8, "16 images or validation_fraction 0, test_fraction up to 0.5"),
    (20, 0.01, 0.98, "152 images or validation_fraction up to 0.8"),
])  # fmt: skip
def test_what_leaves_nothing_to_train_on_is_refused_with_ways_out_that_work(size, test, validation, says):
    with pytest.raises(DataError, match="leave none to train on") as caught:
        splits.parts(size, test, validation)
    assert caught.value.valid == says
    for way in says.split(" or "):
        ways = dict(re.findall(r"(test_fraction|validation_fraction) (?:up to )?([0-9.]+)", way))
        given = {"test_fraction": test, "validation_fraction": validation, **{name: float(value) for name, value in ways.items()}}
        wanted = int(way.split()[0]) if way.endswith("images") else size
        assert len(splits.parts(wanted, given["test_fraction"], given["validation_fraction"])[0])


def test_fewer_images_than_asked_for(in_memory):
    labels = np.array([0] * 11 + [1] * 5, np.uint8)
    with pytest.raises(DataError, match=r"12 images asked for, but there are only 5 of class 1 \(valid: 10 or fewer"):
        data.subset(in_memory(16, labels=labels), 12, seed=0)


def test_fewer_distinct_images_than_asked_for(in_memory):
    source = in_memory(20, copies=dict.fromkeys((3, 5, 7), 1))  # 10 of class 0, 7 distinct ones of class 1
    with pytest.raises(DataError, match=r"20 images asked for, but only 7 distinct ones of class 1 .*valid: 14 or fewer"):
        data.subset(source, 20, seed=0)
    assert len(data.subset(source, 14, seed=0).indices) == 14


def test_no_number_is_promised_where_a_class_has_one_image(in_memory):
    labels = np.array([0] * 11 + [1], np.uint8)
    with pytest.raises(DataError, match=r"only 1 of class 1 \(valid: a source with at least 2 distinct images of each class"):
        data.subset(in_memory(12, labels=labels), 12, seed=0)


GOLDEN = [  # as they were when there were two classes only
    (40, 3, (0.3, 0.25), "1c165849c39edfb5de2d66bf26dc456a", "6eabd6741367"),
    (22, 0, (None, None), "4f1311839e80fcf49f10e632e78f521a", "f0766c9e97ff"),
    (4, 7, (None, None), "c1d6110ac1b039b5e01b884aa110d7ae", "f074611bbdb2"),
    (48, 1, (0.5, 0.1), "160d7922e57dda2359ec895df503c88c", "a7aeb85cb063"),
]


@pytest.mark.parametrize(("size", "seed", "fractions", "digest", "order"), GOLDEN)
def test_subsets_of_two_classes_are_what_they_were(in_memory, size, seed, fractions, digest, order):
    found = data.subset(in_memory(60, COPIES), size, seed, *fractions)
    assert found.digest == digest
    assert hashlib.sha256(found.indices.tobytes()).hexdigest()[:12] == order


@pytest.mark.parametrize(("n_classes", "rounds"), [(3, 5), (10, 6), (100, 2)])
def test_each_round_holds_one_image_of_each_class(in_memory, n_classes, rounds):
    source = in_memory(8 * n_classes, {n_classes: 0, 1: 0, 3 * n_classes + 2: 2}, n_classes=n_classes)
    found = data.subset(source, rounds * n_classes, seed=2, test_fraction=0.4)
    np.testing.assert_array_equal(found.labels, np.tile(np.arange(n_classes), rounds))
    np.testing.assert_array_equal(found.labels, source.labels()[found.indices])
    assert found.classes == tuple(map(str, range(n_classes)))
    assert len(found.test) == n_classes * max(1, round(0.4 * rounds))
    assert len(set(found.hashes)) == rounds * n_classes
    smaller = data.subset(source, 2 * n_classes, seed=2, test_fraction=0.4)
    np.testing.assert_array_equal(smaller.hashes, found.hashes[: 2 * n_classes])


def test_a_duplicate_in_another_class_is_left_out_of_many_classes(in_memory):
    source = in_memory(30, {1: 0, 4: 3, 5: 3}, n_classes=3)  # images 0 and 1 are of classes 0 and 1, and so on
    with pytest.raises(DataError, match=r"30 images asked for, but only [78] distinct ones of class [12].*valid: 2[14] or fewer"):
        data.subset(source, 30, seed=0)
    found = data.subset(source, 21, seed=0)
    assert len({image.tobytes() for image in source.images[found.indices]}) == 21


@pytest.mark.parametrize("count", [11, 3])
def test_the_rarest_class_is_named(in_memory, count):
    labels = np.array([0] * 20 + [1] * 20 + [2] * count, np.uint8)
    with pytest.raises(DataError, match=rf"there are only {count} of class 2 \(valid: {3 * count} or fewer"):
        data.subset(in_memory(40 + count, labels=labels), 60, seed=0)
