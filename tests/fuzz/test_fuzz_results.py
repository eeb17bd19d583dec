"""A results folder that is damaged in any way: `hqc report` shows all sound rows, or refuses in one line and touches nothing."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from hqc_ray import cli, report
from tests.fuzz.promise import _files, refused

SWEEP = """
name: small
defaults:
  data: {source: synthetic, size: 40, images: 60, size_pixels: 16}
  train: {epochs: 1}
  evaluate: {images: 8}
  attack: [{name: clean}, {name: fgsm, epsilon: [0.01, 0.1]}]
  seed: [0, 1]
blocks:
  - model: {backbone: "tests.sweep.cases:tiny", weights: random, head: [linear, tanh]}
"""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)  # what is drawn does not matter here, and takes most of the time
TEXTS = ("rows.jsonl", "cells.json", "provenance.json", "sweep.yaml")
BINARIES = ("examples/*", "models/*", "table.md", "rows.csv", "rows.parquet", "report.html", "figures/patches*", "figures/acc*")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A finished sweep with its report; copied for each damage."""
    place = tmp_path_factory.mktemp("made")
    (place / "small.yaml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HQC_CACHE", str(place / "cache"))
        patch.setattr(report, "_png", lambda *_: PNG)
        assert cli.main(["sweep", str(place / "small.yaml"), "--serial", "--results", str(place / "r")]) == cli.OK
    return place / "r" / "small"


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_png", lambda *_: PNG)
    return shutil.copytree(made, tmp_path / "r" / "small")


def as_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "folder": as_a_folder,
    "random": lambda path: path.write_bytes(np.random.default_rng(0).bytes(300)),
    "lines of random bytes": lambda path: path.write_bytes(np.random.default_rng(1).bytes(999).replace(b"0", b"\n") + b"\n"),
    "missing": lambda path: path.unlink(),
}
JSONS = {
    **{text: lambda path, text=text: path.write_text(text + "\n") for text in ("null", "5", "[1, 2]", "{}", '"x"', "[" * 5000)},
    '{"runs": 5}': lambda path: path.write_text('{"runs": 5}'),
}


def holds(folder, made, sound=None):
    """The promise, of one damaged folder; `sound` are the keys of the rows that must be shown, else they are looked up."""
    lines = set((made / "rows.jsonl").read_bytes().splitlines(keepends=True))
    ledger = folder / "rows.jsonl"
    there = ledger.read_bytes().splitlines(keepends=True) if ledger.is_file() else []
    sound = {json.loads(line)["key"] for line in there if line in lines} if sound is None else sound
    before = _files(folder)
    code = cli.main(["report", str(folder)])
    if code == cli.OK:
        assert sound
        assert set(pd.read_parquet(folder / "rows.parquet")["key"]) == sound
        assert {name for name in before if name.endswith(".png")} <= set(_files(folder))
        return ""
    assert code == cli.BAD_INPUT
    assert _files(folder) == before
    said = refused(folder, "report", folder)
    assert str(folder) in said
    assert "(valid: " in said
    return said


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "damage"), [*itertools.product(TEXTS, (DAMAGES | JSONS)), *itertools.product(BINARIES, DAMAGES)]
)
def test_a_damaged_file(folder, made, name, damage):
    path = sorted(folder.glob(name))[0]
    (DAMAGES | JSONS)[damage](path)
    said = holds(folder, made)
    needed = {"rows.jsonl": damage != "half", "cells.json": damage != "missing", "provenance.json": damage != "missing"}
    written = name.startswith(("table", "rows.", "report", "figures"))
    assert bool(said) == needed.get(name, damage == "folder" and written)


def swapped(lines):
    return [lines[1], lines[0], *lines[2:]]


def changed(**columns):
    return lambda lines: [lines[0], json.dumps({**json.loads(lines[1]), **columns}).encode() + b"\n", *lines[2:]]


LINES = {
    "swapped": (swapped, False),
    "twice": (lambda lines: [*lines, lines[0]], False),
    "fewer": (lambda lines: lines[:3], False),
    "torn at the end": (lambda lines: [*lines[:-1], lines[-1][:40]], False),
    "torn in the middle": (lambda lines: [lines[0], lines[1][:40], *lines[2:]], True),
    "half a line between": (lambda lines: [lines[0], lines[1][:40] + b"\n", *lines[2:]], True),
    "an empty line": (lambda lines: [lines[0], b"\n", *lines[1:]], True),
    "a line of another version": (changed(new_column=1), True),
    "no result": (changed(n_evaluated=None), True),
    "no bits": (changed(robust_correct="zz"), True),
    "bits of others": (changed(n_evaluated=9), True),
    "another share": (changed(robust_accuracy=7.0), True),
    "a large number": (changed(gradients=2**80), True),
    "no options": (changed(model_options="["), True),
    "deep options": (changed(attack_options="[" * 9000), True),
    "names that are none": (changed(class_names="[1, 2]"), True),
    "one class": (changed(n_classes=1), True),
    "a negative radius": (changed(epsilon=-1.0), True),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("damage", LINES)
def test_damaged_lines(folder, made, damage):
    change, bad = LINES[damage]
    ledger = folder / "rows.jsonl"
    ledger.write_bytes(b"".join(change(ledger.read_bytes().splitlines(keepends=True))))
    said = holds(folder, made)
    assert bool(said) == bad
    assert not bad or "rows.jsonl, line 2" in said
    assert not bad or "delete it, and `hqc sweep` computes its cell again" in said


def test_a_failure_that_was_written_after_a_result_does_not_hide_it(folder, made):
    row = json.loads((folder / "rows.jsonl").read_bytes().splitlines()[0])
    with (folder / "rows.jsonl").open("a") as ledger:
        ledger.write(json.dumps(row | {"status": "failed", "error": "x"}) + "\n")
    assert holds(folder, made, {json.loads(line)["key"] for line in (made / "rows.jsonl").read_bytes().splitlines()}) == ""
    assert (pd.read_parquet(folder / "rows.parquet")["status"] == "ok").all()


@pytest.mark.parametrize("content", ["[]", '["gone", "away"]'])
def test_cells_of_another_sweep_replace_no_table(folder, made, content):
    (folder / "cells.json").write_text(content)
    assert "cells.json" in holds(folder, made)


def test_what_is_no_results_folder(tmp_path, made):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, what in (("file", "not a folder"), ("empty", "no rows.jsonl"), ("nowhere", "no such folder")):
        assert what in refused(tmp_path, "report", tmp_path / name)


@pytest.mark.parametrize("arrays", [
    {}, {"clean": 5}, {"clean": np.zeros((2, 3)), "adversarial": np.zeros((2, 3))}, {"labels": np.array([9] * 4)},
    {"prediction": np.array([7] * 4)}, {"labels": np.zeros(3, dtype=int)}, {"clean": np.full((4, 3, 16, 16), np.nan)},
    {"clean": np.zeros((0, 3, 16, 16)), "adversarial": np.zeros((0, 3, 16, 16))}, {"labels": np.array(["a"] * 4)},
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_example_of_other_arrays(folder, made, arrays):
    for path in folder.glob("examples/*"):
        with np.load(path) as file:
            kept = dict(file)
        np.savez(path, **({**kept, **arrays} if arrays else {}))
    assert holds(folder, made) == ""
