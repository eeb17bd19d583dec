"""The local disk fails in the middle of a sweep: no half row, one line, exit code 1; the same command completes it later."""

import contextlib
import errno
import os
import subprocess
import threading
import time

import pytest
import ray
from rich.console import Console

from hqc_ray import cli, locks
from hqc_ray.errors import ResultsError
from hqc_ray.results import ledger as rows
from hqc_ray.results.ledger import Ledger
from hqc_ray.sweep import run
from hqc_ray.sweep.driver import Driver
from tests.sweep.conftest import SMALL

QUIET = Console(quiet=True)
SWEEP = SMALL.replace(
    "attack: {name: fgsm, epsilon: [0.01, 0.1]}",
    "attack: [{name: fgsm, epsilon: [0.01, 0.1]}, {name: pgd, epsilon: [0.01, 0.1], steps: [1, 2, 3, 4, 5, 6, 7, 8]}]",
)
RUNNERS = pytest.mark.parametrize(("runner", "number"), [("--serial", 3), ("--workers=1", 1)])


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own: its folder, and what mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode

    if os.geteuid() != 0 or mount("size=32m"):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder, mount
    mount("remount,rw")
    subprocess.run(["umount", folder], check=True)


def when_rows_arrive(monkeypatch, number, do):
    """Call `do` when rows reach the driver for the `number`th time (from a worker of Ray's, many at a time)."""
    arrived = []
    original = Driver.take

    def take(self, outcomes, worker=""):
        if any(outcome.measured for outcome in outcomes):
            arrived.append(outcomes)
            if len(arrived) == number:
                do()
        return original(self, outcomes, worker)

    monkeypatch.setattr(Driver, "take", take)


def errors(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("hqc:") or "Traceback" in line]


@RUNNERS
def test_a_full_disk_ends_the_sweep_at_once_and_free_space_completes_it(
    sweep_file, tmp_path, disk, monkeypatch, capsys, runner, number
):
    folder, _ = disk
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "cache"))
    filler = folder / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    when_rows_arrive(monkeypatch, number, fill)
    monkeypatch.setattr("hqc_ray.sweep.graph.cells.MAX_EXAMPLES", 0)  # so that it is the ledger that finds the disk full
    command = ["sweep", str(sweep_file(SWEEP)), "--results", str(folder), runner]
    path = folder / "small" / "rows.jsonl"
    assert cli.main(command) == cli.FAILED
    assert time.time() - filler.stat().st_mtime < 30  # since the disk was full
    kept = path.read_bytes()
    assert errors(capsys) == ["hqc: rows.jsonl: cannot write a row: No space left on device"]
    assert not kept or kept.endswith(b"\n")
    assert 2 * (number - 1) <= kept.count(b"\n") < 18
    assert not ray.is_initialized()
    monkeypatch.undo()

    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hqc_ray.sweep.graph.cells.MAX_EXAMPLES", 0)
    filler.unlink()
    assert cli.main(command) == cli.OK
    assert path.read_bytes().startswith(kept)
    assert len(path.read_bytes().splitlines()) == len(Ledger(path).done()) == 18


@RUNNERS
def test_a_write_that_fails_ends_the_sweep_promptly_with_ray_shut_down(sweep_file, tmp_path, monkeypatch, capsys, runner, number):
    def fail():
        def fsync(_):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(rows.os, "fsync", fsync)

    when_rows_arrive(monkeypatch, number, fail)
    monkeypatch.setattr("hqc_ray.sweep.graph.cells.MAX_EXAMPLES", 0)
    file = sweep_file(SWEEP)
    assert cli.main(["sweep", str(file), "--results", str(tmp_path), runner]) == cli.FAILED
    assert errors(capsys) == ["hqc: rows.jsonl: cannot write a row: Input/output error"]
    assert not ray.is_initialized()
    monkeypatch.undo()
    path = tmp_path / "small" / "rows.jsonl"
    assert len(Ledger(path).done()) == path.read_bytes().count(b"\n") == 2 * (number - 1)
    again = run.execute(file, tmp_path, serial=True, console=QUIET)
    assert (again.failed, again.missing) == (0, 0)


def test_a_read_only_folder_is_refused_before_anything_is_computed(sweep_file, disk, capsys):
    folder, mount = disk
    command = ["sweep", str(sweep_file(SMALL)), "--results", str(folder), "--serial"]
    assert mount("remount,ro") == 0
    assert cli.main(command) == cli.BAD_INPUT
    assert errors(capsys) == [f"hqc: error: {folder / 'small'}: cannot write to the results folder: Read-only file system"]
    assert mount("remount,rw") == 0
    assert cli.main(command) == cli.OK


def test_a_file_system_without_locks_is_told_from_another_driver(sweep_file, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(ResultsError, match="cannot lock it: No locks available"):
        run.execute(sweep_file(SMALL), tmp_path, serial=True, console=QUIET)


def test_a_report_while_a_driver_writes_shows_whole_rows(sweep_file, tmp_path, capsys):
    folder = run.execute(sweep_file(SMALL), tmp_path, serial=True, console=QUIET).folder
    (folder / "cells.json").unlink()  # all rows of the ledger, then
    ledger = Ledger(folder / "rows.jsonl")
    one = next(iter(ledger.rows.values()))
    stop = threading.Event()

    def work():
        number = 0
        while not stop.is_set():
            number += 1
            ledger.append([one.model_copy(update={"key": f"k{number}", "seed": number})])
            with ledger.path.open("ab") as file:  # a write that a reader meets half done
                file.write(b'{"key": "half')
                file.flush()
                time.sleep(0.005)
                os.ftruncate(file.fileno(), file.tell() - 13)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(2):
            assert cli.main(["report", str(folder)]) == cli.OK, capsys.readouterr().err
    finally:
        stop.set()
        thread.join()
    shown = (folder / "rows.csv").read_text()
    assert "half" not in shown
    assert len(shown.splitlines()) > 3
    assert list(Ledger(ledger.path).rows) == list(ledger.rows)
