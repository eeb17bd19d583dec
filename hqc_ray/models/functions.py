"""What stands in a bottleneck in place of a circuit: classical functions of its angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hqc_ray.quantum.cores import waves


class Direct(nn.Module):
    """The control without a circuit: angles [B, Q] to tanh's own values [B, Q], in the range (-1, 1) of <Z>."""

    stochastic = False

    def forward(self, angles: Tensor) -> Tensor:
        """Angles [B, Q], radians -> [B, Q]."""
        return angles * (2 / math.pi)


class Fourier(nn.Module):
    """The control of the same function class: outputs are trigonometric polynomials of degree one with free coefficients."""

    stochastic = False

    def __init__(self, n_qubits: int, generator: torch.Generator) -> None:
        super().__init__()
        # the 3**Q products have a squared norm of 2**Q at all angles: outputs begin with variance 1
        start = torch.randn(3**n_qubits, n_qubits, generator=generator) * 2 ** (-n_qubits / 2)
        self.coefficients = nn.Parameter(start)

    def forward(self, angles: Tensor) -> Tensor:
        """Angles [B, Q], radians -> [B, Q]."""
        return waves.trig_features(angles) @ self.coefficients
