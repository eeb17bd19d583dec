"""The table of heads: a circuit in a bottleneck, and the classical controls of one. Each entry carries its options and facts."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, create_model, model_validator

from hqc_ray.entries import Entry, lookup, make
from hqc_ray.errors import CircuitError, InputError, ModelError, unknown
from hqc_ray.later import later
from hqc_ray.models import backbones
from hqc_ray.models.levels import BOTTLENECK, DIRECT, END_TO_END
from hqc_ray.quantum import circuits
from hqc_ray.quantum.circuits.own import FORMS
from hqc_ray.quantum.study.analysis import refuse_dead_embedding, weights_move
from hqc_ray.spec import Level, ModelSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hqc_ray.models import functions
    from hqc_ray.models import head as modules
    from hqc_ray.models.head import Head
    from hqc_ray.quantum.ideal import layer
else:
    torch = later("torch")
    nn = later("torch.nn")
    functions, modules = later("hqc_ray.models.functions"), later("hqc_ray.models.head")
    layer = later("hqc_ray.quantum.ideal.layer")

Width = Annotated[int, Field(ge=1, le=12)]


class HeadEntry(Entry):
    """Base of a head in the table, or of a user's own `package.module:Class`; its fields are its options.

    Attributes:
        title: as tables and figures write it.
        kind: whether it runs a quantum circuit.
        levels: where a frozen backbone with this head can be attacked.
    """

    title: ClassVar[str] = ""
    kind: ClassVar[Literal["classical", "circuit"]] = "classical"
    levels: ClassVar[tuple[Level, ...]] = DIRECT

    @property
    def width(self) -> int | None:
        """Q, the angles of its bottleneck; None without a bottleneck."""
        return None

    def circuit(self) -> circuits.Circuit | None:
        """The circuit that it runs; None for a classical head."""
        return None

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """The head with first weights.

        Args:
            n_features: F.
            n_classes: K.
            generator: draws all first weights; nothing else may.
        """
        raise NotImplementedError


class LinearHead(HeadEntry):
    """Linear(F, K)."""

    title = "linear"

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """See `HeadEntry`."""
        return modules.Dense(n_features, n_classes, modules.linear(n_features, n_classes, generator))


class MLPHead(HeadEntry):
    """One hidden layer of `hidden` units with ReLU."""

    title = "MLP"
    hidden: Annotated[int, Field(ge=1, le=4096)] = 64

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """See `HeadEntry`."""
        first, last = modules.linear(n_features, self.hidden, generator), modules.linear(self.hidden, n_classes, generator)
        return modules.Dense(n_features, n_classes, nn.Sequential(first, nn.ReLU(), last))


class TanhHead(HeadEntry):
    """The bottleneck of a circuit without the circuit; as wide as most circuits have qubits, unless told otherwise."""

    title = "tanh"
    levels = BOTTLENECK
    n_qubits: Width = 4

    @property
    def width(self) -> int | None:
        """Q."""
        return self.n_qubits

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """See `HeadEntry`."""
        return modules.Bottleneck(n_features, n_classes, functions.Direct(), self.n_qubits, generator)


class FourierHead(TanhHead):
    """The same function class as a circuit, with free coefficients."""

    title = "Fourier"

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """See `HeadEntry`."""
        core = functions.Fourier(self.n_qubits, generator)
        return modules.Bottleneck(n_features, n_classes, core, self.n_qubits, generator)


class CircuitHead(HeadEntry):
    """The circuit `ansatz` in a bottleneck; see `circuits.get` for the options."""

    model_config = ConfigDict(defer_build=True)  # there are many, of which a sweep names few
    kind = "circuit"
    levels = BOTTLENECK
    ansatz: ClassVar[str]
    n_qubits: Annotated[int, Field(ge=2, le=12)] | None = (
        None  # the number that the ansatz is drawn with, filled in when the entry is made
    )
    embedding: str = "rx"
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    reuploads: Annotated[int, Field(ge=1, le=100)] = 1
    readout: Literal["x", "y", "z"] = "z"

    @model_validator(mode="before")
    @classmethod
    def _own_width(cls, given: dict[str, Any]) -> dict[str, Any]:
        missing = given.get("n_qubits") is None
        return {**given, "n_qubits": circuits.described(cls.ansatz).n_qubits} if missing else given

    @property
    def width(self) -> int | None:
        """Q."""
        return self.n_qubits

    def circuit(self) -> circuits.Circuit:
        """The circuit.

        Raises:
            CircuitError: it cannot have these qubits or this embedding, or no input moves any of its outputs.
        """
        return _checked(self.ansatz, self.n_qubits, self.embedding, self.layers, self.reuploads, self.readout)

    def build(self, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
        """See `HeadEntry`; raises what `circuit` raises."""
        found = self.circuit()
        return modules.Bottleneck(n_features, n_classes, layer.CircuitLayer(found, generator), found.n_qubits, generator)


@cache
def _checked(name: str, n_qubits: int | None, embedding: str, layers: int, reuploads: int, readout: str) -> circuits.Circuit:
    found = circuits.get(name, n_qubits, embedding, layers, reuploads, readout)
    refuse_dead_embedding(found)
    if name not in circuits.CIRCUITS and not weights_move(found):  # of the table's, two are worth a comparison in such a readout
        what = "no weight moves any output, so nothing would be trained"
        raise CircuitError(what, where=f"circuit {name!r}", valid="another readout, or gates that are not only phases at the end")
    return found


@cache
def _of_circuit(name: str) -> type[CircuitHead]:
    """The entry of a circuit of the table, or of a user's own circuit."""
    entry = create_model(name, __base__=CircuitHead)
    entry.ansatz, entry.title, entry.__doc__ = name, name, f"The circuit {name} in a bottleneck."
    return entry


