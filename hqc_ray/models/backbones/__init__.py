"""Backbones as a sweep file names them: built, with the weights that they should have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hqc_ray import seeds
from hqc_ray.entries import make
from hqc_ray.errors import ModelError, shown
from hqc_ray.later import later
from hqc_ray.models.backbones import weights as weight_files
from hqc_ray.models.backbones.architectures import BACKBONES, BackboneEntry, faulty, of, own
from hqc_ray.models.backbones.weights import WeightsId
from hqc_ray.spec import ModelSpec, expand, sides

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hqc_ray.models.backbones import backbone as networks
    from hqc_ray.models.backbones.backbone import Backbone
else:
    torch = later("torch")
    nn = later("torch.nn")
    networks = later("hqc_ray.models.backbones.backbone")

__all__ = [
    "BACKBONES",
    "BackboneEntry",
    "build",
    "check_same",
    "entry",
    "faulty",
    "foreseen",
    "get",
    "identify",
    "of",
    "own",
    "weights_id",
]


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
            backbone = networks.Backbone(body, image_size, trainable=found.trainable)
    except ModelError as problem:
        if ":" in name:
            raise
        raise ModelError(f"{name} {problem.what}", where=problem.where, valid=problem.valid) from problem
    return backbone if found.trainable else backbone.folded()


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


def foreseen(spec: ModelSpec, weights: str) -> int | None:
    """F of the backbone with `weights`, where it is known without building it that these and the images fit; else None.

    They do if the weights are drawn, or torchvision's own file, and the images of a size that the network is known to take.
    A whole file in $HQC_WEIGHTS is taken for what its name says: only `build` finds out that it is of another network.

    Raises:
        ModelError: what `weights_id` raises.
    """
    known = weights_id(spec.backbone, weights).origin.startswith(("random", "torchvision", "trained"))
    if ":" in spec.backbone or spec.image_size is None or not (known or weight_files.is_placed(spec.backbone, weights)):
        return None
    return entry(spec).foreseen(sides(spec.image_size))


def identify(spec: ModelSpec) -> WeightsId:
    """Which weights the backbone of a model has: `weights_id`, but a user's own is built to find out.

    What it reads (a checkpoint) and draws is no part of a sweep file, so the digest is that of its tensors.

    Raises:
        ModelError: what `build` and `weights_id` raise.
    """
    found = weights_id(spec.backbone, str(expand(spec.weights)))
    if ":" not in spec.backbone:
        return found
    return WeightsId("own" if found.origin == "random" else found.origin, weight_files.digest(build(spec)))


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
