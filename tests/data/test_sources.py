"""What every entry of SOURCES keeps; a new one needs a line in OPTIONS and is then tested."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data import pcam
from hqc_ray.data.synthetic import Synthetic
from hqc_ray.errors import DataError

OPTIONS = {
    "pcam": lambda fixture: {"path": str(fixture("pcam_folder")())},
    "folder": lambda fixture: {"path": str(fixture("image_folder")()), "size_pixels": 20},
    "synthetic": lambda fixture: {"images": 10, "size_pixels": 24, "seed": 5},
}


@pytest.fixture(params=sorted(data.SOURCES))
def source(request):
    return data.get(request.param, **OPTIONS[request.param](request.getfixturevalue))


def test_labels_are_bytes_of_both_classes(source):
    labels = source.labels()
    assert labels.dtype == np.uint8
    assert labels.ndim == 1
    assert np.bincount(labels).tolist() == [len(labels) // 2] * 2


def test_images_come_in_the_order_asked_for(source):
    one_by_one = [source.read([i])[0] for i in (7, 2, 3, 7, 0)]
    together = source.read([7, 2, 3, 7, 0])
    assert together.dtype == np.uint8
    assert together.shape[0] == 5
    assert together.shape[3] == 3
    np.testing.assert_array_equal(together, one_by_one)
    assert not np.array_equal(together[0], together[1])


def test_nothing_asked_nothing_read(source):
    assert source.read([]).shape == (0, *source.read([0]).shape[1:])


@pytest.mark.parametrize("indices", [[-1], [0, 10**6], [0.0], [[0]]])
def test_wrong_indices_are_errors(source, indices):
    with pytest.raises(DataError, match="image ind"):
        source.read(indices)


def test_check_finds_nothing_wrong(source):
    source.check()


def test_survives_pickle_after_use(source):
    before = source.read([1])
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - our own bytes
    assert copy == source
    np.testing.assert_array_equal(copy.read([1]), before)


def test_is_frozen_and_shows_its_options(source):
    for name in type(source).model_fields:
        assert f"{name}=" in repr(source)
        with pytest.raises(Exception, match="frozen"):
            setattr(source, name, None)


@pytest.mark.parametrize("name", sorted(data.SOURCES))
def test_unknown_option_lists_the_valid_ones(name):
    with pytest.raises(DataError, match=f"data source '{name}': unknown option 'colour'.*valid: ") as caught:
        data.get(name, colour="blue", **({} if name == "synthetic" else {"path": "x"}))
    assert all(option in caught.value.valid for option in data.SOURCES[name].model_fields)


def test_unknown_source_lists_the_valid_ones():
    with pytest.raises(DataError, match=r"unknown data source 'pcan'; did you mean 'pcam'\? \(valid: folder, .*synthetic\)"):
        data.get("pcan")


def test_a_users_own_source_by_its_import_path():
    assert data.get("hqc_ray.data.synthetic:Synthetic", images=4) == Synthetic(images=4)
    with pytest.raises(DataError, match=r"not a subclass of hqc_ray\.data\.Source"):
        data.get("hqc_ray.entries:Entry")


def test_pcam_is_read_in_another_process_while_this_one_uses_it(pcam_folder):
    source = data.get("pcam", path=str(pcam_folder()))
    here = source.read([5, 1])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(source.read, [5, 1]).result(timeout=60), here)


@pytest.mark.parametrize("options", [{}, {"rows": 4}, {"rows": 3, "compression": "gzip"}])
def test_pcam_reads_every_storage_layout(pcam_folder, options):
    x = np.random.default_rng(8).integers(0, 256, (14, 96, 96, 3), dtype=np.uint8)
    source = data.get("pcam", path=str(pcam_folder(x=x, split="valid", **options)), split="valid")
    for indices in ([13, 0, 1, 2, 5, 4, 0], range(14), [11, 9]):
        np.testing.assert_array_equal(source.read(indices), x[list(indices)])


def test_path_may_name_an_environment_variable(pcam_folder, monkeypatch):
    monkeypatch.setenv("SOME_FOLDER", str(pcam_folder().parent))
    data.get("pcam", path="${SOME_FOLDER}/pcam").check()


def test_folder_is_sorted_and_the_second_class_is_positive(image_folder):
    root = image_folder(("tumor", "normal"), count=4)
    (root / "normal" / "notes.txt").write_text("not an image")
    (root / ".hidden").mkdir()
    source = data.get("folder", path=str(root))
    assert [path.name for path in source.classes] == ["normal", "tumor"]
    assert [path.name for path in source.files[1]] == ["patch0.png", "patch1.JPG", "patch2.tif", "patch3.png"]
    assert source.labels().tolist() == [0] * 4 + [1] * 4
    other = data.get("folder", path=str(root), positive="normal")
    assert [path.name for path in other.classes] == ["tumor", "normal"]
    np.testing.assert_array_equal(other.read([4]), source.read([0]))


def test_folder_images_are_resized_and_made_rgb(image_folder):
    root = image_folder()
    Image.fromarray(np.full((30, 50), 77, np.uint8)).save(root / "0" / "a_first.png")
    assert (data.get("folder", path=str(root), size_pixels=16).read([0]) == 77).all()
    assert data.get("folder", path=str(root), size_pixels=16).read([0, 1]).shape == (2, 16, 16, 3)


@pytest.mark.parametrize(("compression", "slices", "rows_read"), [(None, 4, 5), ("gzip", 3, 9)])
def test_pcam_reads_little_more_than_asked_for(compression, slices, rows_read):
    class Dataset:  # stands in for a large file
        shape, dtype, chunks = (100_000, 2, 3), np.dtype(np.uint8), (64, 2, 3)

        def __init__(self):
            self.compression, self.read = compression, []

        def __getitem__(self, rows):
            self.read.append(len(range(*rows.indices(100_000))))
            return np.zeros((self.read[-1], 2, 3), np.uint8)

    dataset = Dataset()
    assert pcam._read_rows(dataset, np.array([2, 7, 8, 640, 99_999])).shape == (5, 2, 3)
    assert (len(dataset.read), sum(dataset.read)) == (slices, rows_read)
