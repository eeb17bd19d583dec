import pytest

from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.graph.schedule import Schedule


def job(id, *needs, cost=1.0, affinity=""):
    return Job(id, "train", needs, None, cost, affinity=affinity)


def test_a_job_waits_for_what_it_needs_and_the_longest_goes_first():
    schedule = Schedule([job("a"), job("b", "a", cost=5), job("c", cost=3), job("d", "b", "c")], published=[])
    assert schedule.next("w1").id == "c"
    assert schedule.next("w2").id == "a"
    assert schedule.next("w3") is None
    schedule.finish("a")
    assert schedule.next("w2").id == "b"
    schedule.finish("b")
    assert schedule.next("w2") is None
    schedule.finish("c")
    assert schedule.next("w1").id == "d"
    schedule.finish("d")
    assert schedule.open == 0


def test_a_warm_worker_gets_its_own_model_before_a_longer_job():
    schedule = Schedule([job("x", cost=9, affinity="m1"), job("y", cost=1, affinity="m2")], published=[])
    assert schedule.next("w", warm=["m2"]).id == "y"
    assert schedule.next("w2", warm=["m2"]).id == "x"


def test_a_worker_that_lost_its_job_gets_the_same_again():
    schedule = Schedule([job("a", cost=2), job("b")], published=[])
    assert schedule.next("w").id == "a"
    assert schedule.lose("w") == []
    assert schedule.next("w").id == "a"
    assert schedule.next("other").id == "b"


def test_a_failure_takes_with_it_all_that_needs_it_and_nothing_else():
    schedule = Schedule([job("a", cost=2), job("b", "a"), job("c", "b"), job("d")], published=[])
    schedule.next("w")
    assert schedule.fail("a") == ["a", "b", "c"]
    assert schedule.next("w").id == "d"
    schedule.finish("d")
    assert schedule.open == 0


def test_inputs_are_let_go_when_nobody_needs_them_any_more():
    schedule = Schedule([job("a", "input"), job("b", "input", "a")], published=["input"])
    schedule.next("w")
    assert schedule.finish("a") == []
    schedule.next("w")
    assert set(schedule.finish("b")) == {"input", "a"}


def test_a_need_that_nothing_gives_is_refused():
    with pytest.raises(KeyError, match="a needs ghost"):
        Schedule([job("a", "ghost")], published=[])
