"""The table of backbones: each entry builds a network, and carries its options and facts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, create_model

from hqc_ray.entries import Entry, lookup
from hqc_ray.errors import InputError, ModelError
from hqc_ray.guard import guarded, wrong
from hqc_ray.later import later
from hqc_ray.models.backbones import cnn
from hqc_ray.models.backbones import weights as weight_files
from hqc_ray.models.backbones.published import networks

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torchvision import models as torchvision_models
else:
    nn = later("torch.nn")
    torchvision_models = later("torchvision.models")


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

    def foreseen(self, size: tuple[int, int]) -> int | None:
        """F, where it is known, without building it, that images of (height, width) are taken; None where that must be tried."""
        return None

    def build(self) -> nn.Module:
        """A new network: normalised images [B, 3, H, W] -> features [B, F]. It may draw from torch's global stream."""
        raise NotImplementedError

    def initialise(self, body: nn.Module, generator: torch.Generator) -> None:
        """Draw all weights of `body` for `weights: random`. As it stands: those that `build` gave stay."""


class Torchvision(BackboneEntry):
    """A torchvision classifier without its classification layer; `network` is its name there."""

    model_config = ConfigDict(defer_build=True)  # there are many, of which a sweep names few
    network: ClassVar[str]

    def gmacs(self, image_size: int) -> float | None:
        """Of torchvision's own count, which is at the size of the published weights."""
        known = networks()[self.network]
        return known.gmacs * (image_size / known.side) ** 2

    def foreseen(self, size: tuple[int, int]) -> int | None:
        """See `BackboneEntry`."""
        known = networks()[self.network]
        return known.features if known.takes(size) else None

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
    function: ClassVar[Callable[[], Any]]
    blocks: ClassVar[int]

    def gmacs(self, image_size: int) -> float | None:
        """Roughly, of both."""
        return 0.15 * (image_size / 96) ** 2

    def foreseen(self, size: tuple[int, int]) -> int | None:
        """See `BackboneEntry`: each block halves the image, and all but the first doubles 16 channels."""
        return 16 * 2 ** (self.blocks - 1) if min(size) >= 2**self.blocks else None

    def build(self) -> nn.Module:
        """See `BackboneEntry`."""
        return type(self).function()

    def initialise(self, body: nn.Module, generator: torch.Generator) -> None:
        """See `BackboneEntry`."""
        weight_files.initialise(body, generator)


class CNN1(CNN):
    """Three blocks, 24 k weights."""

    title = "CNN"
    blocks = 3
    function = staticmethod(cnn.cnn1)


class CNN2(CNN):
    """Four blocks, 97 k weights."""

    title = "CNN2"
    blocks = 4
    function = staticmethod(cnn.cnn2)


class UserFunction(BackboneEntry):
    """A user's own function (or module class) without arguments, which returns the network."""

    function: ClassVar[Callable[[], Any]]

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


def torchvision(name: str) -> type[Torchvision]:
    """The entry of a classifier of torchvision's, by its name there."""
    entry = create_model(name, __base__=Torchvision)
    entry.network, entry.title, entry.__doc__ = name, _TITLES.get(name, name), f"Torchvision's {name}."
    return entry


BACKBONES: dict[str, type[BackboneEntry]] = {
    **{name: torchvision(name) for name in networks()},
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
