"""What a worker does with a job: features, training, the fit of a surrogate, a search. Knows neither Ray nor files."""

from __future__ import annotations

import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import torch

from hqc_ray.evaluation.statistics import pack
from hqc_ray.models import backbones, classifier, features, training
from hqc_ray.models.backbones.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.redaction import clean
from hqc_ray.results.row import Deployed
from hqc_ray.spec import ModelSpec
from hqc_ray.sweep.graph import resolve
from hqc_ray.sweep.graph.jobs import (
    Deployment,
    FeaturesTask,
    FitTask,
    Inputs,
    Job,
    Outcome,
    TrainTask,
    Weights,
)
from hqc_ray.sweep.work import deployed, searching

RECENT = 8  # models that a worker keeps
IMPORTED = 50  # modules that a job imports, by which it is a worker's first one of its kind
ATTEMPTS = 2  # of a job that raises, before it counts as failed

T = TypeVar("T")


class Worker:
    """Does jobs, one after another, and keeps recent backbones and models.

    Args:
        fetch: gives an input by its name.
        host: the machine that it is on, for the rows.
        processor: "cpu" or "cuda": where backbones run and CNNs are trained, and whole models while they are attacked; heads are
            trained on the CPU.
    """

    def __init__(self, fetch: Callable[[str], Any], host: str = "", processor: str = "cpu") -> None:
        self.fetch, self.host, self.processor = fetch, host, processor
        if processor == "cuda":
            _steady_cuda()
        self._recent: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._cards: dict[tuple[object, ...], dict[str, Any]] = {}  # numbers of a model on images, the same for all searches

    @property
    def warm(self) -> list[str]:
        """The affinities of the models at hand, the latest first."""
        return [key[1] for key in reversed(self._recent) if key[0] == "model"]

    def run(self, job: Job) -> Outcome:
        """Do a job; an exception is tried once more, then becomes the outcome's `error`."""
        start, known = time.perf_counter(), len(sys.modules)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                outcome = KINDS[job.kind](self, job)
                break
            except Exception:
                self._recent.clear()  # what raised may have changed a model that is kept
                if attempt == ATTEMPTS:
                    outcome = Outcome(job.id, 0.0, error=clean(traceback.format_exc(limit=20)))
        return replace(outcome, seconds=time.perf_counter() - start, host=self.host, warm=len(sys.modules) - known < IMPORTED)

    def keep(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """The object of `key`, made if it is not among the recent ones."""
        if key not in self._recent:
            self._recent[key] = make()
        self._recent.move_to_end(key)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return self._recent[key]

    def card(self, key: tuple[object, ...], find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The numbers of `key`, found once."""
        if key not in self._cards:
            self._cards[key] = find()
        return self._cards[key]

    def backbone(self, model: ModelSpec, weights: Weights) -> Backbone:
        """The frozen backbone of a model."""

        def make() -> Backbone:
            content = self.fetch(weights.file).tobytes() if weights.file else "random"
            return backbones.check_same(backbones.build(model, content), model, weights.digest).to(self.processor)

        key = ("backbone", model.backbone, weights.digest, str(model.image_size), repr(backbones.entry(model)))
        return self.keep(key, make)

    def inputs(self, inputs: Inputs) -> np.ndarray:
        """What a model's head reads, in the order of its subset: cached features [n, F], or (of a CNN) uint8 images."""
        if inputs.images:
            return self.fetch(inputs.images)
        place: dict[bytes, np.ndarray] = {}
        for chunk in (self.fetch(name) for name in inputs.features):
            place.update((h, chunk["features"][i]) for i, h in enumerate(chunk["hashes"].tolist()))
        return np.stack([place[h] for h in self.fetch(inputs.split).hashes.tolist()])

    def trained(self, made: Deployment) -> Classifier:
        """A trained model, with its ideal circuit."""
        model = made.training.model
        backbone = None if backbones.entry(model).trainable else self.backbone(model, made.weights)
        make = lambda: classifier.loads(self.fetch(made.trained), backbone)[0].to(self.processor)  # noqa: E731
        return self.keep(("model", made.trained), make)

    def on_device(self, made: Deployment) -> tuple[Classifier, Deployed]:
        """A trained model with its circuit on its device, and what is known about it there."""
        model = self.trained(made)
        if made.native and made.device:
            device = resolve.device_of(made.device)
            return self.keep(("native", made.trained, repr(made.device)), lambda: deployed.native(model, device))
        if made.surrogate:
            return self.keep(("surrogate", made.surrogate), lambda: deployed.loads(model, self.fetch(made.surrogate)))
        accuracy = classifier.loads_meta(self.fetch(made.trained))["test_accuracy"]
        return model, Deployed(test_accuracy=accuracy)


def _steady_cuda() -> None:
    """Float32 as on a CPU, where torch would round convolutions to 10 bits; convolutions sum in the same order in every run."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def _test_correct(model: Classifier, inputs: np.ndarray, labels: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Which of the test part [n] the model gets right; from features, or (of a CNN) images."""
    correct = []
    with torch.inference_mode():
        for start in range(0, len(labels), batch_size):
            batch = inputs[start : start + batch_size]
            values = (features.pixels(batch) if batch.dtype == np.uint8 else torch.from_numpy(batch)).to(model.device)
            logits = model(values) if batch.dtype == np.uint8 else model.classify(values)
            correct.append(logits.argmax(1).cpu().numpy() == labels[start : start + batch_size])
    return np.concatenate(correct)


def _features(worker: Worker, job: Job) -> Outcome:
    task = _told(job, FeaturesTask)
    given = worker.fetch(task.images)
    found = features.extract(worker.backbone(task.model, task.weights), given["images"])
    return Outcome(job.id, 0.0, {"hashes": given["hashes"], "features": found})


def _train(worker: Worker, job: Job) -> Outcome:
    task = _told(job, TrainTask)
    made, split, inputs = task.training, worker.fetch(task.inputs.split), worker.inputs(task.inputs)
    k = len(split.classes)
    parts = (split.labels, split.train, split.validation)
    trained = training.train(made.model, made.train, inputs, *parts, made.seed, n_classes=k, processor=worker.processor)
    backbone = None if inputs.dtype == np.uint8 else worker.backbone(made.model, task.weights)
    model = classifier.assemble(made.model, k, trained.state, backbone)
    if backbone is None:
        model = model.to(worker.processor)  # where it will be attacked
    correct = _test_correct(model, inputs[split.test], split.labels[split.test])
    meta = {
        **asdict(task.origin),
        "seed": made.seed,
        "data": made.data.model_dump(mode="json", exclude={"path"}),
        "train": made.train.model_dump(mode="json"),
        "test_accuracy": float(correct.mean()),
        "test_correct": pack(correct),
        "best_epoch": trained.best_epoch,
        "history": trained.history,
        **classifier.circuit_digest(made.model, model),
    }
    return Outcome(job.id, 0.0, classifier.dumps(made.model, k, trained.state, meta))


def _fit(worker: Worker, job: Job) -> Outcome:
    task = _told(job, FitTask)
    assert task.deployed.device is not None  # noqa: S101 - the graph fits on devices only
    split, inputs = worker.fetch(task.inputs.split), worker.inputs(task.inputs)
    model, known = deployed.fitted(worker.trained(task.deployed), resolve.device_of(task.deployed.device))
    correct = _test_correct(model, inputs[split.test], split.labels[split.test])
    return Outcome(job.id, 0.0, deployed.dumps(model, known.model_copy(update={"test_accuracy": float(correct.mean())})))


def _told(job: Job, kind: type[T]) -> T:
    """The task of a job, whose kind the graph has matched to its function."""
    assert isinstance(job.task, kind), job.id  # noqa: S101 - the graph made both
    return job.task


KINDS: dict[str, Callable[[Worker, Job], Outcome]] = {
    "features": _features,
    "train": _train,
    "fit": _fit,
    "search": searching.search,
}
