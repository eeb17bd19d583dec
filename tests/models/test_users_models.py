"""A user's own head and backbone, from a module of theirs, in a sweep: nothing in this package knows them."""

from __future__ import annotations

import sys
import types

import pytest
from rich.console import Console

from hqc_ray import load_classifier
from hqc_ray.errors import ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.spec import ModelSpec
from hqc_ray.sweep import run

MODULE = '''
from torch import nn

from hqc_ray.models.backbones import BackboneEntry
from hqc_ray.models.head import Dense, linear
from hqc_ray.models.heads import HeadEntry


class Deep(HeadEntry):
    """Two hidden layers."""

    title = "deep"
    units: int = 6

    def build(self, n_features, n_classes, generator):
        sizes = [n_features, self.units, self.units, n_classes]
        first, second, last = (linear(a, b, generator) for a, b in zip(sizes, sizes[1:]))
        return Dense(n_features, n_classes, nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last))


class Patch(BackboneEntry):
    """One layer of patches."""

    title = "patch"
    side: int = 8

    def build(self):
        return nn.Sequential(nn.Conv2d(3, 12, self.side, self.side), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


class PatchTrained(Patch):
    trainable = True
'''
SWEEP = """
name: own
defaults:
  data: {source: synthetic, size: 40, images: 60}
  train: {epochs: 2}
  evaluate: {images: 4, batch_size: 4}
  attack: {name: fgsm, epsilon: 0.1}
blocks:
  - model: {backbone: [their_models:Patch, their_models:PatchTrained], weights: random, image_size: 32, side: [8, 16],
            head: their_models:Deep, units: 5}
"""


@pytest.fixture
def swept(tmp_path, monkeypatch):
    (tmp_path / "their_models.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def execute(text):
        (tmp_path / "own.yaml").write_text(text)
        return run.execute(tmp_path / "own.yaml", tmp_path / "results", serial=True, console=Console(quiet=True))

    return execute


def test_a_sweep_runs_a_users_head_and_backbone_with_their_options(swept):
    found = swept(SWEEP)
    assert (found.failed, found.missing) == (0, 0)
    assert found.rows["model_key"].nunique() == 4
    models = {key: load_classifier(found.folder, key) for key in found.rows["model_key"]}
    assert {model.backbone.body[0].kernel_size for model in models.values()} == {(8, 8), (16, 16)}
    assert {model.backbone.trainable for model in models.values()} == {True, False}
    assert {model.head.layers[0].out_features for model in models.values()} == {5}
    assert set(found.rows["head"]) == {"their_models:Deep"}
    assert found.rows["n_qubits"].isna().all()


def test_an_option_of_both_head_and_backbone_is_refused(monkeypatch):
    module = types.ModuleType("sharing")
    module.Net = type("Net", (backbones.BackboneEntry,), {"__annotations__": {"hidden": int}, "hidden": 2})
    monkeypatch.setitem(sys.modules, "sharing", module)
    with pytest.raises(ModelError, match="the option 'hidden' is of the head 'mlp' and of the backbone 'sharing:Net'"):
        heads.get(ModelSpec(backbone="sharing:Net", head="mlp", image_size=8))
    assert heads.get(ModelSpec(backbone="sharing:Net", head="linear", image_size=8, hidden=3))


LISTED = SWEEP.replace("their_models:Deep, units: 5", "[tanh, their_models:Deep], units: 5, n_qubits: 2")


def test_an_option_of_a_users_head_is_dropped_by_the_others_of_the_sweep(tmp_path, monkeypatch):
    (tmp_path / "their_models.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    beside = LISTED.replace("[their_models:Patch, their_models:PatchTrained]", "[cnn1, their_models:Patch]")
    for text in (LISTED, beside):
        (tmp_path / "own.yaml").write_text(text)
        found = {t.model.head: t.model.options for t in run.prepare(tmp_path / "own.yaml")[1].trainings}
        assert "units" not in found["tanh"]
        assert found["their_models:Deep"]["units"] == 5
    (tmp_path / "own.yaml").write_text(LISTED.replace("units", "unitz"))
    with pytest.raises(ModelError, match="unknown option 'unitz'; did you mean 'units'"):
        run.prepare(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text(LISTED.replace("[tanh, their_models:Deep]", "tanh"))
    with pytest.raises(ModelError, match="unknown option 'units'"):
        run.prepare(tmp_path / "own.yaml")


def test_a_circuit_that_has_other_gates_than_when_it_was_trained_is_refused(swept, tmp_path):
    code = "SWITCH = False\n\n\ndef mine(b):\n    b.every('RX' if SWITCH else 'RY')\n"
    (tmp_path / "switching_circuit.py").write_text(code)
    text = SWEEP.replace("[their_models:Patch, their_models:PatchTrained]", "their_models:Patch").replace("side: [8, 16],", "")
    found = swept(text.replace("their_models:Deep, units: 5", "switching_circuit:mine, n_qubits: 2"))
    key = found.rows["model_key"].iloc[0]
    assert load_classifier(found.folder, key).head.ideal.circuit.degree == 1
    sys.modules["switching_circuit"].SWITCH = True
    heads._checked.cache_clear()
    with pytest.raises(ModelError, match="head 'switching_circuit:mine': its circuit has other gates than when it was trained"):
        load_classifier(found.folder, key)
    heads._checked.cache_clear()
