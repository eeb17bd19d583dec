"""A task of fewer classes is a source like any other, with the images of these classes alone."""

from __future__ import annotations

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data.selection import select
from hqc_ray.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Classes 'class 2', 'class 9', 'class 10'."""
    return data.Folder.example(tmp_path)


def test_labels_follow_the_order_given(folder):
    task = data.get("folder", classes=("class 10", "class 2"), path=folder.path)
    assert task.classes == ("class 10", "class 2")
    ten, two = (np.flatnonzero(folder.labels() == label) for label in (2, 0))
    np.testing.assert_array_equal(task.labels(), [1] * len(two) + [0] * len(ten))
    np.testing.assert_array_equal(task.read(range(12)), folder.read([*two, *ten]))


@pytest.mark.parametrize("classes", [(2, 0), ("2", "0"), ["class 10", 0]])
def test_labels_name_classes_where_no_class_is_called_so(folder, classes):
    assert data.get("folder", classes=classes, path=folder.path) == select(folder, ("class 10", "class 2"))


def test_a_name_that_is_a_number_comes_before_a_label(in_memory):
    class Ages(type(in_memory())):
        classes = property(lambda self: ("1", "2", "30"))

    source = Ages(**dict(in_memory(12, n_classes=3)))
    assert select(source, (1, 30)).classes == ("1", "30")
    with pytest.raises(DataError, match="classes: class '1' twice"):
        select(source, (1, 0))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("class 2",), r"classes: \('class 2',\) \(valid: two or more of class 2, class 9, class 10\)"),
        ((), "two or more"),
        ("class 2", "two or more"),
        (("class 2", 0), "class 'class 2' twice"),
        (("class 2", "class 3"), r"unknown class 'class 3'; did you mean '.*\(valid: class 2, class 9, class 10\)"),
        ((0, 3), "unknown class 3"),
        ((0, -1), "unknown class -1"),
        ((0, True), "unknown class True"),
        ((0, 1.0), r"unknown class 1\.0"),
    ],
)
def test_classes_that_are_refused(folder, classes, said):
    with pytest.raises(DataError, match=f"^classes: .*{said}|{said}") as caught:
        select(folder, classes)
    assert str(caught.value).startswith("classes: ")


def test_it_is_shown_and_dumped_as_its_source_with_one_more_option(folder):
    task = select(folder, (1, 2))
    assert repr(task) == repr(folder)[:-1] + ", classes=('class 9', 'class 10'))"
    assert task.model_dump(mode="json") == {**folder.model_dump(mode="json"), "classes": ["class 9", "class 10"]}
    assert select(folder, (1, 2)) == task != select(folder, (2, 1))


def test_many_classes_become_some(in_memory):
    source = in_memory(120, n_classes=10)
    found = data.subset(select(source, (3, 8, 5)), 30, seed=1)
    assert found.classes == ("3", "8", "5")
    task = select(source, (3, 8, 5))
    original = np.flatnonzero(np.isin(source.labels(), (3, 5, 8)))[found.indices]
    np.testing.assert_array_equal(np.array([3, 8, 5])[found.labels], source.labels()[original])
    np.testing.assert_array_equal(task.read(found.indices), source.images[original])


def test_a_class_without_images(in_memory):
    class Named(type(in_memory())):
        classes = property(lambda self: ("a", "b", "c"))

    with pytest.raises(DataError, match="no image of class 'c'"):
        select(Named(**dict(in_memory(12))), ("a", "c")).check()
