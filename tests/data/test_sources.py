"""What every entry of SOURCES keeps; a new one is tested by the example that it makes of itself."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data.source import MAX_CLASSES
from hqc_ray.data.sources.synthetic import Synthetic
from hqc_ray.errors import DataError


def example(name, folder):
    folder.mkdir(parents=True)
    return data.SOURCES[name].example(folder)


def the_first_two_turned_round(source):
    from hqc_ray.data.selection import select

    return select(source, source.classes[1::-1])


@pytest.fixture(params=[(name, whole) for name in sorted(data.SOURCES) for whole in (True, False)], ids=str)
def source(request, tmp_path):
    """The example of each source, and a task of two of its classes."""
    name, whole = request.param
    found = example(name, tmp_path / "example")
    return found if whole else the_first_two_turned_round(found)


def test_labels_are_bytes_of_all_classes(source):
    labels = source.labels()
    assert labels.dtype == np.uint8
    assert labels.ndim == 1
    assert 2 <= len(source.classes) <= MAX_CLASSES
    assert len(set(source.classes)) == len(source.classes)
    assert all(isinstance(name, str) and name for name in source.classes)
    counts = np.bincount(labels)
    assert len(counts) == len(source.classes)
    assert counts.min() >= 5


def test_labels_are_a_copy(source):
    source.labels()[:] = 77
    assert source.labels().max() < len(source.classes)


def test_images_come_in_the_order_asked_for(source):
    one_by_one = [source.read([i])[0] for i in (7, 2, 3, 7, 0)]
    together = source.read([7, 2, 3, 7, 0])
    assert together.dtype == np.uint8
    assert together.shape == (5, *source.image_size, 3)
    np.testing.assert_array_equal(together, one_by_one)
    assert not np.array_equal(together[0], together[1])


def test_nothing_asked_nothing_read(source):
    assert source.read([]).shape == (0, *source.image_size, 3)


@pytest.mark.parametrize("indices", [[-1], [0, 10**6], [0.0], [[0]]])
def test_wrong_indices_are_errors(source, indices):
    with pytest.raises(DataError, match="image ind"):
        source.read(indices)


def test_check_finds_nothing_wrong(source):
    source.check()


def test_a_subset_is_taken_of_all_images(source):
    count = int(np.bincount(source.labels()).min()) * len(source.classes)
    found = data.subset(source, count, seed=0)
    assert found.classes == source.classes
    assert len(set(found.hashes)) == count


def test_survives_pickle_after_use_without_what_it_read(source):
    unused = len(pickle.dumps(source))
    before = source.read([1])
    source.check()
    content = pickle.dumps(source)
    assert len(content) <= unused + 20
    copy = pickle.loads(content)  # noqa: S301 - our own bytes
    assert copy == source
    assert copy.classes == source.classes
    np.testing.assert_array_equal(copy.read([1]), before)


def test_is_frozen_and_shows_its_options(source):
    for name in type(source).model_fields:
        with pytest.raises(Exception, match="frozen"):
            setattr(source, name, None)
    for name, value in source.model_dump().items():
        assert f"{name}={value!r}" in repr(source)


def test_its_options_make_it_again(source, request):
    name = request.node.callspec.params["source"][0]
    for mode in ("json", "python"):
        assert data.get(name, **source.model_dump(mode=mode)) == source


@pytest.mark.parametrize("name", sorted(data.SOURCES))
def test_unknown_option_lists_the_valid_ones(name):
    required = {option: "x" for option, field in data.SOURCES[name].model_fields.items() if field.is_required()}
    with pytest.raises(DataError, match=f"data source '{name}': unknown option 'colour'.*valid: ") as caught:
        data.get(name, colour="blue", **required)
    assert all(option in caught.value.valid for option in data.SOURCES[name].model_fields)


@pytest.mark.parametrize("name", [name for name, entry in sorted(data.SOURCES.items()) if "path" in entry.model_fields])
@pytest.mark.parametrize(("path", "said"), [("/no/where", "no f[a-z]+ '/no/where'"), ("${NOT_SET}/x", "variable not set")])
def test_a_place_that_is_not_there(name, path, said):
    with pytest.raises(DataError, match=f"^path: .*{said}") as caught:
        data.get(name, path=path).check()
    assert "\n" not in str(caught.value)


def test_path_may_name_an_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    for name in data.SOURCES:
        source = example(name, tmp_path / name)
        if "path" in type(source).model_fields:
            data.get(name, path=source.path.replace(str(tmp_path), "${SOME_FOLDER}")).check()


def test_unknown_source_lists_the_valid_ones():
    with pytest.raises(DataError, match=r"unknown data source 'pcan'; did you mean 'pcam'\? \(valid: csv, folder, .*synthetic\)"):
        data.get("pcan")


def test_a_users_own_source_by_its_import_path():
    assert data.get("hqc_ray.data.sources.synthetic:Synthetic", images=4) == Synthetic(images=4)
    with pytest.raises(DataError, match=r"not a subclass of hqc_ray\.data\.Source"):
        data.get("hqc_ray.entries:Entry")


def test_a_source_is_read_in_another_process_while_this_one_uses_it(tmp_path):
    sources = [example(name, tmp_path / name) for name in ("pcam", "npz")]
    here = [source.read([5, 1]) for source in sources]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for source, images in zip(sources, here, strict=True):
            np.testing.assert_array_equal(pool.submit(source.read, [5, 1]).result(timeout=60), images)


def test_a_class_without_an_example_says_so(tmp_path, in_memory):
    with pytest.raises(NotImplementedError, match=r"InMemory\.example"):
        type(in_memory()).example(tmp_path)
