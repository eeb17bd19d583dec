"""Feature extractors: pixels in [0,1] to a feature vector, with resize and normalisation inside."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision import models as torchvision_models

from hqc_ray import seeds
from hqc_ray.entries import lookup
from hqc_ray.errors import ModelError
from hqc_ray.models import cnn
from hqc_ray.models import weights as weight_files
from hqc_ray.models.weights import WeightsId

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# transform_input: torchvision's files of these two expect pixels scaled to [-1, 1], and rescale normalised ones themselves.
_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "transform_input": True, "init_weights": False} for name in ("inception_v3", "googlenet")
}


class Backbone(nn.Module):
    """A feature extractor; unless `trainable`, it is frozen and stays in eval mode whatever `train()` says.

    Args:
        body: normalised images [B, 3, image_size, image_size] -> features [B, F].
        image_size: side in pixels to which images are resized; images of that size are left as they are.
        trainable: trained end to end instead of frozen.

    Raises:
        ModelError: the body does not accept images of this size, or does not give [B, F].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, image_size: int, trainable: bool = False) -> None:
        super().__init__()
        self.image_size, self.trainable = image_size, trainable
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        # channels last: on a CPU 10 % (resnet18) to 40 % (squeezenet) faster; folding BatchNorm as well gained nothing there
        self.body = body.to(memory_format=torch.channels_last)
        self.requires_grad_(trainable)
        self.eval()
        self.n_features = self._probe()

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, F] of images [B, 3, H, W] in [0,1]; differentiable with respect to the pixels.

        A backbone on a GPU takes images from the CPU, and its features go back there: heads and attacks need not know.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ModelError(f"images have the shape {list(images.shape)}", valid="[B, 3, H, W]")
        given, images = images.device, images.to(self.mean.device)
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = interpolate(images, size, mode="bilinear", antialias=True)
        return self.body(((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)).to(given)

    def train(self, mode: bool = True) -> Backbone:
        """Training mode, for a trainable backbone only: a frozen one keeps its BatchNorm statistics and no dropout."""
        return super().train(mode and self.trainable)

    def _probe(self) -> int:
        """The number of features, found by one black image."""
        try:
            with torch.inference_mode():
                features = self(torch.zeros(1, 3, self.image_size, self.image_size))
        except (RuntimeError, AssertionError, ValueError) as problem:
            what = f"does not accept images of {self.image_size} pixels: {weight_files.first_line(problem)}"
            raise ModelError(what, where="image_size") from problem
        if features.ndim != 2:
            raise ModelError(f"gives {list(features.shape)} for one image", valid="features [B, F]")
        return int(features.shape[1])


def _torchvision(name: str) -> Callable[[], nn.Module]:
    return partial(torchvision_models.get_model, name, weights=None, **_OPTIONS.get(name, {}))


CLASSIFIERS: dict[str, Callable[[], nn.Module]] = {
    name: _torchvision(name) for name in torchvision_models.list_models(module=torchvision_models)
}
TRAINABLE: dict[str, Callable[[], nn.Module]] = {"cnn1": cnn.cnn1, "cnn2": cnn.cnn2}
BACKBONES: dict[str, Callable[[], nn.Module]] = {**CLASSIFIERS, **TRAINABLE}


def get(name: str, weights: str | bytes = "imagenet", image_size: int = 96, generator: torch.Generator | None = None) -> Backbone:
    """The backbone `name`, without its classification layer, in eval mode.

    Args:
        name: a torchvision classifier, `cnn1`, `cnn2`, or a user's own `package.module:function` that returns a module
            from normalised images [B, 3, image_size, image_size] to features [B, F].
        weights: "imagenet", "random" (one fixed draw per name, the same for all sweeps), or a state dict: the path of
            its file, or what the file holds.
        image_size: side in pixels that images are resized to.
        generator: draws the first weights of a trainable backbone.

    Raises:
        ModelError: an unknown name, weights of another architecture, or a size that the network does not accept.
    """
    build = lookup("backbone", BACKBONES, name, ModelError)
    origin = "file" if isinstance(weights, bytes) else weights_id(name, weights).origin
    if image_size < 1:
        raise ModelError(f"{image_size} pixels", where="image_size", valid="a positive number")
    drawn = name in TRAINABLE or weights == "random"
    draws = generator if generator is not None and name in TRAINABLE else _fixed(name)
    body, classes = _built(name, build, draws.initial_seed())
    if not drawn:
        _load(body, name, weights, classes, origin)
    elif name in BACKBONES:  # torchvision's own draw dies out in deep networks; a user's function may have made real weights
        weight_files.initialise(body, draws)
    try:
        return Backbone(body, image_size, trainable=name in TRAINABLE)
    except ModelError as problem:
        raise problem.at(name) from problem


def weights_id(name: str, weights: str = "imagenet") -> WeightsId:
    """Which weights `get(name, weights)` would have; reads no tensor, downloads nothing.

    Raises:
        ModelError: an unknown backbone, or weights that it cannot have.
    """
    lookup("backbone", BACKBONES, name, ModelError)
    if name in TRAINABLE:
        if weights not in ("imagenet", "random"):  # "imagenet" is the default of a specification that says nothing
            raise ModelError(f"is trained end to end from random weights, not from {weights!r}", where=name, valid="random")
        return WeightsId("trained end to end", "none")
    return weight_files.identify(name, weights)


def _fixed(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seeds.stream(0, "weights", name))


def _built(name: str, build: Callable[[], nn.Module], seed: int) -> tuple[nn.Module, str]:
    """A new body without its classification layer, and the name of that layer; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = build()
    if name not in CLASSIFIERS:
        return body, ""
    # in every torchvision classifier the last linear (in SqueezeNet: convolutional) layer is the one to the classes
    last = [layer for layer, module in body.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    body.set_submodule(last, nn.Identity())
    return body, last


def _load(body: nn.Module, name: str, weights: str | bytes, classes: str, where: str) -> None:
    """The weights of a file or a download into `body`; those of the layer `classes` may be of any shape, or absent."""
    state = weight_files.read(name, weights)
    if classes:
        state = {key: value for key, value in state.items() if not key.startswith(f"{classes}.")}
    weight_files.load_into(body, state, name, where)
