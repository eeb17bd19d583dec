"""What a search may take over from other models: their gradients, and the adversarial values of an earlier search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from hqc_ray.later import later

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = later("torch")


@dataclass(frozen=True)
class Fallen:
    """Adversarial values of an earlier search over N values: of each, the first that fooled.

    Attributes:
        fell: [N] float64, the smallest epsilon at which each fell; infinity where none did.
        values: [n, ...], those that fell, in their order, each inside the ball of its epsilon.
    """

    fell: Tensor
    values: Tensor

    def at(self, epsilon: float, clean: Tensor) -> Tensor:
        """What had fallen at `epsilon` or below it, in place of the `clean` values [N, ...]."""
        found = clean.clone()
        within = self.fell <= epsilon
        found[within.to(clean.device)] = self.values[within[self.fell.isfinite()]].to(clean)
        return found

    def of(self, ids: Tensor) -> Fallen:
        """The same of the values at `ids` [m]."""
        ids = ids.to(self.fell.device)
        fell, places = self.fell[ids], self.fell.isfinite().cumsum(0) - 1
        return Fallen(fell, self.values[places[ids][fell.isfinite()]])

    @classmethod
    def joined(cls, parts: Iterable[Fallen]) -> Self:
        """Those of consecutive values."""
        parts = list(parts)
        return cls(torch.cat([part.fell for part in parts]), torch.cat([part.values for part in parts]))

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What `arrays` wrote."""
        return cls(torch.from_numpy(arrays["fell"].copy()), torch.from_numpy(arrays["values"].copy()))

    def arrays(self) -> dict[str, np.ndarray]:
        """As `fell` [N] float64 and `values` [n, ...] float32: every bit is kept."""
        return {"fell": self.fell.cpu().numpy(), "values": self.values.cpu().numpy()}


class Falling:
    """Collects who falls first at which epsilon, of a batch of values [B, ...]."""

    def __init__(self, clean: Tensor) -> None:
        self._fell = torch.full((len(clean),), torch.inf, dtype=torch.float64)
        self._values = clean.detach().cpu().clone()

    def see(self, epsilon: float, adversarial: Tensor, fooled: Tensor) -> None:
        """Note who of the batch is `fooled` [B] by the `adversarial` values [B, ...] at an epsilon; epsilons in any order."""
        first = fooled.cpu() & (epsilon < self._fell)
        self._fell[first] = epsilon
        self._values[first] = adversarial.cpu()[first]

    def fallen(self) -> Fallen:
        """All of it."""
        return Fallen(self._fell, self._values[self._fell.isfinite()])


@dataclass(frozen=True)
class Borrowed:
    """What one search is lent.

    Attributes:
        control: another model for the same values, [B, ...] -> logits [B, K]: a circuit's bottleneck without the circuit.
        ideal: what the same search found on the model's ideal twin.
    """

    control: Callable[[Tensor], Tensor] | None = None
    ideal: Fallen | None = None

    def of(self, ids: Tensor) -> Borrowed:
        """What it is for the values at `ids` [m]."""
        return Borrowed(self.control, self.ideal and self.ideal.of(ids))
