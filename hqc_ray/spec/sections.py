"""The sections of a sweep file as frozen, validated models."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, field_validator
from pydantic_core import PydanticCustomError

from hqc_ray.entries import Options, Seed

NAMED = ("source", "backbone", "head", "name", "noise")  # the keys of a sweep file that take a user's own `package.module:name`
Fraction = Annotated[float, Field(ge=0, lt=1)]
MIN_IMAGES, MAX_IMAGES = 10, 10_000_000
MAX_SIDE = 2048  # pixels that a backbone sees: a network of a few million weights takes gigabytes there
Level = Literal["pixels", "features", "angles"]
LEVELS: tuple[Level, ...] = get_args(Level)
Access = Literal["exact", "shots", "ideal"]
Mode = Literal["surrogate", "native"]


def _size(value: Any) -> int | tuple[int, int]:
    """One side in pixels, or two that differ."""
    given = tuple(value) if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    if not all(isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_SIDE for n in given):
        raise PydanticCustomError("size", f"Input should be a whole number from 1 to {MAX_SIDE}, or [height, width]")
    return given[0] if given[0] == given[1] else (given[0], given[1])


def _as_it_is(value: int | tuple[int, int]) -> Any:
    """What pydantic writes down; its own serializer of the annotation warns of every tuple."""
    return value


Size = Annotated[int | tuple[int, int], PlainValidator(_size), PlainSerializer(_as_it_is)]


class Section(Options):
    """One section of a cell. Sections that name an entry of a table carry its options as extra fields.

    Attributes:
        lists: fields whose single value is a list; for them, only a list of lists is an axis.
    """

    lists: ClassVar[tuple[str, ...]] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options that belong to the named entry."""
        return dict(self.model_extra or {})


class DataSpec(Section):
    """`size` images of a data source, balanced, in a split. Other keys are options of the source (`path`, ...).

    `classes` makes a smaller task of the source's classes, by their names or label numbers, in this order: [3, 8].
    """

    model_config = ConfigDict(extra="allow")
    lists: ClassVar[tuple[str, ...]] = ("classes",)
    source: str
    classes: Annotated[tuple[int | str, ...], Field(max_length=100)] | None = None
    size: Annotated[int, Field(ge=MIN_IMAGES, le=MAX_IMAGES)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    validation_fraction: Fraction | None = None


class ModelSpec(Section):
    """Backbone (frozen, unless it is trained end to end) and head. Other keys are options of the head or the backbone.

    `image_size` is the side in pixels of the square that the backbone resizes images to, or [height, width]; None means the
    size that the data have. In a file [96, 48] are two sizes, [[96, 48]] is one.
    """

    model_config = ConfigDict(extra="allow")
    backbone: str
    weights: str = "imagenet"
    image_size: Size | None = None
    head: str = "linear"


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) in pixels of an image size, which of a square is its side."""
    return (size, size) if isinstance(size, int) else size


class DeviceSpec(Section):
    """What evaluates the circuit. Other keys are the device's options (`noise`, `shots`, ...)."""

    model_config = ConfigDict(extra="allow")
    name: str = "default.qubit"


class TrainSpec(Section):
    """Training of the head on cached features (a CNN is trained whole, on images). Adam, cross-entropy.

    `device` runs the circuit during training, with its noise but without shots; None is an ideal device.
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 1e-3
    device: DeviceSpec | None = None


class AttackSpec(Section):
    """An attack at one strength. Other keys are the attack's options.

    `level` says what is perturbed, and epsilon is in its unit: `pixels` (of [0, 1]), `features` (the backbone's output as the
    head standardises it), `angles` (radians, the circuit's own input).
    """

    model_config = ConfigDict(extra="allow")
    name: str
    level: Level = "pixels"
    epsilon: Annotated[float, Field(ge=0, le=10_000, description="of pixels in linf 0 to 1, such as 8/255")] = 0.0

    @field_validator("epsilon", mode="before")
    @classmethod
    def _ratio(cls, value: Any) -> Any:
        """Accept '4/255', as the field writes it."""
        match = re.fullmatch(r"\s*([\d.]{1,20})\s*/\s*([\d.]{1,20})\s*", value) if isinstance(value, str) else None
        return float(match[1]) / float(match[2]) if match and float(match[2]) else value


class JudgesSpec(Section):
    """Who else judges what was found against a model: others of this sweep, by name, or `all` of them.

    `devices`: the same model elsewhere, by label (`qiskit.aer[fake_manila]`) or name. `heads`: other heads on the same images and
    backbone, on the same device. `seeds`: the same model trained with another seed, on images that it was not trained on.
    """

    devices: Literal["all"] | tuple[str, ...] = ()
    heads: Literal["all"] | tuple[str, ...] = ()
    seeds: Literal["all"] | tuple[int, ...] = ()

    @property
    def any(self) -> bool:
        """Whether any further judge is asked for."""
        return bool(self.devices or self.heads or self.seeds)


class EvaluateSpec(Section):
    """Attack the first `images` images of the test part (None: all of them), in batches of `batch_size`.

    `mode`: the circuit runs as its exact surrogate, or natively, on the device itself (slow: for proof at small scale).
    `access`: the attacker differentiates the device's exact expectations, estimates gradients from its shots (parameter
    shift), or attacks the ideal twin; success is always judged on the device. `repeats`: a sampled device judges each
    image this often, with fresh shots. All three apply to models with a circuit only. `judges`: who else judges; each search
    still runs once, on all images and with its whole budget. `certificate`: each judge also certifies the images, where an attack
    perturbs angles (linf) or features (l2); of other attacks, and of heads without a certificate, it says nothing. `keep`: the
    images of each attack on pixels are kept as files, all that are evaluated; no number and no key depends on it.
    """

    images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] | None = 200
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    mode: Mode = "surrogate"
    access: Access = "exact"
    repeats: Annotated[int, Field(ge=1, le=10_000)] = 1
    judges: JudgesSpec = JudgesSpec()
    certificate: bool = False
    keep: bool = False


class LoggerSpec(Section):
    """A logger that is fed with the results; no number and no key depends on it. Other keys are the logger's options."""

    model_config = ConfigDict(extra="allow")
    name: str


class Point(BaseModel):
    """One point of the grid, as the sweep file has it. A model without a circuit has no device.

    `controls`: beside a circuit, its classical controls. `places` says where it stands in the file: its block, then each
    section in the order of `SECTIONS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    evaluate: EvaluateSpec
    attack: AttackSpec
    device: DeviceSpec | None
    seed: Seed
    controls: bool = False
    places: tuple[str, ...] = ()


SECTIONS: dict[str, type[Section]] = {
    "data": DataSpec,
    "model": ModelSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "attack": AttackSpec,
    "device": DeviceSpec,
}
