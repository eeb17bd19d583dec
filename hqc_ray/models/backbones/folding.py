"""BatchNorm of a frozen network folded into the convolution before it: the same function with fewer passes over memory."""

from __future__ import annotations

import copy
from collections import Counter
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-4  # largest difference of the features, relative to the largest of them; rounding gives 1e-6 to 1e-5


def folded(body: nn.Module, images: Tensor) -> nn.Module:
    """A copy of `body` with every BatchNorm folded that directly follows a convolution; `body` itself where nothing can be.

    Which BatchNorm follows which convolution is seen by running the network, not by reading it, so that any module will do.
    What is folded wrongly, because a network uses its layers in other ways too, shows in the features: then `body` stays.

    Args:
        body: in eval mode, never to be trained again: normalised images -> features [B, F].
        images: a few that tell functions apart, [B, 3, H, W].
    """
    pairs = _pairs(body, images)
    if not pairs:
        return body
    try:
        twin = copy.deepcopy(body)
        for convolution, norm in pairs:
            _fold(cast("nn.Conv2d", twin.get_submodule(convolution)), cast("nn.BatchNorm2d", twin.get_submodule(norm)))
            twin.set_submodule(norm, nn.Identity())
        with torch.inference_mode():
            before, after = body(images), twin(images)
    except Exception:  # a network that cannot be copied, or looks into its layers, may raise anything
        return body
    return twin if bool((after - before).abs().max() <= TOLERANCE * before.abs().max()) else body


def _pairs(body: nn.Module, images: Tensor) -> list[tuple[str, str]]:
    """Names of a convolution and of the BatchNorm that reads what it gives, both run once."""
    names: dict[nn.Module, str] = {
        layer: name for name, layer in body.named_modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    }
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in names):
        return []
    calls: Counter[nn.Module] = Counter()
    given: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensors are kept, so that no two have the same id
    found: list[tuple[nn.Module, nn.Module]] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[layer] += 1
        if isinstance(layer, nn.Conv2d):
            given[id(output)] = (layer, output)
        elif layer.track_running_stats and id(inputs[0]) in given:
            found.append((given[id(inputs[0])][0], layer))

    hooks = [layer.register_forward_hook(note) for layer in names]
    try:
        with torch.inference_mode():
            body(images)
    finally:
        for hook in hooks:
            hook.remove()
    readers = Counter(convolution for convolution, _ in found)
    once = [pair for pair in found if readers[pair[0]] == 1 and all(calls[layer] == 1 for layer in pair)]
    return [(names[convolution], names[norm]) for convolution, norm in once]


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Put the scale and the shift of `norm` into `convolution`; computed in float64, so that only the last bit is rounded."""
    kind = convolution.weight.dtype
    weight, bias = fuse_conv_bn_weights(
        convolution.weight.double(),
        _double(convolution.bias),
        norm.running_mean.double(),  # type: ignore[union-attr]  # `_pairs` asks for them
        norm.running_var.double(),  # type: ignore[union-attr]
        norm.eps,
        _double(norm.weight),
        _double(norm.bias),
    )
    convolution.weight = nn.Parameter(weight.detach().to(kind), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach().to(kind), requires_grad=False)


def _double(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.double()
