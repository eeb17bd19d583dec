"""What a worker does with a search: one attack on one model, and everybody who judges what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hqc_ray import attacks
from hqc_ray.attacks.borrowed import Borrowed, Fallen
from hqc_ray.attacks.landmarks import Landmarks
from hqc_ray.attacks.result import Result
from hqc_ray.attacks.spaces import SPACES
from hqc_ray.certify.certificate import certifiable, certify
from hqc_ray.evaluation.card import card
from hqc_ray.evaluation.certified import Certified
from hqc_ray.evaluation.measure import Seen, attacked_images, example, measure
from hqc_ray.models import features
from hqc_ray.models.classifier import Classifier
from hqc_ray.results.row import Deployed
from hqc_ray.spec import Level
from hqc_ray.sweep.graph.jobs import Job, JudgeTask, Outcome, SearchTask
from hqc_ray.sweep.work import deployed

if TYPE_CHECKING:
    from hqc_ray.sweep.work.worker import Worker

PICTURED = 4  # images that a pictured cell keeps


def search(worker: Worker, job: Job) -> Outcome:
    """Search, and let every judge decide: what was measured of each row of the job, and the images that are kept."""
    task = job.task
    assert isinstance(task, SearchTask), job.id  # noqa: S101 - the graph made both
    asked, level = task.search, task.search.attack.level
    attacked = _attacked(worker, task)
    labels, values = attacked.labels, attacked.values
    reference, _ = worker.on_device(task.searched)
    crew = [worker.on_device(one.deployed) for one in task.judges]
    attack = attacks.get(asked.attack.name, **asked.attack.options)
    start = worker.fetch(task.start) if task.start else {}
    result = attacks.run(
        attack,
        deployed.differentiated(reference, asked).at(level).rest,
        values,
        labels,
        list(dict.fromkeys([*asked.epsilons, *(row.epsilon for row in job.rows)])),
        asked.training.seed,
        space=SPACES[level],
        audience=asked.audience,
        judges=[deployed.judge(who, one, level) for (who, _), one in zip(crew, task.judges, strict=True)],
        reference=reference.at(level).rest,
        landmarks=_landmarks(worker, task, reference),
        batch_size=asked.batch_size,
        keep=len(labels) if task.kept else PICTURED if any(row.example for row in job.rows) else 0,
        borrowed=Borrowed(
            worker.trained(task.control).at(level).rest if task.control else None, Fallen.read(start) if start else None
        ),
        lends=task.lends,
    )
    seen = [_seen(worker, task, one, *of, attacked) for one, of in zip(task.judges, crew, strict=True)]
    cells = list(zip(job.rows, task.judged, strict=True))
    took = dict(zip(start["epsilons"].tolist(), start["gradients"].tolist(), strict=True)) if start else {}
    measured = tuple(measure(result, labels, row.epsilon, j, seen[j], took.get(row.epsilon)) for row, j in cells)
    pictures = {}
    for row, j in (cell for cell in cells if cell[0].example):
        shown = example(result, values.cpu().numpy(), labels, row.epsilon, j, PICTURED)
        pictures[row.example] = shown if task.judges[j].deployed.native else shown | _confidences(crew[j][0], level, shown)
    kept = {name: attacked_images(result, values, labels, epsilon, attack.norm) for epsilon, name in task.kept}
    return Outcome(job.id, 0.0, _lent(result), measured=measured, examples=pictures | kept)


def _confidences(who: Classifier, level: Level, shown: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The probability that a judge's exact outputs give to the class that it sees, before and after: `..._confidence` [n]."""
    found = {}
    for name, images, classes in (("clean", "clean", "clean_prediction"), ("adversarial", "adversarial", "prediction")):
        values = torch.from_numpy(shown[images]).to(who.device, torch.float32)
        with torch.no_grad(), torch.random.fork_rng():  # a head that draws, draws for the rows to come as if nobody had looked
            probabilities = who.at(level).rest(values).softmax(1).cpu().double().numpy()
        found[f"{name}_confidence"] = probabilities[np.arange(len(values)), shown[classes]]
    return found


