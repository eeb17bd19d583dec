"""A model cut in two in front of its circuit: what is costly, values to pre-activations, and what is small and exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.attacks.view import View
else:
    torch = later("torch")

POINTS = 4096  # that are concluded at a time


class Pulled(NamedTuple):
    """The gradient [B, ...] of a function of the pre-activations, and the pre-activations [B, Q] that it was taken at."""

    gradient: Tensor
    at: Tensor


class Jacobian(NamedTuple):
    """The gradients [B, Q, ...] of the pre-activations, and the pre-activations [B, Q] themselves."""

    gradients: Tensor
    at: Tensor


def has_bottleneck(model: object) -> bool:
    """Whether a model can be cut in front of something small: it says so by `bottleneck`, or has `preactivations`."""
    return bool(getattr(model, "bottleneck", hasattr(model, "preactivations")))


class Cut:
    """The model of a view, cut at its pre-activations; counts in the view.

    A model says where by `preactivations` (values [B, ...] -> [B, Q]) and `concluded` ([B, Q] -> logits [B, K]), as a
    classifier does; one that does not is cut at its logits, behind which there is nothing.

    Args:
        view: of the model; it counts.
    """

    def __init__(self, view: View) -> None:
        model: Any = view.model
        whole = not hasattr(model, "preactivations")
        self._encode: Callable[[Tensor], Tensor] = model if whole else model.preactivations
        # points are compared by the exact twin, as candidates are
        conclude = (lambda points: points) if whole else getattr(view.exact, "concluded", model.concluded)
        self._conclude: Callable[[Tensor], Tensor] = conclude
        self._view = view

    def at(self, values: Tensor) -> Tensor:
        """Pre-activations [B, Q] of values [B, ...], without a gradient."""
        self._view.ran(len(values))
        with torch.no_grad():
            return self._encode(values)

    def logits(self, points: Tensor) -> Tensor:
        """Logits [..., K] of pre-activations [..., Q]; nothing that is costly runs, and nothing is counted."""
        flat = points.reshape(-1, points.shape[-1])
        with torch.no_grad():
            found = torch.cat([self._conclude(some) for some in flat.split(POINTS)])
        return found.reshape(*points.shape[:-1], found.shape[-1])

    def jacobian(self, values: Tensor) -> Jacobian:
        """The gradients of all pre-activations at values [B, ...]: Q gradients per image, from one forward."""
        with torch.enable_grad():
            values = values.detach().requires_grad_(True)
            points = self._forward(values)
            totals = points.sum(0)
            rows = [self._view.backward(t, values, keep_graph=i + 1 < len(totals)) for i, t in enumerate(totals)]
        found = Jacobian(torch.stack(rows, 1), points.detach())
        self._view.record(found.gradients)
        return found

    def pull(self, values: Tensor, function: Callable[[Tensor], Tensor]) -> Pulled:
        """The gradient of `function`, of pre-activations [B, Q] to [B], at values [B, ...]: one per image."""
        with torch.enable_grad():
            values = values.detach().requires_grad_(True)
            points = self._forward(values)
            gradient = self._view.backward(function(points).sum(), values, keep_graph=False)
        return Pulled(gradient, points.detach())

    def _forward(self, values: Tensor) -> Tensor:
        self._view.ran(len(values))
        return self._encode(values)
