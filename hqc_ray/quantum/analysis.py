"""What a circuit can do, whatever it is trained to: weights that no output depends on."""

from __future__ import annotations

import math

import torch

from hqc_ray.quantum.ir import Circuit
from hqc_ray.quantum.layer import CircuitLayer

ROUNDING = 1e-10  # gradients of live weights at random points are many orders above this
DRAWS = 4


def dead_weights(circuit: Circuit, seed: int = 0) -> list[int]:
    """The weights that cannot move any <Z>: their gradient vanishes at random weights, angles and directions.

    Known for RX and RY embeddings: vqc1 has 8 of 28, vqc3 5 of 55, vqc4 7 of 49 on 7 qubits; vqc2, vqc5, vqc6 have none.
    """
    generator = torch.Generator().manual_seed(seed)
    largest = torch.zeros(circuit.n_weights, dtype=torch.float64)
    for _ in range(DRAWS):
        layer = CircuitLayer(circuit, generator)
        angles = math.pi * (2 * torch.rand(8, circuit.n_qubits, generator=generator, dtype=torch.float64) - 1)
        outputs = layer(angles)
        direction = torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((outputs * direction).sum(), [layer.weights])
        largest = torch.maximum(largest, gradient.abs())
    return [index for index, value in enumerate(largest.tolist()) if value < ROUNDING]
