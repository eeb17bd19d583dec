"""Damaged and hostile files of images, labels and weights: refused in one line, or read right; never a traceback."""

from __future__ import annotations

import contextlib
import gzip
import io
import pickle
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from hqc_ray import cli, data
from hqc_ray.data.sources.idx import encode
from hqc_ray.data.sources.pcam import file_name
from tests.fuzz.promise import refused
from tests.sweep.cases import save_weights

FILES = {  # of a source's example, the one with images and the one with labels
    "idx": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
    "npz": ("tiny.npz", "tiny.npz"),
    "csv": (f"train/{0:040x}.tif", "train_labels.csv"),
    "pcam": (file_name("train", "x"), file_name("train", "y")),
    "folder": ("class 2/more/0.png", "class 9/1.BMP"),
}
PATHS = {"npz": "tiny.npz"}
SWEEP = """
name: fuzz
defaults:
  data: {source: synthetic, size: 20, images: 40, size_pixels: 16}
  train: {epochs: 1}
  attack: {name: clean}
blocks:
  - model: {backbone: 'tests.sweep.cases:Patches', weights: WEIGHTS, head: linear}
"""


@pytest.fixture
def example(tmp_path):
    """The example of a source, in a folder of its own: the folder, and what `hqc data` is told."""

    def make(name):
        folder = tmp_path / "data"
        folder.mkdir()
        data.SOURCES[name].example(folder)
        return folder, ("data", name, f"path={folder / PATHS.get(name, '')}", f"--sheet={tmp_path / 'sheet.png'}")

    return make