def _lent(result: Result) -> dict[str, np.ndarray] | None:
    """What other searches may begin with: who fell first at which epsilon, by which values, and what each epsilon took."""
    if result.fallen is None:
        return None
    took = {found.epsilon: found.gradients for found in result.per_epsilon}
    return {**result.fallen.arrays(), "epsilons": np.array(list(took)), "gradients": np.array(list(took.values()))}


class _Attacked(NamedTuple):
    """The images that are attacked: labels [N], content hashes [N], and their values [N, ...] at the search's level."""

    labels: np.ndarray
    hashes: np.ndarray
    values: Tensor


def _attacked(worker: Worker, task: SearchTask) -> _Attacked:
    """At other levels than pixels values come from cached features: the backbone does not run."""
    split, level = worker.fetch(task.inputs.split), task.search.attack.level
    chosen = split.test[: task.n_images]
    if level == "pixels":
        values = features.pixels(worker.fetch(task.images))
    else:
        searched = worker.trained(task.searched)
        cached = torch.from_numpy(worker.inputs(task.inputs)[chosen]).to(searched.device)
        with torch.no_grad():
            values = searched.at(level).from_features(cached)
    return _Attacked(split.labels[chosen], split.hashes[chosen], values)


def _landmarks(worker: Worker, task: SearchTask, model: Classifier) -> Landmarks | None:
    """The training images in front of the model's bottleneck, from cached features; None where the search needs none."""
    if not attacks.get(task.search.attack.name, **task.search.attack.options).wants_landmarks or not task.inputs.features:
        return None
    split = worker.fetch(task.inputs.split)
    cached = torch.from_numpy(worker.inputs(task.inputs)[split.train]).to(model.device)
    with torch.no_grad():
        points = model.at(task.search.attack.level).preactivations(cached)
    return Landmarks(points, torch.from_numpy(split.labels[split.train]).long().to(model.device))


def _seen(worker: Worker, task: SearchTask, judge: JudgeTask, who: Classifier, known: Deployed, attacked: _Attacked) -> Seen:
    """What is known about a judge: numbers, certificates; if it has another split, which of the images it was not trained on."""
    device, fresh = judge.deployed.device, np.ones(len(attacked.hashes), dtype=bool)
    repeats = judge.repeats if device and device.options.get("shots") else None
    if judge.split:
        own = worker.fetch(judge.split)
        fresh = ~np.isin(attacked.hashes, own.hashes[np.concatenate([own.train, own.validation])])
    made, level = judge.deployed, task.search.attack.level

    def find() -> dict[str, Any]:
        size = {"head_parameters": sum(p.numel() for p in worker.trained(made).head.parameters())}
        if made.native:  # a hundred evaluations of each image's circuit on the device itself take too long
            return size
        labels, values = torch.from_numpy(attacked.labels[fresh]), attacked.values[torch.from_numpy(fresh)]
        ideal = worker.trained(made) if made.surrogate else None
        return size | card(who, values, labels, level, task.search.batch_size, ideal)

    key = (
        made.trained,
        made.surrogate,
        made.native,
        judge.split,
        task.inputs.split,
        task.n_images,
        level,
        task.search.batch_size,
    )
    certified = _certified(worker, task, judge, who, attacked)
    return Seen(known.model_copy(update=worker.card(key, find)), repeats, fresh if judge.split else None, certified)


def _certified(worker: Worker, task: SearchTask, judge: JudgeTask, model: Classifier, attacked: _Attacked) -> Certified | None:
    """The images' certificates where a judge is asked for them and its head has some; made once for all attacks."""
    level, made, labels = task.search.attack.level, judge.deployed, attacked.labels.tolist()
    if not judge.certificate or not certifiable(model.head, level):
        return None
    key = ("certificate", made.trained, made.surrogate, task.searched.trained, task.inputs.split, str(len(labels)), level)
    return worker.keep(key, lambda: Certified(certify(model.head, level, attacked.values, labels), attacked.values))
