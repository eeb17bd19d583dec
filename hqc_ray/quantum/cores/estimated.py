"""The surrogate of a circuit on a machine whose service gives expectations and their standard errors, and no outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.ideal.sampling import drawn_seed

if TYPE_CHECKING:
    from hqc_ray.quantum.devices import Device


class Estimated(Surrogate):
    """<Z> of every wire as a function of the angles, which is all that a head needs; nothing is known of joint outcomes.

    Fresh evaluations are normal numbers, of each wire on its own: how the errors of two wires go together is not known either.

    Args:
        n_qubits: Q.
        degree: how often an angle enters the circuit.
    """

    deviations: Tensor  # [(2 degree + 1)**Q, Q] float64, standard errors of <Z> on `grid`
    runs: Tensor  # [] float64, circuits of one evaluation

    def __init__(self, n_qubits: int, degree: int = 1) -> None:
        super().__init__(n_qubits, degree)
        self.coefficients = torch.zeros_like(self.readout)  # of <Z>, too
        self.register_buffer("deviations", torch.zeros_like(self.readout))
        self.register_buffer("runs", torch.tensor(1.0, dtype=torch.float64))

    @classmethod
    def fitted(cls, circuit: Circuit, device: Device, found: Tensor, checks: Tensor) -> Estimated:
        """Of <Z> and its standard errors, `found` [2, N, Q] by a device, on the grid and then at the angles `checks`."""
        made, n = cls(circuit.n_qubits, circuit.degree), found.shape[1] - len(checks)
        made.set_estimates(found[0, :n], found[1, :n], device.shots or 0, device.runs)
        made.error.copy_((found[0, n:] - made(checks)).abs().max())
        return made

    @property
    def quasi(self) -> bool:
        """See `Surrogate.quasi`: <Z> may leave [-1, 1]."""
        return True

    @property
    def evaluations(self) -> int:
        """See `Surrogate.evaluations`."""
        return int(self.runs) * super().evaluations

    def set_estimates(self, values: Tensor, deviations: Tensor, shots: int, runs: int) -> None:
        """Determine the coefficients from <Z> and its standard errors on `grid`, both [(2 degree + 1)**Q, Q].

        Args:
            values: <Z>.
            deviations: its standard errors.
            shots: of each circuit.
            runs: circuits of one value.
        """
        self.set_values(values)
        self.deviations.copy_(deviations)
        self.shots.fill_(float(shots))
        self.runs.fill_(float(runs))

    def set_values(self, values: Tensor) -> None:
        """See `Surrogate.set_values`: from <Z> [(2 degree + 1)**Q, Q]."""
        self.coefficients.copy_(self._along_wires(self._axis().inverse(), values.to(self.coefficients)))
        self.readout.copy_(self.coefficients)

    def probabilities(self, angles: Tensor) -> Tensor:
        """There are none.

        Raises:
            CircuitError: always.
        """
        raise CircuitError("only <Z> of each wire was estimated, no joint outcomes", valid="mitigation without resilience_level")

    def samples(
        self, angles: Tensor, shots: int, generator: torch.Generator, repeats: int, replicas: torch.Generator | None = None
    ) -> Tensor:
        """See `Surrogate.samples`."""
        with torch.no_grad():
            features, drawn = self._features(angles.double()), []
            for _ in range(repeats):
                given = self if replicas is None else self.replicate(replicas)
                drawn.append(given._evaluated(features, shots, np.random.default_rng(drawn_seed(generator))))
            return torch.stack(drawn).to(angles.dtype)

    def frequencies(self, angles: Tensor, shots: int, generator: np.random.Generator) -> np.ndarray:
        """See `Surrogate.frequencies`: of this one, <Z> [B, Q]."""
        with torch.no_grad():
            return self._evaluated(self._features(angles.double()), shots, generator).cpu().numpy()

    def expectations(self, read: Tensor) -> Tensor:
        """See `Surrogate.expectations`."""
        return read

    def standard_error(self, angles: Tensor) -> Tensor:
        """See `Surrogate.standard_error`: by the standard errors that came with the values."""
        return self._carried(self._variances(), angles).sqrt()

    def replicate(self, generator: torch.Generator) -> Estimated:
        """See `Surrogate.replicate`."""
        drawn = Estimated(self.n_qubits, self.degree).to(self.coefficients.device)
        drawn.load_state_dict(self.state_dict())
        numbers = np.random.default_rng(drawn_seed(generator))
        drawn.set_values(self.values() + self._variances().sqrt() * _normal(self.readout, numbers))
        return drawn

    def _variances(self) -> Tensor:
        """[(2 degree + 1)**Q, Q] on `grid`; not below those of plain counts by Laplace's rule, which are never certain."""
        plain = (1 - (self.values().clamp(-1, 1) * self.shots / (self.shots + 2)).square()) / self.shots
        return torch.maximum(self.deviations.square(), plain)

    def _evaluated(self, features: Tensor, shots: int, generator: np.random.Generator) -> Tensor:
        """<Z> [B, Q] as one evaluation by `shots` of each circuit gives it, of features [B, (2 degree + 1)**Q].

        Of plain counts the variance is (1 - <Z>^2) / shots; of a readout that is divided by f it is (1 / f^2 - <Z>^2) / shots. So
        variance times shots, and <Z>^2, add up to what is the same at all angles, and is read off the grid, of each wire.
        """
        z = features @ self.readout
        both = (self.shots * self.deviations.square() + self.values().square()).mean(0)
        return z + ((both - z.square()).clamp(min=0) / shots).sqrt() * _normal(z, generator)


def _normal(like: Tensor, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.standard_normal(like.shape)).to(like)