def ran(arguments):
    """Whether a command ends well; what it prints goes nowhere."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cli.main([str(a) for a in arguments]) == cli.OK


def held(tmp_path, folder, arguments):
    """The promise: refused in one line that names the folder, or read with the labels and sizes that the files say."""
    if not ran(arguments):
        (tmp_path / "sheet.png").unlink(missing_ok=True)
        assert "data" in refused(folder, *arguments)
        return
    source = data.get(arguments[1], path=arguments[2].partition("=")[2])
    assert source.labels().dtype == np.uint8
    assert source.read([0]).shape == (1, *source.image_size, 3)


@pytest.mark.parametrize("part", [0, 1], ids=["images", "labels"])
@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes(tmp_path, example, name, part):
    folder, arguments = example(name)
    file, rng = folder / FILES[name][part], np.random.default_rng(len(name) + part)
    whole = np.frombuffer(file.read_bytes(), np.uint8)
    for number in range(8):
        places = rng.integers(0, len(whole) if number % 2 else min(len(whole), 64), 1 + number)
        changed = whole.copy()
        changed[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
        file.write_bytes(changed.tobytes())
        held(tmp_path, folder, arguments)


@pytest.mark.parametrize("part", [0, 1], ids=["images", "labels"])
@pytest.mark.parametrize("name", FILES)
def test_truncated_swapped_and_other_files(tmp_path, example, name, part):
    folder, arguments = example(name)
    file, other = (folder / FILES[name][i] for i in (part, 1 - part))
    whole = file.read_bytes()
    contents = [whole[:n] for n in (0, 1, 9, len(whole) // 2, len(whole) - 1)]
    contents += [other.read_bytes(), b"<html>404</html>", bytes(1000), b"\xff" * 1000, gzip.compress(whole), whole + b"\0"]
    for content in contents:
        file.write_bytes(content)
        held(tmp_path, folder, arguments)
    file.unlink()
    if name != "folder":
        assert refused(folder, *arguments)
    file.mkdir()
    held(tmp_path, folder, arguments)


HUGE = {
    "idx, images": (b"\0\0\x08\x03" + b"\x7f" * 12 + b"\0" * 99, "truncated: 115 bytes"),
    "idx, gzipped": (gzip.compress(b"\0\0\x08\x03" + b"\x7f" * 12 + b"\0" * 99), "its header promises"),
    "idx, a bomb": (gzip.compress(encode(np.zeros((18, 5, 7), np.uint8)) + bytes(10**7), 1), "too long: "),
}


@pytest.mark.parametrize("case", HUGE)
def test_a_header_that_promises_more_than_there_is(tmp_path, example, case):
    folder, arguments = example("idx")
    (folder / "train-images-idx3-ubyte.gz").unlink()
    content, said = HUGE[case]
    (folder / f"train-images-idx3-ubyte{'.gz' if content[:2] == gzip.compress(b'')[:2] else ''}").write_bytes(content)
    assert said in refused(folder, *arguments)


def npy(shape, content=b"", kind="|u1"):
    """An array file whose header says anything."""
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}"
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + content


class Code:
    def __reduce__(self):
        return print, ("this ran",)


NPZ = {
    "10^12 images": {"train_images": npy((10**12, 28, 28))},
    "negative": {"train_images": npy((-3, 28, 28))},
    "no numbers": {"train_images": npy("('a', 2)")},
    "flat": {"train_images": np.zeros(18, np.uint8)},
    "floats": {"train_images": np.zeros((18, 5, 7), np.float32)},
    "16 bits": {"train_images": np.zeros((18, 5, 7), np.uint16)},
    "too few": {"train_images": np.zeros((17, 5, 7), np.uint8)},
    "none": {"train_images": np.zeros((0, 5, 7), np.uint8)},
    "no pixels": {"train_images": np.zeros((18, 0, 7), np.uint8)},
    "four channels": {"train_images": np.zeros((18, 5, 7, 4), np.uint8)},
    "enormous": {"train_images": np.broadcast_to(np.zeros((18, 1, 1), np.uint8), (18, 5000, 7))},
    "float labels": {"train_labels": np.zeros(18)},
    "labels of texts": {"train_labels": np.array(["a", "b"] * 9)},
    "several labels": {"train_labels": np.zeros((18, 2), int)},
    "one class": {"train_labels": np.zeros(18, int)},
    "many classes": {"train_labels": np.arange(18) * 10**9, "train_images": np.zeros((18, 5, 7), np.uint8)},
    "objects": {"train_labels": np.array([Code()] * 18, dtype=object)},
    "pickled images": {"train_images": npy((18, 5, 7), pickle.dumps(Code()), "|O")},
    "structured": {"train_labels": np.zeros(18, [("a", "i4")])},
    "a path out": {"../train_images": np.zeros((18, 5, 7), np.uint8), "train_images": None},
}


@pytest.mark.parametrize("case", NPZ)
def test_archives_of_other_arrays(tmp_path, example, case, capfd):
    folder, arguments = example("npz")
    arrays = {"train_images": np.zeros((18, 5, 7), np.uint8), "train_labels": np.arange(18) % 3} | NPZ[case]
    arrays["train_images"] = arrays["train_images"] if case != "many classes" else data.source.distinct_images(18, 5, 7)
    with zipfile.ZipFile(folder / "tiny.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            if isinstance(array, np.ndarray):
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=True)
                array = buffer.getvalue()
            if array is not None:
                archive.writestr(f"{name}.npy", array)
    if case == "many classes":
        assert ran(arguments)
    else:
        assert refused(folder, *arguments)
    assert "this ran" not in capfd.readouterr().out


def table(*lines, end="\n", head="id,label"):
    return end.join([head, *lines, ""]).encode()


ROWS = [f"{i:040x},{i % 3}" for i in range(18)]
CSV = {
    "twice": (table(*ROWS, ROWS[0]), "twice"),
    "twice, other label": (table(*ROWS, f"{0:040x},1"), "twice"),
    "missing image": (table(*ROWS, "nobody,1"), "1 of 19 images are not in"),
    "out of the folder": (table(*ROWS, "../train_labels,1"), "are not in"),
    "absolute": (table(*ROWS, "/etc/passwd,1"), "are not in"),
    "nul": (table(*ROWS, "a\0b,1"), ""),
    "no label": (table(*ROWS, "another,"), "no label"),
    "no id": (table(*ROWS, ",1"), "no id"),
    "short row": (table(*ROWS, f"{0:039x}1"), ""),
    "half a label": (table(*ROWS[1:], f"{0:040x},0.5"), "whole numbers"),
    "not a number": (table(*ROWS[1:], f"{0:040x},nan"), "whole numbers"),
    "one class": (table(*(row[:-1] + "1" for row in ROWS)), "1 distinct labels"),
    "a quote": (table(*ROWS[1:], f'"{0:040x},1'), ""),
    "utf-16": (table(*ROWS).decode().encode("utf-16"), ""),
    "latin-1": (table(*ROWS[1:], f"{0:040x},caf\xe9").decode().encode("latin-1"), ""),
    "other columns": (table(*ROWS, head="image,target"), "no column 'id'"),
    "columns twice": (table(*(row + ",1" for row in ROWS), head="id,label,label"), ""),
    "semicolons": (table(*ROWS).replace(b",", b";"), "no column 'id'"),
    "empty": (b"", "no column"),
    "head alone": (table(), "0 distinct labels"),
    "long field": (table(*ROWS, "x" * 200_000 + ",1"), ""),
    "a label that cannot be shown": (table(*ROWS[1:], f'{0:040x},"a\nb"'), "can be printed"),
}


@pytest.mark.parametrize("case", CSV)
def test_tables_that_are_wrong(example, case):
    folder, arguments = example("csv")
    content, said = CSV[case]
    (folder / "train_labels.csv").write_bytes(content)
    assert said in refused(folder, *arguments)


@pytest.mark.parametrize(
    "content",
    [
        table(*ROWS, end="\r\n"),
        b"\xef\xbb\xbf" + table(*ROWS),
        table(*ROWS) + b"\n\n",
        table(*(f'"{i:040x}", {i % 3} ' for i in range(18))),
    ],
    ids=["crlf", "bom", "blank lines", "quotes and spaces"],
)
def test_tables_that_are_right_in_another_form(example, content):
    folder, arguments = example("csv")
    (folder / "train_labels.csv").write_bytes(content)
    assert ran(arguments)
    assert data.get("csv", path=str(folder)).labels().tolist() == [0, 1, 2] * 6


H5 = {
    "10^12 images": ("x", {"shape": (10**12, 96, 96, 3), "dtype": "u1", "chunks": (1, 96, 96, 3)}),
    "10^12 labels": ("y", {"shape": (10**12, 1, 1, 1), "dtype": "u1", "chunks": (64, 1, 1, 1)}),
    "floats": ("x", {"data": np.zeros((14, 96, 96, 3), np.float32)}),
    "channels first": ("x", {"data": np.zeros((14, 3, 96, 96), np.uint8)}),
    "scalar": ("x", {"data": np.uint8(3)}),
    "text": ("y", {"data": "labels"}),
    "nothing": ("y", {"data": h5py.Empty("u1")}),
    "none": ("x", {"data": np.zeros((0, 96, 96, 3), np.uint8)}),
    "too few": ("y", {"data": np.zeros((13, 1, 1, 1), np.uint8)}),
    "label 2": ("y", {"data": np.full((14, 1, 1, 1), 2, np.uint8)}),
    "negative": ("y", {"data": np.full((14, 1, 1, 1), -1, np.int8)}),
    "one class": ("y", {"data": np.zeros((14, 1, 1, 1), np.uint8)}),
}


@pytest.mark.parametrize("case", H5)
def test_datasets_that_are_wrong(example, case):
    folder, arguments = example("pcam")
    part, made = H5[case]
    with h5py.File(folder / file_name("train", part), "w") as file:
        file.create_dataset(part, **made)
    assert str(folder) in refused(folder, *arguments) or case == "one class"


def test_a_group_in_place_of_a_dataset(example):
    folder, arguments = example("pcam")
    with h5py.File(folder / file_name("train", "x"), "w") as file:
        file.create_group("x")
    assert "no dataset 'x'" in refused(folder, *arguments)


def test_images_that_are_bombs_or_of_other_kinds(tmp_path, example):
    folder, arguments = example("folder")
    Image.new("1", (20_000, 20_000)).save(folder / "class 2" / "more" / "0.png")
    assert "0.png" in refused(folder, *arguments)
    Image.new("CMYK", (7, 5)).save(folder / "class 2" / "more" / "0.png", "TIFF")
    assert "CMYK" in refused(folder, *arguments)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\udcff", "~nobody/x", "$NOT_SET", ""])
@pytest.mark.parametrize("name", FILES)
def test_paths_that_are_none(tmp_path, name, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(tmp_path, "data", name, f"path={path}")


# weights


@pytest.fixture
def planned(tmp_path):
    """Plans the sweep with a file of weights; its arguments."""
    file = save_weights(tmp_path / "w.pth")
    (tmp_path / "s.yaml").write_text(SWEEP.replace("WEIGHTS", str(file)))
    return file, ("plan", tmp_path / "s.yaml")


def test_weights_with_flipped_bytes(tmp_path, planned):
    file, arguments = planned
    whole, rng = np.frombuffer(file.read_bytes(), np.uint8), np.random.default_rng(0)
    for number in range(40):
        changed = whole.copy()
        places = rng.integers(0, len(whole), 1 + number % 4)
        changed[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
        file.write_bytes(changed.tobytes())
        if not ran(arguments):
            assert "w.pth" in refused(tmp_path, *arguments)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_truncated_weights(tmp_path, planned, share):
    file, arguments = planned
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    assert "w.pth: cannot be read" in refused(tmp_path, *arguments)


STATE = {"0.weight": torch.ones(6, 3, 4, 4), "0.bias": torch.zeros(6)}
WEIGHTS = {
    "a bomb": ({**STATE, "0.weight": torch.zeros(1).expand(6, 3, 4, 10**9)}, "has fewer values than its shape"),
    "nan": ({**STATE, "0.bias": torch.full((6,), float("nan"))}, "'0.bias' holds NaN"),
    "infinity": ({**STATE, "0.bias": torch.full((6,), float("-inf"))}, "'0.bias' holds NaN or infinity"),
    "too large for floats": ({**STATE, "0.bias": torch.full((6,), 1e60, dtype=torch.float64)}, "'0.bias' holds NaN or infinity"),
    "whole numbers": ({**STATE, "0.bias": torch.zeros(6, dtype=torch.int32)}, "'0.bias' is torch.int32"),
    "complex": ({**STATE, "0.bias": torch.zeros(6, dtype=torch.complex64)}, "'0.bias' holds complex numbers"),
    "huge": ({k: torch.full_like(v, 1e38) for k, v in STATE.items()}, "gives NaN or infinity"),
    "missing": ({"0.weight": STATE["0.weight"]}, "missing '0.bias'"),
    "unexpected": ({**STATE, "1.bias": STATE["0.bias"]}, "unexpected '1.bias'"),
    "nested": ({"epoch": 1, "state_dict": STATE}, "'state_dict' in it is one"),
    "prefixed": ({f"module.{k}": v for k, v in STATE.items()}, "begin with 'module.'"),
    "a list": ([1, 2], "not a state dict"),
    "a tensor": (torch.ones(3), "not a state dict"),
    "keys": ({1: torch.ones(3)}, "not a state dict"),
    "code": (Code(), "would run code"),
    "a module": (torch.nn.Linear(2, 2), "would run code"),
    "constant": ({k: torch.zeros_like(v) for k, v in STATE.items()}, "the same features for two images"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_none(tmp_path, planned, case, capfd):
    file, arguments = planned
    content, said = WEIGHTS[case]
    torch.save(content, file)
    assert said in refused(tmp_path, *arguments)
    assert "this ran" not in capfd.readouterr().out


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(planned, kind):
    file, arguments = planned
    state = torch.load(file, weights_only=True)
    torch.save({key: value.to(kind) for key, value in state.items()}, file)
    assert ran(arguments)
