"""Other ways to run a trained circuit inside a classifier than its exact surrogate: natively, or by shots alone."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.devices.shift import Shifted
from hqc_ray.quantum.ideal.sampling import sample
from hqc_ray.quantum.ideal.simulate import z_signs
from hqc_ray.seeds import rng


class Native(nn.Module):
    """<Z> [B, Q] of angles [B, Q] by the device itself, with gradients to the angles by parameter shift: 2Q more circuits each.

    Args:
        circuit: Q qubits, W weights.
        weights: [W], radians; they get no gradient.
        device: compiles the circuit once, then runs it for every batch.
    """

    weights: Tensor

    def __init__(self, circuit: Circuit, weights: Tensor, device: Device) -> None:
        super().__init__()
        self.circuit, self.device = circuit, device
        self.register_buffer("weights", weights.detach().double())

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        return self.device.expectations(self.circuit, self.weights, angles.double()).to(angles.dtype)


class ShotEstimate(nn.Module):
    """<Z> [B, Q] of angles [B, Q] estimated from `shots` of each circuit; gradients by parameter shift from as many again.

    What an attacker sees who can run the device, and knows neither its noise nor its exact expectations. The samples are a
    function of (seed, angles of the batch), so that an attack at one strength does not depend on what ran before.

    Args:
        surrogate: gives the exact distribution of the device.
        circuit: whose angles they are; its degree decides the shifts.
        shots: samples of each circuit.
        seed: of the samples.
    """

    def __init__(self, surrogate: Surrogate, circuit: Circuit, shots: int, seed: int) -> None:
        super().__init__()
        self.surrogate, self.circuit, self.shots, self.seed = surrogate, circuit, shots, seed

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        if len(angles) == 0:
            return angles
        frequencies = Shifted.apply(angles.new_zeros(0), angles.double(), self.circuit, self._sampled)
        return (frequencies @ z_signs(self.circuit.n_qubits).to(angles.device)).to(angles.dtype)

    def _sampled(self, _: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Frequencies [N, 2**Q] at angles [N, Q]."""
        with torch.no_grad():
            exact = self.surrogate.probabilities(torch.from_numpy(angles).to(self.surrogate.coefficients.device))
        digest = hashlib.blake2b(np.ascontiguousarray(angles).tobytes(), digest_size=16).hexdigest()
        return sample(exact.cpu().numpy(), self.shots, rng(self.seed, "estimate", digest))
