"""What a plan's trainings need on this machine: sources, subsets, weights, and the keys that follow from them."""

from __future__ import annotations

from collections.abc import Callable

from hqc_ray import attacks
from hqc_ray.data import Source
from hqc_ray.data.splits import Subset, subset
from hqc_ray.errors import DataError
from hqc_ray.models import backbones, heads
from hqc_ray.models.backbones import weights
from hqc_ray.models.backbones.weights import WeightsId
from hqc_ray.plan import Search, Training, content_key
from hqc_ray.spec import DataSpec, DeviceSpec, ModelSpec, expand
from hqc_ray.sweep.graph import resolve, sources
from hqc_ray.sweep.graph.inputs import Content
from hqc_ray.sweep.graph.jobs import Origin
from hqc_ray.usercode import with_code


class Lookup:
    """Looks each thing up once.

    Args:
        report: called with a line about what takes time.
    """

    def __init__(self, report: Callable[[str], None] = lambda _: None) -> None:
        self.report = report
        self._sources: dict[str, Source] = {}
        self._subsets: dict[str, Subset] = {}
        self._weights: dict[tuple[object, ...], WeightsId] = {}
        self._keys: dict[tuple[str, str], str] = {}

    def source(self, data: DataSpec) -> Source:
        """The data source of a section."""
        key = content_key(data.source, data.options, data.options.get("path"), data.classes)
        if key not in self._sources:
            self._sources[key] = sources.source(data)
        return self._sources[key]

    def subset(self, training: Training) -> Subset:
        """The images of a training and their split.

        Raises:
            DataError: it cannot be made (too few distinct images of a class, ...).
        """
        key = content_key(training.data, training.place, training.seed)
        if key not in self._subsets:
            data = training.data
            self.report(f"reading {data.size} images of {data.source}, seed {training.seed}")
            try:
                found = subset(self.source(data), data.size, training.seed, data.test_fraction, data.validation_fraction)
            except DataError as problem:
                raise problem.at("data") from problem
            self._subsets[key] = found
        return self._subsets[key]

    def weights(self, model: ModelSpec) -> WeightsId:
        """Which weights the backbone of a model has."""
        name = (model.backbone, model.weights, repr(backbones.entry(model)), model.image_size)
        if name not in self._weights:
            self._weights[name] = backbones.identify(model)
        return self._weights[name]

    def weights_file(self, model: ModelSpec) -> Content | None:
        """The file of a backbone's weights; None for those that are drawn or trained."""
        given = str(expand(model.weights))
        if trainable(model) or given == "random":
            return None
        return Content(weights.file(model.backbone, given))

    def origin(self, training: Training) -> Origin:
        """Where a model comes from, as its file will say."""
        found = self.weights(training.model)
        return Origin(self.subset(training).digest, found.digest, found.origin)

    def model_key(self, training: Training) -> str:
        """The key of a model: of its specification, its seed, the digests of data and weights, and a user's circuit's gates."""
        name = (training.place, training.id)
        if name not in self._keys:
            model = training.model
            gates = [resolve.circuit(model).digest] if ":" in model.head and resolve.has_circuit(model) else []
            self._keys[name] = content_key(training.id, self.subset(training).digest, self.weights(model).digest, *gates)
        return self._keys[name]

    def surrogate_key(self, training: Training, twin: DeviceSpec) -> str:
        """The key of a model's surrogate on an exact device (or on a measured one, with its shots)."""
        return content_key(self.model_key(training), twin)

    def features_key(self, model: ModelSpec) -> str:
        """The key of a frozen backbone's features, whatever the head."""
        return content_key(with_code(model.backbone), backbones.entry(model), model.image_size, self.weights(model).digest)

    def n_attacked(self, training: Training, images: int | None) -> int:
        """How many images of the test part are evaluated."""
        test = len(self.subset(training).test)
        return test if images is None else min(images, test)


def trainable(model: ModelSpec) -> bool:
    """Whether the backbone is trained with its head, on images."""
    return backbones.entry(model).trainable


def reads_features(search: Search) -> bool:
    """Whether a search begins with features, or its attack wants those of the training images."""
    attack, model = search.attack, search.training.model
    if attack.level != "pixels":
        return True
    return "angles" in heads.levels(model) and attacks.get(attack.name, **attack.options).wants_landmarks
