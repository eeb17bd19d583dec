"""Checks a sweep file against the rooms: every name and option is validated and filled in before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hqc_ray import attacks
from hqc_ray.data.checked import check, checked_classes, checked_labels, using
from hqc_ray.data.sources.synthetic import Synthetic
from hqc_ray.data.splits import parts
from hqc_ray.errors import AttackError, ModelError
from hqc_ray.later import later
from hqc_ray.models import backbones, heads
from hqc_ray.quantum import circuits, devices
from hqc_ray.quantum.cores import sizes
from hqc_ray.quantum.study import trial
from hqc_ray.redaction import refer
from hqc_ray.spec import (
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
from hqc_ray.sweep.graph.sources import at, check_size, n_classes, own_size, source

if TYPE_CHECKING:
    from hqc_ray.attacks import trial as attack_trial
    from hqc_ray.models import trial as head_trial
    from hqc_ray.models.backbones import probe
    from hqc_ray.quantum.cores import noisy_layer
else:
    attack_trial, head_trial = later("hqc_ray.attacks.trial"), later("hqc_ray.models.trial")
    noisy_layer, probe = later("hqc_ray.quantum.cores.noisy_layer"), later("hqc_ray.models.backbones.probe")

UNKNOWN_FEATURES = 512  # with which a user's head is tried, where the backbone's weights are not here yet

TRIED_FEATURES = 16  # of each image, where a user's own attack is tried on random features


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
            at("attack", attacks.get, section.name, **section.options)
        elif isinstance(section, DeviceSpec):
            at("device", device_of, section)
        elif isinstance(section, ModelSpec):
            at("model", backbones.entry, section)
            at("model", heads.get, section, self._known)
        elif isinstance(section, DataSpec):
            at("data", source, section)

    def data(self, data: DataSpec) -> DataSpec:
        """Opens the source, and counts its labels."""
        opened = at("data", source, data)
        if self.download or type(opened) is not Synthetic:  # whose images are drawn by a seed: nothing to look at
            at("data", check, opened)
        names = at("data", checked_classes, opened)
        at("data", parts, data.size, data.test_fraction, data.validation_fraction, len(names))
        check_size(data, names, np.bincount(at("data", checked_labels, opened), minlength=len(names)))
        with using(opened, "write down the options of"):
            filled = {k: refer(v) for k, v in opened.model_dump(mode="json").items() if k not in data.options}
        return DataSpec(**{**data.model_dump(), **filled})

    def model(self, model: ModelSpec, data: DataSpec) -> ModelSpec:
        """Checks backbone, weights and head, and fills in their options; options of other entries are dropped."""
        head, backbone = at("model", heads.get, model, self._known), at("model", backbones.entry, model)
        if isinstance(head, heads.CircuitHead):
            at("model", head.circuit)
        common = {"backbone": model.backbone, "weights": "random" if backbone.trainable else model.weights, "head": model.head}
        height, width = own_size(data, resized=model.image_size is not None)
        if isinstance(model.image_size, int) and height != width:
            warnings.warn(f"images of {height} x {width} pixels are stretched to image_size {model.image_size}", stacklevel=2)
        size = {"image_size": model.image_size or (height if height == width else (height, width))}
        filled = ModelSpec(**{**backbone.model_dump(mode="json"), **head.model_dump(mode="json"), **common, **size})
        n_features = self._check_weights(model.model_copy(update=size), str(expand(model.weights, "model.weights")))
        if ":" in model.head and not isinstance(head, heads.CircuitHead):
            at("model", head_trial.tried, model.head, head, n_features, n_classes(data))
        return filled

    def _check_weights(self, model: ModelSpec, weights: str) -> int:
        """Loads the weights once: they may be of another architecture, or the images too small for the backbone.

        A plan does without where `backbones.foreseen` knows what comes out; a sweep loads them, whatever is known.

        The number of features is known then; where nothing is downloaded yet, it is `UNKNOWN_FEATURES`.
        """
        identity = at("model", backbones.weights_id, model.backbone, weights)
        remote = identity.origin.startswith("torchvision") and weights == "imagenet"
        key = (repr(at("model", backbones.entry, model)), model.backbone, weights, model.image_size)
        if key not in self._loaded and not self.download:
            known = at("model", backbones.foreseen, model, weights)
            self._loaded |= {} if known is None else {key: known}
        if key not in self._loaded and (self.download or not remote):
            tried = probe.probe if ":" in model.backbone else backbones.build
            self._loaded[key] = at("model", tried, model).n_features
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
            known = at("model", backbones.foreseen, model, "random")
            self._features[key] = at("model", backbones.build, model, "random").n_features if known is None else known
        return heads.controls(model, self._features[key], n_classes(data))

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
        entry = at("train.device", device_of, train.device)
        at("train.device", trial.tried, train.device.name, entry, circuit(model))
        if not at("train.device", noisy_layer.is_noisy, circuit(model), entry):
            return train.model_copy(update={"device": None})
        telling = {k: v for k, v in entry.model_dump(mode="json").items() if k not in ("shots", "seed")}  # nothing is sampled
        return train.model_copy(update={"device": DeviceSpec(**{"name": train.device.name, **telling})})

    def attack(self, attack: AttackSpec, model: ModelSpec, data: DataSpec) -> AttackSpec:
        """The attack's options, defaults included; an attack that changes nothing has epsilon 0. A user's own is tried.

        Raises:
            AttackError: the attack cannot search, or the model does not have, the level that is asked for; or it fails.
        """
        entry = at("attack", attacks.get, attack.name, **attack.options)
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
        if entry.least_classes > 2 and (k := n_classes(data)) < entry.least_classes:
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
        if not _foreign(attack.name, entry):
            return
        width = {"features": TRIED_FEATURES, "angles": heads.get(model).width or TRIED_FEATURES}
        shape = (3, *own_size(data, resized=True)) if attack.level == "pixels" else (width[attack.level],)
        key = (repr(entry), attack.name, attack.level, shape, n_classes(data))
        if key not in self._tried:
            at("attack", attack_trial.check, attack.name, entry, attack.level, shape, n_classes(data))
            self._tried.add(key)

    def nested(self, attack: AttackSpec) -> bool:
        """See `Attack.nested`."""
        return attacks.get(attack.name, **attack.options).nested

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The device's options, defaults included, checked against the model's circuit."""
        entry = at("device", devices.get, device.name, **device.options)
        found = circuit(model)
        if (key := (device.name, repr(entry), found.digest)) not in self._tried:
            at("device", trial.tried, device.name, entry, found, self.download)
            self._tried.add(key)
        return DeviceSpec(**{"name": device.name, **entry.model_dump(mode="json")})

    def surrogate(self, model: ModelSpec, device: DeviceSpec) -> None:
        """Refuses a surrogate that would be too large, or not exact."""
        entry = device_of(device)
        at("model", sizes.refuse_large, circuit(model), entry.runs)
        if (key := ("surrogate", device.name, repr(entry))) not in self._tried:
            at("device", trial.fits, device.name, entry)
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


def _foreign(name: str, attack: attacks.Attack) -> bool:
    """Whether an attack, or a member of it, is a user's own or a library's."""
    return ":" in name or any(_foreign(inner, one) for inner, one in getattr(attack, "members", {}).items())
