"""What a search takes over from other models: the jobs that this needs, what they share, and what their rows say."""

import json

import numpy as np
import pandas as pd
import pytest

from hqc_ray.errors import InputError
from hqc_ray.evaluation.statistics import total_gradients
from hqc_ray.results import store as results
from hqc_ray.results.seal import DamagedError, npz
from tests.sweep.cases import Shelf, build, changed, do, kinds, planned

MEMBERS = "{ideal: {}, bottleneck: {rounds: 1, directions: 8}, control: {steps: 3}, pgd: {steps: 3}}"
ATTACK = f"{{name: autoattack, epsilon: [0.1, 0.4], members: {MEMBERS}}}"
SCALES = "{name: qiskit.aer, noise: fake_manila, noise_scale: [0.5, 2]}"
IDEAL = "{name: default.qubit}"


def text(devices=f"[{SCALES}, {IDEAL}]", attack=ATTACK, head="vqc1", more=""):
    return changed(
        ("{name: fgsm, epsilon: [0.01, 0.1]}", attack),
        ("head: tanh", f"head: {head}"),
        ("epochs: 1", "epochs: 20"),
        more=f"  device: {devices}\n{more}",
    )


@pytest.fixture(scope="module")
def done():
    """A sweep over three noise scales and the ideal device: its graph, what it gave, and its outcomes."""
    graph, store = build(text()), Shelf()
    return graph, store, do(graph, store)


def rows(graph, outcomes):
    """Planned and measured columns together."""
    found = [dict(row) | dict(of) for job in graph.jobs for row, of in zip(job.rows, outcomes[job.id].measured, strict=True)]
    return pd.DataFrame(found)


def starts(graph):
    return [job for job in graph.jobs if job.id.startswith("start/")]


def test_one_search_of_the_twin_begins_all_others_and_has_the_ideal_device_s_rows(done):
    graph, _, outcomes = done
    assert kinds(graph) == {"features": 1, "train": 2, "fit": 3, "search": 3}
    (start,) = starts(graph)
    assert [row.device for row in start.rows] == ["default.qubit"] * 2
    others = [job for job in graph.jobs if job.kind == "search" and job is not start]
    assert all(start.id in job.needs for job in others)
    table = rows(graph, outcomes)
    ideal, noisy = (table[table.device == "default.qubit"], table[table.device != "default.qubit"])
    assert list(ideal.start_key.unique()) == [""]
    assert set(noisy.start_key) == set(ideal.search_key)
    assert {tuple(json.loads(m)) for m in ideal.members} == {("bottleneck", "control", "pgd")}
    assert {tuple(json.loads(m)) for m in noisy.members} == {("ideal", "bottleneck", "control", "pgd")}
    took = ideal.set_index("epsilon").gradients
    assert (noisy.start_gradients == noisy.epsilon.map(took)).all()
    assert ideal.start_gradients.isna().all()


def test_what_it_took_counts_once_with_its_rows_and_without(done):
    graph, _, outcomes = done
    table = rows(graph, outcomes)
    ideal, noisy = (table[table.device == "default.qubit"], table[table.device != "default.qubit"])
    assert ideal.gradients.sum() > 0
    assert total_gradients(table) == table.gradients.sum() == total_gradients(noisy) > noisy.gradients.sum()


def test_without_an_ideal_device_it_is_a_search_without_rows_and_gives_the_same(done):
    graph, _, outcomes = done
    before = rows(graph, outcomes).set_index("key")
    alone, store = build(text(devices=SCALES)), Shelf()
    assert kinds(alone) == {"features": 1, "train": 2, "fit": 3, "search": 3}
    (start,) = starts(alone)
    assert not start.rows
    after = rows(alone, do(alone, store)).set_index("key")
    assert len(after) == 4
    pd.testing.assert_frame_equal(after, before.loc[after.index], check_dtype=False)
    assert len(planned(text(devices=SCALES)).starts) == 1
    assert not planned(text()).starts


def test_the_images_are_those_of_the_ideal_device_s_own_rows(done):
    graph, store, outcomes = done
    (start,) = starts(graph)
    arrays = store.artifacts[start.id]
    assert arrays["epsilons"].tolist() == [0.1, 0.4]
    assert arrays["values"].dtype == np.float32
    assert len(arrays["values"]) == np.isfinite(arrays["fell"]).sum() > 0
    for row, measured in zip(start.rows, outcomes[start.id].measured, strict=True):
        fallen = (arrays["fell"] <= row.epsilon).mean()
        assert measured.robust_accuracy == pytest.approx(measured.clean_accuracy - fallen)


