"""MNIST's files: written by hand here, and the real ones where HQC_MNIST names their folder."""

from __future__ import annotations

import gzip
import os
import struct

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data.sources.idx import encode
from hqc_ray.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 6), dtype=np.uint8)
LABELS = (np.arange(12) % 4).astype(np.uint8)


@pytest.fixture
def idx(tmp_path):
    """Writes the two files, each as bytes; gives the source."""

    def make(images=None, labels=None, prefix="t10k", mark="-", gz="", **options):
        images = encode(IMAGES) if images is None else images
        labels = encode(LABELS) if labels is None else labels
        (tmp_path / f"{prefix}-images{mark}idx3-ubyte{gz}").write_bytes(images)
        (tmp_path / f"{prefix}-labels{mark}idx1-ubyte{gz}").write_bytes(labels)
        return data.get("idx", path=str(tmp_path), prefix=prefix, **options)

    return make


def failure(source, match):
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_encoding_is_the_formats():
    header = b"\0\0\x08\x03" + struct.pack(">3I", 12, 4, 6)
    assert encode(IMAGES) == header + IMAGES.tobytes()
    assert encode(LABELS)[:8] == bytes([0, 0, 8, 1, 0, 0, 0, 12])


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_grey_images_become_three_channels(idx, mark, gz):
    pack = gzip.compress if gz else bytes
    source = idx(pack(encode(IMAGES)), pack(encode(LABELS)), mark=mark, gz=gz)
    source.check()
    assert source.image_size == (4, 6)
    assert source.classes == ("0", "1", "2", "3")
    np.testing.assert_array_equal(source.labels(), LABELS)
    for channel in range(3):
        np.testing.assert_array_equal(source.read([5, 0])[..., channel], IMAGES[[5, 0]])


def test_labels_that_do_not_begin_at_zero_keep_their_names(idx):
    source = idx(labels=encode(LABELS + 7))  # as EMNIST's letters begin at 1
    assert source.classes == ("7", "8", "9", "10")
    np.testing.assert_array_equal(source.labels(), LABELS)
    assert data.get("idx", classes=(8, 10), path=source.path, prefix="t10k").classes == ("8", "10")


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (b"", "begins with nothing, not an IDX file"),
        (b"<html>", r"begins with 3c 68 74 6d, .*valid: 00 00 08 03: unsigned bytes in 3 dimensions"),
        (encode(LABELS), "begins with 00 00 08 01"),
        (b"\0\0\x0d\x03" + encode(IMAGES)[4:], "begins with 00 00 0d 03"),
        (encode(IMAGES)[:9], "truncated: 9 bytes"),
        (encode(IMAGES)[:-1], r"truncated: 303 bytes \(valid: 304 bytes for \[12, 4, 6\] by its header\)"),
        (encode(IMAGES) + b"\0", "too long: 305 bytes"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "truncated: 16 bytes"),
        (encode(IMAGES[:0]), "holds no images or labels"),
        (encode(IMAGES[:, :0]), "holds no images or labels"),
        (encode(IMAGES[:11]), "11 images but 12 labels"),
    ],
)
def test_images_that_are_refused(idx, images, said):
    assert str(idx(images=images).path) in failure(idx(images=images), said)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (encode(IMAGES), r"begins with 00 00 08 03, .*valid: 00 00 08 01: unsigned bytes in 1 dimensions"),
        (encode(LABELS)[:-2], "truncated: 18 bytes"),
        (encode(LABELS * 0), r"1 distinct labels \(0\)"),
    ],
)
def test_labels_that_are_refused(idx, labels, said):
    failure(idx(labels=labels), said)


def test_more_than_a_hundred_classes(idx):
    count = 101
    source = idx(images=encode(np.zeros((count, 4, 6), np.uint8)), labels=encode(np.arange(count, dtype=np.uint8)))
    failure(source, "101 distinct labels")


@pytest.mark.parametrize(
    "content", [gzip.compress(encode(IMAGES))[:-20], b"not gzip", gzip.compress(encode(IMAGES))[:-4] + b"1234"]
)
def test_a_damaged_gzip_file(idx, content):
    failure(
        idx(images=content, labels=gzip.compress(encode(LABELS)), gz=".gz"), r"images-idx3-ubyte\.gz: truncated, or not a gzip"
    )


def test_a_missing_file_names_the_prefixes_that_are_there(idx, tmp_path):
    idx()
    idx(prefix="train")
    failure(
        data.get("idx", path=str(tmp_path), prefix="test"), r"no test-images-idx3-ubyte in .* \(valid: prefix=t10k or train\)"
    )
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    failure(data.get("idx", path=str(tmp_path), prefix="t10k"), r"no t10k-images-idx3-ubyte in .*\(valid: prefix=train\)")
    (tmp_path / "empty").mkdir()
    failure(data.get("idx", path=str(tmp_path / "empty")), r"\(valid: train-images-idx3-ubyte or train-images-idx3-ubyte\.gz\)")
    with pytest.raises(DataError, match=r"^prefix: .*String should match"):
        data.get("idx", path=str(tmp_path), prefix="../train")


mnist = pytest.mark.skipif("HQC_MNIST" not in os.environ, reason="HQC_MNIST (folder of MNIST's t10k files) is not set")


@mnist
def test_the_real_test_set_of_mnist():
    source = data.get("idx", path="${HQC_MNIST}", prefix="t10k")
    source.check()
    assert source.classes == tuple("0123456789")
    assert source.image_size == (28, 28)
    assert source.labels()[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(source.labels()).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = source.read(range(10_000))
    assert abs(pixels.mean() / 255 - 0.1325) < 1e-4


@mnist
def test_a_task_of_two_digits():
    source = data.get("idx", classes=(3, 8), path="${HQC_MNIST}", prefix="t10k")
    found = data.subset(source, 400, seed=0)
    assert found.classes == ("3", "8")
    assert np.bincount(source.labels()).tolist() == [1010, 974]
    ink = source.read(np.flatnonzero(source.labels() == 1)).mean() - source.read(np.flatnonzero(source.labels() == 0)).mean()
    assert ink > 0  # an 8 has more of it than a 3
