"""A user's own source needs labels, images and a check; what it returns is looked at before it is used."""

from __future__ import annotations

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data import sheet
from hqc_ray.errors import DataError

COUNT = 24
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 5, 7, 3), dtype=np.uint8)
TURNS = np.arange(COUNT) % 3


class Given(data.Source):
    """Returns what it is given."""

    labelled: object = TURNS.astype(np.uint8)
    change: object = None

    def labels(self):
        return self.labelled

    def read(self, indices):
        images = IMAGES[np.asarray(indices)]
        return self.change(images) if self.change else images

    def check(self):
        pass


class Named(Given):
    names: tuple[str, ...]

    @property
    def classes(self):
        return self.names


def test_classes_and_size_are_found_by_looking():
    assert Given().classes == ("0", "1", "2")
    assert Given().image_size == (5, 7)


@pytest.mark.parametrize("labelled", [TURNS.astype(np.uint8), TURNS, TURNS.tolist()], ids=["uint8", "int64", "list"])
def test_whole_numbers_of_any_type_are_labels(labelled):
    found = data.subset(Given(labelled=labelled), 12, seed=0)
    assert found.labels.dtype == np.uint8
    assert found.digest == data.subset(Given(), 12, seed=0).digest


@pytest.mark.parametrize(
    ("labelled", "said"),
    [
        (TURNS[:, None], r"labels of shape \[24, 1\] and type int64"),
        (TURNS.astype(np.float32), r"labels of shape \[24\] and type float32"),
        (np.where(TURNS == 1, np.nan, 0.0), "type float64"),
        (TURNS == 1, "type bool"),
        (np.array(["a", "b", "c"] * 8), r"type <U1"),
        (None, r"labels of shape \[\] and type object"),
        (np.where(TURNS == 1, 1, -1), r"labels \[-1, 1\] \(valid: 0 to K - 1"),
        (np.where(TURNS == 1, 7, TURNS), r"labels \[0, 2, 7\]"),
        (np.where(TURNS == 1, 10**12, TURNS), r"labels \[0, 2, 1000000000000\]"),
        (np.zeros(COUNT, int), r"1 classes \(0\)"),
        (np.zeros(0, int), r"0 classes \(none\)"),
    ],
)
def test_labels_that_are_none(labelled, said):
    for use in (lambda source: data.subset(source, 12, seed=0), sheet.summary):
        with pytest.raises(DataError, match=said) as caught:
            use(Given(labelled=labelled))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images[..., 0], r"uint8 \[4, 5, 7\]"),
        (lambda images: images.transpose(0, 3, 1, 2), r"uint8 \[4, 3, 5, 7\]"),
        (lambda images: images / 255, r"float64 \[4, 5, 7, 3\]"),
        (lambda images: images[:-1] if len(images) > 1 else images, r"uint8 \[3, 5, 7, 3\]"),
        (list, "a list"),
        (lambda images: None if len(images) > 1 else images, "a NoneType"),
    ],
    ids=["grey", "channels first", "floats", "too few", "list", "nothing"],
)
def test_images_that_are_none(change, said):
    source = type("Sized", (Given,), {"image_size": property(lambda self: (5, 7))})(change=change)
    with pytest.raises(DataError, match=rf"read returned {said} \(valid: an array, uint8 \[4, 5, 7, 3\]\)"):
        data.subset(source, 12, seed=0)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "b"), r"label 2 \(valid: 0 to 1"),
        (("a", "a", "b"), r"3 classes \(a, a, b\) \(valid: 2 to 100 of different names"),
        (tuple(f"c{i}" for i in range(101)), "101 classes"),
    ],
)
def test_names_that_do_not_fit_the_labels(names, said):
    with pytest.raises(DataError, match=said):
        data.subset(Named(names=names), 12, seed=0)


def test_a_class_may_be_named_that_has_no_image():
    with pytest.raises(DataError, match=r"only 0 of class d"):
        data.subset(Named(names=("a", "b", "c", "d")), 12, seed=0)
