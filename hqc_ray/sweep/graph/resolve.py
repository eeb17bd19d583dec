"""Checks a sweep file against the rooms: every name and option is validated and filled in before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hqc_ray import attacks, data
from hqc_ray.attacks import trial as attack_trial
from hqc_ray.data.checked import check, checked_classes, checked_labels, checked_size, using
from hqc_ray.data.splits import multiple, parts, smallest
from hqc_ray.errors import AttackError, DataError, InputError, ModelError
from hqc_ray.models import backbones, heads
from hqc_ray.models import trial as head_trial
from hqc_ray.models.backbones.probe import probe
from hqc_ray.quantum import circuits, devices
from hqc_ray.quantum.cores import noisy_layer, surrogate
from hqc_ray.quantum.study import trial
from hqc_ray.redaction import refer
from hqc_ray.spec import (
    MAX_SIDE,
    MIN_IMAGES,
    AttackSpec,
    DataSpec,
    DeviceSpec,
    EvaluateSpec,
    Level,
    ModelSpec,
    Section,
    TrainSpec,
    expand,
)
from hqc_ray.sweep.graph import borrowing, evaluating

UNKNOWN_FEATURES = 512  # with which a user's head is tried, where the backbone's weights are not here yet

TRIED_FEATURES = 16  # of each image, where a user's own attack is tried on random features


def source(spec: DataSpec) -> data.Source:
    """The data source of a section, with ${NAME} in its options replaced; no error of it shows what stands for a name.

    Raises:
        InputError: an unknown source or option, or an unset variable.
    """
    options = {k: expand(v, k) for k, v in spec.options.items()}
    return data.get(spec.source, **options) if spec.classes is None else data.get(spec.source, classes=spec.classes, **options)


def circuit(model: ModelSpec) -> circuits.Circuit:
    """The circuit that is a model's head.

    Raises:
        ModelError: the head is not a circuit.
    """
    found = heads.get(model).circuit()
    if found is None:
        raise ModelError(f"{model.head!r} is not a circuit", where="head", valid="a head with a circuit")
    return found


def has_circuit(model: ModelSpec) -> bool:
    """Whether a model's head is a circuit: of the table, or a user's own."""
    return heads.get(model).kind == "circuit"


def device_of(spec: DeviceSpec) -> devices.Device:
    """The device of a section."""
    return devices.get(spec.name, **spec.options)


class Rooms:
    """The resolver of `hqc_ray.plan` that asks the real rooms.

    Args:
        download: whether weights that are not on this machine are downloaded now, and remote devices are
            connected to, so that a sweep fails here or never.
    """

    def __init__(self, download: bool = False) -> None:
        self.download = download
        self._loaded: dict[tuple[Any, ...], int] = {}  # backbones that were built once, and their numbers of features
        self._features: dict[tuple[Any, ...], int] = {}  # numbers of features, whatever the weights
        self._tried: set[tuple[Any, ...]] = set()
        self._known: frozenset[str] = frozenset()  # options of the users' heads and backbones of the sweep

    def models(self, models: Iterable[ModelSpec]) -> None:
        """Notes the options that heads and backbones of users have: in the models beside them they are dropped, not refused."""
        self._known = frozenset(name for model in models for name in heads.options(model))

    def alone(self, section: Section | None) -> None:
        """See `Resolver.alone`."""
        if isinstance(section, AttackSpec):
            _at("attack", attacks.get, section.name, **section.options)
        elif isinstance(section, DeviceSpec):
            _at("device", device_of, section)
        elif isinstance(section, ModelSpec):
            _at("model", backbones.entry, section)
            _at("model", heads.get, section, self._known)
        elif isinstance(section, DataSpec):
            _at("data", source, section)

    def data(self, data: DataSpec) -> DataSpec:
        """Opens the source, and counts its labels."""
        opened = _at("data", source, data)
        _at("data", check, opened)
        names = _at("data", checked_classes, opened)
        _at("data", parts, data.size, data.test_fraction, data.validation_fraction, len(names))
        _check_size(data, names, np.bincount(_at("data", checked_labels, opened), minlength=len(names)))
        with using(opened, "write down the options of"):
            filled = {k: refer(v) for k, v in opened.model_dump(mode="json").items() if k not in data.options}
        return DataSpec(**{**data.model_dump(), **filled})

    def model(self, model: ModelSpec, data: DataSpec) -> ModelSpec:
        """Checks backbone, weights and head, and fills in their options; options of other entries are dropped."""
        head, backbone = _at("model", heads.get, model, self._known), _at("model", backbones.entry, model)
        if isinstance(head, heads.CircuitHead):
            _at("model", head.circuit)
        common = {"backbone": model.backbone, "weights": "random" if backbone.trainable else model.weights, "head": model.head}
        height, width = _own_size(data, resized=model.image_size is not None)
        if isinstance(model.image_size, int) and height != width:
            warnings.warn(f"images of {height} x {width} pixels are stretched to image_size {model.image_size}", stacklevel=2)
        size = {"image_size": model.image_size or (height if height == width else (height, width))}
        filled = ModelSpec(**{**backbone.model_dump(mode="json"), **head.model_dump(mode="json"), **common, **size})
        n_features = self._check_weights(model.model_copy(update=size), str(expand(model.weights, "model.weights")))
        if ":" in model.head and not isinstance(head, heads.CircuitHead):
            _at("model", head_trial.tried, model.head, head, n_features, _n_classes(data))
        return filled

    def _check_weights(self, model: ModelSpec, weights: str) -> int:
        """Loads the weights once: they may be of another architecture, or the images too small for the backbone.

        The number of features is known then; where nothing is downloaded yet, it is `UNKNOWN_FEATURES`.
        """
        identity = _at("model", backbones.weights_id, model.backbone, weights)
        remote = identity.origin.startswith("torchvision") and weights == "imagenet"
        key = (repr(_at("model", backbones.entry, model)), model.backbone, weights, model.image_size)
        if key not in self._loaded and (self.download or not remote):
            tried = probe if ":" in model.backbone else backbones.build
            self._loaded[key] = _at("model", tried, model).n_features
        return self._loaded.get(key, UNKNOWN_FEATURES)

    def backbone(self, model: ModelSpec) -> ModelSpec:
        """The backbone with its options, in front of no head in particular."""
        own = backbones.entry(model).model_dump(mode="json")
        return ModelSpec(**{**own, "backbone": model.backbone, "weights": model.weights, "image_size": model.image_size})

    def has_circuit(self, model: ModelSpec) -> bool:
        """See the function of that name."""
        return has_circuit(model)

    def controls(self, model: ModelSpec, data: DataSpec) -> tuple[ModelSpec, ...]:
        """The controls of a circuit: see `heads.controls`."""
        if not self.has_circuit(model):
            return ()
        key = (model.backbone, repr(backbones.entry(model)), model.image_size)
        if key not in self._features:
            self._features[key] = _at("model", backbones.build, model, "random").n_features
        n_classes = _n_classes(data)
        return heads.controls(model, self._features[key], n_classes)

    def control(self, model: ModelSpec) -> ModelSpec:
        """See `heads.control`."""
        return heads.control(model)

    def borrows(self, attack: AttackSpec) -> tuple[str, ...]:
        """See `Attack.borrows`; of those that work at the attack's level."""
        return borrowing.at_level(attack)

    def reaches(self, model: ModelSpec, level: Level) -> bool:
        """See `heads.levels`."""
        return level in heads.levels(model)

    def train(self, train: TrainSpec, model: ModelSpec) -> TrainSpec:
        """The options of its device, checked against the circuit; no device where it changes nothing: no circuit, no noise."""
        if train.device is None or not self.has_circuit(model):
            return train.model_copy(update={"device": None})
        entry = _at("train.device", device_of, train.device)
        _at("train.device", trial.tried, train.device.name, entry, circuit(model))
        if not _at("train.device", noisy_layer.is_noisy, circuit(model), entry):
            return train.model_copy(update={"device": None})
        telling = {k: v for k, v in entry.model_dump(mode="json").items() if k not in ("shots", "seed")}  # nothing is sampled
        return train.model_copy(update={"device": DeviceSpec(**{"name": train.device.name, **telling})})

    def attack(self, attack: AttackSpec, model: ModelSpec, data: DataSpec) -> AttackSpec:
        """The attack's options, defaults included; an attack that changes nothing has epsilon 0. A user's own is tried.

        Raises:
            AttackError: the attack cannot search, or the model does not have, the level that is asked for; or it fails.
        """
        entry = _at("attack", attacks.get, attack.name, **attack.options)
        if attack.level not in entry.reaches:
            what = f"{attack.name!r} does not search at the level {attack.level!r}"
            raise AttackError(what, where="attack.level", valid=", ".join(entry.reaches))
        if attack.level not in (levels := heads.levels(model)):
            what = f"{model.backbone} + {model.head} has no level {attack.level!r}"
            raise AttackError(what, where="attack.level", valid=", ".join(levels))
        if entry.perturbs and "epsilon" not in attack.model_fields_set:
            raise AttackError(f"{attack.name!r} has no epsilon", where="attack.epsilon", valid="a strength, such as 8/255")
        if entry.needs_bottleneck and "angles" not in levels:
            what = f"{attack.name!r} with these options knows no target in {model.backbone} + {model.head}"
            raise AttackError(what, where="attack.directions", valid="1 and more, or a head with a bottleneck")
        borrowing.check(attack, entry, model)
        self._try(attack, entry, model, data)
        if entry.least_classes > 2 and (k := _n_classes(data)) < entry.least_classes:
            what = f"{attack.name!r} with these options needs {entry.least_classes} classes, and the data has {k}"
            raise AttackError(what, where="attack", valid="other options, or data of more classes")
        epsilon = attack.epsilon if entry.perturbs else 0.0
        if epsilon > 1 and attack.level == "pixels" and entry.norm == "linf":
            hint = f"; did you mean {epsilon:g}/255?" if epsilon <= 255 else ""
            what = f"epsilon {epsilon:g} of pixels, which lie in [0, 1]{hint}"
            raise AttackError(what, where="attack.epsilon", valid="0 to 1 in linf, such as 8/255")
        return AttackSpec(name=attack.name, level=attack.level, epsilon=epsilon, **entry.model_dump(mode="json"))

    def _try(self, attack: AttackSpec, entry: attacks.Attack, model: ModelSpec, data: DataSpec) -> None:
        """Runs a user's own attack once on a few random values, of the images' size at pixels."""
        if ":" not in attack.name and "members" not in attack.options:
            return
        width = {"features": TRIED_FEATURES, "angles": heads.get(model).width or TRIED_FEATURES}
        shape = (3, *_own_size(data, resized=True)) if attack.level == "pixels" else (width[attack.level],)
        key = (repr(entry), attack.name, attack.level, shape, _n_classes(data))
        if key not in self._tried:
            _at("attack", attack_trial.check, attack.name, entry, attack.level, shape, _n_classes(data))
            self._tried.add(key)

    def nested(self, attack: AttackSpec) -> bool:
        """See `Attack.nested`."""
        return attacks.get(attack.name, **attack.options).nested

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The device's options, defaults included, checked against the model's circuit."""
        entry = _at("device", devices.get, device.name, **device.options)
        found = circuit(model)
        if (key := (device.name, repr(entry), found.digest)) not in self._tried:
            _at("device", trial.tried, device.name, entry, found, self.download)
            self._tried.add(key)
        return DeviceSpec(**{"name": device.name, **entry.model_dump(mode="json")})

    def surrogate(self, model: ModelSpec, device: DeviceSpec) -> None:
        """Refuses a surrogate that would be too large, or not exact."""
        entry = device_of(device)
        _at("model", surrogate.refuse_large, circuit(model), entry.runs)
        if (key := ("surrogate", device.name, repr(entry))) not in self._tried:
            _at("device", trial.fits, device.name, entry)
            self._tried.add(key)

    def exact(self, device: DeviceSpec) -> DeviceSpec:
        """The device without shots and their seed; a measured one has no such twin, and stays as it is."""
        if device_of(device).exactness == "measured":
            return device
        return DeviceSpec(**{"name": device.name, **device.options, "shots": None, "seed": 0})

    def label(self, device: DeviceSpec) -> str:
        """The device as tables name it."""
        return device_of(device).label

    def evaluate(self, evaluate: EvaluateSpec, device: DeviceSpec | None, attack: AttackSpec) -> EvaluateSpec:
        """See `evaluating.checked`."""
        return evaluating.checked(evaluate, device, attack)


def _check_size(data: DataSpec, names: Sequence[str], counts: np.ndarray) -> None:
    """Whether there are enough images of each of K classes `names`, of which there are `counts` [K]."""
    k, fewest = len(names), int(counts.min())
    if fewest < data.size // k:
        least = smallest(data.test_fraction, data.validation_fraction, k, MIN_IMAGES)
        possible = least and least <= k * fewest
        of_each = f"a source with {(least or data.size) // k:,} images of each class"
        raise DataError(
            f"{data.size:,} images asked for, {data.size // k:,} of each class, but the source has {fewest:,} of class "
            f"{names[int(counts.argmin())]!r}", where="data.size",
            valid=f"{multiple(k)} from {least:,} to {k * fewest:,}" if possible else of_each,
        )  # fmt: skip


def _n_classes(data: DataSpec) -> int:
    return len(_at("data", lambda: checked_classes(source(data))))


def _own_size(data: DataSpec, resized: bool) -> tuple[int, int]:
    """(height, width) of the images in pixels, which are not too many where nothing resizes them."""
    size: tuple[int, int] = _at("data", lambda: checked_size(source(data)))
    if max(size) > MAX_SIDE and not resized:
        what = f"the images have {max(size):,} pixels along a side, too many for a network"
        raise ModelError(what, where="model.image_size", valid=f"a size to which they are resized, up to {MAX_SIDE:,}")
    return size


def _at(where: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a room, and add to its error the section of the file that it is about."""
    try:
        return function(*args, **kwargs)
    except InputError as problem:
        raise problem.at(where) from problem
