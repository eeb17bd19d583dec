"""Real patches, where HQC_DATA names the folder of PCam's HDF5 files."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from hqc_ray import data
from hqc_ray.data import sheet
from hqc_ray.errors import DataError

pytestmark = pytest.mark.skipif("HQC_DATA" not in os.environ, reason="HQC_DATA (folder of PCam's HDF5 files) is not set")


@pytest.fixture
def source():
    return data.get("pcam", path="${HQC_DATA}")


def test_files_are_in_order(source):
    source.check()
    data.get("pcam", path="${HQC_DATA}", split="valid").check()


def test_duplicates_are_found_and_left_out(source):
    labels = source.labels()
    positive = np.flatnonzero(labels == 1)[:5000]
    distinct = len({image.tobytes() for start in range(0, 5000, 500) for image in source.read(positive[start : start + 500])})
    found = data.subset(source, 9000, seed=0)
    assert len(set(found.hashes)) == 9000
    assert set(found.hashes[found.train]).isdisjoint(found.hashes[found.test])
    if len(labels) == 10_000:  # the re-encoded excerpt: 243 patches repeat another, all of them positive
        assert distinct == 4757
        with pytest.raises(DataError, match=f"only {distinct} distinct ones of class tumour"):
            data.subset(source, 10_000, seed=0)


def test_a_subset_of_thousands_takes_seconds(source):
    start = time.process_time()
    found = data.subset(source, 5000, seed=1)
    source.read(found.indices)
    assert time.process_time() - start < 10


def test_summary_looks_like_stained_tissue(source):
    red, green, blue = sheet.summary(source, sample=300).pixel_mean
    assert green < min(red, blue)
    assert 0.4 < green < 0.7
