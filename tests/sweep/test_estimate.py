"""The time that is left, against made-up sweeps whose truth is known: near it after a warm-up, and without jumps."""

import heapq
import itertools
import math
import random

import pytest

from hqc_ray.sweep.graph.jobs import START_SECONDS, Job
from hqc_ray.sweep.graph.schedule import Schedule
from hqc_ray.sweep.progress import estimate as room
from hqc_ray.sweep.progress.estimate import STAGES, Estimate

NEAR, ALLOWANCE = 2.5, 0.1  # a factor between estimate and truth, each with so much of the whole sweep added


class Task:
    title = "a task"


def job(id, kind="search", cost=10.0, needs=()):
    return Job(id, kind, tuple(needs), Task(), cost)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    return now


def test_before_anything_is_done_the_estimate_is_the_cost_and_the_start(clock):
    assert Estimate([job("a"), job("b", cost=30.0)], 1).left() == 40 + START_SECONDS
    assert Estimate([job("a"), job("b", cost=30.0), job("c", cost=20.0)], 2).left() == 30 + START_SECONDS
    assert Estimate([job("a", cost=30.0)], 8).left() == 30 + START_SECONDS  # no more workers than jobs help
    assert Estimate([job(str(n), cost=1.0) for n in range(50)] + [job("l", cost=30.0)], 50).left() == 30 + START_SECONDS
    assert Estimate([], 1).left() == 0
    slow = Estimate([job("a")], 1)
    clock[0] += 500.0  # a cluster that is still starting: nothing is done of what is left
    assert slow.left() == 10 + START_SECONDS
    assert slow.rough


def test_a_stage_is_as_fast_as_its_jobs_were_and_others_as_all_were(clock):
    jobs = [job(str(n)) for n in range(12)] + [job("t", "train", 5.0)]
    found = Estimate(jobs, 1)
    for one in jobs[:10]:
        found.finished(one, 40.0)  # four times what was expected
    overall = (400 + room.PRIOR_SECONDS) / (100 + room.PRIOR_SECONDS)
    assert found.speed("train") == pytest.approx(overall)
    assert found.speed("search") == pytest.approx((400 + 10 * overall) / 110)
    assert found.believed() == pytest.approx(20 * found.speed("search") + 5 * overall)
    assert found.believed() == pytest.approx(100, rel=0.03)


def test_what_a_cold_job_took_is_not_learned_unless_it_was_faster(clock):
    jobs = [job(str(n)) for n in range(4)]
    found = Estimate(jobs, 1)
    found.finished(jobs[0], 100.0, warm=False)
    assert found.speed("search") == 1.0
    found.finished(jobs[1], 5.0, warm=False)
    assert found.speed("search") < 1.0


def test_it_counts_down_while_a_long_job_runs_but_never_below_what_waits(clock):
    jobs = [job(str(n), cost=100.0) for n in range(4)]
    found = Estimate(jobs, 1)
    for one in jobs[:2]:
        clock[0] += 100.0
        found.finished(one, 100.0)
    assert found.left() == pytest.approx(200.0)
    clock[0] += 60.0
    assert found.left() == pytest.approx(140.0)
    clock[0] += 400.0  # it takes longer than expected
    assert 100.0 < found.believed() < 120.0


def test_what_was_dropped_is_not_waited_for(clock):
    jobs = [job("a"), job("b")]
    found = Estimate(jobs, 1)
    found.dropped(jobs[0])
    assert found.believed() == 10 + START_SECONDS
    found.dropped(jobs[1])
    assert found.left() == 0.0


def graph(rng):
    """Four heads on four chunks of features, three devices each, five attacks of very different cost."""
    features = [job(f"features/{n}", "features", 5.0) for n in range(4)]
    jobs = list(features)
    for head in range(4):
        jobs.append(job(f"model/{head}", "train", 4 * rng.uniform(0.3, 2), [one.id for one in features]))
        for device in range(3):
            fit = job(f"fit/{head}.{device}", "fit", 2 * rng.uniform(0.3, 2), [f"model/{head}"])
            costs = [cost * rng.uniform(0.7, 1.4) for cost in (0.2, 0.5, 3, 30, 12)]
            jobs += [fit, *(job(f"s/{head}.{device}.{n}", "search", c, [fit.id]) for n, c in enumerate(costs))]
    return jobs


def simulated(seed, workers, clock):
    """What is shown each second, (time, seconds left, whether it is rough), and when it ended.

    The machine is off by a factor e^N(0, 1), each stage by another e^N(0, 0.7), each job by e^N(0, 0.3); each takes 0.3 s more,
    and the first of each worker 10 s, in which it imports its libraries.
    """
    rng = random.Random(seed)
    jobs = graph(rng)
    factor = {stage: math.exp(rng.gauss(0, 0.7)) for stage in STAGES}
    machine = math.exp(rng.gauss(0, 1.0))
    truth = {one.id: 0.3 + machine * factor[one.kind] * one.cost * math.exp(rng.gauss(0, 0.3)) for one in jobs}
    schedule, clock[0] = Schedule(jobs, []), 0.0
    found, idle, imported, running, seen = Estimate(jobs, workers), list(range(workers)), set(), [], []
    clock[0] = 8.0  # until the workers are there
    second = 9.0
    while True:
        for worker in list(idle):
            if (given := schedule.next(str(worker))) is not None:
                idle.remove(worker)
                cold = 0.0 if worker in imported else 10.0
                imported.add(worker)
                heapq.heappush(running, (clock[0] + truth[given.id] + cold, worker, given.id, clock[0], bool(cold)))
        if not running:
            return seen, clock[0]
        end, worker, id, began, was_cold = heapq.heappop(running)
        while second < end:
            clock[0] = second
            seen.append((second, found.left(), found.rough))
            second += 1
        clock[0] = end
        found.finished(schedule.jobs[id], end - began, not was_cold, str(worker))
        schedule.hear(str(worker))
        schedule.finish(id)
        idle.append(worker)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("seed", range(12))
def test_after_a_warm_up_the_estimate_is_near_and_never_jumps(workers, seed, clock):
    seen, end = simulated(seed, workers, clock)
    known = [(now, left) for now, left, rough in seen if not rough]
    assert known
    assert known[0][0] < 0.5 * end  # the warm-up
    for now, left in known:
        assert 1 / NEAR < (left + ALLOWANCE * end) / (end - now + ALLOWANCE * end) < NEAR, (now, left, end)
    for (before, told), (now, left) in itertools.pairwise(known):
        expected = max(told - (now - before), 1.0)
        assert left < 2 * expected, (now, told, left)
        assert left > expected / 2 - 1, (now, told, left)


def test_many_workers_are_no_reason_to_jump_either(clock):
    for seed in range(6):
        seen, _ = simulated(seed, 16, clock)
        known = [left for _, left, rough in seen if not rough]
        assert all(later < 2 * max(left, 1.0) for left, later in itertools.pairwise(known))
