"""The ideal circuit as a torch layer with trainable weights: what a hybrid model is trained with."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.ideal.simulate import Program, z_signs


class CircuitLayer(nn.Module):
    """Exact <Z> of every wire of an ideal circuit; the float64 parameter `weights` [W] is trained by autograd.

    Args:
        circuit: Q wires, W weights.
        generator: draws the first weights, uniform in [0, 2 pi).
    """

    signs: Tensor
    stochastic: ClassVar[bool] = False

    def __init__(self, circuit: Circuit, generator: torch.Generator) -> None:
        super().__init__()
        self.circuit = circuit
        self.program = Program(circuit)
        self.weights = nn.Parameter(2 * math.pi * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64))
        self.register_buffer("signs", z_signs(circuit.n_qubits), persistent=False)

    def probabilities(self, angles: Tensor) -> Tensor:
        """Outcome probabilities [B, 2**Q] float64 of angles [B, Q], radians; wire 0 is the leftmost bit.

        Raises:
            CircuitError: another number of angles than wires.
        """
        if angles.ndim != 2 or angles.shape[1] != self.circuit.n_qubits:
            shape, valid = list(angles.shape), f"[B, {self.circuit.n_qubits}]"
            raise CircuitError(f"angles of shape {shape}", where=repr(self.circuit), valid=valid)
        return self.program(self.weights, angles)

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        return (self.probabilities(angles) @ self.signs).to(angles.dtype)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return repr(self.circuit)
