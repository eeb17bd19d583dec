"""A small source and backbones as a user would write them, and stand-ins for the store: graphs in milliseconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
import yaml
from torch import nn

from hqc_ray import plan, spec
from hqc_ray.data import Source
from hqc_ray.models.backbones import BackboneEntry
from hqc_ray.sweep.graph.builder import Builder
from hqc_ray.sweep.graph.resolve import Rooms
from hqc_ray.sweep.work import Worker


class Dots(Source):
    """Noise that is brighter from class to class; `path` is only the place where it lies, `seed` decides the images."""

    n_classes: int = 2
    images: int = 80
    side: int = 8
    seed: int = 0
    path: str = ""

    def labels(self):
        return (np.arange(self.images) % self.n_classes).astype(np.uint8)

    def read(self, indices):
        return np.stack([self._image(int(i)) for i in indices])

    def check(self):
        pass

    def _image(self, index):
        noise = np.random.default_rng((self.seed, index)).integers(0, 80, (self.side, self.side, 3))
        return (noise + 170 * (index % self.n_classes) // self.n_classes).astype(np.uint8)


def tiny():
    """Twelve features: means of quarters of the image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())


class Patches(BackboneEntry):
    """One convolution, so that there are weights in a file; `fine` is an option of its own."""

    title = "patches"
    fine: bool = False

    def build(self):
        return nn.Sequential(nn.Conv2d(3, 6, 2 if self.fine else 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def strokes():
    """256 features: how well random filters fit a 4 x 4 grid of places."""
    return nn.Sequential(nn.Conv2d(3, 16, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())


class Trained(Patches):
    """The same, trained with its head."""

    trainable = True

    def gmacs(self, image_size):
        return 0.01


SWEEP = """
name: cases
defaults:
  data: {source: 'tests.sweep.cases:Dots', size: 40}
  train: {epochs: 1, learning_rate: 0.1}
  evaluate: {images: 6, batch_size: 3}
  attack: {name: fgsm, epsilon: [0.01, 0.1]}
blocks:
  - model: {backbone: 'tests.sweep.cases:tiny', weights: random, image_size: 8, head: tanh, n_qubits: 2}
"""
NOISY = "{name: qiskit.aer, noise: fake_manila}"
SAMPLED = "{name: qiskit.aer, noise: fake_manila, shots: 50}"


def changed(*changes, more=""):
    """The sweep with pieces of its text replaced, and lines added to its defaults."""
    text = SWEEP.replace("blocks:", f"{more}\nblocks:") if more else SWEEP
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def planned(text=SWEEP):
    return plan.build(spec.parse(yaml.safe_load(text), "cases"), Rooms())


class Shelf:
    """Stands in for a store: artifacts by id, the keys of rows that are done."""

    def __init__(self, artifacts=(), done=()):
        self.artifacts, self.finished = dict(artifacts), set(done)
        self.ledger = SimpleNamespace(done=lambda: self.finished)

    def load(self, id, check=None):
        return self.artifacts.get(id)

    def is_whole(self, name):
        return name in self.artifacts

    def features(self, key):
        return [(id, found["hashes"]) for id, found in self.artifacts.items() if id.startswith(f"features/{key}/")]


def build(text=SWEEP, store=None):
    return Builder(planned(text), store or Shelf()).build()


def kinds(graph):
    """How many jobs there are of each kind."""
    return {kind: n for kind in ("features", "train", "fit", "search") if (n := sum(job.kind == kind for job in graph.jobs))}


def worker(graph, store, **arguments):
    """A worker that finds inputs and artifacts, and the list of what it fetched."""
    fetched = []

    def fetch(name):
        fetched.append(name)
        return store.artifacts[name] if name in store.artifacts else graph.inputs[name].make(store)

    return Worker(fetch, "here", **arguments), fetched


def do(graph, store):
    """Do every job in the order of the graph, in which whatever is needed comes first; its outcomes by id."""
    doer, _ = worker(graph, store)
    outcomes = {}
    for job in graph.jobs:
        outcomes[job.id] = doer.run(job)
        assert not outcomes[job.id].error, outcomes[job.id].error
        store.artifacts[job.id] = outcomes[job.id].artifact
        store.finished.update(row.key for row in job.rows)
    return outcomes


def save_weights(path, seed=0):
    """A file of weights for `Patches`."""
    torch.manual_seed(seed)
    torch.save(Patches().build().state_dict(), path)
    return path
