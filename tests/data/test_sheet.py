"""The sheet shows what the source holds; the summary counts it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hqc_ray import data
from hqc_ray.data import sheet
from hqc_ray.errors import DataError


def test_sheet_shows_both_classes_with_their_centre_marked(tmp_path):
    images = np.zeros((8, 30, 30, 3), np.uint8)
    images[1::2] = 200, 10, 10  # class 1 is red

    class Plain(data.Source):
        def labels(self):
            return np.arange(8, dtype=np.uint8) % 2

        def read(self, indices):
            return images[np.asarray(indices)]

        def check(self):
            pass

    path = sheet.sample_sheet(Plain(), tmp_path / "sheet.png", count=3)
    pixels = np.asarray(Image.open(path))
    side, half = 180, pixels.shape[0] // 2
    upper, lower = pixels[:half], pixels[half:]
    assert (upper == (200, 10, 10)).all(2).sum() == 0
    red = (lower == (200, 10, 10)).all(2).sum()
    box = (lower == (0, 200, 80)).all(2).sum()
    assert box == 3 * 4 * (side // 3 - 1)
    assert red + box == 3 * side * side


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
    with pytest.raises(DataError, match="no image of class 1"):
        sheet.sample_sheet(in_memory(4, labels=np.zeros(4, np.uint8)), tmp_path / "x.png")


def test_summary_counts_classes_duplicates_and_colour(in_memory):
    source = in_memory(60, {2: 0, 4: 0, 7: 3}, labels=np.array([0] * 45 + [1] * 15, np.uint8))
    found = sheet.summary(source)
    assert found["count"] == found["sampled"] == 60
    assert found["per_class"] == {0: 45, 1: 15}
    assert found["shape"] == [5, 7, 3]
    assert found["duplicates"] == 3
    np.testing.assert_allclose(found["pixel_mean"], source.images.mean((0, 1, 2)) / 255, atol=1e-4)
    assert sheet.summary(source, sample=10)["sampled"] == 10
