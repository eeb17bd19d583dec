"""From a plan and what the store has to the jobs that are left: the only place that knows how stages hang together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hqc_ray import attacks
from hqc_ray.data import Source
from hqc_ray.data.splits import Subset, subset
from hqc_ray.errors import DataError
from hqc_ray.models import backbones, heads, weights
from hqc_ray.models.weights import WeightsId
from hqc_ray.plan import Group, ModelJob, Plan, attack_label, content_key
from hqc_ray.results.row import Row
from hqc_ray.results.store import Store
from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec, expand
from hqc_ray.sweep.graph import costs, resolve
from hqc_ray.sweep.graph.inputs import Content, Given, Images, Input, Pixels, Stored
from hqc_ray.sweep.graph.jobs import Graph, Job, Task

CHUNK = 250  # images whose features are one job: seconds of work, and a unit that is cached
MAX_EXAMPLES = 240  # cells that keep images for the figure, half a megabyte each


class Builder:
    """Builds the graph of a plan against a store.

    Raises:
        DataError: a subset cannot be had (too few distinct images of a class, ...).
    """

    def __init__(self, plan: Plan, store: Store, report: Callable[[str], None] = lambda _: None) -> None:
        self.plan, self.store, self.graph, self.report = plan, store, Graph(), report
        self.known: set[str] = set()  # ids of jobs and inputs that are in the graph
        self.sources: dict[str, Source] = {}
        self.subsets: dict[str, Subset] = {}
        self.weights: dict[tuple[str, str], WeightsId] = {}
        self.wanted: dict[str, dict[bytes, tuple[Source, int]]] = {}  # features key -> image hash -> where to read the image
        self.users: dict[str, list[tuple[ModelSpec, Subset]]] = {}
        self.chunks: dict[str, dict[bytes, str]] = {}  # features key -> image hash -> the chunk that holds its features
        firsts = [group.cells[0].attack for group in plan.groups]
        self.attacks = list({content_key(a.name, a.options): a for a in firsts}.values())
        self.examples = 0

    def build(self) -> Graph:
        """All jobs that the ledger and the caches do not make superfluous."""
        todo = []
        seen: set[str] = set()
        done = self.store.ledger.done()
        for group in self.plan.groups:
            rows = tuple(row for row in self._rows(group) if row.key not in seen)  # two places may hold the same images
            seen.update(row.key for row in rows)
            self.graph.order += [row.key for row in rows]
            if open := tuple(row for row in rows if row.key not in done):
                todo.append((group, open))
        missing = [(g, rows) for g, rows in todo if not self._trained(g.model)]
        self._features(
            [(g.model, None) for g, _ in missing]
            + [(g.model, g.device) for g, _ in todo if g.device and g.cells[0].evaluate.mode == "surrogate"]
        )
        for group, rows in todo:
            self._attack(group, rows)
        return self.graph

    # what is where

    def _source(self, data: DataSpec) -> Source:
        key = content_key(data.source, data.options, data.options.get("path"))
        if key not in self.sources:
            self.sources[key] = resolve.source(data)
        return self.sources[key]

    def _subset(self, model: ModelJob) -> Subset:
        key = content_key(model.data, model.place, model.seed)
        if key not in self.subsets:
            data = model.data
            self.report(f"reading {data.size} images of {data.source}, seed {model.seed}")
            try:
                found = subset(self._source(data), data.size, model.seed, data.test_fraction, data.validation_fraction)
            except DataError as problem:
                raise problem.at("data") from problem
            self.subsets[key] = found
        return self.subsets[key]

    def _weights(self, model: ModelSpec) -> WeightsId:
        name = (model.backbone, model.weights)
        if name not in self.weights:
            self.weights[name] = backbones.weights_id(model.backbone, str(expand(model.weights)))
        return self.weights[name]

    def model_key(self, model: ModelJob) -> str:
        """A model is what made it: specification, seed, the data's digest, the weights' digest."""
        return content_key(model.id, self._subset(model).digest, self._weights(model.model).digest)

    def surrogate_id(self, model: ModelJob, device: DeviceSpec) -> str:
        """The name of the surrogate of a model on a device: shots and their seed do not change it, unless it is measured."""
        plain = ("shots", "seed") if resolve.device(device).exactness == "exact" else ()
        kept = {k: v for k, v in device.options.items() if k not in plain}
        return f"surrogate/{content_key(self.model_key(model), device.name, kept)}"

    def _trained(self, model: ModelJob) -> bool:
        return self._cached(f"model/{self.model_key(model)}")

    def _cached(self, id: str) -> bool:
        """Whether the store has an artifact; if so it becomes an input."""
        if id not in self.graph.inputs and id not in self.known and self.store.load(id) is not None:
            self.graph.inputs[id] = Stored(id)
        return id in self.graph.inputs

    def _input(self, id: str, recipe: Input) -> str:
        self.graph.inputs.setdefault(id, recipe)
        return id

    def _job(self, job: Job) -> str:
        if job.id not in self.known:
            self.known.add(job.id)
            file = self._weights_file(job.task.model.model)
            task = replace(job.task, weights=file, weights_digest=self._weights(job.task.model.model).digest)
            self.graph.jobs.append(replace(job, task=task, needs=(*job.needs, file) if file else job.needs))
        return job.id

    def _weights_file(self, model: ModelSpec) -> str:
        """The name of the input that holds the file of a backbone's weights: no node but the driver's needs to have it."""
        given = str(expand(model.weights))
        if backbones.entry(model).trainable or given == "random":
            return ""
        return self._input(f"weights/{self._weights(model).digest}", Content(weights.file(model.backbone, given)))

    # stages

    def _features(self, wanted: list[tuple[ModelJob, DeviceSpec | None]]) -> None:
        """Feature jobs: every image once per backbone, size and weights, whatever the number of heads, seeds and attacks."""
        for model, device in wanted:
            if backbones.entry(model.model).trainable or (device and self._cached(self.surrogate_id(model, device))):
                continue
            found, source = self._subset(model), self._source(model.data)
            images = self.wanted.setdefault(self._features_key(model.model), {})
            images.update(zip(found.hashes.tolist(), ((source, int(i)) for i in found.indices), strict=True))
            self.users.setdefault(self._features_key(model.model), []).append((model.model, found))
        for key, images in self.wanted.items():
            self.chunks[key] = {}
            for id, hashes in self.store.features(key):
                if not images.keys().isdisjoint(hashes.tolist()):
                    self.chunks[key].update(dict.fromkeys(hashes.tolist(), id))
                    self._input(id, Stored(id))
            missing = [h for h in images if h not in self.chunks[key]]
            for start in range(0, len(missing), CHUNK):
                self._chunk(key, self.users[key][0][0], missing[start : start + CHUNK])

    def _features_key(self, model: ModelSpec) -> str:
        return content_key(model.backbone, backbones.entry(model), model.image_size, self._weights(model).digest)

    def _chunk(self, key: str, model: ModelSpec, hashes: list[bytes]) -> None:
        name = hashlib.sha256(b"".join(hashes)).hexdigest()[:16]
        pixels = self._input(f"pixels/{name}", Pixels(tuple(hashes), tuple(self.wanted[key][h] for h in hashes)))
        task = Task(ModelJob(self.plan.models[0].data, model, self.plan.models[0].train, 0, ""), images=pixels)
        cost = len(hashes) * costs.forward(model)
        id = self._job(Job(f"features/{key}/{name}", "features", (pixels,), task, cost))
        self.chunks[key].update(dict.fromkeys(hashes, id))

    def _inputs(self, model: ModelJob) -> tuple[str, tuple[str, ...], str]:
        """The names of a model's split, and of its features or (trained end to end) its images."""
        found = self._subset(model)
        split = self._input(f"subset/{found.digest}", Given(found))
        if backbones.entry(model.model).trainable:
            source = self._source(model.data)
            return split, (), self._input(f"images/{found.digest}/all", Images(source, found.indices))
        chunks = self.chunks[self._features_key(model.model)]
        return split, tuple(sorted({chunks[h] for h in found.hashes.tolist()})), ""

    def _train(self, model: ModelJob) -> str:
        id = f"model/{self.model_key(model)}"
        if not self._cached(id) and id not in self.known:
            split, features, images = self._inputs(model)
            task = Task(model, split, features, images, options=self._meta(model))
            self._job(Job(id, "train", (split, *features, *([images] if images else [])), task, costs.train(model)))
        return id

    def _meta(self, model: ModelJob) -> dict[str, Any]:
        weights = self._weights(model.model)
        return {"data_digest": self._subset(model).digest, "weights_digest": weights.digest, "weights_origin": weights.origin}

    def _fit(self, model: ModelJob, device: DeviceSpec) -> str:
        id = self.surrogate_id(model, device)
        if not self._cached(id) and id not in self.known:
            trained = self._train(model)
            split, features, images = self._inputs(model)
            task = Task(model, split, features, images, trained, device=device)
            needs = (trained, split, *features, *([images] if images else []))
            self._job(Job(id, "fit", needs, task, costs.fit(model.model, device), affinity=trained))
        return id

    def _attack(self, group: Group, rows: tuple[Row, ...]) -> None:
        model, evaluate, attack = group.model, group.cells[0].evaluate, group.cells[0].attack
        found, source = self._subset(model), self._source(model.data)
        n = len(found.test) if evaluate.images is None else min(evaluate.images, len(found.test))
        split = self._input(f"subset/{found.digest}", Given(found))
        images = self._input(f"images/{found.digest}/{n}", Images(source, found.indices[found.test[:n]]))
        trained = self._train(model)
        surrogate = self._fit(model, group.device) if group.device and evaluate.mode == "surrogate" else ""
        needs = (split, images, trained, *([surrogate] if surrogate else []))
        task = Task(model, split, (), images, trained, surrogate, group.device, evaluate, attack.name, attack.options)
        cost = costs.attack(model.model, attack, len(rows), n)
        key = content_key(group.id, [row.key for row in rows])
        self._job(Job(f"attack/{key}", "attack", needs, task, cost, rows, affinity=trained))

    # rows

    def _rows(self, group: Group) -> tuple[Row, ...]:
        """The group's rows, with every column that is known before anything is computed."""
        model, data, device = group.model.model, group.model.data, group.device
        weights, found, attack = self._weights(model), self._subset(group.model), group.cells[0].attack
        evaluate, trained_on = group.cells[0].evaluate, group.model.train.device
        entry, head = attacks.get(attack.name, **attack.options), heads.get(model)
        circuit = head.circuit()
        common: dict[str, Any] = {
            "status": "failed", "sweep": self.plan.name, "data_source": data.source, "data_size": data.size,
            "data_digest": found.digest, "n_train": len(found.train), "n_test": len(found.test), "seed": group.model.seed,
            "backbone": model.backbone, "weights": _weights_label(model), "weights_origin": weights.origin,
            "image_size": model.image_size, "head": model.head, "n_qubits": head.width,
            "embedding": circuit.embedding if circuit else None, "layers": circuit.layers if circuit else None,
            "reuploads": circuit.reuploads if circuit else None,
            "train_device": resolve.device(trained_on).label if trained_on else "",
            "model_key": self.model_key(group.model), "device": _device_label(device, evaluate),
            "shots": device.options.get("shots") if device else None, "attack": attack.name, "norm": entry.norm,
            "attack_options": json.dumps(attack.options, sort_keys=True), "attack_label": self._attack_label(attack, evaluate),
            "mode": evaluate.mode, "access": evaluate.access,
        }  # fmt: skip
        pictured = group.model.seed == self.plan.groups[0].model.seed and not isinstance(entry, attacks.Clean)
        strengths = [cell.attack.epsilon for cell in group.cells]
        rows = []
        for cell in group.cells:
            key = content_key(group.id, cell.attack.epsilon, found.digest, weights.digest)
            extreme = cell.attack.epsilon in (min(strengths), max(strengths))
            keep = pictured and extreme and self.examples < MAX_EXAMPLES
            self.examples += keep
            rows.append(Row(**common, key=key, epsilon=cell.attack.epsilon, example=f"examples/{key}.npz" if keep else ""))
        return tuple(rows)

    def _attack_label(self, attack: AttackSpec, evaluate: EvaluateSpec) -> str:
        access = f"[{evaluate.access}]" if evaluate.access != "exact" else ""
        return attack_label(attack, self.attacks) + access


def _weights_label(model: ModelSpec) -> str:
    """What the sweep file says of the weights; of a path the name alone."""
    return "trained" if backbones.entry(model).trainable else Path(model.weights).name


def _device_label(device: DeviceSpec | None, evaluate: EvaluateSpec) -> str:
    label = resolve.device(device).label if device else "classical"
    return label if evaluate.mode == "surrogate" else f"{label} ({evaluate.mode})"
