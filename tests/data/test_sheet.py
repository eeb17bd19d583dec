"""The sheet shows what the source holds; the summary counts it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data import sheet
from hqc_ray.errors import DataError


class Plain(data.Source):
    """Images of one colour per class: class k is (k + 1, 0, 0); `size` (height, width)."""

    n_classes: int = 2
    size: tuple[int, int] = (30, 30)

    def labels(self):
        return (np.arange(8 * self.n_classes) % self.n_classes).astype(np.uint8)

    def read(self, indices):
        images = np.zeros((len(indices), *self.size, 3), np.uint8)
        images[..., 0] = self.labels()[np.asarray(indices), None, None] + 1
        return images

    def check(self):
        pass


class Centred(Plain):
    about_centre = True


def pixels(source, path, **options):
    return np.asarray(Image.open(sheet.sample_sheet(source, path, **options))).astype(int)


def shown(picture, label):
    """The rows and columns where the colour of a class is seen."""
    return np.nonzero((picture == (label + 1, 0, 0)).all(2))


@pytest.mark.parametrize("entry", [Plain, Centred])
def test_both_classes_are_shown_and_what_is_about_the_centre_is_framed(tmp_path, entry):
    picture, side = pixels(entry(), tmp_path / "sheet.png", count=3), 180
    frames = (picture == (0, 200, 80)).all(2).sum()
    assert frames == (2 * 3 * 4 * (side // 3 - 1) if entry is Centred else 0)
    counts = [len(shown(picture, label)[0]) for label in (0, 1)]
    assert counts == [3 * side * side - frames // 2] * 2
    assert shown(picture, 0)[0].max() < shown(picture, 1)[0].min()


@pytest.mark.parametrize("n_classes", [3, 10, 100])
def test_many_classes_are_one_row_each(tmp_path, n_classes):
    picture = pixels(Plain(n_classes=n_classes), tmp_path / "sheet.png")
    assert picture.shape == (n_classes * (24 + 90 + 8), 8 * 94 + 4, 3)
    for label in range(n_classes):
        assert len(shown(picture, label)[0]) == 8 * 90 * 90
        assert shown(picture, label)[0].min() // 122 == label


@pytest.mark.parametrize(
    ("size", "expected"), [((24, 40), (96, 160)), ((192, 100), (192, 100)), ((300, 250), (300, 250)), ((1000, 500), (200, 100))]
)
def test_images_of_any_size_are_shown_whole(tmp_path, size, expected):
    rows, columns = shown(pixels(Plain(size=size), tmp_path / "sheet.png", count=1), 0)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == expected


def test_classes_are_called_by_their_names(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(sheet, "_titled", lambda title, *rest: titles.append(title) or np.zeros((1, 1, 3), np.uint8))
    sheet.sample_sheet(data.get("synthetic", images=4, size_pixels=16), tmp_path / "sheet.png")
    assert titles == ["normal", "tumour"]


def test_sheet_is_seeded_and_takes_what_there_is(tmp_path):
    source = data.get("synthetic", images=10, size_pixels=16)
    first, again, other = (
        sheet.sample_sheet(source, tmp_path / f"{i}.png", 4, seed).read_bytes() for i, seed in enumerate((0, 0, 1))
    )
    assert first == again != other
    sheet.sample_sheet(source, tmp_path / "all.png", count=100)


def test_sheet_of_nothing(in_memory, tmp_path):
    with pytest.raises(DataError, match="count: 0 images"):
        sheet.sample_sheet(in_memory(), tmp_path / "x.png", count=0)
    named = type("Named", (Plain,), {"classes": property(lambda self: ("a", "b", "c"))})
    with pytest.raises(DataError, match="no image of class c"):
        sheet.sample_sheet(named(), tmp_path / "x.png")


def test_summary_counts_classes_duplicates_and_colour(in_memory):
    source = in_memory(60, {2: 0, 4: 0, 7: 3}, labels=np.array([0] * 40 + [1] * 15 + [2] * 5, np.uint8))
    found = sheet.summary(source)
    assert found.sampled == 60
    assert found.classes == ("0", "1", "2")
    assert found.per_class == (40, 15, 5)
    assert found.image_size == (5, 7)
    assert found.duplicates == 3
    np.testing.assert_allclose(found.pixel_mean, source.images.mean((0, 1, 2)) / 255, atol=1e-12)
    assert sheet.summary(source, sample=10).sampled == 10


def test_summary_says_it_in_lines(in_memory):
    source = in_memory(60, {2: 0}, n_classes=3)
    means = ", ".join(f"{mean:.3f}" for mean in source.images.mean((0, 1, 2)) / 255)
    assert sheet.summary(source).lines() == [
        "images: 60 of 5 x 7 pixels (height x width)",
        "classes: 3, images of each: 0: 20, 1: 20, 2: 20",
        "read: 60, of which 1 repeat another",
        f"mean of red, green, blue: {means}",
    ]
