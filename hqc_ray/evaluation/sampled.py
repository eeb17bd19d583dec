"""Judging by samples, on a device with shots: several fresh evaluations of each image, before and after the attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.attacks.result import Predictions
from hqc_ray.later import later
from hqc_ray.seeds import stream
from hqc_ray.spec import Level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.models.classifier import Classifier
else:
    torch = later("torch")

SPREAD = 40  # evaluations from which the scatter of an accuracy is estimated, to 11 %


@dataclass(frozen=True)
class Samples:
    """A judge that samples a classifier's predictions; see `hqc_ray.attacks.judges.Judge`.

    Args:
        model: with its circuit on the device, as the exact surrogate.
        shots: of each circuit.
        repeats: fresh evaluations of each image that count.
        seed: of the samples; each name of an evaluation has a stream of its own.
        level: of the values that it is given.
    """

    model: Classifier
    shots: int
    repeats: int
    seed: int
    level: Level = "pixels"

    def see(self, values: Tensor) -> Tensor:
        """Standardised features [B, F] of images; values of another level as they are. The backbone runs once per image."""
        if self.level != "pixels":
            return values
        with torch.no_grad():
            return self.model.head.standardised(self.model.features(values))

    def decide(self, seen: Tensor, name: str) -> Predictions:
        """Predicted classes [max(repeats, SPREAD), N] of what was seen [N, ...].

        Replicate k of a measured surrogate is one measurement, whatever the name: it shows how other measurements of the circuit
        would decide.
        """
        generator = torch.Generator().manual_seed(stream(self.seed, "shots", name))
        own = self._sampled(seen, generator, None)
        if not self.model.measured:
            return Predictions(own, own)
        return Predictions(own, self._sampled(seen, generator, torch.Generator().manual_seed(stream(self.seed, "replicates"))))

    def _sampled(self, seen: Tensor, generator: torch.Generator, replicas: torch.Generator | None) -> np.ndarray:
        """Predicted classes [max(repeats, SPREAD), N]."""
        head = self.model.head
        with torch.no_grad():
            angles = seen if self.level == "angles" else head.squeezed(seen)
            logits = head.sampled(angles, self.shots, generator, max(self.repeats, SPREAD), replicas)
        return logits.argmax(-1).cpu().numpy()
