"""Keys: what makes a model, a surrogate or features another one, and what does not."""

import linecache
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray.errors import DataError, ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.spec import DeviceSpec, ModelSpec
from hqc_ray.sweep.graph.inputs import Content
from hqc_ray.sweep.graph.jobs import Weights
from hqc_ray.sweep.graph.lookup import Lookup, trainable
from hqc_ray.sweep.graph.resolve import Rooms
from hqc_ray.sweep.work import Worker
from hqc_ray.usercode import with_code
from tests.sweep.cases import Dots, changed, planned, save_weights


def training(*changes, more=""):
    return planned(changed(*changes, more=more)).trainings[0]


def key(*changes, more=""):
    return Lookup().model_key(training(*changes, more=more))


@pytest.mark.parametrize(
    "changes",
    [
        [("size: 40", "size: 42")],
        [("size: 40", "size: 40, seed: 1")],  # of the data: other images
        [("size: 40", "size: 40, test_fraction: 0.3")],
        [("epochs: 1", "epochs: 2")],
        [("learning_rate: 0.1", "learning_rate: 0.2")],
        [("head: tanh", "head: fourier")],
        [("n_qubits: 2", "n_qubits: 3")],
        [("image_size: 8", "image_size: 16")],
        [("cases:tiny", "cases:Patches")],
    ],
    ids=lambda changes: changes[0][1],
)
def test_what_makes_another_model(changes):
    assert key(*changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        [("size: 40", "size: 40, path: elsewhere")],
        [("size: 40", "size: 40, seed: 0, n_classes: 2")],  # defaults, written out
        [("head: tanh", "head: tanh, hidden: 7, embedding: ry")],  # options of other heads
        [("epochs: 1", "epochs: 1, batch_size: 32")],
        [("fgsm", "pgd")],
        [("images: 6", "images: 5")],
    ],
    ids=lambda changes: changes[0][1],
)
def test_what_does_not(changes):
    assert key(*changes) == key()


def test_a_seed_is_another_model_and_reads_other_images():
    lookup = Lookup()
    first, second = planned(changed(more="  seed: [0, 1]")).trainings
    assert lookup.model_key(first) != lookup.model_key(second)
    assert lookup.subset(first).digest != lookup.subset(second).digest


def test_a_surrogate_is_of_a_model_and_a_device():
    lookup, made = Lookup(), training()
    noisy = DeviceSpec(name="qiskit.aer", noise="fake_manila")
    devices = [DeviceSpec(name="default.qubit"), DeviceSpec(name="qiskit.aer"), noisy]
    found = {lookup.surrogate_key(t, device) for t in (made, training(("tanh", "fourier"))) for device in devices}
    assert len(found) == 6
    assert lookup.surrogate_key(made, DeviceSpec(name="qiskit.aer")) in found


def test_features_are_of_a_backbone_whatever_the_head():
    lookup = Lookup()
    base = ModelSpec(backbone="tests.sweep.cases:Patches", weights="random", image_size=8, head="linear")
    same = [base.model_copy(update={"head": "tanh"}), ModelSpec(**base.model_dump() | {"n_qubits": 5, "fine": False})]
    assert {lookup.features_key(model) for model in same} == {lookup.features_key(base)}
    others = [base.model_copy(update={"image_size": 16}), ModelSpec(**base.model_dump() | {"fine": True})]
    others.append(base.model_copy(update={"backbone": "tests.sweep.cases:tiny"}))
    assert len({lookup.features_key(model) for model in (base, *others)}) == 4


def test_features_follow_what_is_in_the_file_of_weights_and_not_its_place(tmp_path):
    (tmp_path / "copy").mkdir()
    paths = [save_weights(tmp_path / name, seed) for name, seed in (("mine.pth", 0), ("copy/mine.pth", 0), ("other.pth", 1))]
    models = [ModelSpec(backbone="tests.sweep.cases:Patches", weights=str(path), image_size=8) for path in paths]
    mine, copy, other = (Lookup().features_key(model) for model in models)
    assert mine == copy != other
    assert Lookup().weights_file(models[0]) == Content(paths[0])


def test_no_file_where_weights_are_drawn_or_trained():
    frozen, trained = (ModelSpec(backbone=f"tests.sweep.cases:{name}", weights="random") for name in ("Patches", "Trained"))
    assert Lookup().weights_file(frozen) is None
    assert Lookup().weights_file(trained) is None
    assert (trainable(frozen), trainable(trained)) == (False, True)


def test_each_subset_is_read_once_and_said(monkeypatch):
    said, reads = [], []
    lookup = Lookup(said.append)
    found = planned(changed(("head: tanh", "head: [tanh, linear]"), more="  seed: [0, 1]"))
    read = Dots.read
    monkeypatch.setattr(Dots, "read", lambda self, indices: reads.append(len(indices)) or read(self, indices))
    for made in (*found.trainings, *found.trainings):
        lookup.model_key(made)
    assert said == [f"reading 40 images of tests.sweep.cases:Dots, seed {seed}" for seed in (0, 1)]
    assert sum(n for n in reads if n > 1) >= 80
    assert len({id(lookup.source(made.data)) for made in found.trainings}) == 1


