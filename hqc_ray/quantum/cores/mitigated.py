"""The surrogate of a circuit on a device that mitigates its errors: one exact function, and what is read at each scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.ideal.sampling import drawn_seed, sample
from hqc_ray.quantum.ideal.simulate import z_signs
from hqc_ray.quantum.noise.mitigation import Recipe


class Mitigated(Surrogate):
    """<Z> of every wire as a function of the angles, mitigated: the combination of what is read at K scales, and as fast.

    Its probabilities are quasi-probabilities. Samples are drawn at each scale, and the readout is calibrated once for each
    evaluation of all images, by as many shots of each calibration circuit.

    Args:
        n_qubits: Q.
        degree: how often an angle enters the circuit.
        scales: K.
    """

    read: Tensor  # [K, (2 degree + 1)**Q, 2**Q] float64, coefficients of the probabilities as they are read
    weights: Tensor  # [K] float64
    assignments: Tensor  # [K, Q, 2, 2] float64; no wires where the readout is not mitigated

    def __init__(self, n_qubits: int, degree: int = 1, scales: int = 1) -> None:
        super().__init__(n_qubits, degree)
        self.register_buffer("read", torch.zeros(scales, *self.coefficients.shape, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(scales, dtype=torch.float64))
        self.register_buffer("assignments", torch.zeros(scales, n_qubits, 2, 2, dtype=torch.float64))

    @property
    def quasi(self) -> bool:
        """See `Surrogate.quasi`."""
        return True

    @property
    def evaluations(self) -> int:
        """See `Surrogate.evaluations`."""
        return len(self.weights) * super().evaluations

    def set_read(self, values: Tensor, recipe: Recipe) -> None:
        """Determine the coefficients from what is read on `grid` at each scale, [K, (2 degree + 1)**Q, 2**Q]."""
        for scale, each in enumerate(values):
            self.set_values(each)
            self.read[scale] = self.coefficients
        self.weights.copy_(torch.from_numpy(recipe.weights))
        if recipe.assignments is not None:
            self.assignments.copy_(torch.from_numpy(recipe.assignments))
        self.set_values(torch.from_numpy(recipe.combined(values.cpu().numpy())))

    @property
    def recipe(self) -> Recipe:
        """What becomes of what is read."""
        assignments = self.assignments.cpu().numpy()
        return Recipe(self.weights.cpu().numpy(), assignments if assignments.any() else None)

    def samples(
        self, angles: Tensor, shots: int, generator: torch.Generator, repeats: int, replicas: torch.Generator | None = None
    ) -> Tensor:
        """See `Surrogate.samples`; each repeat has its own calibration."""
        read, signs = self._read(angles), z_signs(self.n_qubits)
        drawn = [self._drawn(read, shots, np.random.default_rng(drawn_seed(generator))) for _ in range(repeats)]
        return torch.stack([torch.from_numpy(one) @ signs for one in drawn]).to(angles)

    def frequencies(self, angles: Tensor, shots: int, generator: np.random.Generator) -> np.ndarray:
        """See `Surrogate.frequencies`: quasi-frequencies."""
        return self._drawn(self._read(angles), shots, generator)

    def _read(self, angles: Tensor) -> np.ndarray:
        """Probabilities [K, B, 2**Q] as they are read at angles [B, Q], radians."""
        with torch.no_grad():
            return (self._features(angles.double()) @ self.read).cpu().numpy()

    def _drawn(self, read: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
        recipe = self.recipe
        calibrated = recipe.calibrated(shots, generator)
        return recipe.combined(sample(read, shots, generator), calibrated)
