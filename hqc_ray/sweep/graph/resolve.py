"""What the rooms say of a sweep file: every name and option is checked and filled in before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from hqc_ray import attacks, data
from hqc_ray.data.splits import parts
from hqc_ray.errors import DataError, InputError, ModelError, SpecError
from hqc_ray.models import backbones, heads
from hqc_ray.quantum import circuits, devices
from hqc_ray.quantum.cores import noisy_layer
from hqc_ray.spec import AttackSpec, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec, TrainSpec, expand

IMAGE_SIZE = 96  # pixels, unless the sweep file says otherwise


def source(spec: DataSpec) -> data.Source:
    """The data source of a section, with ${NAME} in its options replaced.

    Raises:
        InputError: an unknown source or option, or an unset variable.
    """
    options = {k: expand(v, f"data.{k}") for k, v in spec.options.items()}
    return data.get(spec.source, **options)


def circuit(model: ModelSpec) -> circuits.Circuit:
    """The circuit that is a model's head.

    Raises:
        ModelError: the head is none.
    """
    found = heads.get(model).circuit()
    if found is None:
        raise ModelError(f"{model.head!r} is no circuit", where="head", valid="a head with a circuit")
    return found


def device(spec: DeviceSpec) -> devices.Device:
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
        _at("data", opened.check)
        _at("data", parts, data.size, data.test_fraction, data.validation_fraction)
        counts = np.bincount(opened.labels(), minlength=2)
        if counts.min() < data.size // 2:
            raise DataError(
                f"{data.size} images asked for, {data.size // 2} of each class, but the source has {counts[0]} of class 0 and "
                f"{counts[1]} of class 1", where="data.size", valid=f"10 to {2 * counts.min()}",
            )  # fmt: skip
        filled = {k: v for k, v in opened.model_dump(mode="json").items() if k not in data.options}
        return DataSpec(**{**data.model_dump(), **filled})

    def model(self, model: ModelSpec) -> ModelSpec:
        """Checks backbone, weights and head, and fills in their options; those that mean nothing for the model are dropped."""
        head, backbone = _at("model", heads.get, model), _at("model", backbones.entry, model)
        _at("model", head.circuit)
        common = {"backbone": model.backbone, "weights": "random" if backbone.trainable else model.weights, "head": model.head}
        size = {"image_size": model.image_size or IMAGE_SIZE}
        filled = ModelSpec(**{**backbone.model_dump(mode="json"), **head.model_dump(mode="json"), **common, **size})
        self._check_weights(model.model_copy(update=size), str(expand(model.weights, "model.weights")))
        return filled

    def _check_weights(self, model: ModelSpec, weights: str) -> None:
        """Loads the weights once, for they may be of another architecture, or the image too small for the backbone."""
        identity = _at("model", backbones.weights_id, model.backbone, weights)
        remote = identity.origin.startswith("torchvision") and weights == "imagenet"
        key = (repr(_at("model", backbones.entry, model)), model.backbone, weights, model.image_size)
        if key not in self._loaded and (self.download or not remote):
            _at("model", backbones.build, model)
            self._loaded.add(key)

    def has_circuit(self, model: ModelSpec) -> bool:
        """Whether the head is a circuit: of the table, or a user's own."""
        return heads.get(model).kind == "circuit"

    def train(self, train: TrainSpec, model: ModelSpec) -> TrainSpec:
        """The options of its device, checked against the circuit; no device where it changes nothing: no circuit, no noise."""
        if train.device is None or not self.has_circuit(model):
            return train.model_copy(update={"device": None})
        entry = _at("train.device", device, train.device)
        if not _at("train.device", noisy_layer.is_noisy, circuit(model), entry):
            return train.model_copy(update={"device": None})
        telling = {k: v for k, v in entry.model_dump(mode="json").items() if k not in ("shots", "seed")}  # nothing is sampled
        return train.model_copy(update={"device": DeviceSpec(**{"name": train.device.name, **telling})})

    def attack(self, attack: AttackSpec) -> AttackSpec:
        """The attack's options, defaults included; an attack that changes nothing has epsilon 0."""
        entry = _at("attack", attacks.get, attack.name, **attack.options)
        epsilon = 0.0 if isinstance(entry, attacks.Clean) else attack.epsilon
        return AttackSpec(name=attack.name, epsilon=epsilon, **entry.model_dump(mode="json"))

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The device's options, defaults included, checked against the model's circuit."""
        entry = _at("device", devices.get, device.name, **device.options)
        _at("device", entry.prepare if self.download else entry.check, circuit(model))
        return DeviceSpec(**{"name": device.name, **entry.model_dump(mode="json")})

    def evaluate(self, evaluate: EvaluateSpec, device: DeviceSpec | None = None) -> EvaluateSpec:
        """Native runs, and what an attacker may see, are of circuits; shots and repeats are of sampled devices."""
        shots = device.options.get("shots") if device else None
        if device and evaluate.access == "shots" and not shots:
            raise SpecError(
                "access: shots on a device without shots", where="evaluate", valid="a device with shots, exact, or ideal"
            )
        if device and evaluate.mode == "native" and (shots or evaluate.access != "exact"):
            raise SpecError("mode: native is of exact devices and attacks", where="evaluate", valid="no shots, and access: exact")
        plain = {name: EvaluateSpec.model_fields[name].default for name in ("mode", "access")} if device is None else {}
        return evaluate.model_copy(update={**plain, **({} if shots else {"repeats": 1})})


def _at(where: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a room, and say in which section of the file its complaint belongs."""
    try:
        return function(*args, **kwargs)
    except InputError as problem:
        raise problem.at(where) from problem
