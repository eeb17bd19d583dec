"""What a worker does with a job: features, training, the fit of a surrogate, an attack. Knows neither Ray nor files."""

from __future__ import annotations

import io
import json
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch

from hqc_ray import attacks
from hqc_ray.evaluation.cell import evaluate
from hqc_ray.evaluation.sampled import Judge
from hqc_ray.evaluation.statistics import pack
from hqc_ray.models import backbones, classifier, features, training
from hqc_ray.models.backbone import Backbone
from hqc_ray.models.classifier import Classifier
from hqc_ray.plan import ModelJob
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.quantum.cores.surrogate import Surrogate, check_angles
from hqc_ray.quantum.devices.device import Device
from hqc_ray.seeds import stream
from hqc_ray.spec import DeviceSpec, EvaluateSpec
from hqc_ray.sweep.graph import resolve
from hqc_ray.sweep.graph.jobs import Job, Outcome, Task

RECENT = 8  # models that a worker keeps
EXAMPLES = 4  # images that a pictured cell keeps
ATTEMPTS = 2  # of a job that raises, before it counts as failed

T = TypeVar("T")


class Worker:
    """Does jobs, one after another, and keeps recent backbones and models.

    Args:
        fetch: gives an input by its name.
        host: the machine that it is on, for the rows.
        processor: where frozen backbones run, "cpu" or "cuda"; everything else runs on the CPU.
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
                if attempt == ATTEMPTS:
                    outcome = Outcome(job.id, 0.0, error=traceback.format_exc(limit=20))
        return replace(outcome, seconds=time.perf_counter() - start, host=self.host)

    def keep(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """The object of `key`, made if it is not among the recent ones."""
        if key not in self._recent:
            self._recent[key] = make()
        self._recent.move_to_end(key)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return self._recent[key]

    def backbone(self, task: Task) -> Backbone:
        """The frozen backbone of a task's model."""
        spec = task.model.model

        def make() -> Backbone:
            weights = self.fetch(task.weights).tobytes() if task.weights else "random"
            return backbones.build(spec, weights).to(self.processor)

        name = ("backbone", spec.backbone, task.weights_digest, str(spec.image_size), repr(backbones.entry(spec)))
        return self.keep(name, make)

    def inputs(self, task: Task) -> np.ndarray:
        """What a model's head reads, in the order of its subset: cached features [n, F], or (of a CNN) uint8 images."""
        if task.images:
            return self.fetch(task.images)
        place: dict[bytes, np.ndarray] = {}
        for chunk in (self.fetch(name) for name in task.features):
            place.update((h, chunk["features"][i]) for i, h in enumerate(chunk["hashes"].tolist()))
        return np.stack([place[h] for h in self.fetch(task.subset).hashes.tolist()])

    def trained(self, task: Task) -> Classifier:
        """The trained model of a task, with its ideal circuit."""
        frozen = not backbones.entry(task.model.model).trainable
        backbone = self.backbone(task) if frozen else None
        return self.keep(("model", task.trained), lambda: classifier.loads(self.fetch(task.trained), backbone)[0])

    def on_device(self, task: Task) -> tuple[Classifier, dict[str, Any]]:
        """The model of a task with the surrogate of its device in place of the circuit, and what the fit found."""
        model = self.trained(task)
        if task.device and not task.surrogate:
            return self.keep(("native", task.trained, repr(task.device)), lambda: _native(model, task.device))
        if not task.surrogate:
            return model, {"test_accuracy": classifier.loads_meta(self.fetch(task.trained))["test_accuracy"]}
        return self.keep(("surrogate", task.surrogate), lambda: _with_surrogate(model, self.fetch(task.surrogate)))


def _with_surrogate(model: Classifier, content: bytes) -> tuple[Classifier, dict[str, Any]]:
    found = torch.load(io.BytesIO(content), weights_only=True)
    fitted = Surrogate(found["n_qubits"], found["degree"])
    fitted.load_state_dict(found["state"])
    return model.with_core(fitted), found["facts"]


def _native(model: Classifier, device: DeviceSpec | None) -> tuple[Classifier, dict[str, Any]]:
    """The model with its circuit on the device itself; accuracy on all of the test part would take too long this way."""
    ideal: Any = model.head.ideal  # only models with a circuit are run natively
    native = Native(ideal.circuit, ideal.weights, resolve.device(device or DeviceSpec()))
    return model.with_core(native), _compiled(native.device, ideal.circuit, ideal.weights)


def _compiled(device: Device, circuit: Circuit, weights: torch.Tensor) -> dict[str, Any]:
    """The columns of the compiled circuit."""
    facts = device.executed(circuit, weights)
    layout = facts.get("layout")
    return {
        "depth": facts["depth"],
        "two_qubit_gates": facts["two_qubit_gates"],
        "layout": None if layout is None else json.dumps(layout),
    }


