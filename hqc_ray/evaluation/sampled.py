"""A device with shots judges by samples: each image several times afresh, before and after the attack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hqc_ray.models.classifier import Classifier
from hqc_ray.seeds import stream

SPREAD = 40  # evaluations from which the scatter of an accuracy is told, to 11 %


@dataclass(frozen=True)
class Judge:
    """Samples a classifier's predictions.

    Args:
        model: with its circuit on the device, as the exact surrogate.
        shots: of each circuit.
        repeats: fresh evaluations of each image that count.
        seed: of the samples; each name of an evaluation has a stream of its own.
        batch_size: images per pass of the backbone.
    """

    model: Classifier
    shots: int
    repeats: int
    seed: int
    batch_size: int

    def predictions(self, images: Tensor, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Predicted classes [max(repeats, SPREAD), N] of images [N, 3, H, W] in [0, 1]; the backbone runs once an image.

        Returns:
            Those that count, and those of replicates of a measured surrogate (the same, where it is exact): how other
            measurements of the circuit would decide. Replicate k is one measurement, whatever the name.
        """
        generator, n = torch.Generator().manual_seed(stream(self.seed, "shots", name)), max(self.repeats, SPREAD)
        with torch.no_grad():
            features = torch.cat([self.model.features(batch) for batch in images.split(self.batch_size)])
            own = self.model.sampled_from(features, self.shots, generator, n).argmax(-1).numpy()
            if not self.model.measured:
                return own, own
            replicas = torch.Generator().manual_seed(stream(self.seed, "replicates"))
            return own, self.model.sampled_from(features, self.shots, generator, n, replicas).argmax(-1).numpy()