def test_a_sweep_that_lost_the_images_makes_them_again_and_gives_the_same_rows(done):
    graph, store, outcomes = done
    (start,) = starts(graph)
    lost = next(job for job in graph.jobs if job.kind == "search" and job is not start)
    artifacts = {id: found for id, found in store.artifacts.items() if not id.startswith(("start/", "search/"))}
    finished = {row.key for job in graph.jobs if job is not lost for row in job.rows}
    left = Shelf(artifacts, finished)
    again = build(text(), left)
    assert [(job.id, len(job.rows)) for job in again.jobs] == [(start.id, 0), (lost.id, 2)]
    found = do(again, left)
    assert [m.model_dump() for m in found[lost.id].measured] == [m.model_dump() for m in outcomes[lost.id].measured]
    for name, array in store.artifacts[start.id].items():
        np.testing.assert_array_equal(found[start.id].artifact[name], array)
    assert [job.id for job in build(text(), Shelf(store.artifacts, finished)).jobs] == [lost.id]  # they are in the store
    nothing = Shelf(artifacts, {row.key for job in graph.jobs for row in job.rows})
    assert not build(text(), nothing).jobs


@pytest.mark.parametrize("head", ["tanh", "linear"])
def test_a_head_without_a_circuit_has_neither(head):
    plan = planned(text(head=head))
    assert [(g.search.control, g.search.start) for g in plan.groups] == [(None, None)]
    graph, store = build(text(head=head)), Shelf()
    assert kinds(graph) == {"features": 1, "train": 1, "search": 1}
    members = rows(graph, do(graph, store)).members.iloc[0]
    assert json.loads(members) == (["bottleneck", "pgd"] if head == "tanh" else ["pgd"])


def test_the_control_is_the_one_that_the_file_trains():
    graph = build(text(head="[vqc1, tanh]", devices=IDEAL))
    assert kinds(graph) == {"features": 1, "train": 2, "fit": 1, "search": 2}
    plan = planned(text(head="[vqc1, tanh]", devices=IDEAL))
    assert plan.groups[0].search.control is plan.groups[1].search.training
    assert len(plan.trainings) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"more": "  evaluate: {images: 6, batch_size: 3, access: ideal}", "attack": "{name: autoattack, epsilon: 0.1}"},
        {"more": "  evaluate: {images: 6, batch_size: 3, judges: {devices: all}}"},
        {"more": "  evaluate: {images: 6, batch_size: 3, mode: native}"},
        {"devices": "{name: qiskit.aer, noise: fake_manila, shots: 50}"},
        {"devices": IDEAL},
    ],
    ids=["ideal access", "judges", "native", "shots", "ideal device"],
)
def test_where_nothing_would_be_saved_no_twin_is_searched(change):
    changes = dict(change)
    if "evaluate" in (more := changes.pop("more", "")):
        whole = text(**changes).replace("  evaluate: {images: 6, batch_size: 3}", more)
    else:
        whole = text(**changes)
    assert all(group.search.start is None for group in planned(whole).groups)
    assert all(group.search.control for group in planned(whole).groups)


def test_at_features_the_control_helps_and_at_angles_it_is_left_out():
    attack = "{name: autoattack, level: [features, angles], epsilon: 0.5}"
    groups = planned(text(attack=attack, devices=SCALES)).groups
    found = {(g.search.attack.level, bool(g.search.control), bool(g.search.start)) for g in groups}
    assert found == {("features", True, True), ("angles", False, True)}
    named = "{name: autoattack, level: features, epsilon: 0.5, members: {ideal: {}, control: {steps: 2}, pgd: {steps: 2}}}"
    graph = build(text(attack=named, devices="{name: qiskit.aer, noise: fake_manila}"))
    assert all(json.loads(m)[-2:] == ["control", "pgd"] for m in rows(graph, do(graph, Shelf())).members)


def test_keys_say_what_is_borrowed():
    def keys(attack):
        return {row.key for job in build(text(attack=attack, devices=IDEAL)).jobs for row in job.rows}

    one = keys("{name: autoattack, epsilon: 0.1, members: {control: {steps: 3}, pgd: {}}}")
    assert one == keys("{name: autoattack, epsilon: 0.1, members: {control: {steps: 3}, pgd: {}}}")
    for other in ("{pgd: {}}", "{control: {steps: 4}, pgd: {}}", "{pgd: {}, control: {steps: 3}}"):
        assert not one & keys(f"{{name: autoattack, epsilon: 0.1, members: {other}}}")


def test_images_in_the_store_are_sealed_and_checked():
    whole = {"fell": np.array([0.1, np.inf]), "values": np.zeros((1, 3), np.float32)}
    took = {"epsilons": np.array([0.1]), "gradients": np.array([5])}
    holds = results.HOLDS["start"][1]
    assert holds({**whole, **took})
    for bad in (whole, took, {**whole, **took, "values": np.zeros((2, 3))}, {**whole, **took, "gradients": np.array([1, 2])}):
        assert not holds(bad)
    assert holds(results.arrays(npz({**whole, **took})))
    with pytest.raises(DamagedError):
        results.arrays(b"not an archive")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attack": "{name: autoattack, epsilon: 0.1, members: {contol: {}}}"}, "unknown attack 'contol'"),
        ({"attack": "{name: autoattack, epsilon: 0.1, members: {ideal: {}}}"}, "takes over what the other members find"),
        ({"attack": "{name: ensemble, epsilon: 0.1, members: {ideal: {}, pgd: {}}}"}, "a member of autoattack alone"),
    ],
)
def test_what_cannot_be_borrowed_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        planned(text(**change))
