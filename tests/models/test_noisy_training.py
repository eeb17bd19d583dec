from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from torch.nn.functional import cross_entropy

from hqc_ray import devices, plan, spec
from hqc_ray.errors import DeviceError
from hqc_ray.models import classifier, heads, training
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.results.ledger import Ledger
from hqc_ray.spec import DeviceSpec, ModelSpec, TrainSpec
from hqc_ray.sweep import run
from hqc_ray.sweep.graph.resolve import Rooms

TRAIN, VALIDATION = np.arange(60), np.arange(60, 90)
MODEL = ModelSpec(backbone="squeezenet1_0", weights="random", head="vqc1", n_qubits=3)
NOISY = DeviceSpec(name="qiskit.aer", noise="fake_manila", noise_scale=4)
SWEEP = """
name: aware
defaults:
  data: {source: synthetic, size: 40, images: 60}
  train: {epochs: 2, learning_rate: 0.02, device: DEVICE}
  evaluate: {images: 4, batch_size: 4}
  attack: {name: fgsm, epsilon: 0.1}
  device: [{name: default.qubit}, {name: qiskit.aer, noise: fake_manila}]
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: [vqc1, tanh], n_qubits: 3}
"""
BOTH = "[null, {name: qiskit.aer, noise: fake_manila}]"


def fit(task, device=NOISY, seed=0, model=MODEL):
    train_spec = TrainSpec(epochs=3, batch_size=16, learning_rate=0.02, device=device)
    return training.train(model, train_spec, *task, TRAIN, VALIDATION, seed, n_classes=2)


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_trains_under_the_noise_of_the_device(task):
    found = fit(task)
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]
    model = classifier.assemble(MODEL, 2, found.state, tiny_backbone())
    assert isinstance(model.head.core, CircuitLayer)  # the saved model knows nothing of the device
    features, labels = (torch.from_numpy(part[VALIDATION].copy()) for part in task)
    noisy = model.on(devices.get(NOISY.name, **NOISY.options)).classify(features)
    recorded = found.history[found.best_epoch - 1]["validation_loss"]
    assert cross_entropy(noisy, labels.long()).item() == pytest.approx(recorded, abs=1e-6)
    assert cross_entropy(model.classify(features), labels.long()).item() != pytest.approx(recorded, abs=1e-3)


def tiny_backbone():
    backbone = torch.nn.Identity()
    backbone.trainable, backbone.n_features, backbone.device = False, 10, torch.device("cpu")
    return backbone


def test_repeats_to_the_last_bit_and_differs_from_ideal_training(task):
    noisy, ideal = fit(task), fit(task, device=None)
    assert equal(noisy.state, fit(task).state)
    assert noisy.state.keys() == ideal.state.keys()
    assert not torch.equal(noisy.state["head.core.weights"], ideal.state["head.core.weights"])
    weaker = fit(task, device=DeviceSpec(name="qiskit.aer", noise="fake_manila"))
    assert not torch.equal(noisy.state["head.core.weights"], weaker.state["head.core.weights"])


def test_an_ideal_device_and_a_head_without_a_circuit_train_as_ever(task):
    ideal = fit(task, device=None).state
    for device in (DeviceSpec(), DeviceSpec(name="qiskit.aer", noise="fake_manila", noise_scale=0)):
        assert equal(fit(task, device).state, ideal)
    control = MODEL.model_copy(update={"head": "tanh"})
    assert equal(fit(task, model=control).state, fit(task, None, model=control).state)


def test_a_head_in_training_can_be_put_on_any_device(task):
    head = heads.build(MODEL, 10, 2, torch.Generator().manual_seed(0))
    device, features = devices.get(NOISY.name, **NOISY.options), torch.from_numpy(task[0][:5])
    ideal = head(features)
    head.train_on(device)
    trained_on = head(features)
    assert (ideal - trained_on).abs().max() > 1e-3
    torch.testing.assert_close(head.on(device)(features), trained_on, atol=1e-6, rtol=0)
    torch.testing.assert_close(head.on(devices.get("default.qubit"))(features), ideal, atol=1e-6, rtol=0)


