"""MedMNIST's layout in one NumPy archive; nothing in it is unpickled."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 4, 6, 3), dtype=np.uint8)
LABELS = (np.arange(12) % 3).astype(np.uint8)[:, None]


@pytest.fixture
def npz(tmp_path):
    """Writes an archive of `arrays` beside good ones of the split 'train'; gives the source."""

    def make(split="train", save=np.savez_compressed, **arrays):
        save(tmp_path / "x.npz", **{"train_images": IMAGES, "train_labels": LABELS, **arrays})
        return data.get("npz", path=str(tmp_path / "x.npz"), split=split)

    return make


def failure(source, match):
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., None], COLOUR], ids=["grey", "one channel", "colour"])
def test_grey_and_colour_images(npz, images, save):
    source = npz(train_images=images, save=save)
    source.check()
    assert source.image_size == (4, 6)
    expected = images if images.shape[-1] == 3 else np.stack([IMAGES] * 3, axis=-1)
    np.testing.assert_array_equal(source.read([5, 0, 5]), expected[[5, 0, 5]])


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, 0], LABELS.astype(np.int64), LABELS + 20], ids=str)
def test_labels_of_each_usual_form(npz, labels):
    source = npz(train_labels=labels)
    source.check()
    assert source.labels().dtype == np.uint8
    np.testing.assert_array_equal(source.labels(), LABELS[:, 0])
    assert source.classes == tuple(str(i + labels.min()) for i in range(3))


def test_each_split_is_another_source(npz):
    arrays = {"val_images": IMAGES[:6], "val_labels": LABELS[:6], "test_images": COLOUR, "test_labels": LABELS}
    assert [len(npz(split, **arrays).labels()) for split in ("train", "val", "test")] == [12, 6, 12]
    with pytest.raises(DataError, match=r"^split: .*Input should be 'train', 'val' or 'test'"):
        npz("valid")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"train_images": IMAGES / 255}, r"train_images is float64 \[12, 4, 6\] \(valid: uint8 \[N, H, W\] or \[N, H, W, 3\]"),
        ({"train_images": COLOUR.transpose(0, 3, 1, 2)}, r"train_images is uint8 \[12, 3, 4, 6\]"),
        ({"train_images": IMAGES[0]}, r"train_images is uint8 \[4, 6\]"),
        ({"train_images": IMAGES[:0]}, r"train_images is uint8 \[0, 4, 6\]"),
        ({"train_images": IMAGES[:11]}, "11 images but 12 labels"),
        ({"train_images": IMAGES.astype(object)}, "train_images.npy holds Python objects"),
        ({"train_labels": LABELS.astype(float)}, r"train_labels is float64 \[12, 1\] \(valid: whole numbers \[N\] or \[N, 1\]"),
        ({"train_labels": np.repeat(LABELS, 14, axis=1)}, r"train_labels is uint8 \[12, 14\] .*one class per image"),
        ({"train_labels": LABELS[:, 0].astype(str)}, "train_labels is <U"),
        ({"train_labels": LABELS.astype(object)}, "train_labels.npy holds Python objects"),
        ({"train_labels": LABELS * 0}, "1 distinct labels"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_arrays_that_are_refused(npz, arrays, said):
    source = npz(**arrays)
    message = failure(source, said)
    assert "x.npz" in message


def test_an_array_that_is_not_there(npz):
    failure(npz("test"), r"no array test_(images|labels) \(valid: train_images, train_labels\)")


@pytest.mark.parametrize("damage", ["truncated", "html", "empty", "flipped"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file(npz, tmp_path, damage, save):
    source, file = npz(save=save), tmp_path / "x.npz"
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 4] ^= 0xFF  # within the images, which come first
    file.write_bytes({"truncated": whole[:-30], "html": b"<html>404</html>", "empty": b"", "flipped": whole}[damage])
    assert str(file) in failure(source, r"truncated, or not an \.npz file \(.*\) \(valid: fetch it again\)")


def test_an_array_whose_header_promises_too_much(npz, tmp_path):
    source = npz()
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train_images.npy", member.getvalue() + bytes(100))
        archive.writestr("train_labels.npy", b"not an array")
    failure(source, r"train_images.npy has 228 bytes \(valid: 784000000000128 bytes for uint8")
    with pytest.raises(DataError, match=r"truncated, or not an \.npz"):
        source.labels()


def test_classes_and_size_are_known_without_the_images(npz, tmp_path, monkeypatch):
    monkeypatch.setattr(data.Npz, "pixels", property(lambda self: pytest.fail("the images were read")))
    source = npz()
    assert (source.classes, source.image_size, len(source.labels())) == (("0", "1", "2"), (4, 6), 12)
