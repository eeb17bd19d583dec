"""What a worker does with jobs, one after another: what it keeps, what it tries twice, where it computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hqc_ray.models import classifier, features
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.sweep.graph.jobs import Job, Outcome
from hqc_ray.sweep.work import worker as room
from hqc_ray.sweep.work.worker import ATTEMPTS, RECENT, Worker
from tests.sweep.cases import SAMPLED, Shelf, build, changed, do, worker

TEXT = changed(("tanh", "vqc1"), more=f"  device: {SAMPLED}")


@pytest.fixture(scope="module")
def done():
    """A graph whose jobs are done, the store with what they gave, and their outcomes."""
    graph, store = build(TEXT), Shelf()
    return graph, store, do(graph, store)


def only(graph, kind):
    (job,) = [job for job in graph.jobs if job.kind == kind]
    return job


POISON = ZeroDivisionError("poison")


def failing(monkeypatch, times, error=POISON):
    """The kind "poison" fails so many times, then is done; gives the list of its attempts."""
    attempts = []

    def do_it(worker, job):
        attempts.append(job.id)
        if len(attempts) <= times:
            raise error
        return Outcome(job.id, 0.0, b"made")

    monkeypatch.setitem(room.KINDS, "poison", do_it)
    return attempts


POISON = Job("a", "poison", (), None, 1.0)


def test_a_job_that_raises_once_is_done(monkeypatch):
    attempts = failing(monkeypatch, ATTEMPTS - 1)
    outcome = Worker(None, "here").run(POISON)
    assert (outcome.artifact, outcome.error, outcome.host) == (b"made", "", "here")
    assert len(attempts) == ATTEMPTS == 2


def test_an_error_becomes_the_outcome_and_the_worker_lives_on(monkeypatch):
    attempts, doer = failing(monkeypatch, ATTEMPTS), Worker(None)
    outcome = doer.run(POISON)
    assert outcome.error.startswith("Traceback")
    assert outcome.error.rstrip().endswith("ZeroDivisionError: poison")
    assert (outcome.artifact, outcome.measured, outcome.job) == (None, (), "a")
    assert len(attempts) == ATTEMPTS
    assert doer.run(POISON).error == ""


def test_who_interrupts_is_not_a_failure(monkeypatch):
    failing(monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Worker(None).run(POISON)


def test_the_time_of_both_attempts_counts(monkeypatch):
    failing(monkeypatch, 1)
    clock = iter([10.0, 17.5])
    monkeypatch.setattr(room.time, "perf_counter", lambda: next(clock))
    assert Worker(None).run(POISON).seconds == 7.5


def test_recent_things_are_kept_and_the_longest_unused_goes():
    doer, made = Worker(None), []

    def thing(i):
        return doer.keep(("model", f"m{i}"), lambda: made.append(i) or i)

    for i in range(RECENT):
        thing(i)
    assert thing(0) is thing(0)
    assert made == list(range(RECENT))  # and 0 has been used last
    thing(RECENT)
    assert doer.warm == [f"m{i}" for i in (RECENT, 0, *range(RECENT - 1, 1, -1))]
    thing(1)
    assert made[-1] == 1


def test_warm_are_models_alone(done):
    graph, store, _ = done
    doer, fetched = worker(graph, store)
    search = only(graph, "search")
    doer.run(search)
    assert doer.warm == [search.affinity]
    before = len(fetched)
    doer.run(search)
    assert [name for name in fetched[before:] if name.startswith(("model/", "surrogate/", "weights/"))] == []


def test_a_backbone_is_built_once_for_all_heads(monkeypatch):
    graph, store, built = build(changed(("tanh", "[tanh, fourier, linear]"))), Shelf(), []
    build_one = room.backbones.build
    monkeypatch.setattr(room.backbones, "build", lambda *args: built.append(args) or build_one(*args))
    do(graph, store)
    assert len(built) == 1


def test_what_each_stage_gives(done):
    graph, _, outcomes = done
    found = outcomes[only(graph, "features").id].artifact
    assert found["features"].shape == (40, 12)
    assert found["features"].dtype == np.float32
    subset = graph.inputs[only(graph, "train").task.inputs.split].value
    assert set(found["hashes"].tolist()) == set(subset.hashes.tolist())
    meta = classifier.loads_meta(outcomes[only(graph, "train").id].artifact)
    assert meta["data_digest"] == subset.digest
    assert meta["seed"] == 0
    assert "path" not in meta["data"]
    search = only(graph, "search")
    measured = outcomes[search.id].measured
    assert len(measured) == len(search.rows) == 2
    assert [round(one.mean_linf, 6) for one in measured] == [0.01, 0.1]
    assert {one.repeats for one in measured} == {1}
    assert set(outcomes[search.id].examples) == {row.example for row in search.rows}


def test_features_reach_the_head_in_the_order_of_the_subset(done):
    graph, store, _ = done
    doer, _ = worker(graph, store)
    inputs = only(graph, "train").task.inputs
    subset, source = graph.inputs[inputs.split].value, next(iter(graph.inputs[only(graph, "features").task.images].places))[0]
    with torch.no_grad():
        expected = doer.backbone(only(graph, "features").task.model, only(graph, "features").task.weights)(
            features.pixels(source.read(subset.indices))
        )
    assert np.array_equal(doer.inputs(inputs), expected.numpy())


def test_the_accuracy_of_a_surrogate_is_that_of_its_device(done, monkeypatch):
    """On a device that is nothing but noise every image is in the same class."""
    graph, store, _ = done
    doer, _ = worker(graph, store)
    fit = only(graph, "fit")
    device = fit.task.deployed.device.model_copy(update={"noise": None, "depolarizing_1q": 0.7, "depolarizing_2q": 0.9})
    noisy = replace(fit, task=replace(fit.task, deployed=replace(fit.task.deployed, device=device)))
    store.artifacts["surrogate/noisy"] = doer.run(noisy).artifact
    _, known = doer.on_device(replace(fit.task.deployed, surrogate="surrogate/noisy"))
    assert known.test_accuracy == 0.5
    assert (
        doer.on_device(replace(fit.task.deployed, device=None))[1].test_accuracy
        == classifier.loads_meta(store.artifacts[only(graph, "train").id])["test_accuracy"]
    )


class Elsewhere:
    """Stands in for a GPU: notes who was sent there, and leaves it where it is."""

    def __init__(self, monkeypatch):
        self.sent = []
        for kind in (Backbone, classifier.Classifier):
            to = kind.to

            def sent(module, where, to=to):
                if where == "cuda":
                    self.sent.append(type(module).__name__)
                    return module
                return to(module, where)

            monkeypatch.setattr(kind, "to", sent)


def test_the_processor_is_where_backbones_and_models_go(done, monkeypatch):
    graph, store, outcomes = done
    there = Elsewhere(monkeypatch)
    doer, _ = worker(graph, store, processor="cuda")
    again = {job.kind: doer.run(job) for job in graph.jobs}
    assert there.sent == ["Backbone", "Classifier"]  # each once, and kept
    assert again["search"].measured == outcomes[only(graph, "search").id].measured
    there.sent.clear()
    for job in graph.jobs:
        worker(graph, store)[0].run(job)
    assert there.sent == []


def test_a_task_of_another_kind_is_an_error(done):
    graph, store, _ = done
    doer, _ = worker(graph, store)
    assert "AssertionError" in doer.run(replace(only(graph, "train"), kind="fit")).error


def test_nested_epsilons_are_searched_together_though_some_rows_are_there():
    attack = "name: autoattack, members: {fgsm: {}, pgd: {steps: 2}}, epsilon: [0.4, 0.01, 0.1]"
    text = changed(("name: fgsm, epsilon: [0.01, 0.1]", attack))
    graph, store = build(text), Shelf()
    job = only(graph, "search")
    whole = do(graph, store)[job.id].measured
    for at, row in enumerate(job.rows):
        store.finished.remove(row.key)
        (rest,) = build(text, store).jobs
        doer, _ = worker(graph, store)
        (measured,) = doer.run(rest).measured
        assert measured.model_dump(exclude={"seconds"}) == whole[at].model_dump(exclude={"seconds"})
        store.finished.add(row.key)
    assert not build(text, store).jobs
    keys = {row.key for row in only(build(text.replace("0.01, 0.1]", "0.01]")), "search").rows}
    assert not keys & {row.key for row in job.rows}  # another list is another search
