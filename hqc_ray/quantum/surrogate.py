"""A circuit with fixed weights on a device, as an exact torch function of the angles.

Every outcome probability is a trigonometric polynomial in each angle, of the degree with which the angle enters, also on a noisy
device; so its values on a grid of (2 degree + 1)^Q points determine it (Schreiber, Eisert, Meyer, PRL 131, 100803, 2023).
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hqc_ray.errors import CircuitError
from hqc_ray.quantum.ir import Circuit
from hqc_ray.quantum.sampling import sample_expectations
from hqc_ray.quantum.simulate import z_signs
from hqc_ray.seeds import rng

if TYPE_CHECKING:
    from hqc_ray.quantum.devices import Device

TOLERANCE = 1e-8  # a fit on an exact device is at 1e-14; whatever is above this is another function
MAX_ENTRIES = 2**27  # coefficients (1 GiB): 10 qubits
N_CHECKS = 16


def trig_features(angles: Tensor, degree: int = 1) -> Tensor:
    """[B, (2 degree + 1)**Q] of angles [B, Q], radians: products over wires of (1, cos, sin, cos 2x, ...); wire 0 slowest."""
    ones = torch.ones_like(angles)
    waves = [wave for k in range(1, degree + 1) for wave in ((k * angles).cos(), (k * angles).sin())]
    axes = torch.stack([ones, *waves], -1)  # [B, Q, 2 degree + 1]
    return reduce(lambda left, right: (left[:, :, None] * right[:, None, :]).flatten(1), axes.unbind(1))


def grid(n_qubits: int, degree: int = 1) -> Tensor:
    """[(2 degree + 1)**Q, Q] float64: all combinations of equidistant angles, wire 0 slowest."""
    points = 2 * degree + 1
    axis = 2 * math.pi * torch.arange(points, dtype=torch.float64) / points
    return torch.cartesian_prod(*[axis] * n_qubits).reshape(-1, n_qubits)


class Surrogate(nn.Module):
    """Exact <Z> of every wire as a function of the angles; buffers only, so that `state_dict` holds all of it.

    Args:
        n_qubits: Q.
        degree: how often an angle enters the circuit.
    """

    coefficients: Tensor  # [(2 degree + 1)**Q, 2**Q] float64, of the outcome probabilities
    readout: Tensor  # [(2 degree + 1)**Q, Q] float64, of <Z>
    error: Tensor  # [] float64

    def __init__(self, n_qubits: int, degree: int = 1) -> None:
        super().__init__()
        self.n_qubits, self.degree = n_qubits, degree
        features = (2 * degree + 1) ** n_qubits
        self.register_buffer("coefficients", torch.zeros(features, 2**n_qubits, dtype=torch.float64))
        self.register_buffer("readout", torch.zeros(features, n_qubits, dtype=torch.float64))
        self.register_buffer("error", torch.tensor(math.inf, dtype=torch.float64))

    @property
    def max_error(self) -> float:
        """Largest difference between the device's probabilities and these, at fresh random angles."""
        return float(self.error)

    @property
    def evaluations(self) -> int:
        """How many circuits the device ran for the fit and its check."""
        return len(self.coefficients) + N_CHECKS

    def set_values(self, values: Tensor) -> None:
        """Determine the coefficients from outcome probabilities [(2 degree + 1)**Q, 2**Q] on `grid`."""
        points = 2 * self.degree + 1
        inverse = torch.linalg.inv(trig_features(grid(1, self.degree), self.degree))
        tensor = values.double().reshape(*[points] * self.n_qubits, -1)
        for axis in range(self.n_qubits):
            tensor = torch.tensordot(inverse, tensor, dims=([1], [axis])).movedim(0, axis)
        self.coefficients.copy_(tensor.reshape(-1, values.shape[-1]))
        self.readout.copy_(self.coefficients @ z_signs(self.n_qubits))

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians."""
        return (self._features(angles) @ self.readout.to(_working(angles.dtype))).to(angles.dtype)

    def probabilities(self, angles: Tensor) -> Tensor:
        """Outcome probabilities [B, 2**Q], in the dtype of angles [B, Q], radians."""
        return (self._features(angles) @ self.coefficients.to(_working(angles.dtype))).to(angles.dtype)

    def sample(self, angles: Tensor, shots: int, generator: torch.Generator) -> Tensor:
        """<Z> of every wire [B, Q] from `shots` fresh samples, in the dtype of angles [B, Q]; no gradient."""
        with torch.no_grad():
            return sample_expectations(self.probabilities(angles.double()), shots, generator).to(angles.dtype)

    def _features(self, angles: Tensor) -> Tensor:
        return trig_features(angles.to(_working(angles.dtype)), self.degree)

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"n_qubits={self.n_qubits}, degree={self.degree}, max_error={self.max_error:.1e}"


def _working(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def fit(circuit: Circuit, weights: Tensor, device: Device) -> Surrogate:
    """The surrogate of `circuit` with `weights` [W] on `device`; of the exact twin, where the device samples shots.

    Raises:
        CircuitError: too many qubits for a grid, or the device is no trigonometric polynomial of the circuit's degree.
        DeviceError: the device cannot run the circuit.
    """
    entries = (2 * circuit.degree + 1) ** circuit.n_qubits * 2**circuit.n_qubits
    if entries > MAX_ENTRIES:
        what = f"a surrogate of {circuit!r} has {entries} coefficients"
        raise CircuitError(what, valid=f"up to {MAX_ENTRIES}; else mode: native")
    twin = device.exact()
    weights = weights.detach()
    fitted = Surrogate(circuit.n_qubits, circuit.degree)
    points = grid(circuit.n_qubits, circuit.degree)
    twin.check_input(circuit, weights, points)
    fitted.set_values(torch.from_numpy(twin.tabulate(circuit, weights.cpu().double().numpy(), points.numpy())))
    angles = torch.from_numpy(rng(0, "surrogate").uniform(-math.pi, math.pi, (N_CHECKS, circuit.n_qubits)))
    fitted.error.copy_((twin.probabilities(circuit, weights, angles) - fitted.probabilities(angles)).abs().max())
    if not fitted.max_error < TOLERANCE:
        raise CircuitError(
            f"{circuit!r} on {twin.label} misses its surrogate by {fitted.max_error:.1e} at random angles",
            valid=f"an exact device (error below {TOLERANCE}); else mode: native",
        )
    return fitted
