"""What a worker does with a job: features, training, the fit of a surrogate, a search. Knows neither Ray nor files."""

from __future__ import annotations

import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from hqc_ray import attacks
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.certify.certificate import certifiable, certify
from hqc_ray.evaluation.certified import Certified
from hqc_ray.evaluation.measure import Seen, example, measure
from hqc_ray.evaluation.statistics import pack
from hqc_ray.models import backbones, classifier, features, training
from hqc_ray.models.backbone import Backbone
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
    JudgeTask,
    Outcome,
    SearchTask,
    TrainTask,
    Weights,
)
from hqc_ray.sweep.work import deployed

RECENT = 8  # models that a worker keeps
EXAMPLES = 4  # images that a pictured cell keeps
ATTEMPTS = 2  # of a job that raises, before it counts as failed

T = TypeVar("T")


class Worker:
    """Does jobs, one after another, and keeps recent backbones and models.

    Args:
        fetch: gives an input by its name.
        host: the machine that it is on, for the rows.
        processor: "cpu" or "cuda": where backbones run, and whole models while they are attacked; heads are trained on the CPU.
    """

    def __init__(self, fetch: Callable[[str], Any], host: str = "", processor: str = "cpu") -> None:
        self.fetch, self.host, self.processor = fetch, host, processor
        self._recent: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    @property
    def warm(self) -> list[str]:
        """The affinities of the models at hand, the latest first."""
        return [key[1] for key in reversed(self._recent) if key[0] == "model"]

    def run(self, job: Job) -> Outcome:
        """Do a job; an exception is tried once more, then becomes the outcome's `error`."""
        start = time.perf_counter()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                outcome = KINDS[job.kind](self, job)
                break
            except Exception:
                self._recent.clear()  # what raised may have changed a model that is kept
                if attempt == ATTEMPTS:
                    outcome = Outcome(job.id, 0.0, error=clean(traceback.format_exc(limit=20)))
        return replace(outcome, seconds=time.perf_counter() - start, host=self.host)

    def keep(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """The object of `key`, made if it is not among the recent ones."""
        if key not in self._recent:
            self._recent[key] = make()
        self._recent.move_to_end(key)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return self._recent[key]

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
    trained = training.train(made.model, made.train, inputs, split.labels, split.train, split.validation, made.seed, n_classes=k)
    backbone = None if inputs.dtype == np.uint8 else worker.backbone(made.model, task.weights)
    model = classifier.assemble(made.model, k, trained.state, backbone)
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


def _search(worker: Worker, job: Job) -> Outcome:
    task = _told(job, SearchTask)
    search, level = task.search, task.search.attack.level
    labels, hashes, values = _values(worker, task)
    reference, _ = worker.on_device(task.searched)
    crew = [worker.on_device(one.deployed) for one in task.judges]
    result = attacks.run(
        attacks.get(search.attack.name, **search.attack.options),
        deployed.differentiated(reference, search).at(level).rest,
        values,
        labels,
        list(dict.fromkeys([*search.epsilons, *(row.epsilon for row in job.rows)])),
        search.training.seed,
        space=SPACES[level],
        audience=search.audience,
        judges=[deployed.judge(who, one, level) for (who, _), one in zip(crew, task.judges, strict=True)],
        reference=reference.at(level).rest,
        batch_size=search.batch_size,
        keep=EXAMPLES if any(row.example for row in job.rows) else 0,
    )
    seen = [_seen(worker, known, one, hashes) for (_, known), one in zip(crew, task.judges, strict=True)]
    certified = [_certified(worker, task, i, who, values, labels) for i, (who, _) in enumerate(crew)]
    seen = [replace(known, certified=found) for known, found in zip(seen, certified, strict=True)]
    cells = list(zip(job.rows, task.judged, strict=True))
    measured = tuple(measure(result, labels, row.epsilon, j, seen[j]) for row, j in cells)
    pictures = {r.example: example(result, values.cpu().numpy(), labels, r.epsilon, j, EXAMPLES) for r, j in cells if r.example}
    return Outcome(job.id, 0.0, measured=measured, examples=pictures)


def _values(worker: Worker, task: SearchTask) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Labels [N] and content hashes [N] of the images that are attacked, and their values [N, ...] at the search's level.

    At other levels than pixels they come from cached features: the backbone does not run.
    """
    split, level = worker.fetch(task.inputs.split), task.search.attack.level
    chosen = split.test[: task.n_images]
    if level == "pixels":
        values = features.pixels(worker.fetch(task.images))
    else:
        searched = worker.trained(task.searched)
        cached = torch.from_numpy(worker.inputs(task.inputs)[chosen]).to(searched.device)
        with torch.no_grad():
            values = searched.at(level).from_features(cached)
    return split.labels[chosen], split.hashes[chosen], values


def _seen(worker: Worker, known: Deployed, judge: JudgeTask, hashes: np.ndarray) -> Seen:
    """What is known about a judge; if it has another split, which of the images it was not trained on."""
    device = judge.deployed.device
    repeats = judge.repeats if device and device.options.get("shots") else None
    if not judge.split:
        return Seen(known, repeats)
    own = worker.fetch(judge.split)
    trained_on = own.hashes[np.concatenate([own.train, own.validation])]
    return Seen(known, repeats, ~np.isin(hashes, trained_on))


def _certified(
    worker: Worker, task: SearchTask, judge: int, model: Classifier, values: Tensor, labels: np.ndarray
) -> Certified | None:
    """The certificates of values [N, ...] where a judge is asked for them and its head has some; made once for all attacks."""
    level, deployed = task.search.attack.level, task.judges[judge].deployed
    if not task.judges[judge].certificate or not certifiable(model.head, level):
        return None
    key = ("certificate", deployed.trained, deployed.surrogate, task.searched.trained, task.inputs.split, str(len(labels)), level)
    return worker.keep(key, lambda: Certified(certify(model.head, level, values, labels.tolist()), values))


def _told(job: Job, kind: type[T]) -> T:
    """The task of a job, whose kind the graph has matched to its function."""
    assert isinstance(job.task, kind), job.id  # noqa: S101 - the graph made both
    return job.task


KINDS: dict[str, Callable[[Worker, Job], Outcome]] = {"features": _features, "train": _train, "fit": _fit, "search": _search}
