"""From a plan and what is there to the jobs that are left: nothing twice, nothing missing."""

import numpy as np
import pytest

from hqc_ray.errors import DataError
from hqc_ray.sweep.graph import builder
from hqc_ray.sweep.graph.inputs import Content, Images, Pixels, Stored
from hqc_ray.sweep.graph.schedule import Schedule
from tests.sweep.cases import NOISY, SAMPLED, Shelf, build, changed, do, kinds, planned, save_weights

CIRCUIT = changed(("tanh", "[vqc1, tanh]"), more=f"  device: [{{name: default.qubit}}, {NOISY}, {SAMPLED}]")


def without(store, prefix):
    return Shelf({id: found for id, found in store.artifacts.items() if not id.startswith(prefix)})


def only(graph, kind):
    return [job for job in graph.jobs if job.kind == kind]


def test_a_fresh_sweep_extracts_once_trains_each_head_and_measures_each_exact_device_once():
    graph = build(CIRCUIT)
    # vqc1: default.qubit, manila, and manila's shots, which are searched for another audience; tanh has no device
    assert kinds(graph) == {"features": 1, "train": 2, "fit": 2, "search": 4}
    assert len(graph.order) == len(set(graph.order)) == 8
    assert {job.task.deployed.device.options.get("shots") for job in only(graph, "fit")} == {None}
    surrogates = [job.task.judges[0].deployed.surrogate for job in only(graph, "search") if "vqc1" in job.task.title]
    assert len(surrogates) == 3
    assert len(set(surrogates)) == 2  # a device and its sampled twin share one
    assert [one.task.judges[0].deployed.device.options.get("shots") for one in only(graph, "search")[:3]] == [None, None, 50]
    Schedule(graph.jobs, graph.inputs)  # every need is given by something


def test_every_stage_that_is_there_is_an_input_and_makes_what_it_needed_superfluous():
    store, first = Shelf(), build(CIRCUIT)
    do(first, store)
    trained = {id for id in store.artifacts if id.startswith("model/")}
    graph = build(CIRCUIT, Shelf(store.artifacts))
    assert kinds(graph) == {"search": 4}
    assert {id for id, recipe in graph.inputs.items() if isinstance(recipe, Stored)} == {
        id for id in store.artifacts if id.startswith(("model/", "surrogate/"))
    }
    assert {one.task.searched.trained for one in graph.jobs} == trained
    assert kinds(build(CIRCUIT, without(store, "surrogate/"))) == {"fit": 2, "search": 4}  # with features that are there
    assert kinds(build(CIRCUIT, without(store, "features/"))) == {"search": 4}  # which nobody needs any more
    alone = Shelf({id: store.artifacts[id] for id in trained})
    assert kinds(build(CIRCUIT, alone)) == {"features": 1, "fit": 2, "search": 4}  # a surrogate is tried on features
    assert kinds(build(CIRCUIT, without(store, "model/"))) == {"train": 2, "search": 4}
    assert kinds(build(CIRCUIT, store)) == {}
    assert build(CIRCUIT, store).order == first.order


def test_of_a_search_only_the_open_cells_are_done():
    whole = build()
    (search,) = only(whole, "search")
    assert [row.epsilon for row in search.rows] == [0.01, 0.1]
    rest = build(store=Shelf(done=[search.rows[0].key]))
    (open,) = only(rest, "search")
    assert open.rows == search.rows[1:]
    assert open.id != search.id  # another piece of work
    assert open.cost < only(build(changed(("fgsm", "pgd"))), "search")[0].cost
    assert rest.order == whole.order
    assert kinds(build(store=Shelf(done=whole.order))) == {}


def test_features_are_extracted_of_images_that_have_none(monkeypatch):
    monkeypatch.setattr(builder, "CHUNK", 16)
    graph, store = build(changed(("tanh", "[tanh, linear]"), more="  seed: [0, 1]")), Shelf()
    sizes = [len(graph.inputs[job.task.images].hashes) for job in only(graph, "features")]
    union = {h for job in only(graph, "features") for h in graph.inputs[job.task.images].hashes}
    assert sum(sizes) == len(union)  # both seeds and both heads: each image once
    assert set(sizes[:-1]) == {16}
    assert 40 < len(union) <= 80
    do(graph, store)
    chunk = only(graph, "features")[1].id
    later = build(changed(("tanh", "mlp"), more="  seed: [0, 1]"), without(store, chunk))
    (again,) = only(later, "features")
    assert again.id == chunk  # the same images by name
    train = only(later, "train")[0]
    assert len(train.task.inputs.features) > 1
    assert set(train.needs) <= {*later.inputs, again.id}


def test_cached_chunks_of_other_images_are_not_inputs():
    strangers = {"hashes": np.array([b"x" * 32, b"y" * 32]), "features": np.zeros((2, 12), np.float32)}
    key = only(build(), "features")[0].id.split("/")[1]
    graph = build(store=Shelf({f"features/{key}/other": strangers}))
    assert kinds(graph)["features"] == 1
    assert f"features/{key}/other" not in graph.inputs


