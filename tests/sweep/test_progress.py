"""What a running sweep shows: counts by stage, newest results, lines for a log, a picture for terminals of any width."""

import contextlib
import dataclasses
import io
import re

import pytest
from rich.console import Console

from hqc_ray.results.status import FINISHED, INTERRUPTED, RUNNING, STOPPED
from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.progress import duration
from hqc_ray.sweep.progress import live as room
from hqc_ray.sweep.progress.live import Live
from hqc_ray.sweep.progress.view import picture
from tests.example_rows import planned, row

ESCAPE = "\x1b"


class Task:
    title = "attack of a head"


def job(id, kind="search", cost=10.0, cells=0):
    return Job(id, kind, (), Task(), cost, tuple(planned(f"{id}{i}") for i in range(cells)))


def rows(done, **changes):
    return [row(one.key, **changes) for one in done.rows]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    now = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


def live(*jobs, workers=1, **more):
    out = io.StringIO()
    return Live(Console(file=out, width=200), jobs, workers, **more), out


def drawn(shown, width):
    out = io.StringIO()
    Console(file=out, width=width).print(picture(shown.now(), width))
    return out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (45, "45 s"), (89.4, "89 s"), (90, "2 min"), (61 * 60, "61 min"), (5400, "1 h 30 min"), (12000, "3 h 20 min")],
)
def test_durations_are_written_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_cells_stages_and_failures_are_counted(clock):
    jobs = job("f", "features"), job("t", "train"), job("a", cells=3), job("b", cells=2)
    shown, _ = live(*jobs)
    assert {kind: (stage.done, stage.failed, stage.of) for kind, stage in shown.stages.items()} == {
        "features": (0, 0, 1), "train": (0, 0, 1), "search": (0, 0, 2),
    }  # fmt: skip
    shown.finished(jobs[0], 1.0)
    shown.finished(jobs[1], 1.0)
    shown.lost(jobs[2], 3, "Traceback\nValueError: no")
    assert (shown.done, shown.failed, shown.cells, shown.busy) == (0, 3, 5, 2.0)
    shown.finished(jobs[3], 2.0, rows(jobs[3]))
    assert (shown.done, shown.failed, shown.busy) == (2, 3, 4.0)
    assert [(stage.done, stage.failed) for stage in shown.stages.values()] == [(1, 0), (1, 0), (1, 1)]
    assert shown.failure == "attack of a head: ValueError: no"


def test_a_resumed_sweep_counts_from_where_it_was(clock):
    left = job("a", cells=2)
    shown, out = live(left, cells=65, before=16)
    assert shown.now().counted == "16 of 65 cells"
    shown.finished(left, 1.0, rows(left))
    assert shown.now().counted == "18 of 65 cells"
    assert out.getvalue().startswith("18 of 65 cells; ")


def test_rows_that_are_searched_again_for_their_images_count_once(clock):
    again = job("a", cells=2)
    shown, _ = live(again, cells=2, before=2)
    shown.finished(again, 1.0, [])
    assert shown.now().counted == "2 of 2 cells"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"epsilon": 16 / 255}, "fgsm 16/255 25.0%"),
        ({"epsilon": 0.1, "level": "angles"}, "fgsm 0.1 rad 25.0%"),
        ({"epsilon": 0.0}, "fgsm 25.0%"),
    ],
)
def test_an_epsilon_is_written_as_in_the_table(told, shown, clock):
    made, out = live(job("a", cells=1), cells=1)
    made.finished(job("a", cells=1), 1.0, rows(job("a", cells=1), **told))
    assert out.getvalue().endswith(f": {shown}\n")


def test_what_takes_longer_than_expected_is_told_so(clock):
    first, second = job("a", cells=1), job("b", cells=1)
    made, _ = live(first, second)
    made.finished(first, 1.0, rows(first))
    assert " left" in made.now().time
    now = dataclasses.replace(made.now(), left=0.4)
    assert now.time.endswith("so far, longer than expected")
    assert dataclasses.replace(now, done=now.cells).time.endswith("0 s left")


def test_a_log_gets_a_line_each_five_percent_each_minute_and_at_the_end(clock):
    jobs = [job(f"{n:03}", cells=1) for n in range(100)]
    shown, out = live(*jobs)
    for one in jobs[:4]:
        shown.finished(one, 1.0, rows(one))
    assert out.getvalue() == ""
    shown.finished(jobs[4], 1.0, rows(jobs[4]))
    assert len(out.getvalue().splitlines()) == 1
    assert out.getvalue().startswith("5 of 100 cells; searches 5/100; 1 worker; 0 s so far, about ")
    assert out.getvalue().endswith(" left; resnet18 tanh classical: fgsm 0.05 25.0%\n")
    shown.beat()
    assert len(out.getvalue().splitlines()) == 1
    clock(room.SECONDS_BETWEEN_LINES)
    shown.beat()  # nothing has happened, and that is said
    assert len(out.getvalue().splitlines()) == 2
    for one in jobs[5:]:
        shown.finished(one, 1.0, rows(one))
    lines = out.getvalue().splitlines()
    assert lines[-1].startswith("100 of 100 cells; searches 100/100; 1 worker; 60 s so far, about 0 s left")
    assert len(lines) == 2 + 19


def test_the_last_cell_has_its_line_though_it_is_no_five_percent(clock):
    jobs = [job(f"{n:03}", cells=1) for n in range(101)]
    shown, out = live(*jobs)
    for one in jobs:
        shown.finished(one, 1.0, rows(one))
    assert out.getvalue().splitlines()[-1].startswith("101 of 101 cells; ")


