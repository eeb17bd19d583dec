"""Each kind of bad data ends in one line that says what, where, and what is valid."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data.pcam import file_name
from hqc_ray.errors import DataError


def failure(source, match):
    """The one-line message of the source's check, which must match."""
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pcam(folder):
    return data.get("pcam", path=str(folder))


def test_pcam_without_its_folder(tmp_path):
    failure(pcam(tmp_path / "nowhere"), "path: no folder '.*nowhere'")


def test_path_with_an_unset_variable():
    failure(pcam("${NOT_SET_ANYWHERE}/x"), r"environment variable not set in '\$\{NOT_SET_ANYWHERE\}/x'")


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
    message = failure(pcam(folder), "truncated, or not an HDF5 file")
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


@pytest.mark.parametrize("names", [("0",), ("0", "1", "2")])
def test_folder_without_exactly_two_classes(image_folder, names):
    failure(data.get("folder", path=str(image_folder(names))), f"{len(names)} class folders .*exactly two")


def test_folder_with_an_empty_class(image_folder):
    root = image_folder(("a", "b"), count=1)
    (root / "b" / "patch0.png").unlink()
    assert str(root / "b") in failure(data.get("folder", path=str(root)), "holds no images .*jpg")


def test_folder_without_the_positive_class(image_folder):
    failure(data.get("folder", path=str(image_folder(("a", "b"))), positive="c"), r"no class folder 'c' \(valid: a, b\)")


@pytest.mark.parametrize("keep", [0, 30, 900], ids=["empty", "header", "half"])
def test_folder_with_a_broken_image(image_folder, keep):
    root = image_folder()
    broken = root / "1" / "patch3.png"
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a readable image") as caught:
        data.get("folder", path=str(root)).read(range(10))
    assert str(broken) in str(caught.value)


def test_folder_with_a_16_bit_image(image_folder):
    root = image_folder()
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(root / "0" / "patch0.png")
    failure(data.get("folder", path=str(root)), "pixels of mode I;16.*8 bits")


@pytest.mark.parametrize("options", [{"images": 1}, {"size_pixels": 4}, {"images": "many"}])
def test_synthetic_options_out_of_range(options):
    with pytest.raises(DataError, match=f"{next(iter(options))}: .*Input should be"):
        data.get("synthetic", **options)
