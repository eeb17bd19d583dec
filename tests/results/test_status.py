"""Where a sweep stands, read from the files that it left: here, elsewhere, dead or alive."""

import json
import os
import subprocess
import sys
import time

import pytest

from hqc_ray import cli, locks
from hqc_ray.errors import ResultsError
from hqc_ray.results import status
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.store import Store
from hqc_ray.spec import parse
from tests.example_rows import row

SPEC = parse({"blocks": [{}]}, "mine")
NOTE = {
    "state": "running", "cells": 5, "before": 0, "done": 2, "failed": 1, "workers": 3, "seconds": 60, "left_seconds": 90,
    "rough": False, "error": "", "stages": [{"name": "searches", "done": 2, "failed": 1, "of": 4}],
}  # fmt: skip


def filled(folder, ok=("a", "b"), failed=("c",), cells=("a", "b", "c", "d", "e")):
    """A results folder with rows, the list of cells, and its sweep file."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "rows.jsonl")
    ledger.append(row(key, finished_at="2026-11-01T10:00:00Z") for key in ok)
    ledger.append(
        row(key, status="failed", error='"status":"ok" "key":"zz"', finished_at="2026-11-01T11:00:00Z") for key in failed
    )
    if cells is not None:
        (folder / "cells.json").write_text(json.dumps(list(cells)))
    return folder


def noted(folder, **changes):
    facts = {"host": locks.facts()["host"], "pid": 4, "since": "2026-11-01T09:00:00Z", "updated": "2026-11-01T11:00:00Z"}
    (folder / ".status.json").write_text(json.dumps({**facts, **NOTE, **changes}))


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path / "r" / "mine")


def test_a_sweep_whose_driver_is_gone_without_a_word_died(folder):
    noted(folder)
    found = status.of_folder(folder)
    assert (found.sweep, found.state, found.cells, found.done, found.failed) == ("mine", "died", 5, 2, 1)
    assert (found.host, found.pid, found.since) == (locks.facts()["host"], 4, "2026-11-01T09:00:00Z")
    assert found.last_row == "2026-11-01T11:00:00Z"
    assert found.left_seconds is None
    assert found.stages == NOTE["stages"]
    assert found.go_on == f"the same command, `hqc sweep FILE --results {folder.parent}`, goes on with the 3 cells that are left"


def test_what_the_driver_said_last_is_how_it_ended(folder):
    noted(folder, state="interrupted")
    assert status.of_folder(folder).state == "interrupted"
    noted(folder, state="stopped", error="rows.jsonl: cannot write a row: No space left on device")
    found = status.of_folder(folder)
    assert (found.state, found.error) == ("stopped", "rows.jsonl: cannot write a row: No space left on device")


def test_rows_are_the_truth_whatever_was_noted(tmp_path):
    whole = filled(tmp_path / "r" / "mine", ok="abcde", failed=())
    noted(whole)  # it died while it wrote its last note
    found = status.of_folder(whole)
    assert (found.state, found.done, found.failed, found.go_on) == (
        "finished",
        5,
        0,
        "`hqc report` makes its tables and figures again",
    )
    failed = filled(tmp_path / "s" / "mine", ok="abcd", failed="e")
    assert (status.of_folder(failed).state, status.of_folder(failed).failed) == ("finished", 1)
    assert "tries the failed cell again" in status.of_folder(failed).go_on


def test_a_failure_that_was_made_good_counts_as_done_and_other_cells_do_not_count(folder):
    ledger = Ledger(folder / "rows.jsonl")
    ledger.append([row("c"), row("left the grid")])
    found = status.of_folder(folder)
    assert (found.done, found.failed, found.cells) == (3, 0, 5)


def test_half_a_line_is_no_row(folder):
    with (folder / "rows.jsonl").open("ab") as file:
        file.write(row("d").model_dump_json().encode()[:-30])
    assert status.of_folder(folder).done == 2


def test_a_driver_that_holds_the_lock_runs_and_its_time_counts_down(folder):
    with locks.take(folder / ".lock"):
        noted(folder, pid=os.getpid(), updated=now())
        found = status.of_folder(folder)
        assert (found.state, found.workers, found.pid) == ("running", 3, os.getpid())
        assert 60 <= found.left_seconds <= 90
        assert found.go_on.startswith("wait for it")
        noted(folder, pid=os.getpid(), left_seconds=float("nan"))
        assert status.of_folder(folder).left_seconds is None
        noted(folder, pid=os.getpid(), rough=True)
        assert (status.of_folder(folder).left_seconds, status.of_folder(folder).rough) == (90, True)
        noted(folder, pid=os.getpid())  # noted weeks ago
        assert status.of_folder(folder).left_seconds == 0
    assert status.of_folder(folder).state == "died"


def test_a_driver_that_has_noted_nothing_yet_is_starting(folder):
    noted(folder, state="interrupted")
    with locks.take(folder / ".lock"):
        found = status.of_folder(folder)
        assert (found.state, found.pid, found.stages) == ("starting", os.getpid(), [])
    assert status.of_folder(folder).state == "interrupted"


def test_a_driver_on_another_host_lives_while_it_writes(folder):
    noted(folder, host="elsewhere", updated=now())
    assert status.of_folder(folder).state == "running"
    noted(folder, host="elsewhere")
    assert status.of_folder(folder).state == "died"
    noted(folder, host="elsewhere", updated=now(), state="interrupted")
    assert status.of_folder(folder).state == "interrupted"


def test_looking_at_a_lock_does_not_keep_a_driver_from_it(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    locks.take(path).close()
    looker = os.open(path, os.O_RDONLY)
    locks.fcntl.flock(looker, locks.fcntl.LOCK_SH)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: os.close(looker))  # the look ends meanwhile
    locks.take(path).close()
    assert not locks.is_held(path)


def test_a_folder_of_before_has_no_notes(folder):
    found = status.of_folder(folder)
    assert (found.state, found.done, found.stages, found.host) == ("died", 2, [], None)
    (folder / "cells.json").unlink()
    found = status.of_folder(folder)
    assert (found.state, found.cells, found.done) == ("died", None, 2)
    assert found.go_on.endswith("goes on with what is left")


def test_a_folder_that_was_kept_without_its_lists_is_finished_as_far_as_its_rows_tell(folder):
    (folder / "cells.json").unlink()
    (folder / "provenance.json").write_text('{"runs": []}')
    found = status.of_folder(folder)
    assert (found.state, found.cells, found.done, found.failed) == ("finished", 3, 2, 1)
    assert found.go_on.startswith("its cells are not listed: as far as its rows tell; `hqc sweep FILE")
    assert found.go_on.endswith("tries the failed cell again")
    noted(folder, state="interrupted")  # what a driver noted is better known
    assert (status.of_folder(folder).state, status.of_folder(folder).cells) == ("interrupted", None)
    (folder / ".status.json").unlink()
    (folder / "rows.jsonl").write_text("")
    assert (status.of_folder(folder).state, status.of_folder(folder).cells) == ("died", None)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"pid": "x", "state": 3, "stages": [1]}', '{"pid": 1, "stages": {"a": 1}}', "\x00" * 99]
)
def test_a_note_that_is_damaged_says_nothing(folder, content):
    (folder / ".status.json").write_text(content)
    found = status.of_folder(folder)
    assert (found.state, found.done, found.stages) == ("died", 2, [])


@pytest.mark.parametrize("line", ["{}", '{"key":"a"}', "no json", '{"key":"","status":"ok"}', '{"key":"a","status":"perhaps"}'])
def test_a_line_that_is_no_row_is_named(folder, line):
    with (folder / "rows.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ResultsError, match=r"^rows.jsonl, line 4: not a row"):
        status.of_folder(folder)


def test_what_is_no_results_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path, what in (
        (tmp_path / "none", "no such folder"),
        (tmp_path / "file", "not a folder"),
        (tmp_path, "no results folder"),
    ):
        with pytest.raises(ResultsError, match=what):
            status.of_folder(path)


def test_a_store_notes_for_others_and_a_full_disk_ends_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path / "r" / "mine", SPEC)
    try:
        store.note(NOTE)
        found = status.of_folder(tmp_path / "r" / "mine")
        assert (found.state, found.pid) == ("running", os.getpid())
        assert 60 <= found.left_seconds <= 90
        monkeypatch.setattr("hqc_ray.files.os.open", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        store.note({**NOTE, "left_seconds": 7})
        monkeypatch.undo()
        assert status.of_folder(tmp_path / "r" / "mine").left_seconds > 7
    finally:
        store.close()


def test_a_mirror_tells_the_same_while_its_driver_runs_and_when_it_is_gone(tmp_path, monkeypatch):
    (tmp_path / "mount").mkdir()
    monkeypatch.setattr("hqc_ray.results.lease.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("hqc_ray.results.lease.RENEW_SECONDS", 0.05)
    store = Store(tmp_path / "r" / "mine", SPEC, str(tmp_path / "mount"))
    try:
        store.begin(["a", "b", "c"])
        store.ledger.append([row("a", finished_at="2026-11-01T10:00:00Z"), row("b", status="failed")])
        store.note(NOTE)
        time.sleep(0.5)  # until the lease is renewed
        for where in (status.of_folder(tmp_path / "mount" / "mine"), status.of_storage(f"file://{tmp_path}/mount/mine")):
            assert (where.state, where.cells, where.done, where.failed) == ("running", 3, 1, 1)
            assert (where.pid, where.workers, where.stages) == (os.getpid(), 3, NOTE["stages"])
            assert where.last_row == "2026-11-01T10:00:00Z"
            assert 60 <= where.left_seconds <= 90
        store.note({**NOTE, "state": "interrupted"})
    finally:
        store.close()
    gone = status.of_folder(tmp_path / "mount" / "mine")
    assert (gone.state, gone.done, gone.failed) == ("interrupted", 1, 1)
    assert f"--storage {tmp_path / 'mount'}" in gone.go_on
    before = sorted((tmp_path / "mount").rglob("*"))
    segment = next((tmp_path / "mount" / "mine" / "rows").iterdir())
    segment.write_bytes(b"half")  # damaged: the next driver sets it aside, a look does not
    assert status.of_folder(tmp_path / "mount" / "mine").done == 0
    assert sorted((tmp_path / "mount").rglob("*")) == before
    with pytest.raises(ResultsError, match="no sweep is mirrored there"):
        status.of_storage(f"file://{tmp_path}/mount/other")


def test_the_command_prints_lines_that_fit_and_json(folder, capsys):
    noted(folder)
    assert cli.main(["status", str(folder)]) == cli.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["mine: died", "2 of 5 cells done, 1 failed", "stages, as its driver last said:"]
    assert lines[3] == "  searches: 2 of 4, 1 failed"
    assert lines[-1].startswith("the same command, ")
    assert cli.main(["status", str(folder), "--json"]) == cli.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["cells"], found["done"], found["failed"], found["last_row"]) == (
        "died",
        5,
        2,
        1,
        "2026-11-01T11:00:00Z",
    )


def test_it_is_fast_and_imports_no_heavy_library(tmp_path):
    filled(tmp_path / "mine", ok=[f"{n:016x}" for n in range(2_000)], failed=(), cells=[f"{n:016x}" for n in range(3_000)])
    code = (
        "import sys, time; from hqc_ray import cli; cli.main(['status', sys.argv[1]]); print(time.process_time());"
        "print([m for m in ('torch', 'ray', 'pandas', 'numpy', 'pydantic', 'pyarrow') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "mine"], capture_output=True, text=True, check=True)
    *_, seconds, heavy = run.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 0.5
