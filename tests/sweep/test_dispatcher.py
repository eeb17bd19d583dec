"""Who gets which job, whatever dies: the dispatcher alone, without Ray."""

import asyncio
import time

from hqc_ray.sweep.graph.jobs import Job
from hqc_ray.sweep.graph.schedule import ALL_LOSSES, LOSSES
from hqc_ray.sweep.tune import dispatcher
from hqc_ray.sweep.tune.dispatcher import DRIVER_SECONDS, SLICE_SECONDS, Dispatcher


def job(id, *needs, cost=1.0):
    return Job(id, "train", needs, None, cost)


def make(*jobs):
    return Dispatcher(jobs, {})


def ask(it, ticket, worker, patient=False):
    return asyncio.run(it.next(ticket, worker, [], patient))


def test_what_a_dead_worker_held_goes_to_whoever_is_free():
    it = make(job("long", cost=3), job("short"))
    assert ask(it, "t1", "/w1").job.id == "long"
    assert ask(it, "t2", "/w2").job.id == "short"
    assert ask(it, "t2", "/w2").job is None
    assert asyncio.run(it.lose("t1", [""])) == ([], 0, True)
    assert ask(it, "t2", "/w2").job.id == "long"


def test_a_worker_that_counts_as_dead_gets_nothing_and_is_sent_home():
    it = make(job("a"))
    ask(it, "t1", "/w1")
    asyncio.run(it.lose("t1", [""]))
    reply = ask(it, "t1", "/w1")
    assert (reply.job, reply.more) == (None, False)
    assert ask(it, "t1", "/w2").job.id == "a"  # the same ticket, in its next life


def test_a_job_that_always_kills_is_given_up_and_takes_with_it_only_what_needs_it():
    it = make(job("deadly", cost=3), job("needs it", "deadly"), job("innocent"))
    for life in range(LOSSES + 1):
        assert ask(it, "t", f"/w{life}").job.id == "deadly"
        lost, *_ = asyncio.run(it.lose("t", [""]))
        assert lost == ([["deadly", "needs it"]] if life == LOSSES else [])
    assert ask(it, "t", "/w").job.id == "innocent"


def test_a_job_is_not_given_up_because_spot_nodes_vanish():
    it = make(job("long"))
    for life in range(ALL_LOSSES + 1):
        assert ask(it, "t", f"node{life}/w").job.id == "long"
        alive = ["other"] if life % 7 else ["other", f"node{life}"]  # of some it is known only later
        lost, times, asked = asyncio.run(it.lose("t", alive))
        assert (lost, times, asked) == (([["long"]], life + 1, True) if life == ALL_LOSSES else ([], 0, True))
    assert asyncio.run(it.lose("t", [])) == ([], 0, False)  # it died before it had asked for anything


def test_deaths_on_nodes_that_live_on_are_counted_among_those_on_nodes_that_do_not():
    it, nodes = make(job("deadly")), ["here", "spot", "here", "here", "spot", "here"]
    for life, node in enumerate(nodes):
        ask(it, "t", f"{node}/w{life}")
        lost, times, _ = asyncio.run(it.lose("t", ["here"]))
        assert (lost, times) == (([["deadly"]], 6) if life == 5 else ([], 0))


def test_jobs_that_were_done_but_not_reported_do_not_count_as_deadly():
    it = make(job("done", cost=9), job("deadly"))
    for life in range(LOSSES + 1):
        assert [ask(it, "t", f"/w{life}").job.id for _ in range(2)] == ["done", "deadly"]
        lost, *_ = asyncio.run(it.lose("t", [""]))
    assert lost == [["deadly"]]
    assert ask(it, "t", "/w").job.id == "done"


def test_what_was_reported_is_never_given_again():
    it = make(job("a", cost=2), job("b"))
    ask(it, "t", "/w")
    assert asyncio.run(it.report("t", {"a": []}, [])) == []
    asyncio.run(it.lose("t", [""]))
    assert [ask(it, "t", "/w2").job.id, ask(it, "t", "/w2").job] == ["b", None]
    asyncio.run(it.report("t", {"b": []}, []))
    assert ask(it, "t", "/w2").more is False


def test_a_failure_is_passed_on_and_artifacts_are_found_until_nobody_needs_them():
    it = make(job("a"), job("b", "a"), job("c", cost=2), job("d", "c"))
    ask(it, "t", "/w")
    ask(it, "t", "/w")
    assert asyncio.run(it.report("t", {"a": ["reference"]}, ["c"])) == [["c", "d"]]
    assert asyncio.run(it.input("a")) == ["reference"]
    assert ask(it, "t", "/w").job.id == "b"
    asyncio.run(it.report("t", {"b": []}, []))
    assert it.inputs == {}


def test_a_patient_worker_is_woken_when_something_is_ready(monkeypatch):
    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", 30.0)

    async def both():
        it = make(job("a"), job("b", "a"))
        await it.next("t1", "/w1", [], False)
        waiting = asyncio.create_task(it.next("t2", "/w2", [], True))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await it.report("t1", {"a": []}, [])
        return await waiting

    began = time.monotonic()
    assert asyncio.run(both()).job.id == "b"
    assert time.monotonic() - began < 15


def test_an_impatient_or_tired_worker_is_answered(monkeypatch):
    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", 0.05)
    it = make(job("a"))
    ask(it, "t1", "/w1")
    for patient in (False, True):
        reply = ask(it, "t2", "/w2", patient)
        assert (reply.job, reply.more) == (None, True)


def test_many_workers_report_less_often_so_that_the_driver_keeps_up():
    it = make(*(job(str(i)) for i in range(300)))
    slices = [ask(it, f"t{i}", f"w{i}").slice_seconds for i in range(200)]
    assert slices[0] == SLICE_SECONDS
    assert slices[-1] == 200 * DRIVER_SECONDS
