"""Training images for attacks that aim at where others are: from cached features, and only where an attack wants them."""

import math

import pytest
import torch

from hqc_ray.sweep.work import searching as room
from tests.sweep.cases import Shelf, build, changed, kinds, worker

AIMED = "{name: bottleneck, epsilon: 0.1, rounds: 1, steps: 1, directions: 4, neighbours: 3LEVEL}"


def swept(attack, head="tanh"):
    return changed(("{name: fgsm, epsilon: [0.01, 0.1]}", attack), ("head: tanh", f"head: {head}"))


def told(text, monkeypatch, store=None):
    """The landmarks of all searches, done by one worker, and what the worker has fetched for each; the store after it."""
    given, run = [], room.attacks.run
    monkeypatch.setattr(
        room.attacks, "run", lambda *args, **named: given.append((args[1], named["landmarks"])) or run(*args, **named)
    )
    store = store or Shelf()
    graph = build(text, store)
    doer, fetched = worker(graph, store)
    for job in graph.jobs:
        del fetched[:]
        outcome = doer.run(job)
        assert not outcome.error, outcome.error
        assert set(fetched) <= set(job.needs)  # on a cluster nothing else is there
        store.artifacts[job.id] = outcome.artifact
    return given, store, graph


@pytest.mark.parametrize("level", ["pixels", "features", "angles"])
def test_a_search_that_wants_them_gets_all_training_images(level, monkeypatch):
    given, store, graph = told(swept(AIMED.replace("LEVEL", f", level: {level}")), monkeypatch)
    ((rest, landmarks),) = given
    split = next(graph.inputs[name].value for name in graph.inputs if name.startswith("subset/"))
    assert torch.equal(landmarks.labels, torch.from_numpy(split.labels[split.train]).long())
    (found,) = (one for name, one in store.artifacts.items() if name.startswith("features/"))
    place = {h: i for i, h in enumerate(found["hashes"].tolist())}
    cached = torch.from_numpy(found["features"][[place[h] for h in split.hashes[split.train].tolist()]])
    reduced = rest.head.reduce((cached - rest.head.center) * rest.head.scale)
    wanted = torch.tanh(reduced) * (math.pi / 2) if level == "angles" else reduced
    torch.testing.assert_close(landmarks.points, wanted)


@pytest.mark.parametrize(
    ("attack", "head"),
    [("{name: bottleneck, epsilon: 0.1, rounds: 1, steps: 1, directions: 4}", "tanh"), (AIMED.replace("LEVEL", ""), "linear")],
)
def test_nobody_else_does_and_nothing_is_read_for_it(attack, head, monkeypatch):
    given, _, graph = told(swept(attack, head).replace(", n_qubits: 2", "" if head == "linear" else ", n_qubits: 2"), monkeypatch)
    assert [landmarks for _, landmarks in given] == [None]
    (search,) = [job for job in graph.jobs if job.kind == "search"]
    assert not any(name.startswith("features/") for name in search.needs)


def test_features_that_are_lost_are_made_again_where_they_are_wanted(monkeypatch):
    text = swept(AIMED.replace("LEVEL", ""))
    _, store, _ = told(text, monkeypatch)
    only_models = Shelf({id: one for id, one in store.artifacts.items() if id.startswith("model/")})
    assert kinds(build(text, only_models)) == {"features": 1, "search": 1}
    without = text.replace(", neighbours: 3", "")
    assert kinds(build(without, Shelf(only_models.artifacts))) == {"search": 1}


def test_the_kinds_of_targets_are_part_of_the_key():
    texts = [
        swept(AIMED.replace("LEVEL", "").replace("neighbours: 3", more)) for more in ("neighbours: 3", "counterexamples: true")
    ]
    first, second = (build(text).order for text in texts)
    assert set(first).isdisjoint(second)
