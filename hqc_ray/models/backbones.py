"""The table of backbones: each entry builds a network, and carries its options and facts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, ClassVar

import torch
from pydantic import create_model
from torch import nn
from torchvision import models as torchvision_models

from hqc_ray import seeds
from hqc_ray.entries import Entry, lookup, make
from hqc_ray.errors import InputError, ModelError, shown
from hqc_ray.guard import guarded, wrong
from hqc_ray.models import cnn
from hqc_ray.models import weights as weight_files
from hqc_ray.models.backbone import Backbone
from hqc_ray.models.weights import WeightsId
from hqc_ray.spec import ModelSpec, expand, sides


class BackboneEntry(Entry):
    """Base of a backbone in the table, or of a user's own `package.module:Class`; its fields are its options.

    Attributes:
        title: as tables and figures write it.
        trainable: trained end to end with the head, instead of frozen.
    """

    title: ClassVar[str] = ""
    trainable: ClassVar[bool] = False

    def gmacs(self, image_size: int) -> float | None:
        """Multiply-adds per image of `image_size` pixels, in 1e9; None where nobody has counted."""
        return None

    def build(self) -> nn.Module:
        """A new network: normalised images [B, 3, H, W] -> features [B, F]. It may draw from torch's global stream."""
        raise NotImplementedError

    def initialise(self, body: nn.Module, generator: torch.Generator) -> None:
        """Draw all weights of `body` for `weights: random`. As it stands: those that `build` gave stay."""


class Torchvision(BackboneEntry):
    """A torchvision classifier without its classification layer; `network` is its name there."""

    network: ClassVar[str]

    def gmacs(self, image_size: int) -> float | None:
        """Of torchvision's own count, which is at the size of the published weights."""
        published = next(iter(torchvision_models.get_model_weights(self.network)))
        side = float(published.transforms.keywords["crop_size"])
        return float(published.meta["_ops"]) * (image_size / side) ** 2

    def build(self) -> nn.Module:
        """See `BackboneEntry`."""
        body = torchvision_models.get_model(self.network, weights=None, **_ARGUMENTS.get(self.network, {}))
        # in every torchvision classifier the last linear (in SqueezeNet: convolutional) layer is the one to the classes
        last = [layer for layer, module in body.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        body.set_submodule(last, nn.Identity())
        return body

    def initialise(self, body: nn.Module, generator: torch.Generator) -> None:
        """Torchvision's own draw dies out in deep networks."""
        weight_files.initialise(body, generator)


class CNN(BackboneEntry):
    """A small convolutional network of ours, trained end to end; `function` builds it."""

    trainable = True
    function: ClassVar[Callable[[], nn.Module]]

    def gmacs(self, image_size: int) -> float | None:
        """Roughly, of both."""
        return 0.15 * (image_size / 96) ** 2

    def build(self) -> nn.Module:
        """See `BackboneEntry`."""
        return type(self).function()

    def initialise(self, body: nn.Module, generator: torch.Generator) -> None:
        """See `BackboneEntry`."""
        weight_files.initialise(body, generator)


class CNN1(CNN):
    """Three blocks, 24 k weights."""

    title = "CNN"
    function = staticmethod(cnn.cnn1)


class CNN2(CNN):
    """Four blocks, 97 k weights."""

    title = "CNN2"
    function = staticmethod(cnn.cnn2)


class UserFunction(BackboneEntry):
    """A user's own function (or module class) without arguments, which returns the network."""

    function: ClassVar[Callable[[], nn.Module]]

    def build(self) -> nn.Module:
        """See `BackboneEntry`."""
        return type(self).function()


# transform_input: torchvision's files of these two expect pixels scaled to [-1, 1], and rescale normalised ones themselves.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "transform_input": True, "init_weights": False} for name in ("inception_v3", "googlenet")
}
_TITLES = {
    "resnet18": "ResNet18",
    "vgg16": "VGG16",
    "inception_v3": "InceptionV3",
    "alexnet": "AlexNet",
    "mobilenet_v2": "MobileNetV2",
    "squeezenet1_0": "SqueezeNet",
}


def _torchvision(name: str) -> type[Torchvision]:
    entry = create_model(name, __base__=Torchvision)
    entry.network, entry.title, entry.__doc__ = name, _TITLES.get(name, name), f"Torchvision's {name}."
    return entry


BACKBONES: dict[str, type[BackboneEntry]] = {
    **{name: _torchvision(name) for name in torchvision_models.list_models(module=torchvision_models)},
    "cnn1": CNN1,
    "cnn2": CNN2,
}


@cache
def of(name: str) -> type[BackboneEntry]:
    """The entry called `name`: of the table, or a user's own `package.module:name`, a class or a function.

    Raises:
        ModelError: an unknown name, or nothing that builds a network.
    """
    found = lookup("backbone", BACKBONES, name, ModelError)
    if isinstance(found, type) and issubclass(found, BackboneEntry):
        return found
    if not callable(found):
        raise ModelError(f"backbone {name!r} is not a function", valid="a function that returns a module, or a BackboneEntry")
    entry = create_model("UserFunction", __base__=UserFunction)
    entry.function, entry.title = staticmethod(found), name
    return entry


def entry(spec: ModelSpec) -> BackboneEntry:
    """The backbone of a model with those of its options that belong to it; `heads.get` refuses what belongs to nothing.

    Raises:
        ModelError: an unknown backbone, or an option out of range.
    """
    found = of(spec.backbone)
    own = {name: value for name, value in spec.options.items() if name in found.model_fields}
    return make("backbone", {spec.backbone: found}, spec.backbone, own, ModelError, taken=ModelSpec.model_fields)


