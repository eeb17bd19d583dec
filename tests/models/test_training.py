from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

from hqc_ray.errors import HqcError, ModelError
from hqc_ray.models import backbones, classifier, features, heads, training
from hqc_ray.spec import ModelSpec, TrainSpec

NONE = np.array([], dtype=np.int64)
TRAIN, VALIDATION, TEST = np.arange(60), np.arange(60, 90), np.arange(90, 120)


def spec(head="tanh", **options) -> ModelSpec:
    return ModelSpec(backbone="squeezenet1_0", weights="random", head=head, **options)


def fit(task, head="tanh", validation=VALIDATION, seed=0, n_classes=2, **options):
    inputs, labels = task
    train_spec = TrainSpec(**{"epochs": 8, "batch_size": 16, "learning_rate": 0.02, **options})
    return training.train(spec(head), train_spec, inputs, labels, TRAIN, validation, seed, n_classes=n_classes)


def equal(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("head", ["linear", "mlp", "tanh", "fourier", "vqc1", "vqc6"])
def test_learns_and_repeats_to_the_last_bit(task, head):
    found = fit(task, head)
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]
    assert found.history[found.best_epoch - 1]["validation_accuracy"] > 0.7
    torch.rand(3)  # the global stream plays no part
    again = fit(task, head)
    assert equal(found.state, again.state)
    assert found.history == again.history
    assert not equal(found.state, fit(task, head, seed=1).state)


def test_global_random_state_is_left_alone(task):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    fit(task, "vqc1", epochs=1)
    assert torch.equal(torch.rand(2), expected)


def test_the_order_of_batches_and_the_first_weights_are_independent_streams(task, monkeypatch):
    asked = []
    stream = training.seeds.stream
    monkeypatch.setattr(training.seeds, "stream", lambda *names: asked.append(names) or stream(*names))
    fit(task, seed=7, epochs=1)
    assert asked == [(7, "init"), (7, "batches")]


def test_the_state_is_that_of_the_best_validation_epoch(task):
    for head in ("tanh", "fourier"):
        found = fit(task, head, epochs=12, learning_rate=0.1)
        scores = [(e["validation_accuracy"], -e["validation_loss"]) for e in found.history]
        assert found.best_epoch == 1 + scores.index(max(scores))
        assert equal(found.state, fit(task, head, epochs=found.best_epoch, learning_rate=0.1).state)
        assert found.best_epoch < 12  # else nothing was tested


def test_the_history_is_of_the_model_that_is_kept(task, squeezenet):
    inputs, labels = task
    found = fit(task, epochs=5)
    state = found.state
    hidden = (torch.from_numpy(inputs[VALIDATION]) - state["head.center"]) * state["head.scale"]
    hidden = torch.tanh(hidden @ state["head.reduce.weight"].T + state["head.reduce.bias"])
    logits = hidden @ state["head.readout.weight"].T + state["head.readout.bias"]
    accuracy = (logits.argmax(1).numpy() == labels[VALIDATION]).mean()
    assert found.history[found.best_epoch - 1]["validation_accuracy"] == pytest.approx(accuracy)
    assert [e["epoch"] for e in found.history] == [1, 2, 3, 4, 5]


def test_without_validation_the_last_epoch_counts(task):
    found = fit(task, validation=NONE, epochs=4)
    assert found.best_epoch == 4
    assert set(found.history[0]) == {"epoch", "train_loss", "train_accuracy"}
    assert not equal(found.state, fit(task, validation=NONE, epochs=3).state)


def test_standardisation_is_of_the_training_part_only(task):
    inputs, labels = task
    changed = inputs.copy()
    changed[TEST] *= 100
    found = training.train(spec(), TrainSpec(epochs=1), changed, labels, TRAIN, NONE, 0, n_classes=2).state
    torch.testing.assert_close(found["head.center"], torch.from_numpy(inputs[TRAIN].mean(0)), atol=1e-5, rtol=0)
    assert equal(found, training.train(spec(), TrainSpec(epochs=1), inputs, labels, TRAIN, NONE, 0, n_classes=2).state)


def test_a_diverging_training_says_so(task):
    inputs, labels = task
    broken = inputs.copy()
    broken[5, 0] = np.inf
    with pytest.raises(
        HqcError, match=r"squeezenet1_0 \+ tanh diverged: the loss is nan in epoch 1 \(learning rate 0\.02, seed 0\)"
    ):
        fit((broken, labels))


def test_nothing_to_train_on_is_refused(task):
    with pytest.raises(ModelError, match="no images to train on"):
        training.train(spec(), TrainSpec(), *task, NONE, VALIDATION, 0, n_classes=2)