def test_the_first_failures_are_said_as_they_happen_and_what_needed_them_is_not(clock):
    jobs = [job(str(n), cells=1) for n in range(20)]
    shown, out = live(job("m", "train"), *jobs)
    shown.lost(job("m", "train"), 0, "boom")
    for one in jobs:
        shown.lost(one, 1, "Traceback\nboom")
    said = [line for line in out.getvalue().splitlines() if line.startswith("failed: ")]
    assert said == ["failed: attack of a head: boom"] * room.FAILURES


def test_a_log_holds_no_escape_codes(clock):
    one = job("a", cells=2)
    shown, out = live(one)
    with shown:
        shown.finished(one, 1.0, rows(one))
        shown.say("a [bracket] of 12 things")
    assert ESCAPE not in out.getvalue()
    assert "a [bracket] of 12 things\n" in out.getvalue()


def test_a_terminal_has_a_picture_that_goes_away_and_no_such_lines(clock):
    out, one = io.StringIO(), job("a", cells=1)
    shown = Live(Console(file=out, force_terminal=True, width=200), [one], 1, "mine")
    with shown:
        shown.finished(one, 1.0, rows(one))
    assert "1 of 1 cell" in out.getvalue()
    assert "1 of 1 cell; " not in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")  # its lines are wiped


def test_no_color_is_honoured(clock, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out, one = io.StringIO(), job("a", cells=1)
    shown = Live(Console(file=out, force_terminal=True, color_system="truecolor", width=80), [one], 1, "mine")
    with shown:
        shown.lost(one, 1, "boom")
    assert "1 failed" in out.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*(3[0-8]|9[0-7])[0-9;]*m", out.getvalue())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_picture_fits_its_terminal_and_tells_results_apart(clock, width):
    jobs = [job("f", "features"), *(job(str(n), cells=2) for n in range(9))]
    shown, _ = live(*jobs, cells=65, before=16, name="quickstart", workers=3)
    device = "qiskit.aer[fake_manila,shots=1024]"
    for one in jobs[:4]:
        changes = {"head": "vqc1", "device": device, "attack_label": "bottleneck (directions 128)", "robust_accuracy": 0.125}
        shown.finished(one, 1.0, rows(one, **changes))
    shown.lost(jobs[4], 2, "ValueError: " + 300 * "x")
    text = drawn(shown, width)
    assert max(map(len, text.splitlines())) <= width
    lines = text.splitlines()
    assert lines[0].startswith("quickstart: 22 of 65 cells (16 from before), 2 failed")
    assert "so far, " in lines[2]
    assert "left, 3 workers" in lines[2]
    assert re.search(r"features +1 of 1 ", text)
    assert re.search(r"searches +3 of 9 .* 1 failed", text)
    results = [line.split() for line in lines if line.startswith("resnet18")]
    assert len(results) == room.NEWEST
    assert {(one[0], one[1], one[-2], one[-1]) for one in results} == {("resnet18", "vqc1", "0.05", "12.5%")}
    assert all(one[2].startswith("qiskit.aer[") for one in results)
    assert all("bottlenec" in " ".join(one) for one in results)
    assert len(lines) <= 14


def test_workers_that_come_and_go_are_counted_and_waited_for(clock):
    shown, _ = live(*(job(name) for name in "abcd"))
    shown.tick(4)
    assert shown.now().hands == "4 workers"
    shown.tick(0)
    assert shown.now().hands == "waiting for a worker to start"
    assert shown.estimate.workers == 4  # the time that is left is not infinite


def test_idle_workers_are_counted_from_when_they_were_there(clock):
    shown, _ = live(job("a"), job("b"))
    assert shown.idle_share() is None
    shown.tick(2)
    clock(10)
    shown.tick(2)  # twenty seconds of two workers
    shown.finished(job("a"), 15.0)
    assert shown.idle_share() == pytest.approx(0.25)
    shown.finished(job("b"), 50.0)
    assert shown.idle_share() == 0


def noted(error=None, done=True):
    notes, one = [], job("a", cells=2)
    shown, _ = live(one, cells=5, before=3, note=notes.append)
    with pytest.raises(type(error)) if error else contextlib.nullcontext(), shown:
        if done:
            shown.finished(one, 4.0, rows(one))
        if error:
            raise error
    return notes


def test_a_note_for_others_is_made_at_the_start_and_at_the_end():
    first, *_, last = noted()
    assert (first["state"], first["done"], first["before"], first["cells"]) == (RUNNING, 0, 3, 5)
    assert (last["state"], last["done"], last["left_seconds"]) == (FINISHED, 2, 0)
    assert last["stages"] == [{"name": "searches", "done": 1, "failed": 0, "of": 1}]


def test_a_note_says_how_it_ended(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdef123")
    assert noted(done=False)[-1]["state"] == INTERRUPTED
    assert noted(KeyboardInterrupt(), done=False)[-1]["state"] == INTERRUPTED
    last = noted(OSError("disk full, abcdef123\nand more"), done=False)[-1]
    assert (last["state"], last["error"]) == (STOPPED, "disk full, ${SOME_TOKEN}")


def test_notes_are_seconds_apart(clock):
    notes, one = [], job("a", cells=1)
    shown, _ = live(one, note=notes.append)
    for _ in range(100):
        clock(room.SECONDS_BETWEEN_NOTES / 10)
        shown.beat()
    assert len(notes) == 10


def test_many_jobs_cost_the_driver_next_to_nothing(clock):
    import time

    jobs = [job(str(n), cost=1.0 + n % 7) for n in range(30_000)]
    shown, _ = live(*jobs)
    began = time.process_time()
    for one in jobs:
        shown.finished(one, 1.0)
    assert time.process_time() - began < 2.0  # under 70 microseconds each
    began = time.process_time()
    for _ in range(100):
        shown.now()
    assert time.process_time() - began < 0.5
