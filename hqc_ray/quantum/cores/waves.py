"""Trigonometric polynomials in several angles: their functions, and the grid whose values determine them."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from hqc_ray.quantum.devices.device import combinations


def trig_features(angles: Tensor, degree: int = 1) -> Tensor:
    """[B, (2 degree + 1)**Q] of angles [B, Q], radians: products over wires of (1, cos, sin, cos 2x, ...); wire 0 slowest."""
    ones = torch.ones_like(angles)
    waves = [wave for k in range(1, degree + 1) for wave in ((k * angles).cos(), (k * angles).sin())]
    axes = torch.stack([ones, *waves], -1)  # [B, Q, 2 degree + 1]
    return product(axes)


def product(axes: Tensor) -> Tensor:
    """[B, P**Q] of one factor per wire, [B, Q, P]; wire 0 slowest."""
    return reduce(lambda left, right: (left[:, :, None] * right[:, None, :]).flatten(1), axes.unbind(1))


def grid(n_qubits: int, degree: int = 1) -> Tensor:
    """[(2 degree + 1)**Q, Q] float64: all combinations of equidistant angles, wire 0 slowest."""
    return torch.from_numpy(combinations(equidistant(degree), n_qubits))


def equidistant(degree: int) -> np.ndarray:
    """[2 degree + 1] radians: the values of one angle that determine a polynomial in it."""
    points = 2 * degree + 1
    return 2 * math.pi * np.arange(points) / points