HEADS: dict[str, type[HeadEntry]] = {
    "linear": LinearHead,
    "mlp": MLPHead,
    "tanh": TanhHead,
    "fourier": FourierHead,
    **{name: _of_circuit(name) for name in circuits.CIRCUITS},
}


def options(spec: ModelSpec) -> set[str]:
    """The options of a model's head and backbone, where they are a user's own; none of what cannot be imported."""
    found: set[str] = set()
    for name, of in ((spec.head, _class), (spec.backbone, backbones.of)):
        with contextlib.suppress(InputError):  # said when the model is resolved
            found |= of(name).model_fields.keys() if ":" in name else set()
    return found


def get(spec: ModelSpec, known: Collection[str] = ()) -> HeadEntry:
    """The head of a model with its options: of the table, a user's own `package.module:Class`, or a user's own circuit.

    Options that only other heads or backbones have, of the tables or those `known` of users, are dropped, so that heads with
    different options can stand in one list.

    Raises:
        ModelError: an unknown head, an option that nothing has, or one that is out of range.
        CircuitError: a user's circuit that is none.
    """
    entry = _class(spec.head)
    backbone = backbones.of(spec.backbone)
    for name in spec.options:
        if name not in _of_tables() | set(known) | entry.model_fields.keys() | backbone.model_fields.keys():
            valid = {*ModelSpec.model_fields, *entry.model_fields, *backbone.model_fields, *known}
            raise unknown("option", name, valid, ModelError)
    if shared := sorted(entry.model_fields.keys() & backbone.model_fields.keys()):
        what = f"the option {shared[0]!r} is of the head {spec.head!r} and of the backbone {spec.backbone!r}"
        raise ModelError(what, where="head", valid="entries whose options have different names")
    own = {name: value for name, value in spec.options.items() if name in entry.model_fields}
    return make("head", {spec.head: entry}, spec.head, own, ModelError, taken=ModelSpec.model_fields)


@cache
def _of_tables() -> frozenset[str]:
    """The options of all heads and backbones of the tables."""
    return frozenset(name for e in (*HEADS.values(), *backbones.BACKBONES.values()) for name in e.model_fields)


def _class(name: str) -> type[HeadEntry]:
    if name not in HEADS and ":" not in name:
        raise unknown("head", name, [*HEADS, "package.module:name"], ModelError, "head")
    found = lookup("head", HEADS, name, ModelError)
    if not isinstance(found, type):
        return _of_circuit(name)
    if not issubclass(found, HeadEntry):
        what = f"head {name!r} is not a subclass of hqc_ray.models.heads.HeadEntry"
        raise ModelError(what, where="head", valid=f"such a class, or a circuit: {FORMS}")
    return found


def controls(spec: ModelSpec, n_features: int, n_classes: int) -> tuple[ModelSpec, ...]:
    """What a model with a circuit is to be compared with, on the same backbone; nothing but the head differs.

    The same bottleneck without a circuit (`tanh`), the function class of a circuit that takes each angle once, with free
    coefficients (`fourier`), and an MLP of as many parameters as its hidden units allow: they are at most half a unit away.

    Args:
        spec: resolved, with a circuit.
        n_features: F.
        n_classes: K.
    """
    found = get(spec).circuit()
    if found is None:
        raise ModelError(f"{spec.head!r} is no circuit", where="head", valid="a head with a circuit")
    around = (n_features + 1) * found.n_qubits + (found.n_qubits + 1) * n_classes  # both linear layers
    parameters = around + found.n_weights
    hidden = round(
        (parameters - n_classes) / (n_features + 1 + n_classes)
    )  # each unit reads F + 1 numbers, and K are read from it
    same = _same(spec).model_dump()
    fourier = ModelSpec(**{**same, "head": "fourier", "n_qubits": get(spec).width})
    return control(spec), fourier, ModelSpec(**{**same, "head": "mlp", "hidden": max(1, min(hidden, 4096))})


def control(spec: ModelSpec) -> ModelSpec:
    """The bottleneck of a resolved model with a circuit, without the circuit: the first of its `controls`."""
    return ModelSpec(**{**_same(spec).model_dump(), "head": "tanh", "n_qubits": get(spec).width})


def _same(spec: ModelSpec) -> ModelSpec:
    """The backbone of a model, with its options and no head in particular."""
    own = backbones.entry(spec).model_dump(mode="json")
    return ModelSpec(backbone=spec.backbone, weights=spec.weights, image_size=spec.image_size, **own)


def levels(spec: ModelSpec) -> tuple[Level, ...]:
    """The levels at which a model can be attacked; of one that is trained end to end, only its images."""
    return END_TO_END if backbones.entry(spec).trainable else get(spec).levels


def build(spec: ModelSpec, n_features: int, n_classes: int, generator: torch.Generator) -> Head:
    """The head of `spec` with first weights.

    Args:
        spec: its head and options.
        n_features: F.
        n_classes: K, at least 2.
        generator: draws all first weights.

    Raises:
        ModelError: see `get`; or a user's own entry that builds no `Head`.
        CircuitError: a circuit that cannot have these qubits or this embedding.
    """
    if n_classes < 2:
        raise ModelError(f"{n_classes} classes", where="n_classes", valid="2 or more")
    built = get(spec).build(n_features, n_classes, generator)
    if not isinstance(built, modules.Head):
        raise ModelError(f"builds {type(built).__name__}", where=spec.head, valid="a hqc_ray.models.head.Head")
    return built
