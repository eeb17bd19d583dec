"""What a results folder's reader knows: names of files, models by their beginnings, rows in order, also while a driver writes."""

import json

import pytest

from hqc_ray.errors import ModelError, ResultsError
from hqc_ray.results.folder import Folder
from hqc_ray.results.ledger import Ledger
from tests.example_rows import row


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "results" / "mine"
    path.mkdir(parents=True)
    return Folder(path)


def test_every_file_has_its_place(folder):
    placed = {
        "ledger": "rows.jsonl", "sweep": "sweep.yaml", "cells": "cells.json", "provenance": "provenance.json", "models": "models",
        "table": "table.md", "page": "report.html", "csv": "rows.csv", "summary": "summary.csv", "parquet": "rows.parquet",
    }  # fmt: skip
    assert {name: getattr(folder, name).relative_to(folder.path).as_posix() for name in placed} == placed
    assert folder.figure("robust_accuracy") == folder.path / "figures" / "robust_accuracy.png"


def test_its_name_is_that_of_the_sweep_wherever_one_stands(folder, monkeypatch):
    assert folder.name == "mine"
    monkeypatch.chdir(folder.path)
    assert Folder(type(folder.path)(".")).name == "mine"


def test_figures_are_those_that_exist_in_order(folder):
    assert folder.figures() == []
    for name in ("b.png", "a.png", "a.txt"):
        folder.figure("x").parent.mkdir(exist_ok=True)
        (folder.path / "figures" / name).touch()
    assert [path.name for path in folder.figures()] == ["a.png", "b.png"]


@pytest.fixture
def models(folder):
    folder.models.mkdir()
    for key in ("abc1", "abd2", "ab", "xyz"):
        (folder.models / f"{key}.pt").touch()
    (folder.models / "abc1.pt.bad").touch()
    return folder


@pytest.mark.parametrize(("beginning", "key"), [("abc", "abc1"), ("abd2", "abd2"), ("x", "xyz"), ("ab", "ab")])
def test_a_model_is_found_by_a_beginning_of_its_key_that_no_other_has(models, beginning, key):
    assert models.model(beginning) == models.models / f"{key}.pt"  # a whole key wins over longer ones that begin with it


@pytest.mark.parametrize(
    ("beginning", "says"),
    [("a", "3 models begin with 'a' (valid: ab, abc1, abd2)"), ("q", "no model 'q' (valid: ab, abc1, abd2, xyz)"),
     ("abc1x", "no model 'abc1x' (valid: ab, ")],
)  # fmt: skip
def test_a_beginning_of_several_or_none_is_refused_with_the_keys_there_are(models, beginning, says):
    with pytest.raises(ModelError) as caught:
        models.model(beginning)
    assert says in str(caught.value)
    assert str(models.models) in str(caught.value)


def test_a_folder_without_models_says_so(folder):
    with pytest.raises(ModelError, match=r"no model 'a' .*none: no model was trained in this folder"):
        folder.model("a")


def test_rows_are_in_the_order_of_the_file_and_those_of_other_cells_are_left_out(folder):
    Ledger(folder.ledger).append([row("c"), row("gone"), row("a", status="failed", error="e"), row("b")])
    assert [one.key for one in folder.rows()] == ["c", "gone", "a", "b"]
    folder.cells.write_text(json.dumps(["a", "b", "not yet", "c"]))
    assert [one.key for one in folder.rows()] == ["a", "b", "c"]
    assert [one.status for one in folder.rows()] == ["failed", "ok", "ok"]


def test_the_latest_row_of_a_cell_counts(folder):
    ledger = Ledger(folder.ledger)
    ledger.append([row("a", status="failed", error="e"), row("b")])
    ledger.append([row("a", robust_accuracy=0.75)])
    assert [(one.key, one.robust_accuracy) for one in folder.rows()] == [("a", 0.75), ("b", 0.25)]


def test_a_row_that_is_being_written_is_not_there_yet_and_the_ledger_is_left_alone(folder):
    Ledger(folder.ledger).append([row("a")])
    whole = (row("b").model_dump_json() + "\n").encode()
    for cut in (1, 30, len(whole) - 1):
        live = folder.ledger.read_bytes().splitlines(keepends=True)[0] + whole[:cut]
        folder.ledger.write_bytes(live)
        assert [one.key for one in folder.rows()] == ["a"]
        assert folder.ledger.read_bytes() == live  # the driver goes on where it was
    folder.ledger.write_bytes(live + whole[cut:])
    assert [one.key for one in folder.rows()] == ["a", "b"]


def test_no_ledger_and_a_line_that_is_no_row_are_refused(folder):
    with pytest.raises(ResultsError, match=r"no rows\.jsonl \(valid: a folder that `hqc sweep` made\)"):
        folder.rows()
    folder.ledger.write_text(row("a").model_dump_json() + "\n{}\n")
    with pytest.raises(ResultsError, match=r"rows\.jsonl, line 2: not a row of this version"):
        folder.rows()


def test_a_sweep_without_a_row_yet_says_how_many_cells_wait_and_what_to_do(folder):
    folder.ledger.write_text("")
    with pytest.raises(ResultsError, match=r"no cell is done yet \(valid: the same `hqc sweep` again, which goes on; "):
        folder.rows()
    folder.cells.write_text('["a", "b", "c"]')
    folder.ledger.unlink()
    for content in (None, "", '{"key": "a'):  # no file, nothing in it, half a row
        if content is not None:
            folder.ledger.write_text(content)
        with pytest.raises(ResultsError, match=r"no cell is done yet \(0 of 3\)"):
            folder.rows()


def test_facts_are_those_of_the_file_or_none(folder):
    assert folder.facts() == {}
    folder.provenance.write_text('{"runs": [5]}')
    with pytest.raises(ResultsError, match=r"provenance.json is damaged"):
        folder.facts()
    folder.provenance.write_text('{"runs": [{"python": "3.11"}]}')
    assert folder.facts() == {"runs": [{"python": "3.11"}]}
