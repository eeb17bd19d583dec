"""How long it will take, and what a log says of it."""

import io

import pytest
from rich.console import Console

from hqc_ray.sweep import progress
from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.progress import START_SECONDS, Live, duration
from tests.example_rows import planned


class Task:
    title = "attack of a head"


def job(id, kind="search", cost=10.0, cells=0):
    return Job(id, kind, (), Task(), cost, tuple(planned(f"{id}{i}") for i in range(cells)))


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


def live(*jobs, workers=1):
    out = io.StringIO()
    return Live(Console(file=out, width=200), jobs, workers), out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (45, "45 s"), (89.4, "89 s"), (90, "2 min"), (61 * 60, "61 min"), (5400, "1 h 30 min"), (12000, "3 h 20 min")],
)
def test_durations_are_written_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_before_anything_is_done_the_estimate_is_the_cost_and_the_start():
    assert live(job("a"), job("b", cost=30.0))[0].left() == 40 + START_SECONDS
    assert live(job("a"), job("b", cost=30.0), workers=2)[0].left() == 20 + START_SECONDS
    assert live(job("a", cost=30.0), workers=8)[0].left() == 30 + START_SECONDS  # no more workers than jobs help


def test_what_jobs_of_a_kind_took_corrects_those_that_are_left():
    shown, _ = live(job("a"), job("b"), job("c", "train", 5.0))
    shown.finished(job("a"), 40.0)  # four times what was expected
    assert shown.left() == pytest.approx(4 * 10 + 4 * 5)  # of a kind that nothing is known of: as the others were
    shown.finished(job("c", "train", 5.0), 5.0)
    assert shown.left() == pytest.approx(4 * 10)
    shown.finished(job("b"), 10.0)
    assert shown.left() == 0


def test_cells_and_failures_are_counted(clock):
    jobs = job("a", cells=3), job("b", cells=2)
    shown, out = live(*jobs)
    shown.finished(jobs[0], 1.0, failed=True)
    assert (shown.done, shown.failed, shown.cells, shown.busy) == (3, 3, 5, 0.0)
    shown.finished(jobs[1], 2.0)
    assert (shown.done, shown.failed, shown.busy) == (5, 3, 2.0)
    assert "5/5 cells  0 s  attack of a head  3 failed  about 0 s left" in out.getvalue()


def test_a_log_gets_a_line_now_and_then_and_at_the_end(clock):
    jobs = [job(name, cells=1) for name in "abcd"]
    shown, out = live(*jobs)
    shown.finished(jobs[0], 10.0)
    assert out.getvalue() == ""  # not yet
    clock(progress.SECONDS_BETWEEN_LINES + 1)
    shown.finished(jobs[1], 10.0)
    assert out.getvalue().splitlines() == ["2/4 cells  11 s  attack of a head  about 20 s left"]
    clock(1)
    shown.finished(jobs[2], 10.0)
    shown.finished(jobs[3], 10.0)
    assert out.getvalue().splitlines()[1:] == ["4/4 cells  12 s  attack of a head  about 0 s left"]


def test_a_terminal_has_a_bar_and_no_such_lines(clock):
    out = io.StringIO()
    shown = Live(Console(file=out, force_terminal=True, width=200), [job("a", cells=1)], 1)
    with shown:
        shown.finished(job("a", cells=1), 1.0)
    assert "attack of a head" in out.getvalue()
    assert "1/1 cells  0 s" not in out.getvalue()


def test_silence_is_broken_while_long_jobs_run(clock):
    shown, out = live(job("a"), job("b"))
    shown.tick(2)
    assert out.getvalue() == ""
    clock(progress.SECONDS_WITHOUT_NEWS + 1)
    shown.tick(2)
    assert out.getvalue() == f"0/2 cells  61 s  2 jobs open, 2 workers  about {duration(10 + START_SECONDS)} left\n".replace(
        "0/2", "0/0"
    )
    shown.tick(2)
    assert len(out.getvalue().splitlines()) == 1


def test_workers_that_come_and_go_change_the_estimate(clock):
    shown, _ = live(*(job(name) for name in "abcd"))
    assert shown.left() == 40 + START_SECONDS
    shown.tick(4)
    assert shown.left() == 10 + START_SECONDS
    shown.tick(0)  # none is there now: the estimate is not infinite
    assert shown.left() == 10 + START_SECONDS


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


def test_what_is_said_stays_as_it_is():
    shown, out = live(job("a"))
    shown.say("a [bracket] of 12 things")
    assert out.getvalue() == "a [bracket] of 12 things\n"