def test_a_sampled_device_trains_nothing(task):
    with pytest.raises(DeviceError, match="exact gradients"):
        fit(task, DeviceSpec(name="qiskit.aer", noise="fake_manila", shots=100))


def test_defaults_written_out_are_the_same_key_and_a_device_makes_another():
    plain = {"epochs": 30, "batch_size": 32, "learning_rate": 1e-3, "device": None}
    assert plan.content_key(TrainSpec()) == plan.content_key(plain)
    keys = {plan.content_key(TrainSpec(device=device)) for device in (None, NOISY, DeviceSpec())}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("device", "head", "expected"),
    [
        (None, "vqc1", None),
        (DeviceSpec(name="lightning.qubit"), "vqc1", None),
        (NOISY, "tanh", None),
        (DeviceSpec(name="qiskit.aer", noise="Manila", seed=7), "vqc1", "fake_manila"),
    ],
)
def test_the_plan_knows_devices_only_where_they_change_the_model(device, head, expected):
    resolved = Rooms().train(TrainSpec(epochs=2, device=device), MODEL.model_copy(update={"head": head}))
    assert resolved.epochs == 2
    assert (resolved.device.options["noise"] if resolved.device else None) == expected
    assert resolved.device is None or {"shots", "seed"}.isdisjoint(resolved.device.options)


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("{name: qiskit.aer, noise: fake_manilla}", r"train\.device\.noise: unknown fake backend 'fake_manilla'.*fake_manila"),
        ("{name: qiskit.ear}", r"train\.device: unknown device 'qiskit.ear'"),
        ("{name: default.qubit, shots: 10}", r"train\.device\.shots: training takes exact gradients"),
        ("{name: qiskit.aer, noise: fake_armonk}", r"train\.device\.noise: .*more qubits than fake_armonk"),
    ],
)
def test_a_bad_device_is_refused_before_anything_is_computed(device, says):
    with pytest.raises(DeviceError, match=says):
        planned(device)


def planned(device):
    return plan.build(spec.parse(yaml.safe_load(SWEEP.replace("DEVICE", device)), "x"), Rooms())


def test_training_on_a_device_is_an_axis_of_circuits_only():
    found = planned(BOTH)
    trainings = [(job.model.head, job.train.device is not None) for job in found.trainings]
    assert trainings == [("vqc1", False), ("vqc1", True), ("tanh", False)]
    assert {group.search.training.train for group in found.groups} == {job.train for job in found.trainings}
    ideal = planned("null")
    assert {group.search.id for group in ideal.groups} <= {group.search.id for group in found.groups}


def test_a_sweep_compares_noise_aware_models_with_ideal_ones(tmp_path):
    (tmp_path / "aware.yaml").write_text(SWEEP.replace("DEVICE", BOTH))
    finished = run.execute(tmp_path / "aware.yaml", tmp_path / "r", serial=True, console=Console(quiet=True))
    assert (finished.failed, finished.missing) == (0, 0)
    rows = Ledger(finished.folder / "rows.jsonl").rows.values()
    noisy = "qiskit.aer[fake_manila]"
    assert sorted((row.head, row.train_device, row.device) for row in rows) == [
        ("tanh", "", "classical"),
        ("vqc1", "", "default.qubit"),
        ("vqc1", "", noisy),
        ("vqc1", noisy, "default.qubit"),
        ("vqc1", noisy, noisy),
    ]
    keys = {row.train_device: row.model_key for row in rows if row.head == "vqc1"}
    aware, ideal = (classifier.load_classifier(finished.folder, keys[device]).state_dict() for device in (noisy, ""))
    assert not torch.equal(aware["head.core.weights"], ideal["head.core.weights"])
