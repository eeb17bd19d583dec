"""The surrogate of a circuit on a device that mitigates its errors: one exact function, and what is read at each scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.ideal.sampling import drawn_seed, sample
from hqc_ray.quantum.ideal.simulate import z_signs
from hqc_ray.quantum.noise.mitigation import CALIBRATIONS, Recipe


class Mitigated(Surrogate):
    """<Z> of every wire as a function of the angles, mitigated: the combination of what is read at K scales, and as fast.

    Its probabilities are quasi-probabilities. Samples are drawn at each scale, and the readout is calibrated once for each
    evaluation of all images, by as many shots of each calibration circuit.

    Args:
        n_qubits: Q.
        degree: how often an angle enters the circuit.
        scales: K.
        calibrations: of the readout: one at each scale, K, or one for all scales, 1, as on a machine.
    """

    read: Tensor  # [K, (2 degree + 1)**Q, 2**Q] float64, coefficients of the probabilities as they are read
    weights: Tensor  # [K] float64
    assignments: Tensor  # [calibrations, Q, 2, 2] float64; zeros where the readout is not mitigated

    def __init__(self, n_qubits: int, degree: int = 1, scales: int = 1, calibrations: int | None = None) -> None:
        super().__init__(n_qubits, degree)
        self.register_buffer("read", torch.zeros(scales, *self.coefficients.shape, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(scales, dtype=torch.float64))
        self.register_buffer("assignments", torch.zeros(calibrations or scales, n_qubits, 2, 2, dtype=torch.float64))

    @property
    def quasi(self) -> bool:
        """See `Surrogate.quasi`."""
        return True

    @property
    def evaluations(self) -> int:
        """See `Surrogate.evaluations`; of a measured one with its calibration circuits."""
        calibrated = self.measured and bool(self.assignments.any())
        return len(self.weights) * super().evaluations + (CALIBRATIONS * len(self.assignments) if calibrated else 0)

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
        own, signs, drawn = self._read(angles), z_signs(self.n_qubits), []
        for _ in range(repeats):
            given = self if replicas is None else self.replicate(replicas)
            read = own if given is self else given._read(angles)
            drawn.append(given._drawn(read, shots, np.random.default_rng(drawn_seed(generator))))
        return torch.stack([torch.from_numpy(one) @ signs for one in drawn]).to(angles)

    def frequencies(self, angles: Tensor, shots: int, generator: np.random.Generator) -> np.ndarray:
        """See `Surrogate.frequencies`: quasi-frequencies."""
        return self._drawn(self._read(angles), shots, generator)

    def standard_error(self, angles: Tensor) -> Tensor:
        """See `Surrogate.standard_error`: of the circuits at each scale, and of the calibration, which is common to all scales.

        <Z> of a wire is (r - f1 + f0) / m of what is read, r, with f0 and f1 the chances that a 0 and a 1 are misread, and
        m = 1 - f0 - f1; to first order, it moves by (1 + <Z>) / m of an error of f0, and by (<Z> - 1) / m of one of f1.
        """
        if not self.measured:
            return super().standard_error(angles)
        variance = torch.tensordot(self.weights.square(), self._variance(self._read_values(), angles), 1)
        if not self.assignments.any():
            return variance.sqrt()
        zero, one = self.assignments[0, :, 0, 1], self.assignments[0, :, 1, 0]  # [Q]
        z = self(angles.to(self.coefficients))
        for chance, moved in ((zero, 1 + z), (one, z - 1)):
            likely = (chance * self.shots + 1) / (self.shots + 2)  # Laplace's rule, as for the circuits
            variance = variance + moved.square() * likely * (1 - likely) / self.shots
        return variance.sqrt() / (1 - zero - one).abs()

    def replicate(self, generator: torch.Generator) -> Mitigated:
        """See `Surrogate.replicate`: with another calibration, too."""
        if not self.measured:
            return self
        numbers, shots, own = np.random.default_rng(drawn_seed(generator)), int(self.shots), self.recipe
        drawn = Mitigated(self.n_qubits, self.degree, len(self.weights), len(self.assignments)).to(self.coefficients.device)
        drawn.load_state_dict(self.state_dict())
        again = torch.from_numpy(sample(self._read_values().cpu().numpy(), shots, numbers))
        drawn.set_read(again, Recipe(own.weights, own.calibrated(shots, numbers)))
        return drawn

    def _read_values(self) -> Tensor:
        """Probabilities [K, (2 degree + 1)**Q, 2**Q] as they are read on `grid`."""
        return torch.stack([self._along_wires(self._axis(), each) for each in self.read])

    def _read(self, angles: Tensor) -> np.ndarray:
        """Probabilities [K, B, 2**Q] as they are read at angles [B, Q], radians."""
        with torch.no_grad():
            return (self._features(angles.double()) @ self.read).cpu().numpy()

    def _drawn(self, read: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
        recipe = self.recipe
        calibrated = recipe.calibrated(shots, generator)
        return recipe.combined(sample(read, shots, generator), calibrated)
