"""Checks a sweep file against the rooms: every name and option is validated and filled in before anything is computed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from hqc_ray import attacks, data
from hqc_ray.data.checked import as_written, check, checked_classes, checked_labels, checked_size, using
from hqc_ray.data.source import with_variables
from hqc_ray.data.splits import parts
from hqc_ray.errors import AttackError, DataError, InputError, ModelError, SpecError
from hqc_ray.models import backbones, heads
from hqc_ray.models.probe import probe
from hqc_ray.quantum import circuits, devices
from hqc_ray.quantum.cores import noisy_layer
from hqc_ray.spec import MAX_SIDE, AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec, TrainSpec, expand, variables


def source(spec: DataSpec) -> data.Source:
    """The data source of a section, with ${NAME} in its options replaced; no error of it shows what stands for a name.

    Raises:
        InputError: an unknown source or option, or an unset variable.
    """
    options = {k: expand(v, f"data.{k}") for k, v in spec.options.items()}
    names = tuple(name for value in spec.options.values() for name in variables(value))
    try:
        found = data.get(spec.source, classes=spec.classes, **options)
    except InputError as problem:
        raise as_written(problem, names) from problem
    return with_variables(found, names)


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
        self._loaded: set[tuple[Any, ...]] = set()

    def data(self, data: DataSpec) -> DataSpec:
        """Opens the source, and counts its labels."""
        opened = _at("data", source, data)
        _at("data", check, opened)
        names = _at("data", checked_classes, opened)
        _at("data", parts, data.size, data.test_fraction, data.validation_fraction, len(names))
        counts = np.bincount(_at("data", checked_labels, opened), minlength=len(names))
        if counts.min() < data.size // len(names):
            few = int(counts.argmin())
            raise DataError(
                f"{data.size} images asked for, {data.size // len(names)} of each class, but the source has {counts[few]} of "
                f"class {names[few]!r}", where="data.size", valid=f"10 to {len(names) * counts.min()}",
            )  # fmt: skip
        with using(opened, "write down the options of"):
            filled = {k: v for k, v in opened.model_dump(mode="json").items() if k not in data.options}
        return DataSpec(**{**data.model_dump(), **filled})

    def model(self, model: ModelSpec, data: DataSpec) -> ModelSpec:
        """Checks backbone, weights and head, and fills in their options; options of other entries are dropped."""
        head, backbone = _at("model", heads.get, model), _at("model", backbones.entry, model)
        _at("model", head.circuit)
        common = {"backbone": model.backbone, "weights": "random" if backbone.trainable else model.weights, "head": model.head}
        height, width = _at("data", lambda: checked_size(source(data)))
        if model.image_size is None and max(height, width) > MAX_SIDE:
            valid = f"1 to {MAX_SIDE}, to which they are resized"
            raise ModelError(f"the images have {height} x {width} pixels", where="model.image_size", valid=valid)
        if isinstance(model.image_size, int) and height != width:
            warnings.warn(f"images of {height} x {width} pixels are stretched to image_size {model.image_size}", stacklevel=2)
        size = {"image_size": model.image_size or (height if height == width else (height, width))}
        filled = ModelSpec(**{**backbone.model_dump(mode="json"), **head.model_dump(mode="json"), **common, **size})
        self._check_weights(model.model_copy(update=size), str(expand(model.weights, "model.weights")))
        return filled

    def _check_weights(self, model: ModelSpec, weights: str) -> None:
        """Loads the weights once: they may be of another architecture, or the images too small for the backbone."""
        identity = _at("model", backbones.weights_id, model.backbone, weights)
        remote = identity.origin.startswith("torchvision") and weights == "imagenet"
        key = (repr(_at("model", backbones.entry, model)), model.backbone, weights, model.image_size)
        if key not in self._loaded and (self.download or not remote):
            _at("model", probe if ":" in model.backbone else backbones.build, model)
            self._loaded.add(key)

    def backbone(self, model: ModelSpec) -> ModelSpec:
        """The backbone with its options, in front of no head in particular."""
        own = backbones.entry(model).model_dump(mode="json")
        return ModelSpec(**{**own, "backbone": model.backbone, "weights": model.weights, "image_size": model.image_size})

    def has_circuit(self, model: ModelSpec) -> bool:
        """See the function of that name."""
        return has_circuit(model)

    def train(self, train: TrainSpec, model: ModelSpec) -> TrainSpec:
        """The options of its device, checked against the circuit; no device where it changes nothing: no circuit, no noise."""
        if train.device is None or not self.has_circuit(model):
            return train.model_copy(update={"device": None})
        entry = _at("train.device", device_of, train.device)
        if not _at("train.device", noisy_layer.is_noisy, circuit(model), entry):
            return train.model_copy(update={"device": None})
        telling = {k: v for k, v in entry.model_dump(mode="json").items() if k not in ("shots", "seed")}  # nothing is sampled
        return train.model_copy(update={"device": DeviceSpec(**{"name": train.device.name, **telling})})

    def attack(self, attack: AttackSpec, model: ModelSpec) -> AttackSpec:
        """The attack's options, defaults included; an attack that changes nothing has epsilon 0.

        Raises:
            AttackError: the attack cannot search, or the model does not have, the level that is asked for.
        """
        entry = _at("attack", attacks.get, attack.name, **attack.options)
        if attack.level not in entry.reaches:
            what = f"{attack.name!r} does not search at the level {attack.level!r}"
            raise AttackError(what, where="attack.level", valid=", ".join(entry.reaches))
        if attack.level not in (levels := heads.levels(model)):
            what = f"{model.backbone} + {model.head} has no level {attack.level!r}"
            raise AttackError(what, where="attack.level", valid=", ".join(levels))
        epsilon = attack.epsilon if entry.perturbs else 0.0
        return AttackSpec(name=attack.name, level=attack.level, epsilon=epsilon, **entry.model_dump(mode="json"))

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The device's options, defaults included, checked against the model's circuit."""
        entry = _at("device", devices.get, device.name, **device.options)
        _at("device", entry.prepare if self.download else entry.check, circuit(model))
        return DeviceSpec(**{"name": device.name, **entry.model_dump(mode="json")})

    def exact(self, device: DeviceSpec) -> DeviceSpec:
        """The device without shots and their seed; a measured one has no such twin, and stays as it is."""
        if device_of(device).exactness == "measured":
            return device
        return DeviceSpec(**{"name": device.name, **device.options, "shots": None, "seed": 0})

    def label(self, device: DeviceSpec) -> str:
        """The device as tables name it."""
        return device_of(device).label

    def evaluate(self, evaluate: EvaluateSpec, device: DeviceSpec | None, attack: AttackSpec) -> EvaluateSpec:
        """Checks `mode` and `access`, and drops what does not apply: both without a circuit, `repeats` without shots."""
        shots = device.options.get("shots") if device else None
        if device and evaluate.access == "shots" and not shots:
            raise SpecError(
                "access: shots on a device without shots", where="evaluate", valid="a device with shots, exact, or ideal"
            )
        if device and evaluate.mode == "native" and (shots or evaluate.access != "exact"):
            raise SpecError("mode: native needs an exact device and access: exact", where="evaluate", valid="no shots")
        return evaluate if device else evaluate.model_copy(update={"access": EvaluateSpec.model_fields["access"].default})


def _at(where: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a room, and add to its error the section of the file that it is about."""
    try:
        return function(*args, **kwargs)
    except InputError as problem:
        raise problem.at(where) from problem