def build(spec: ModelSpec, weights: str | bytes | None = None, generator: torch.Generator | None = None) -> Backbone:
    """The backbone of a model; `weights` in place of those that it names, see `get`."""
    chosen = expand(spec.weights) if weights is None else weights
    return get(spec.backbone, chosen, spec.image_size, generator, **entry(spec).model_dump())


def get(
    name: str,
    weights: str | bytes = "imagenet",
    image_size: int | tuple[int, int] | None = None,
    generator: torch.Generator | None = None,
    **options: Any,
) -> Backbone:
    """The backbone `name`, without its classification layer, in eval mode.

    Args:
        name: a torchvision classifier, `cnn1`, `cnn2`, or a user's own `package.module:name`: a subclass of
            `BackboneEntry`, or a function that returns a module from normalised images [B, 3, H, W] to features [B, F].
        weights: "imagenet", "random" (one fixed draw per name, the same for all sweeps), or a state dict: the path of
            its file, or what the file holds.
        image_size: side in pixels, or (height, width), that images are resized to; None: they stay as they are.
        generator: draws the first weights of a trainable backbone.
        options: of the entry.

    Raises:
        ModelError: an unknown name or option, weights of another architecture, or a size that the network does not accept.
    """
    found = of(name)
    made = make("backbone", {name: found}, name, options, ModelError)
    origin = "file" if isinstance(weights, bytes) and not found.trainable else weights_id(name, weights).origin
    if image_size is not None and min(sides(image_size)) < 1:
        raise ModelError(f"{image_size} pixels", where="image_size", valid="a positive number")
    draws = generator if generator is not None and found.trainable else _fixed(name)
    with torch.random.fork_rng(devices=[]):  # the global random state stays as it was
        torch.default_generator.manual_seed(draws.initial_seed())
        with own(name, "build"):
            body = made.build()
    if not isinstance(body, nn.Module):
        raise faulty(name, f"gives a {type(body).__name__}", "a torch.nn.Module: images [B, 3, H, W] -> features [B, F]")
    if found.trainable or weights == "random":
        with own(name, "initialise"):
            made.initialise(body, draws)
    else:
        weight_files.load_into(body, _own(body, weight_files.read(name, weights)), name, origin)
    try:
        with own(name, "run", type(body).forward):
            backbone = Backbone(body, image_size, trainable=found.trainable)
    except ModelError as problem:
        if ":" in name:
            raise
        raise ModelError(f"{name} {problem.what}", where=problem.where, valid=problem.valid) from problem
    return backbone if found.trainable else backbone.folded()


@contextmanager
def own(name: str, to: str, by: Callable[..., Any] | None = None) -> Iterator[None]:
    """Around a call of a user's own backbone: what goes wrong in there is one line with its place, or that of `by`."""
    with guarded("backbone", name, ModelError, to=to, by=_place(name, by)) if ":" in name else nullcontext():
        yield


def faulty(name: str, what: str, valid: str, by: Callable[..., Any] | None = None) -> InputError:
    """The error for what a user's own backbone gives, with the place of its definition."""
    return wrong("backbone", name, what, ModelError, by=_place(name, by), valid=valid)


def _place(name: str, by: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """`by`, if it is not of a library, or else what builds a user's own backbone."""
    found = of(name)
    inside = by is not None and "site-packages" not in (inspect.getsourcefile(by) or "")
    return by if by is not None and inside else found.function if issubclass(found, UserFunction) else found.build


def weights_id(name: str, weights: str | bytes = "imagenet") -> WeightsId:
    """Which weights `get(name, weights)` would have; reads no tensor, downloads nothing.

    Raises:
        ModelError: an unknown backbone, or weights that it cannot have.
    """
    if of(name).trainable:
        if weights not in ("imagenet", "random"):  # "imagenet" is the default of a specification that says nothing
            what = f"{name} is trained end to end from random weights, not from {shown(weights)}"
            raise ModelError(what, where="weights", valid="random")
        return WeightsId("trained end to end", "none")
    return weight_files.identify(name, str(weights))


def identify(spec: ModelSpec) -> WeightsId:
    """Which weights the backbone of a model has: `weights_id`, but a user's own is built to find out.

    What it reads (a checkpoint) and draws is no part of a sweep file, so the digest is that of its tensors.

    Raises:
        ModelError: what `build` and `weights_id` raise; or a user's own backbone is another network each time it is built.
    """
    found = weights_id(spec.backbone, str(expand(spec.weights)))
    if ":" not in spec.backbone:
        return found
    first, second = weight_files.digest(build(spec)), weight_files.digest(build(spec))
    if first != second:
        valid = "weights from a file, or drawn from torch's random numbers"
        raise faulty(spec.backbone, "builds other weights each time", valid)
    return WeightsId(found.origin, first)


def check_same(backbone: Backbone, spec: ModelSpec, digest: str) -> Backbone:
    """The backbone as built here, whose tensors must be those of `identify` where the sweep was planned.

    Raises:
        ModelError: a user's own backbone has other tensors here: another checkpoint on this machine.
    """
    if ":" in spec.backbone and (here := weight_files.digest(backbone)) != digest:
        what = f"has other weights ({here}) where it runs than where the sweep was planned ({digest})"
        raise faulty(spec.backbone, what, "the same files on every machine")
    return backbone


def _fixed(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seeds.stream(0, "weights", name))


def _own(body: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of `state` but for those of a layer that `body` does without: they may be of any shape, or absent."""
    gone = {name for name, layer in body.named_modules() if isinstance(layer, nn.Identity)}
    return {key: value for key, value in state.items() if key.rpartition(".")[0] not in gone}
