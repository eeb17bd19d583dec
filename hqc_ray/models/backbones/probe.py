"""A user's own backbone, tried on two random images before anything is computed with it."""

from __future__ import annotations

import torch
from torch import Tensor

from hqc_ray.models import backbones
from hqc_ray.models.backbones.backbone import PROBE, Backbone
from hqc_ray.models.backbones.weights import digest
from hqc_ray.spec import ModelSpec

_LIKE = 1e-4  # of the largest feature: rounding of other batches; what a draw or a batch changes is far more


def probe(spec: ModelSpec) -> Backbone:
    """A user's own backbone, built twice and run; one of the table was tried by its tests.

    Raises:
        ModelError: it raises, or gives features that no head can learn from or no attack can trust.
    """
    name = spec.backbone
    first, second = backbones.build(spec), backbones.build(spec)
    same = digest(first) == digest(second)
    images = torch.rand(2, 3, *(first.image_size or PROBE), generator=torch.Generator().manual_seed(0))
    with backbones.own(name, "run", type(first.body).forward):
        features, again, other, alone = first(images), first(images), second(images), first(images[:1])
    found, valid = _found(first, features), "float32 features [B, F], finite, the same at every call"
    if not found and not _like(again, features):
        found, valid = "gives other features at a second call: dropout, or a draw", "the same features at every call"
    if not found and not (same and _like(other, features)):
        found, valid = "is another network when it is built again", "weights from torch's random stream, or from a file"
    if not found and not _like(alone, features[:1]):
        found, valid = "gives other features for an image in another batch", "features of an image that are its own"
    if found:
        raise backbones.faulty(name, found, valid, type(first.body).forward)
    _check_facts(spec)
    return first


def _found(backbone: Backbone, features: Tensor) -> str:
    """What is wrong with the features [2, F] of two images; empty if nothing is."""
    if features.shape != (2, backbone.n_features):
        return f"gives {list(features.shape)} for two images, but [1, {backbone.n_features}] for one"
    if features.dtype != torch.float32:
        return f"gives features of type {features.dtype}"
    if not bool(torch.isfinite(features).all()):
        return "gives NaN or infinity"
    if backbone.trainable:
        return ""
    if features.requires_grad:
        return "has weights that require grad and are no parameters of it"
    return "gives the same features for two images" if _like(features[:1], features[1:]) else ""


def _like(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= _LIKE * wanted.abs().max())


def _check_facts(spec: ModelSpec) -> None:
    """The costs that it says of itself."""
    with backbones.own(spec.backbone, "ask for gmacs"):
        gmacs = backbones.entry(spec).gmacs(PROBE[0])
    if gmacs is not None and not (isinstance(gmacs, int | float) and gmacs >= 0):
        raise backbones.faulty(spec.backbone, f"gmacs gives {gmacs!r}", "a number from 0, or None")
