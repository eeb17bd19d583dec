"""Loggers of a sweep file, and folders of which `hqc status` is asked: told, or refused in one line with nothing written."""

import contextlib
import io
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqc_ray import cli
from tests.example_rows import row
from tests.fuzz.promise import refused
from tests.sweep.cases import changed

LOGGERS = [
    "3", "true", "[[tensorboard]]", "{uri: x}", "{name: 3}", "{name: null}", "[null]", "''", "{name: ''}", "tensorbord",
    "[tensorboard, 1.5]",
    "[tensorboard, tensorboard]", "{name: tensorboard, folder: /}", "{name: mlflow, uri: ''}", "{name: mlflow, uri: [a, b]}",
    "{name: mlflow, uri: 'http://me:secret@host'}", "{name: mlflow, uri: 'http://host?token=abc'}",
    "{name: mlflow, uri: '${NOT_SET_XYZ}'}",
    "{name: wandb, mode: sometimes}", "{name: wandb, mode: true}", "{name: wandb, project: 3}", "{name: wandb, key: abcdef}",
    "'mine:Logger'", "{name: 'os:path'}", "[tensorboard, {name: wandb, entity: ''}]",
]  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "sweep"])
@pytest.mark.parametrize("text", LOGGERS)
def test_what_is_no_logger_is_refused_before_anything_is_computed(tmp_path, text, command):
    (tmp_path / "s.yaml").write_text(changed().replace("name: cases", f"name: cases\nloggers: {text}"))
    more = ["--serial", "--results", tmp_path / "r"] if command == "sweep" else []
    said = refused(tmp_path, command, tmp_path / "s.yaml", *more)
    assert "logger" in said
    assert "secret" not in said


def results(folder):
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text(row("a").model_dump_json() + "\n")
    (folder / "cells.json").write_text('["a", "b"]')
    return folder


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("rows.jsonl", "not json\n", "rows.jsonl, line 1: not a row"),
        ("rows.jsonl", '{"key": "a", "status": "ok"}\n', "rows.jsonl, line 1: not a row"),
        ("cells.json", "{}", "cells.json is damaged"),
        ("cells.json", "[1, 2]", "cells.json is damaged"),
        ("cells.json", "[", "cells.json is damaged"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, name, content, what):
    (results(tmp_path / "mine") / name).write_text(content)
    assert what in refused(tmp_path, "status", tmp_path / "mine")


def test_what_no_file_is_is_not_waited_for(tmp_path):
    folder = results(tmp_path / "mine")
    (folder / "rows.jsonl").unlink()
    os.mkfifo(folder / "rows.jsonl")
    assert "cannot read the rows" in refused(tmp_path, "status", folder)
    (folder / "rows.jsonl").unlink()
    (folder / "rows.jsonl").symlink_to(tmp_path / "elsewhere")
    assert "cannot read the rows" in refused(tmp_path, "status", folder)


@pytest.mark.parametrize(
    "given", ["nowhere", "", "s3:///x", "ftp://host/x", "file:///nowhere/at/all/mine", "http://me:pw@host/x", "s3://"]
)
def test_a_place_without_a_sweep_is_refused(tmp_path, given):
    assert "pw" not in refused(tmp_path, "status", given if "://" in given else tmp_path / given)


NAMES = ("pid", "host", "state", "since", "updated", "stages", "workers", "left_seconds", "error", "name", "done", "of", "failed")
PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.just("running")
NOTES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6), max_leaves=12
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(note=NOTES, host=st.booleans())
def test_whatever_a_driver_noted_the_rows_are_told(tmp_path_factory, note, host):
    folder = results(tmp_path_factory.mktemp("x") / "mine")
    facts = {"pid": 1, "host": "elsewhere", "state": "running", "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    (folder / ".status.json").write_text(
        json.dumps({**(facts if host else {"pid": 1}), **note} if isinstance(note, dict) else note)
    )
    for more in ([], ["--json"]):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert cli.main(["status", str(folder), *more]) == cli.OK
    found = json.loads(out.getvalue())
    assert (found["cells"], found["done"], found["failed"]) == (2, 1, 0)
