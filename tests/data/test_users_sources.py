"""A user's own source needs labels, images and a check; what it returns is looked at before it is used."""

from __future__ import annotations

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data import checked, sheet, splits
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
        (np.where(TURNS == 1, 1, -1), r"labels \[-1, 1\] .*valid: 0 to K - 1"),
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
    with pytest.raises(DataError, match=rf"read returned {said} .*valid: an array, uint8 \[4, 5, 7, 3\]\)"):
        data.subset(source, 12, seed=0)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "b"), r"label 2 .*valid: 0 to 1"),
        (("a", "a", "b"), r"3 classes \(a, a, b\) .*valid: 2 to 100 of different names"),
        (tuple(f"c{i}" for i in range(101)), "101 classes"),
    ],
)
def test_names_that_do_not_fit_the_labels(names, said):
    with pytest.raises(DataError, match=said):
        data.subset(Named(names=names), 12, seed=0)


def test_a_class_may_be_named_that_has_no_image():
    with pytest.raises(DataError, match=r"only 0 of class d"):
        data.subset(Named(names=("a", "b", "c", "d")), 12, seed=0)


class Stubborn(Given):
    """Keeps count of its calls; `order` turns what was asked for into what is read."""

    order: object

    def read(self, indices):
        return IMAGES[self.order(np.asarray(indices))]


def test_images_in_another_order_than_asked_for():
    with pytest.raises(
        DataError, match=r"'test_users_sources:Stubborn': read gives images in another order.*py, line \d+\)"
    ) as caught:
        checked.check(Stubborn(order=np.sort))
    assert "\n" not in str(caught.value)
    checked.check(Stubborn(order=lambda indices: indices))


def test_other_images_at_every_call():
    random = np.random.default_rng(0)
    with pytest.raises(DataError, match="read gives other images at a second call"):
        checked.check(Stubborn(order=lambda indices: random.permutation(COUNT)[: len(indices)]))


def test_labels_that_differ_between_calls():
    turns = iter(range(100))
    moving = type("Moving", (Given,), {"labels": lambda self: np.roll(TURNS, next(turns))})()
    with pytest.raises(DataError, match="labels differ between two calls"):
        checked.check(moving)


def test_a_buffer_that_is_used_again_holds_no_old_images():
    buffer = np.empty((COUNT, 5, 7, 3), np.uint8)

    def into_buffer(images):
        buffer[: len(images)] = images
        return buffer[: len(images)]

    source = Given(change=into_buffer)
    checked.check(source)
    first = checked.checked_read(source, np.array([3, 1]))
    checked.checked_read(source, np.array([5, 2]))
    np.testing.assert_array_equal(first, IMAGES[[3, 1]])
    assert data.subset(source, 12, seed=0).digest == data.subset(Given(), 12, seed=0).digest


def test_an_image_that_is_not_the_one_that_was_chosen():
    source = Given()
    found = data.subset(source, 12, seed=0)
    np.testing.assert_array_equal(splits.read_again(source, found.indices, found.hashes.tolist()), IMAGES[found.indices])
    edited = Given(change=lambda images: images ^ 1)
    with pytest.raises(DataError, match=rf"image {found.indices[0]} is not the one that was chosen"):
        splits.read_again(edited, found.indices, found.hashes.tolist())


@pytest.mark.parametrize("method", ["labels", "read", "check", "classes", "image_size"])
@pytest.mark.parametrize("problem", [ValueError("two\nlines"), SystemExit(3), MemoryError()], ids=repr)
def test_whatever_a_method_raises_is_one_line_with_its_place(method, problem):
    def raises(self, *_):
        raise problem

    broken = type("Broken", (Given,), {method: property(raises) if method in ("classes", "image_size") else raises})
    with pytest.raises(
        DataError, match=rf"^cannot .* data source '.*:Broken': {type(problem).__name__}.*\(.*py, line \d+\)"
    ) as caught:
        checked.check(broken())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((0, 7), r"\(0, 7\)"),
        ((5, 7, 3), r"\(5, 7, 3\)"),
        (28, "28"),
        (None, "None"),
        ((5.0, 7.0), "5.0"),
        ((5, 10**6), "1000000"),
    ],
)
def test_an_image_size_that_is_none(size, said):
    with pytest.raises(DataError, match=rf"images of the size .*{said}.*valid: \(height, width\), 1 to 4096"):
        checked.checked_size(type("Sized", (Given,), {"image_size": property(lambda self: size)})())


@pytest.mark.parametrize("labelled", [range(10**12), np.broadcast_to(np.uint8(0), 10**12)], ids=["range", "view"])
def test_more_images_than_can_be_counted(labelled):
    with pytest.raises(DataError, match=r"1,000,000,000,000 labels .*10,000,000 or fewer"):
        checked.checked_labels(Given(labelled=labelled))


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff", 3])
def test_class_names_that_cannot_be_shown(name):
    with pytest.raises(DataError, match="the class name"):
        checked.checked_classes(type("Named", (Given,), {"classes": property(lambda self: ("a", name))})())


def test_no_error_shows_what_a_variable_stands_for(monkeypatch):
    value = "s3cr3t-0123456789"
    monkeypatch.setenv("TOKEN", value)

    class Online(Given):
        token: str
        mode: str = "show"

        def labels(self):
            if self.mode == "long":
                raise OSError("x" * 280 + self.token)
            raise OSError(f"401 for {self.token} at {self!r}")

    made = Online(token=value)
    with pytest.raises(DataError, match=r"401 for \$\{TOKEN\} at Online") as caught:
        checked.checked_labels(made)
    assert "s3cr" not in str(caught.value)
    made = Online(token=value, mode="long")
    with pytest.raises(DataError, match=r"OSError: x+") as caught:
        checked.checked_labels(made)
    assert "s3cr" not in str(caught.value)
