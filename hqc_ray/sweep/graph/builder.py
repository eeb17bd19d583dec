"""From a plan and the store to the jobs that are left: the only place that knows how the stages depend on each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from hqc_ray.data import Source
from hqc_ray.data.splits import Subset
from hqc_ray.models import classifier
from hqc_ray.plan import Group, Judge, Plan, Search, Training, content_key
from hqc_ray.quantum.cores import surrogate
from hqc_ray.quantum.noise import snapshots
from hqc_ray.results.folder import kept_name
from hqc_ray.results.row import Planned
from hqc_ray.results.store import Store
from hqc_ray.spec import DeviceSpec, Mode, ModelSpec
from hqc_ray.sweep.graph import costs
from hqc_ray.sweep.graph.cells import Cells
from hqc_ray.sweep.graph.inputs import Given, Images, Input, Pixels, Stored
from hqc_ray.sweep.graph.jobs import (
    Deployment,
    FeaturesTask,
    FitTask,
    Graph,
    Inputs,
    Job,
    JudgeTask,
    SearchTask,
    TrainTask,
    Weights,
)
from hqc_ray.sweep.graph.lookup import Lookup, reads_features, trainable

CHUNK = 250  # images whose features are one job: seconds of work, and a unit that is cached

CHECKS: dict[str, Callable[[bytes], object]] = {"model": classifier.parse, "surrogate": surrogate.loads}

Rows = Sequence[tuple[Planned, Judge]]  # the open rows of a group


class Builder:
    """Builds the graph of a plan against a store.

    Raises:
        DataError: a subset cannot be made (too few distinct images of a class, ...).
    """

    def __init__(self, plan: Plan, store: Store, report: Callable[[str], None] = lambda _: None) -> None:
        self.plan, self.store, self.graph, self.lookup = plan, store, Graph(), Lookup(report)
        self.known: set[str] = set()  # ids of jobs and inputs that are in the graph
        self.wanted: dict[str, dict[bytes, tuple[Source, int]]] = {}  # features key -> image hash -> where to read the image
        self.users: dict[str, ModelSpec] = {}  # features key -> a model of that backbone
        self.kept: dict[str, dict[float, str]] = {}  # start_id -> epsilons whose images are kept -> names of files
        self.lending: dict[str, Search] = {}  # by the names of the images that they give, searches that others begin with
        self.chunks: dict[str, dict[bytes, str]] = {}  # features key -> image hash -> the chunk that holds its features

    def build(self) -> Graph:
        """All jobs whose results are neither in the ledger nor in a cache."""
        todo: list[tuple[Search, Rows]] = []
        seen: set[str] = set()
        done, cells = self.store.ledger.done(), Cells(self.plan, self.lookup)
        for group in self.plan.groups:
            new = [row for row in cells.of(group) if row[0].key not in seen]  # two places may hold the same images
            seen.update(row.key for row, _ in new)
            self.graph.order += [row.key for row, _ in new]
            open = [row for row in new if row[0].key not in done]
            lacking = self._lacking(group, new)
            again = lacking.keys() - {row.epsilon for row, _ in open}
            open += {row.epsilon: (row, judge) for row, judge in new[::-1] if row.epsilon in again}.values()
            if open:
                todo.append((group.search, open))
                self.kept[self.start_id(group.search)] = lacking
        todo = self._with_starts(todo)
        self._features(todo)
        for search, rows in todo:
            self._search(search, rows)
        return self.graph

    def _lacking(self, group: Group, rows: Rows) -> dict[float, str]:
        """The epsilons whose images are to be kept and are not there, or damaged, with the names of their files."""
        asked = {cell.epsilon for cell in group.cells if cell.keep}
        names = {row.epsilon: kept_name(row) for row, _ in rows if row.epsilon in asked}
        return {epsilon: name for epsilon, name in names.items() if not self.store.is_whole(name)}

    def _with_starts(self, todo: Sequence[tuple[Search, Rows]]) -> list[tuple[Search, Rows]]:
        """The same, after the searches that others begin with and whose images are not there, with the rows that they have."""
        starts = {self.start_id(start): start for search, _ in todo if (start := search.start)}
        self.lending = {id: start for id, start in starts.items() if not self._cached(id)}
        own = {self.start_id(search) for search, _ in todo}
        lone: list[tuple[Search, Rows]] = [(start, ()) for id, start in self.lending.items() if id not in own]
        return lone + sorted(todo, key=lambda one: self.start_id(one[0]) not in self.lending)

    def model_id(self, training: Training) -> str:
        """The name of a trained model."""
        return f"model/{self.lookup.model_key(training)}"

    def surrogate_id(self, training: Training, twin: DeviceSpec) -> str:
        """The name of a model's surrogate on a device."""
        return f"surrogate/{self.lookup.surrogate_key(training, twin)}"

    def start_id(self, search: Search) -> str:
        """The name of the images that a search lends."""
        return f"start/{content_key(search.id, self.lookup.model_key(search.training))}"

    def _cached(self, id: str) -> bool:
        """Whether the store has an artifact; if so it becomes an input."""
        check = CHECKS.get(id.partition("/")[0])
        if id not in self.graph.inputs and id not in self.known and self.store.load(id, check) is not None:
            self.graph.inputs[id] = Stored(id)
        return id in self.graph.inputs

    def _input(self, id: str, recipe: Input) -> str:
        self.graph.inputs.setdefault(id, recipe)
        return id

    def _job(self, job: Job) -> str:
        if job.id not in self.known:
            self.known.add(job.id)
            self.graph.jobs.append(job)
        return job.id

    def _weights(self, model: ModelSpec) -> Weights:
        """A backbone's weights as an input, so that only the driver's node needs their file."""
        digest, content = self.lookup.weights(model).digest, self.lookup.weights_file(model)
        return Weights(self._input(f"weights/{digest}", content) if content else "", digest)

    def _snapshots(self, device: DeviceSpec | None) -> list[str]:
        """The calibration of a device's machine as an input, where it comes from a file, which only the driver's node has."""
        name = device.options.get("noise") if device else None
        if not isinstance(name, str) or not snapshots.NAME.fullmatch(name):
            return []
        return [self._input(f"snapshot/{name}", Given(snapshots.get(name).text))]

    # features: every image once per backbone, size and weights, whatever the number of heads, seeds and attacks

    def _features(self, todo: Sequence[tuple[Search, Rows]]) -> None:
        for search, rows in todo:
            ones: list[tuple[Training, DeviceSpec | None, Mode]] = [(search.training, search.twin, search.mode)]
            ones += [(search.control, None, "surrogate")] if search.control else []
            ones += [(judge.training, judge.twin, judge.mode) for _, judge in rows]
            for training, twin, mode in ones:
                trained = self._cached(self.model_id(training))
                fitted = twin is None or mode == "native" or self._cached(self.surrogate_id(training, twin))
                if not (trained and fitted) or (reads_features(search) and training is search.training):
                    self._want(training)
        for key, images in self.wanted.items():
            self.chunks[key] = {}
            for id, hashes in self.store.features(key):
                if not images.keys().isdisjoint(hashes.tolist()):
                    self.chunks[key].update(dict.fromkeys(hashes.tolist(), id))
                    self._input(id, Stored(id))
            missing = [h for h in images if h not in self.chunks[key]]
            for start in range(0, len(missing), CHUNK):
                self._chunk(key, self.users[key], missing[start : start + CHUNK])

    def _want(self, training: Training) -> None:
        if trainable(training.model):
            return
        key, found = self.lookup.features_key(training.model), self.lookup.subset(training)
        source = self.lookup.source(training.data)
        images = self.wanted.setdefault(key, {})
        images.update(zip(found.hashes.tolist(), ((source, int(i)) for i in found.indices), strict=True))
        self.users.setdefault(key, training.model)

    def _chunk(self, key: str, model: ModelSpec, hashes: list[bytes]) -> None:
        name = hashlib.sha256(b"".join(hashes)).hexdigest()[:16]
        pixels = self._input(f"pixels/{name}", Pixels(tuple(hashes), tuple(self.wanted[key][h] for h in hashes)))
        weights = self._weights(model)
        needs = (pixels, *([weights.file] if weights.file else []))
        task = FeaturesTask(model, weights, pixels)
        id = self._job(Job(f"features/{key}/{name}", "features", needs, task, len(hashes) * costs.forward(model)))
        self.chunks[key].update(dict.fromkeys(hashes, id))

    def _inputs(self, training: Training) -> Inputs:
        found = self.lookup.subset(training)
        split = self._split(found)
        if trainable(training.model):
            images = Images(self.lookup.source(training.data), found.indices, found.hashes)
            return Inputs(split, images=self._input(f"images/{found.digest}/all", images))
        chunks = self.chunks[self.lookup.features_key(training.model)]
        return Inputs(split, tuple(sorted({chunks[h] for h in found.hashes.tolist()})))

    def _split(self, found: Subset) -> str:
        return self._input(f"subset/{found.digest}", Given(found))

    # the other stages

    def _train(self, training: Training) -> str:
        id = self.model_id(training)
        if not self._cached(id) and id not in self.known:
            inputs, weights = self._inputs(training), self._weights(training.model)
            task = TrainTask(training, weights, inputs, self.lookup.origin(training))
            needs = (*inputs.names, *([weights.file] if weights.file else []), *self._snapshots(training.train.device))
            self._job(Job(id, "train", needs, task, costs.train(training)))
        return id

    def _deployed(self, training: Training, device: DeviceSpec | None, twin: DeviceSpec | None, native: bool) -> Deployment:
        """A model on its device, as the names of its artifacts; missing ones get a job."""
        trained, weights = self._train(training), self._weights(training.model)
        if twin is None or native:
            return Deployment(training, weights, trained, device=device, native=native)
        id = self.surrogate_id(training, twin)
        if not self._cached(id) and id not in self.known:
            inputs, on_twin = self._inputs(training), Deployment(training, weights, trained, device=twin)
            needs = (trained, *inputs.names, *([weights.file] if weights.file else []), *self._snapshots(twin))
            self._job(Job(id, "fit", needs, FitTask(on_twin, inputs), costs.fit(training.model, twin), affinity=trained))
        return Deployment(training, weights, trained, id, device)

    def _search(self, search: Search, rows: Rows) -> None:
        training, native = search.training, search.mode == "native"
        found, n = self.lookup.subset(training), self.lookup.n_attacked(training, search.images)
        searched = self._deployed(training, search.device, search.twin, native and search.device is not None)
        judges = list({judge.id: judge for _, judge in rows}.values())
        tasks = tuple(self._judge(judge, search) for judge in judges)
        images = ""
        inputs = self._inputs(training) if reads_features(search) else Inputs(self._split(found))
        if search.attack.level == "pixels":
            first = found.test[:n]
            images_of = Images(self.lookup.source(training.data), found.indices[first], found.hashes[first])
            images = self._input(f"images/{found.digest}/{n}", images_of)
        control = self._deployed(search.control, None, None, False) if search.control else None
        start, lent = self.start_id(search.start) if search.start else "", self.start_id(search)
        lends, kept = lent in self.lending and lent not in self.known, tuple(self.kept.get(lent, {}).items())
        judged = tuple(next(i for i, one in enumerate(judges) if one.id == judge.id) for _, judge in rows)
        task = SearchTask(search, searched, inputs, images, n, tasks, judged, kept, control, start, lends)
        needs = dict.fromkeys(n for n in (*inputs.names, images, start) if n)
        for one in (searched, *(t.deployed for t in tasks), *([control] if control else [])):
            needs |= dict.fromkeys(n for n in (one.trained, one.surrogate, one.weights.file, *self._snapshots(one.device)) if n)
        needs |= dict.fromkeys(t.split for t in tasks if t.split)
        epsilons = len({*search.epsilons, *(row.epsilon for row, _ in rows)})
        cost = costs.search(search, epsilons, len(judges), n, sum(judge.certificate for judge in judges))
        id = lent if lends else f"search/{content_key(search.id, [row.key for row, _ in rows])}"
        self._job(Job(id, "search", tuple(needs), task, cost, tuple(row for row, _ in rows), affinity=searched.trained))

    def _judge(self, judge: Judge, search: Search) -> JudgeTask:
        deployed = self._deployed(judge.training, judge.device, judge.twin, judge.mode == "native" and judge.device is not None)
        known = self.lookup.subset(judge.training)
        stranger = known.digest != self.lookup.subset(search.training).digest
        return JudgeTask(deployed, judge.repeats, self._split(known) if stranger else "", judge.certificate)
