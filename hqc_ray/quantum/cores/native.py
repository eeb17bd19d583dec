"""Ways to run a trained circuit inside a classifier without its exact surrogate: on the device itself, or by shots alone."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.surrogate import Surrogate
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.devices.shift import Shifted
from hqc_ray.seeds import rng


class Native(nn.Module):
    """<Z> [B, Q] of angles [B, Q] by the device itself; gradients by parameter shift run 2 Q more circuits per row of angles.

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

    @property
    def stochastic(self) -> bool:
        """Whether the device gives frequencies of shots."""
        return self.device.shots is not None

    def drawn(self, k: int) -> Native:
        """See `cores.Redrawable`: the device with another seed, which on a machine that counts shots is another measurement."""
        return Native(self.circuit, self.weights, self.device.drawn(k)) if k and self.stochastic else self

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        return self.device.expectations(self.circuit, self.weights, angles.double()).to(angles.dtype)


class ShotEstimate(nn.Module):
    """<Z> [B, Q] of angles [B, Q] estimated from `shots` samples per circuit; gradients by parameter shift from as many again.

    This is what an attacker sees who can run the device but knows neither its noise nor its exact expectations. The samples are a
    function of (seed, draw, angles of the batch), so that an attack at one strength does not depend on what ran before.

    Args:
        surrogate: gives the exact distribution of the device.
        circuit: whose angles they are; its degree decides the shifts.
        shots: samples of each circuit.
        seed: of the samples.
        draw: which of the independent samples under one seed, see `drawn`.
    """

    stochastic: ClassVar[bool] = True

    def __init__(self, surrogate: Surrogate, circuit: Circuit, shots: int, seed: int, draw: int = 0) -> None:
        super().__init__()
        self.surrogate, self.circuit, self.shots, self.seed, self.draw = surrogate, circuit, shots, seed, draw

    def drawn(self, k: int) -> ShotEstimate:
        """See `cores.Redrawable`; the surrogate is shared."""
        return ShotEstimate(self.surrogate, self.circuit, self.shots, self.seed, k)

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        if len(angles) == 0:
            return angles
        read = Shifted.apply(angles.new_zeros(0), angles.double(), self.circuit, self._sampled)
        return self.surrogate.expectations(read).to(angles.dtype)

    def _sampled(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Frequencies [N, 2**Q] at angles [N, Q]; see `Surrogate.frequencies`."""
        digest = hashlib.blake2b(np.ascontiguousarray(angles).tobytes(), digest_size=16).hexdigest()
        names = ("estimate", digest, *(("draw", self.draw) if self.draw else ()))
        there = torch.from_numpy(angles).to(self.surrogate.coefficients.device)
        return self.surrogate.frequencies(there, self.shots, rng(self.seed, *names))
