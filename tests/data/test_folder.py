"""Class folders: what is read and in which order, and the layouts that are refused with the one that is meant."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data.sources.picture import SUFFIXES
from hqc_ray.errors import DataError


def folder(root, **options):
    return data.get("folder", path=str(root), **options)


def failure(source, match):
    """The one-line message of the source's check, which must match."""
    with pytest.raises(DataError, match=match) as caught:
        source.check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(file, value=0, size=(30, 20)):
    """One image of one colour, `size` (width, height)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(file)


def test_two_classes_are_sorted_and_the_second_one_is_positive(image_folder):
    source = folder(image_folder(("tumor", "normal"), count=4))
    assert source.classes == ("normal", "tumor")
    names = [file.name for file in source.listing.files[4:]]
    assert names == ["patch0.png", "patch1.JPG", "patch2.tif", "patch3.png"]
    assert source.labels().tolist() == [0] * 4 + [1] * 4
    other = folder(source.path, positive="normal")
    assert other.classes == ("tumor", "normal")
    np.testing.assert_array_equal(other.read([4]), source.read([0]))
    assert folder(source.path, positive="tumor").classes == source.classes


def test_many_classes_are_in_natural_order(image_folder):
    source = folder(image_folder(tuple(f"c{i}" for i in (10, 9, 1, 100, 0)), count=2))
    assert source.classes == ("c0", "c1", "c9", "c10", "c100")
    assert source.labels().tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [source.listing.files[2 * i].parent.name for i in range(5)] == list(source.classes)


def test_a_hundred_classes_are_the_most(image_folder):
    root = image_folder(tuple(f"c{i}" for i in range(100)), count=1)
    assert len(folder(root).classes) == 100
    (root / "c100").mkdir()
    failure(folder(root), r"101 class folders \(c0, c1, c2, c3, c4\) \(valid: 2 to 100")


@pytest.mark.parametrize("names", [(), ("0",)])
def test_fewer_than_two_classes(tmp_path, image_folder, names):
    (tmp_path / "images").mkdir(exist_ok=not names)
    if names:
        (tmp_path / "images").rmdir()
        image_folder(names)
    failure(
        folder(tmp_path / "images"), rf"{len(names)} class folders \({', '.join(names) or 'none'}\) \(valid: 2 to 100: PATH/CLASS"
    )


def test_images_of_sub_folders_are_of_the_class(image_folder):
    root = image_folder()
    write(root / "1" / "p2" / "slide" / "a.bmp")
    write(root / "1" / "p1" / "b.png")
    write(root / "1" / ".thumbnails" / "c.png")
    source = folder(root, size_pixels=16)
    assert source.labels().tolist() == [0] * 5 + [1] * 7
    found = [file.relative_to(root / "1").as_posix() for file in source.listing.files[5:]]
    assert found == ["p1/b.png", "p2/slide/a.bmp", "patch0.png", "patch1.JPG", "patch2.tif", "patch3.png", "patch4.JPG"]


def test_links_are_followed_but_not_in_circles(image_folder, tmp_path):
    root = image_folder()
    write(tmp_path / "elsewhere" / "a.png")
    (root / "1" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "1" / "circle").symlink_to(root / "1")
    assert folder(root).labels().tolist() == [0] * 5 + [1] * 6


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_every_suffix_that_is_listed_is_read(tmp_path, suffix):
    for name, value in (("a", 200), ("b", 40)):
        write(tmp_path / name / f"x{suffix}", value)
    source = folder(tmp_path)
    source.check()
    assert np.abs(source.read([0, 1])[..., 0].mean((1, 2)) - [200, 40]).max() < 5


def test_what_is_no_image_is_counted_and_said(image_folder):
    root = image_folder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder(root).check()
    (root / "0" / "notes.txt").write_text("not an image")
    (root / "0" / ".DS_Store").write_text("hidden")
    write(root / "lost.png")
    with pytest.warns(UserWarning, match=r"2 files in .*images are no images of a class, such as lost\.png$"):
        folder(root).check()
    write(root / "1" / "._patch1.png")
    write(root / "1" / ".ipynb_checkpoints" / "patch1.png")
    write(root / ".trash" / "patch2.png")
    (root / "1" / "folder.png").mkdir()
    with pytest.warns(UserWarning, match=r"6 files in .*; 3 are hidden images, such as \._patch1\.png$"):
        folder(root).check()


def test_images_that_lose_their_proportions_are_said(image_folder):
    root = image_folder()
    with pytest.warns(UserWarning, match=r"10 of 10 .* not square, such as patch0.png of 24 x 40; all are stretched to 16 x 16"):
        folder(root, size_pixels=16).check()


def test_the_size_of_the_images_is_kept_or_changed(image_folder):
    root = image_folder()
    native = folder(root)
    assert native.image_size == (24, 40)
    assert native.read([0, 9]).shape == (2, 24, 40, 3)
    np.testing.assert_array_equal(native.read([0])[0], np.asarray(Image.open(root / "0" / "patch0.png")))
    squares = folder(root, size_pixels=16)
    assert squares.image_size == (16, 16)
    assert squares.read([0, 1]).shape == (2, 16, 16, 3)


def test_images_of_other_sizes_need_the_option(image_folder):
    root = image_folder()
    odd = root / "1" / "patch3.png"
    write(odd, size=(30, 20))
    message = failure(folder(root), r"20 x 30 pixels \(height x width\), but patch0.png has 24 x 40 .*the option size_pixels=96")
    assert message.startswith(str(odd))
    with pytest.raises(DataError, match="20 x 30 pixels"):
        folder(root).read([8])
    folder(root, size_pixels=16).check()


@pytest.mark.parametrize("size_pixels", [7, 5000, 0, -1, 32.5])
def test_sizes_out_of_range(size_pixels):
    with pytest.raises(DataError, match=r"^size_pixels: .*Input should be"):
        folder("x", size_pixels=size_pixels)


def test_grey_images_become_three_channels(image_folder):
    root = image_folder()
    Image.fromarray(np.full((30, 50), 77, np.uint8)).save(root / "0" / "a_first.png")
    assert (folder(root, size_pixels=16).read([0]) == 77).all()


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test"),
        ("Train", "val"),
        ("images", "masks"),
        ("0", "1", "valid"),
        ("a", "labels"),
        ("img", "mask"),
        ("train_images", "test_images"),
        ("dev", "eval"),
        ("fold1", "fold2"),
    ],
)
def test_folders_that_are_no_classes_are_refused(image_folder, names):
    wrong = [name for name in sorted(names) if name not in ("0", "1", "a")]
    root = image_folder(names)
    assert failure(folder(root), rf"{wrong[0]}.*: no names of classes \(valid: PATH/CLASS/").startswith(str(root))


def test_the_layout_that_is_meant_is_said(tmp_path):
    for file in ("kaggle/train/a.tif", "kaggle/test/b.tif", "parts/train/0/a.png", "parts/train/1/b.png", "parts/test/0/c.png"):
        write(tmp_path / file)
    for file in ("pairs/images/a.png", "pairs/masks/a.png"):
        write(tmp_path / file)
    assert "the source csv" in failure(folder(tmp_path / "kaggle"), "test, train: no names")
    assert f"here path={tmp_path / 'parts' / 'train'})" in failure(folder(tmp_path / "parts"), "test, train: no names")
    assert "parts and masks are not classes" in failure(folder(tmp_path / "pairs"), "images, masks: no names")


def test_folders_of_patients_with_the_classes_inside(tmp_path):
    for patient in ("8863", "8864"):
        for label in "01":
            write(tmp_path / patient / label / "a.png")
    failure(folder(tmp_path), r"one folder too deep \(8863/0, 8863/1, ..., 8864/1\) \(valid: PATH/CLASS")
    write(tmp_path / "8864" / "b.png")
    folder(tmp_path).check()  # images of their own: these may be classes


def test_a_class_without_images(image_folder):
    root = image_folder(("a", "b"), count=1)
    (root / "b" / "patch0.png").rename(root / "b" / "patch0.dcm")
    assert str(root / "b") in failure(folder(root), r"holds no images .*\.bmp, \.jpeg")


def test_positive_is_of_two_classes(image_folder):
    root = image_folder(("a", "b"))
    failure(folder(root, positive="c"), r"no class folder 'c' \(valid: a, b\)")
    write(root / "c" / "x.png")
    failure(folder(root, positive="c"), r"positive: positive='c' with 3 classes \(valid: two class folders\)")


@pytest.mark.parametrize("keep", [0, 30, 900], ids=["empty", "header", "half"])
def test_a_broken_image(image_folder, keep):
    root = image_folder()
    broken = root / "1" / "patch3.png"
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a readable image") as caught:
        folder(root).read(range(10))
    assert str(broken) in str(caught.value)


def test_a_16_bit_image(image_folder):
    root = image_folder()
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(root / "0" / "patch0.png")
    failure(folder(root), "pixels of mode I;16.*8 bits")