@pytest.mark.parametrize(("there", "cells"), [("seed: 0", 2), ("seed: 1", 4)])
def test_two_places_with_the_same_images_are_one_and_with_others_two(there, cells):
    here = "{source: 'tests.sweep.cases:Dots', size: 40}"
    place = here.replace("size: 40", f"size: 40, path: elsewhere, {there}")
    graph = build(changed((here, f"[{here.replace('size: 40', 'size: 40, path: here, seed: 0')}, {place}]")))
    assert len(graph.order) == cells
    assert len(only(graph, "search")) == cells / 2


def test_the_same_image_is_read_where_it_lies():
    graph = build()
    (features,) = only(graph, "features")
    pixels = graph.inputs[features.task.images]
    assert isinstance(pixels, Pixels)
    made = pixels.make(Shelf())
    subset = graph.inputs[only(graph, "train")[0].task.inputs.split].value
    at = dict(zip(made["hashes"].tolist(), made["images"], strict=True))
    source, indices = pixels.places[0][0], subset.indices[subset.test[:6]]
    (search,) = only(graph, "search")
    assert isinstance(graph.inputs[search.task.images], Images)
    attacked = graph.inputs[search.task.images].make(Shelf())
    assert np.array_equal(attacked, source.read(indices))
    assert np.array_equal(attacked, np.stack([at[h] for h in subset.hashes[subset.test[:6]].tolist()]))


def test_the_weights_of_a_backbone_are_an_input_of_all_that_run_it(tmp_path):
    path = save_weights(tmp_path / "mine.pth")
    graph = build(changed(("cases:tiny", "cases:Patches"), ("weights: random", f"weights: {path}"), ("tanh", "vqc1")))
    (name,) = [name for name in graph.inputs if name.startswith("weights/")]
    assert isinstance(graph.inputs[name], Content)
    assert graph.inputs[name].make(Shelf()).tobytes() == path.read_bytes()
    assert {job.kind for job in graph.jobs if name in job.needs} == {"features", "train", "fit", "search"}
    drawn = build(changed(("cases:tiny", "cases:Patches")))
    assert not [name for name in drawn.inputs if name.startswith("weights/")]
    do(graph, Shelf())


def test_a_backbone_that_is_trained_reads_images():
    graph = build(changed(("cases:tiny", "cases:Trained")))
    assert kinds(graph) == {"train": 1, "search": 1}
    (train,) = only(graph, "train")
    assert graph.inputs[train.task.inputs.images].make(Shelf()).shape == (40, 8, 8, 3)
    assert train.task.inputs.features == ()
    assert train.task.inputs.images in train.needs


def test_behind_the_backbone_features_are_read_and_no_images():
    text, store = changed(("epsilon:", "level: features, epsilon:")), Shelf()
    graph = build(text)
    (search,) = only(graph, "search")
    assert search.task.images == ""
    assert search.task.inputs.features == (only(graph, "features")[0].id,)
    assert search.task.inputs.features[0] in search.needs
    do(graph, store)
    models = Shelf({id: found for id, found in store.artifacts.items() if id.startswith("model/")})
    assert kinds(build(text, models)) == {"features": 1, "search": 1}


def test_the_ideal_twin_is_attacked_without_a_surrogate_and_each_device_judges_with_its_own():
    graph = build(changed(("tanh", "vqc1"), ("images: 6", "images: 6, access: ideal"), more=f"  device: [{NOISY}, {SAMPLED}]"))
    assert kinds(graph) == {"features": 1, "train": 1, "fit": 1, "search": 1}
    (search,) = only(graph, "search")
    assert search.task.searched.surrogate == ""
    assert [judge.deployed.device.options["shots"] for judge in search.task.judges] == [None, 50]
    assert search.task.judged == (0, 1, 0, 1)
    assert [row.device for row in search.rows] == ["qiskit.aer[fake_manila]", "qiskit.aer[fake_manila,shots=50]"] * 2


def test_native_runs_measure_no_surrogate():
    graph = build(changed(("tanh", "vqc1"), ("images: 6", "images: 6, mode: native"), more=f"  device: {NOISY}"))
    assert kinds(graph) == {"features": 1, "train": 1, "search": 1}
    deployed = only(graph, "search")[0].task.searched
    assert (deployed.native, deployed.surrogate, deployed.device.name) == (True, "", "qiskit.aer")


def test_a_judge_that_was_trained_on_other_images_brings_its_split():
    graph = build(changed(("images: 6", "images: 6, judges: {seeds: all}"), more="  seed: [0, 1]"))
    for search in only(graph, "search"):
        own, other = search.task.judges
        assert own.split == ""
        assert other.split in search.needs
        assert other.split != search.task.inputs.split
        assert other.deployed.trained in search.needs
        assert search.affinity == search.task.searched.trained


def test_a_subset_that_cannot_be_had_is_refused_with_its_place():
    with pytest.raises(DataError, match=r"^blocks\[0\]\.data\.size: 40 images asked for"):
        planned(changed(("size: 40", "size: 40, images: 30")))
