"""What asks for kept images wrongly, and what is no file of them: one line, nothing written."""

from __future__ import annotations

import numpy as np
import pytest

from hqc_ray.results.folder import kept_name
from hqc_ray.results.seal import npz, sealed
from tests.example_rows import row
from tests.fuzz.promise import refused

PLAN = """
name: keeping
blocks:
  - data: {source: synthetic, size: 40, images: 60}
    model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: tanh}
    attack: {name: fgsm, epsilon: 0.1}
    evaluate: {keep: KEEP}
"""
ROW, OTHER = row("a1b2c3d4", robust_accuracy_8bit=0.25), row("a1ffffff", search_key="s2", epsilon=0.1)
IMAGES = np.zeros((8, 96, 96, 3), np.uint8)
GOOD = {
    "clean": IMAGES,
    "adversarial_8bit": IMAGES,
    "adversarial": np.zeros((8, 3, 96, 96), np.float16),
    "labels": np.arange(8) % 2,
}


@pytest.fixture
def folder(tmp_path):
    """A results folder of two rows, of which the first has its images."""
    made = tmp_path / "results" / "made"
    (made / "kept").mkdir(parents=True)
    (made / "rows.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in (ROW, OTHER)))
    (made / kept_name(ROW)).write_bytes(sealed(npz(GOOD), kept_name(ROW)))
    return made


@pytest.mark.parametrize("value", ["yes please", "2", "[true, maybe]", "{uint8: true}", "null", "kept/", ".nan", "'true; rm'"])
def test_keep_is_true_or_false(tmp_path, value):
    (tmp_path / "keep.yaml").write_text(PLAN.replace("KEEP", value))
    assert "keep" in refused(tmp_path, "plan", tmp_path / "keep.yaml")


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("zzz", "no row 'zzz'"),
        ("a1", "2 rows begin with 'a1'"),
        ("", "2 rows begin with ''"),
        ("../../etc", "no row"),
        ("a1ffffff", "no images of row a1ffffff are kept"),
        ("x" * 5000, "no row"),
        ("a1b2c3d4\n", "no row"),
    ],
)
def test_a_row_that_is_none_or_has_no_images(folder, tmp_path, key, says):
    assert says in refused(tmp_path, "export", folder, key, tmp_path / "out")


def test_a_folder_that_is_none(folder, tmp_path):
    refused(tmp_path, "export", tmp_path / "nothing", "a1b2c3d4", tmp_path / "out")
    refused(tmp_path, "export", folder / "rows.jsonl", "a1b2c3d4", tmp_path / "out")
    refused(tmp_path, "export", folder, "a1b2c3d4")
    refused(tmp_path, "export", folder, "a1b2c3d4", tmp_path / "out", "--cleaned")


WHOLE = sealed(npz(GOOD), kept_name(ROW))
ILL = {
    "empty": b"", "half": WHOLE[:3000], "another": sealed(npz(GOOD), kept_name(OTHER)), "text": b"not a file of images",
    "flipped": WHOLE[:2000] + b"\x01" + WHOLE[2001:], "no labels": sealed(npz({"clean": IMAGES}), kept_name(ROW)),
    "floats": sealed(npz(GOOD | {"adversarial_8bit": GOOD["adversarial"]}), kept_name(ROW)),
    "fewer": sealed(npz(GOOD | {"clean": IMAGES[:3]}), kept_name(ROW)),
    "labels that are none": sealed(npz(GOOD | {"labels": np.array(["a"] * 8)}), kept_name(ROW)),
    "objects": sealed(npz(GOOD | {"labels": np.array([{}] * 8)}), kept_name(ROW)),
}  # fmt: skip


@pytest.mark.parametrize("content", ILL.values(), ids=ILL)
def test_a_file_that_holds_no_images(folder, tmp_path, content):
    (folder / kept_name(ROW)).write_bytes(content)
    line = refused(tmp_path, "export", folder, "a1b2", tmp_path / "out")
    assert kept_name(ROW) in line


def test_a_place_that_is_taken_or_no_folder(folder, tmp_path):
    there = tmp_path / "pcam" / "camelyonpatch_level_2_split_test_y.h5"
    there.parent.mkdir()
    there.write_bytes(b"somebody's labels")
    assert "is there already" in refused(tmp_path, "export", folder, "a1b2", there.parent)
    there.unlink()
    there.symlink_to(tmp_path / "elsewhere")
    assert "is there already" in refused(tmp_path, "export", folder, "a1b2", there.parent)
    (tmp_path / "file").write_text("x")
    refused(tmp_path, "export", folder, "a1b2", tmp_path / "file")