def _test_correct(model: Classifier, inputs: np.ndarray, labels: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Which of the test part [n] the model gets right; from features, or (of a CNN) images."""
    correct = []
    with torch.inference_mode():
        for start in range(0, len(labels), batch_size):
            batch = inputs[start : start + batch_size]
            logits = model(features.pixels(batch)) if batch.dtype == np.uint8 else model.classify(torch.from_numpy(batch))
            correct.append(logits.argmax(1).numpy() == labels[start : start + batch_size])
    return np.concatenate(correct)


def _features(worker: Worker, job: Job) -> Outcome:
    given = worker.fetch(job.task.images)
    found = features.extract(worker.backbone(job.task), given["images"])
    return Outcome(job.id, 0.0, {"hashes": given["hashes"], "features": found})


def _train(worker: Worker, job: Job) -> Outcome:
    task: Task = job.task
    made: ModelJob = task.model
    split, inputs = worker.fetch(task.subset), worker.inputs(task)
    trained = training.train(made.model, made.train, inputs, split.labels, split.train, split.validation, made.seed, n_classes=2)
    backbone = None if inputs.dtype == np.uint8 else worker.backbone(task)
    model = classifier.assemble(made.model, 2, trained.state, backbone)
    correct = _test_correct(model, inputs[split.test], split.labels[split.test])
    meta = {
        **task.options,
        "seed": made.seed,
        "data": made.data.model_dump(mode="json", exclude={"path"}),
        "train": made.train.model_dump(mode="json"),
        "test_accuracy": float(correct.mean()),
        "test_correct": pack(correct),
        "best_epoch": trained.best_epoch,
        "history": trained.history,
    }
    return Outcome(job.id, 0.0, classifier.dumps(made.model, 2, trained.state, meta))


def _fit(worker: Worker, job: Job) -> Outcome:
    task: Task = job.task
    split, inputs = worker.fetch(task.subset), worker.inputs(task)
    trained, device = worker.trained(task), resolve.device(task.device or DeviceSpec())
    model = trained.on(device)
    fitted: Any = model.head.surrogate  # which is what `on` puts there
    ideal: Any = trained.head.ideal  # only models with a circuit are fitted
    correct = _test_correct(model, inputs[split.test], split.labels[split.test])
    facts = {"test_accuracy": float(correct.mean()), "surrogate_error": fitted.max_error, "circuits": fitted.evaluations}
    if fitted.measured:
        facts["surrogate_standard_error"] = float(fitted.standard_error(check_angles(fitted.n_qubits, True)).max())
    facts |= _compiled(device, ideal.circuit, ideal.weights)
    content = io.BytesIO()
    torch.save({"n_qubits": fitted.n_qubits, "degree": fitted.degree, "state": fitted.state_dict(), "facts": facts}, content)
    return Outcome(job.id, 0.0, content.getvalue())


def _attack(worker: Worker, job: Job) -> Outcome:
    task: Task = job.task
    split, images = worker.fetch(task.subset), worker.fetch(task.images)
    labels = split.labels[split.test[: len(images)]]
    options, seed = task.evaluate or EvaluateSpec(), task.model.seed
    model, facts = worker.on_device(task)
    shots = task.device.options.get("shots") if task.device else None
    attacked = _attacked(worker, task, model)
    found = evaluate(
        attacked,
        attacks.get(task.attack, **task.options),
        images,
        labels,
        [row.epsilon for row in job.rows],
        seed=seed,
        batch_size=options.batch_size,
        judge=None if attacked is model and not shots else model,
        samples=Judge(model, shots, options.repeats, _judge_seed(task), options.batch_size) if shots else None,
        keep=EXAMPLES if any(row.example for row in job.rows) else 0,
    )
    rows = [
        row.model_copy(update={**facts, **columns, "status": "ok"}) for row, columns in zip(job.rows, found.columns, strict=True)
    ]
    examples = {row.example: arrays for row, arrays in zip(job.rows, found.examples, strict=True) if row.example}
    return Outcome(job.id, 0.0, rows=tuple(rows), examples=examples)


def _judge_seed(task: Task) -> int:
    """Of the shots that judge: a stream of the model's seed and the device's."""
    return stream(task.model.seed, "device", int(task.device.options.get("seed") or 0) if task.device else 0)


def _attacked(worker: Worker, task: Task, model: Classifier) -> Classifier:
    """What the attacker differentiates: the model on its device, its ideal twin, or estimates from the device's shots."""
    access = task.evaluate.access if task.evaluate else "exact"
    if access == "ideal":
        return worker.trained(task)
    if access == "shots" and task.device:
        fitted: Any = model.head.surrogate  # `Rooms.evaluate` refuses shots on any other
        circuit = resolve.circuit(task.model.model)
        return model.with_core(ShotEstimate(fitted, circuit, task.device.options["shots"], _judge_seed(task)))
    return model


KINDS: dict[str, Callable[[Worker, Job], Outcome]] = {"features": _features, "train": _train, "fit": _fit, "attack": _attack}
