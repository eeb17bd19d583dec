"""Cores: what stands in the bottleneck of a head, a function of angles [B, Q] with values [B, Q]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Core", "Redrawable", "drawn"]


class Core(Protocol):
    """Angles [B, Q], radians -> outputs [B, Q] in the same dtype, differentiable: a circuit's <Z>, or a classical function."""

    @property
    def stochastic(self) -> bool:
        """Whether the outputs are estimates from random samples; then the core is `Redrawable`."""

    def __call__(self, angles: Tensor) -> Tensor:
        """Outputs [B, Q] of angles [B, Q], radians."""


@runtime_checkable
class Redrawable(Protocol):
    """A stochastic core, which is a fixed function of the angles until it is drawn anew."""

    def drawn(self, k: int) -> Self:
        """The k-th draw: samples that are independent of those of any other k, and the same for the same k; 0 is this core."""


def drawn(core: Core, k: int) -> Core:
    """The k-th independent draw of `core`; `core` itself, where nothing is stochastic."""
    if not core.stochastic:
        return core
    if not isinstance(core, Redrawable):
        raise TypeError(f"{type(core).__name__} is stochastic and has no drawn(k)")
    return core.drawn(k)
