"""PatchCamelyon's files: every storage layout is read, and damage ends in one line that says what, where, and what is valid."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data.sources import pcam as reader
from hqc_ray.data.sources.pcam import file_name
from hqc_ray.errors import DataError


def failure(source, match):
    """The one-line message of the source's check, which must match."""
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pcam(folder):
    return data.get("pcam", path=str(folder))


@pytest.mark.parametrize("part", ["x", "y"])
def test_pcam_without_one_file(pcam_folder, part):
    folder = pcam_folder()
    (folder / file_name("train", part)).unlink()
    message = failure(pcam(folder), f"no camelyonpatch_level_2_split_train_{part}.h5 in ")
    assert f"hqc data pcam --download {folder}" in message


@pytest.mark.parametrize("part", ["x", "y"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", None], ids=["empty", "html", "truncated"])
def test_pcam_file_that_is_damaged(pcam_folder, part, content):
    folder = pcam_folder()
    file = folder / file_name("train", part)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - 5] if content is None else content)
    message = failure(pcam(folder), "not an HDF5 file")
    assert str(file) in message


def test_pcam_with_damage_inside_a_compressed_chunk(pcam_folder):
    folder = pcam_folder(compression="gzip", rows=2)
    file = folder / file_name("train", "x")
    content = bytearray(file.read_bytes())
    content[-40_000:-20_000] = bytes(20_000)
    file.write_bytes(content)
    with pytest.raises(DataError, match="truncated, or not an HDF5 file"):
        pcam(folder).read(range(14))


@pytest.mark.parametrize(
    "x", [np.zeros((14, 3, 96, 96), np.uint8), np.zeros((14, 96, 96, 3), np.float32), np.zeros((14, 96, 96), np.uint8)]
)
def test_pcam_images_of_another_shape_or_type(pcam_folder, x):
    message = failure(pcam(pcam_folder(x=x)), rf"dataset 'x' is {x.dtype} \[14, ")
    assert "valid: dataset 'x', uint8 [N, 96, 96, 3]" in message


def test_pcam_labels_of_another_shape(pcam_folder):
    failure(pcam(pcam_folder(y=np.zeros(14, np.uint8))), r"dataset 'y' is uint8 \[14\] \(valid: .*\[N, 1, 1, 1\]\)")


def test_pcam_dataset_of_another_name(pcam_folder):
    folder = pcam_folder()
    with h5py.File(folder / file_name("train", "x"), "r+") as file:
        file.move("x", "images")
    failure(pcam(folder), r"no dataset 'x', only \['images'\]")


def test_pcam_lengths_that_differ(pcam_folder):
    failure(pcam(pcam_folder(y=np.zeros((13, 1, 1, 1), np.uint8))), "14 images but 13 labels")


def test_pcam_labels_outside_0_and_1(pcam_folder):
    y = np.zeros((14, 1, 1, 1), np.uint8)
    y[9] = 2
    failure(pcam(pcam_folder(y=y)), r"label 2 at index 9 \(valid: 0, 1\)")


def test_pcam_without_images(pcam_folder):
    failure(pcam(pcam_folder(count=0)), "holds no images")


def test_pcam_split_of_another_name():
    with pytest.raises(DataError, match="'train', 'valid' or 'test'"):
        data.get("pcam", path="x", split="val")


@pytest.mark.parametrize("options", [{}, {"rows": 4}, {"rows": 3, "compression": "gzip"}])
def test_pcam_reads_every_storage_layout(pcam_folder, options):
    x = np.random.default_rng(8).integers(0, 256, (14, 96, 96, 3), dtype=np.uint8)
    source = data.get("pcam", path=str(pcam_folder(x=x, split="valid", **options)), split="valid")
    assert source.classes == ("normal", "tumour")
    for indices in ([13, 0, 1, 2, 5, 4, 0], range(14), [11, 9]):
        np.testing.assert_array_equal(source.read(indices), x[list(indices)])


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
    assert reader._read_rows(dataset, np.array([2, 7, 8, 640, 99_999])).shape == (5, 2, 3)
    assert (len(dataset.read), sum(dataset.read)) == (slices, rows_read)


def test_pcam_train_and_valid_together_are_the_images_of_both_in_order(tmp_path):
    rng, parts = np.random.default_rng(0), {}
    for split, n in {"train": 5, "valid": 3}.items():
        parts[split] = rng.integers(0, 256, (n, 96, 96, 3), np.uint8), rng.integers(0, 2, n, np.uint8)
        for part, array in zip("xy", (parts[split][0], parts[split][1].reshape(-1, 1, 1, 1)), strict=True):
            with h5py.File(tmp_path / file_name(split, part), "w") as file:
                file.create_dataset(part, data=array)
    both = data.get("pcam", path=str(tmp_path), split="train+valid")
    both.check()
    assert np.array_equal(both.labels(), np.concatenate([parts["train"][1], parts["valid"][1]]))
    images = np.concatenate([parts["train"][0], parts["valid"][0]])
    for wanted in ([7, 0, 5, 4, 7], [1], [6, 5], []):
        assert np.array_equal(both.read(wanted), images[wanted])
    with pytest.raises(DataError, match="8"):
        both.read([8])
    (tmp_path / file_name("valid", "y")).unlink()
    failure(both, "no camelyonpatch_level_2_split_valid_y.h5 in ")