def test_no_more_images_are_attacked_than_the_test_part_has():
    lookup, made = Lookup(), training()
    assert [lookup.n_attacked(made, n) for n in (None, 3, 8, 500)] == [8, 3, 8, 8]


def test_too_few_distinct_images_are_refused_at_their_place(monkeypatch):
    made, blank = training(), np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(Dots, "_image", lambda self, index: blank)
    with pytest.raises(DataError, match=r"^data\.size: 40 images asked for, but only 0 distinct ones of class 1 are left"):
        Lookup().subset(made)


def test_features_follow_the_code_of_a_users_backbone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    model, keys = ModelSpec(backbone="lookup_net:net", weights="random", image_size=8), []
    for pool in ("Avg", "Max"):
        code = f"from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Adaptive{pool}Pool2d(1), nn.Flatten())\n"
        (tmp_path / "lookup_net.py").write_text(code)
        linecache.clearcache()
        with_code.cache_clear()
        keys.append(Lookup().features_key(model))
    assert keys[0] != keys[1]


CHECKPOINTED = """import os

import torch
from torch import nn

from hqc_ray.models.backbones import BackboneEntry


def net():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers.load_state_dict(torch.load(os.environ["CHECKPOINT"]))
    return layers


class Sized(BackboneEntry):
    width: int = 4

    def build(self):
        return nn.Sequential(nn.Conv2d(3, self.width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Tuned(BackboneEntry):
    trainable = True

    def build(self):
        return net()


def other_each_time():
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made[0].weight.data.fill_(__import__("time").perf_counter_ns() % 2**20)
    return made
"""


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Writes the checkpoint that `lookup_checkpoint:net` reads."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "net.pth"
    monkeypatch.setenv("CHECKPOINT", str(path))  # the module is imported once, by whichever test is first
    (tmp_path / "lookup_checkpoint.py").write_text(CHECKPOINTED)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def save(**changes):
        torch.save(layers.state_dict() | changes, path)

    save()
    return save


@pytest.mark.parametrize("name", ["net", "Tuned"])
@pytest.mark.parametrize(
    "changes",
    [{"0.weight": torch.ones(4, 3, 3, 3)}, {"0.bias": torch.ones(4)}, {"1.running_mean": torch.ones(4)}],
    ids=lambda c: next(iter(c)),
)
def test_a_checkpoint_that_a_users_backbone_reads_is_part_of_the_keys(checkpoint, name, changes):
    model = ModelSpec(backbone=f"lookup_checkpoint:{name}", weights="random", image_size=8)
    before = Lookup().weights(model)
    assert Lookup().weights(model) == before
    checkpoint(**changes)
    after = Lookup()
    assert after.weights(model).digest != before.digest
    assert after.weights(model).origin == before.origin


def test_the_options_of_a_users_backbone_are_other_weights_and_the_tables_keep_their_digests(checkpoint):
    lookup = Lookup()
    sized = [ModelSpec(backbone="lookup_checkpoint:Sized", weights="random", image_size=8, width=w) for w in (4, 5)]
    assert len({lookup.weights(model).digest for model in sized}) == 2
    for name in ("squeezenet1_0", "cnn1"):
        assert lookup.weights(ModelSpec(backbone=name, weights="random")) == backbones.weights_id(name, "random")


def test_a_backbone_that_is_another_one_each_time_is_refused(checkpoint):
    model = ModelSpec(backbone="lookup_checkpoint:other_each_time", weights="random", image_size=8)
    says = r"backbone 'lookup_checkpoint:other_each_time': is another network when it is built again \(.*checkpoint.py, line 29\)"
    with pytest.raises(ModelError, match=says):
        Rooms().model(model, training().data)


def test_a_worker_with_another_checkpoint_refuses_its_job(checkpoint):
    model = ModelSpec(backbone="lookup_checkpoint:net", weights="random", image_size=8)
    planned = Lookup().weights(model).digest
    worker = Worker({}.get)
    assert worker.backbone(model, Weights("", planned)).n_features == 4
    checkpoint(**{"0.bias": torch.ones(4)})
    with pytest.raises(
        ModelError, match=rf"has other weights \(.*\) where it runs than where the sweep was planned \({planned}\)"
    ):
        Worker({}.get).backbone(model, Weights("", planned))


def test_a_model_follows_the_gates_of_a_users_circuit_also_where_its_code_is_the_same(monkeypatch):
    """As where another PennyLane decomposes an operation otherwise."""
    found = ModuleType("lookup_circuit")
    monkeypatch.setitem(sys.modules, "lookup_circuit", found)
    keys = []
    for gates in ([("RY", 0), ("RX", 1)], [("RY", 0), ("RX", 1)], [("RY", 1), ("RX", 0)]):
        found.pair = gates
        heads._checked.cache_clear()  # as in another process
        keys.append(key(("head: tanh", 'head: "lookup_circuit:pair"')))
    assert keys[0] == keys[1] != keys[2]
