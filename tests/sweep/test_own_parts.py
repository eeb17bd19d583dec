"""A user's module with one of each: an attack, a device, a source, heads, backbones, a circuit; and a sweep of all of them."""

import json

import pytest
from rich.console import Console

from hqc_ray import cli, load_classifier
from hqc_ray.sweep import run

MODULE = '''
import numpy as np
import torch
from torch import nn

from hqc_ray.attacks import Attack
from hqc_ray.data import Source
from hqc_ray.models.backbones import BackboneEntry
from hqc_ray.models.head import Dense, linear
from hqc_ray.models.heads import HeadEntry
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.ideal.simulate import Program


class Stripes(Source):
    """Three classes: stripes of other widths on noise."""

    images: int = 90

    @property
    def classes(self):
        return "fine", "middle", "wide"

    def labels(self):
        return (np.arange(self.images) % 3).astype(np.uint8)

    def read(self, indices):
        return np.stack([self._image(int(i)) for i in indices])

    def check(self):
        pass

    def _image(self, index):
        noise = np.random.default_rng(index).integers(0, 90, (12, 12, 3))
        return (noise + 150 * (np.arange(12) // (1, 2, 4)[index % 3] % 2)[:, None, None]).astype(np.uint8)


class Inverted(Attack):
    """Towards the negative of the image, as far as the ball goes: it takes no gradient."""

    title = "Inverted"
    share: float = 1.0

    def per_search(self, n_classes):
        return 0.0

    def search(self, view, values, labels, epsilons, generator):
        for epsilon in epsilons:
            yield values + self.share * epsilon * torch.sign(0.5 - values)


class Faded(Device):
    """With some probability the machine gives anything."""

    name = "faded"
    strength: float = 0.1

    def run(self, circuit, weights, angles):
        exact = Program(circuit)(torch.from_numpy(weights), torch.from_numpy(angles)).numpy()
        return (1 - self.strength) * exact + self.strength / 2**circuit.n_qubits

    def _tags(self):
        return [f"strength={self.strength}"]


class Deep(HeadEntry):
    """Two layers."""

    title = "deep"
    units: int = 6

    def build(self, n_features, n_classes, generator):
        first, last = linear(n_features, self.units, generator), linear(self.units, n_classes, generator)
        return Dense(n_features, n_classes, nn.Sequential(first, nn.Tanh(), last))


class Patch(BackboneEntry):
    """One layer of patches."""

    title = "patch"
    side: int = 4

    def build(self):
        return nn.Sequential(nn.Conv2d(3, 12, self.side, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def means():
    return nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Flatten())


def ladder(b):
    b.every("RY")
    for wire in range(b.n_qubits - 1):
        b.add("CNOT", wire, wire + 1)
    b.every("RX")
'''
SWEEP = """
name: own
defaults:
  data: {source: 'their_parts:Stripes', size: 60}
  train: {epochs: 25, learning_rate: 0.05}
  evaluate: {images: 12, batch_size: 6}
  attack:
    - {name: noise, epsilon: [0.1, 0.4]}
    - {name: 'their_parts:Inverted', epsilon: [0.1, 0.4]}
    - {name: ensemble, members: {fgsm: {}, 'their_parts:Inverted': {share: 0.5}}, epsilon: [0.1, 0.4]}
  device: [{name: default.qubit}, {name: 'their_parts:Faded', strength: 0.3, shots: [null, 40]}]
blocks:
  - model:
      - {backbone: 'their_parts:Patch', weights: random, side: 3, head: 'their_parts:Deep', units: 5}
      - {backbone: 'their_parts:Patch', weights: random, side: 3, head: 'their_parts:ladder', n_qubits: 3}
      - {backbone: 'their_parts:means', weights: random, head: ['their_parts:Deep', 'their_parts:ladder'], n_qubits: 3}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "their_parts.py").write_text(MODULE)
    (folder / "own.yaml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield run.execute(folder / "own.yaml", folder / "r", serial=True, console=Console(quiet=True))


def test_a_sweep_runs_with_one_of_each(swept):
    rows = swept.rows
    assert set(rows["status"]) == {"ok"}, rows["error"].max()
    assert len(rows) == 2 * (1 + 3) * 3 * 2  # backbones; the classical head, and the circuit on three devices; attacks; strengths
    assert set(rows["data_source"]) == {"their_parts:Stripes"}
    assert set(rows["backbone"]) == {"their_parts:Patch", "their_parts:means"}
    assert set(rows["image_size"]) == {12}
    assert set(rows["class_names"]) == {'["fine", "middle", "wide"]'}
    assert set(zip(rows["head"], rows["head_kind"], strict=True)) == {
        ("their_parts:Deep", "classical"), ("their_parts:ladder", "circuit"),
    }  # fmt: skip
    assert set(zip(rows["device"], rows["device_kind"], strict=True)) == {
        ("classical", "classical"), ("default.qubit", "ideal"), ("faded[strength=0.3]", "noisy"),
        ("faded[strength=0.3,shots=40]", "noisy"),
    }  # fmt: skip
    theirs = rows[rows["attack"] == "their_parts:Inverted"]
    assert set(theirs["attack_title"]) == {"Inverted"}
    assert set(theirs["gradients"]) == {0}
    assert (theirs["mean_linf"] - theirs["epsilon"]).abs().max() < 1e-6  # the ball, to its border


def test_their_options_are_used_and_written_down(swept):
    rows = swept.rows
    options = {(row["backbone"], row["head"]): json.loads(row["model_options"]) for row in rows.to_dict("records")}
    assert options["their_parts:Patch", "their_parts:Deep"] == {"side": 3, "units": 5}
    assert options["their_parts:means", "their_parts:Deep"] == {"units": 6}
    assert options["their_parts:Patch", "their_parts:ladder"]["n_qubits"] == 3
    deep = rows[(rows["head"] == "their_parts:Deep") & (rows["backbone"] == "their_parts:Patch")].iloc[0]
    model = load_classifier(swept.folder, deep["model_key"])
    assert model.backbone.body[0].kernel_size == (3, 3)
    assert (model.head.layers[0].out_features, model.n_classes) == (5, 3)
    ensemble = rows[rows["attack"] == "ensemble"].iloc[0]
    assert json.loads(ensemble["attack_options"])["members"]["their_parts:Inverted"]["share"] == 0.5


def test_each_part_makes_a_difference(swept):
    rows = swept.rows
    assert rows.groupby("head")["test_accuracy"].max().min() > 0.6  # they learn, by a chance of a third
    circuit = rows[(rows["head"] == "their_parts:ladder") & (rows["attack"] == "noise")]
    ideal, faded = (circuit[circuit["device"] == name] for name in ("default.qubit", "faded[strength=0.3]"))
    assert ideal["model_key"].tolist() == faded["model_key"].tolist()
    assert ideal["depth"].tolist() == faded["depth"].tolist()
    assert ideal["surrogate_error"].max() < 1e-8 > faded["surrogate_error"].max()
    sampled = circuit[circuit["shots"].notna()]
    assert sampled["shot_flip_share"].gt(0).all()
    strong = rows[rows["epsilon"] == 0.4].groupby("attack")["robust_accuracy"].mean()
    assert strong["their_parts:Inverted"] < strong["noise"]
    assert strong["ensemble"] < strong["noise"]


def test_the_report_shows_them_by_their_titles(swept):
    assert cli.main(["report", str(swept.folder)]) == cli.OK
    table = (swept.folder / "table.md").read_text()
    assert all(word in table for word in ("Inverted", "| patch ", "| deep ", "faded"))
    assert "their_parts:Patch" not in table
    assert "their_parts:Deep" not in table
    assert list(swept.folder.rglob("*.html"))