@pytest.fixture(scope="module")
def pictures():
    """uint8 images [40, 20, 28, 3] whose left half is brighter in class 1, and labels."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.array([0, 1], dtype=np.uint8), 20)
    images = rng.integers(0, 160, (40, 20, 28, 3))
    images[:, :, :14] += 60 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


@pytest.mark.parametrize("name", ["cnn1", "cnn2"])
def test_a_cnn_trains_end_to_end_and_repeats(pictures, name):
    images, labels = pictures
    model_spec = ModelSpec(backbone=name, image_size=24, head="linear")
    runs = [
        training.train(
            model_spec, TrainSpec(epochs=4, batch_size=8), images, labels, np.arange(32), np.arange(32, 40), 2, n_classes=2
        )
        for _ in range(2)
    ]
    assert equal(runs[0].state, runs[1].state)
    drawn = torch.Generator().manual_seed(training.seeds.stream(2, "init"))
    start = backbones.get(name, image_size=24, generator=drawn).body[0].weight
    assert not torch.equal(runs[0].state["backbone.body.0.weight"], start)
    model = classifier.assemble(model_spec, 2, runs[0].state)
    logits, best = model(features.pixels(images[32:])), runs[0].history[runs[0].best_epoch - 1]
    assert (logits.argmax(1).numpy() == labels[32:]).mean() == best["validation_accuracy"]
    assert nn.functional.cross_entropy(logits, torch.from_numpy(labels[32:]).long()).item() == pytest.approx(
        best["validation_loss"]
    )
    assert runs[0].history[-1]["train_loss"] < runs[0].history[0]["train_loss"]


def test_a_cnn_does_not_take_features(task):
    with pytest.raises(ModelError, match="cnn1: is trained on images"):
        training.train(ModelSpec(backbone="cnn1"), TrainSpec(), *task, TRAIN, NONE, 0, n_classes=2)


def test_images_for_a_frozen_backbone_are_turned_into_features(pictures, squeezenet):
    images, labels = pictures
    given = [images, features.extract(squeezenet, images)]
    model_spec = spec(image_size=48)
    runs = [
        training.train(model_spec, TrainSpec(epochs=2), x, labels, np.arange(32), NONE, 0, squeezenet, n_classes=2).state
        for x in given
    ]
    assert equal(*runs)
    assert all(key.startswith("head.") for key in runs[0])


DATA, WEIGHTS = os.environ.get("HQC_DATA"), os.environ.get("HQC_WEIGHTS")


@pytest.mark.skipif(not (DATA and WEIGHTS), reason="HQC_DATA (PCam) and HQC_WEIGHTS (resnet18.pth) are not set")
def test_real_patches_are_learnt():
    from hqc_ray import data
    from hqc_ray.data.splits import subset

    source = data.get("pcam", path=DATA, split="train")
    chosen = subset(source, 1000, seed=0)
    backbone = backbones.get("resnet18", "imagenet", 96)
    inputs = features.extract(backbone, source.read(chosen.indices))
    for head in ("tanh", "vqc1"):
        model_spec = ModelSpec(backbone="resnet18", head=head, n_qubits=4)
        found = training.train(model_spec, TrainSpec(), inputs, chosen.labels, chosen.train, chosen.validation, 0, n_classes=2)
        model = classifier.assemble(model_spec, 2, found.state, backbone)
        with torch.no_grad():
            predictions = model.classify(torch.from_numpy(inputs[chosen.test])).argmax(1).numpy()
        assert (predictions == chosen.labels[chosen.test]).mean() > 0.70


@pytest.mark.parametrize("head", ["linear", "mlp", "tanh", "vqc1"])
def test_learns_more_classes_than_two(head):
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(3, dtype=np.uint8), 40)
    inputs = rng.normal(size=(120, 10)).astype(np.float32)
    inputs[np.arange(120), labels] += 4
    found = fit((inputs, labels), head, n_classes=3, epochs=25)
    assert found.history[found.best_epoch - 1]["validation_accuracy"] > 0.7
    head = heads.build(spec(head), 10, 3, torch.Generator())
    head.load_state_dict({key.removeprefix("head."): value for key, value in found.state.items()})
    predicted = head(torch.from_numpy(inputs[TEST])).argmax(1).numpy()
    assert set(predicted) == {0, 1, 2}
    assert (predicted == labels[TEST]).mean() > 0.7


def test_a_label_that_is_no_class_is_refused(task):
    inputs, labels = task
    with pytest.raises(ModelError, match=r"labels: the label 5 \(valid: 0 to 2\)"):
        fit((inputs, labels * 5), n_classes=3)
