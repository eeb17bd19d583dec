"""A job that fails, a worker that dies: the sweep goes on, says so, and a later run mends it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from rich.console import Console

from hqc_ray import cli
from hqc_ray.attacks import FGSM, trial
from hqc_ray.results.ledger import Ledger
from hqc_ray.sweep import run
from hqc_ray.sweep.graph.schedule import LOSSES
from hqc_ray.sweep.tune import runner
from hqc_ray.sweep.tune.collector import Collector
from tests.sweep.conftest import SMALL

QUIET = Console(quiet=True)
TROUBLED = SMALL.replace(
    "attack: {name: fgsm, epsilon: [0.01, 0.1]}",
    "attack: [{name: fgsm, epsilon: 0.1}, {name: 'tests.sweep.test_faults:KIND', epsilon: 0.1, marker: 'MARKER'}]",
)


def planned(view):
    """Whether this is the tiny run of the plan, which these attacks are to pass."""
    return isinstance(view.module()._model, trial.Tiny)


class Poisoned(FGSM):
    """Always fails, until its marker is there."""

    marker: str = ""

    def search(self, *args) -> Iterator:
        if not planned(args[0]) and not Path(self.marker).exists():
            raise ZeroDivisionError("poison")
        return super().search(*args)


class Deadly(FGSM):
    """Kills its worker's process the first time."""

    marker: str = ""

    def search(self, *args) -> Iterator:
        if not planned(args[0]) and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().search(*args)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "marker"


@pytest.mark.parametrize("runner", ["--serial", "--workers=1"])
def test_a_poisoned_cell_is_recorded_and_mended_later(sweep_file, tmp_path, marker, runner, capsys):
    file = sweep_file(TROUBLED.replace("KIND", "Poisoned").replace("MARKER", str(marker)))
    command = ["sweep", str(file), "--results", str(tmp_path), runner]
    assert cli.main(command) == cli.FAILED
    captured = capsys.readouterr()
    assert "1 of 2 cells failed" in captured.err
    assert "ZeroDivisionError: poison" in captured.err
    rows = Ledger(tmp_path / "small" / "rows.jsonl").rows.values()
    assert {row.attack: row.status for row in rows} == {"fgsm": "ok", "tests.sweep.test_faults:Poisoned": "failed"}
    assert "ZeroDivisionError" in next(row.error for row in rows if row.status == "failed")

    marker.touch()
    assert cli.main(command) == cli.OK
    rows = list(Ledger(tmp_path / "small" / "rows.jsonl").rows.values())
    assert [row.status for row in rows] == ["ok", "ok"]
    assert rows[0].robust_correct == rows[1].robust_correct


def test_a_worker_that_dies_is_replaced(sweep_file, tmp_path, marker):
    file = sweep_file(TROUBLED.replace("KIND", "Deadly").replace("MARKER", str(marker)))
    finished = run.execute(file, tmp_path, workers=1, console=QUIET)
    assert marker.exists()
    assert (finished.failed, finished.missing) == (0, 0)
    assert finished.rows["robust_correct"].nunique() == 1


class Headless(FGSM):
    """Kills the dispatcher the first time."""

    marker: str = ""

    def search(self, *args) -> Iterator:
        if not planned(args[0]) and not Path(self.marker).exists():
            Path(self.marker).touch()
            for process in psutil.Process(os.getppid()).children():
                if process.cmdline()[0].startswith("ray::Dispatcher"):
                    process.kill()
        return super().search(*args)


def test_a_dispatcher_that_dies_ends_the_run_in_one_line_and_the_same_command_goes_on(sweep_file, tmp_path, marker, capsys):
    file = sweep_file(TROUBLED.replace("KIND", "Headless").replace("MARKER", str(marker)))
    command = ["sweep", str(file), "--results", str(tmp_path), "--workers=1"]
    assert cli.main(command) == cli.FAILED
    assert "hqc: the dispatcher was lost; run the same command to go on: " in capsys.readouterr().err.splitlines()[-1]
    assert cli.main(command) == cli.OK
    rows = list(Ledger(tmp_path / "small" / "rows.jsonl").rows.values())
    assert [row.status for row in rows] == ["ok", "ok"]
    assert rows[0].robust_correct == rows[1].robust_correct


def test_gpus_are_not_waited_for_on_a_machine_that_has_none(sweep_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 1.0})
    command = ["sweep", str(sweep_file(SMALL)), "--results", str(tmp_path), "--workers=1", "--workers-per-gpu=2"]
    assert cli.main(command) == cli.BAD_INPUT
    assert "--workers-per-gpu 2: this machine has no GPU (valid: " in capsys.readouterr().err.splitlines()[-1]


def test_a_node_on_which_no_worker_starts_is_told_of_once_others_have_worked():
    said = []
    collector = Collector(SimpleNamespace(live=SimpleNamespace(say=said.append)), None)
    collector.started = True
    for _ in range(LOSSES + 1):
        assert said == []
        collector._count_start(asked=False, reason="no torch")
    assert said == ["4 workers in a row could not start; the last one said: no torch"]
    collector._count_start(asked=True, reason="killed")
    assert collector.failed_starts == 0


class Broken(runner.TicketTrial):
    """A worker whose environment lacks something."""

    def setup(self, config, dispatcher=None):
        raise ModuleNotFoundError("No module named 'torch'")


def test_workers_that_cannot_start_end_the_sweep_with_their_reason(sweep_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "TicketTrial", Broken)
    assert cli.main(["sweep", str(sweep_file(SMALL)), "--results", str(tmp_path), "--workers", "1"]) == cli.FAILED
    assert "no worker can start; the last one said: " in capsys.readouterr().err
    monkeypatch.undo()
    finished = run.execute(tmp_path / "sweep.yaml", tmp_path, serial=True, console=QUIET)
    assert (finished.failed, finished.missing) == (0, 0)
