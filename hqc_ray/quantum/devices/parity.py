"""How far a device is from the ideal circuit, on a circuit that would show any exchange of wires, bits, controls and targets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from hqc_ray.errors import DeviceError, HqcError
from hqc_ray.guard import said
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Builder, Circuit
from hqc_ray.seeds import rng

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hqc_ray.quantum.devices.device import Device
    from hqc_ray.quantum.ideal import simulate
else:
    torch, simulate = later("torch"), later("hqc_ray.quantum.ideal.simulate")

EQUAL = 1e-6  # largest difference of a probability that counts as none
BATCH = 5


@functools.cache
def asymmetric() -> Circuit:
    """Three qubits, most gates, no symmetry between wires, bit orders, or controls and targets."""
    b = Builder(3, "rx")
    b.add("CNOT", 0, 2)
    b.add("U3", 1)
    b.add("CRX", 2, 1)
    b.add("H", 0)
    b.add("CRZ", 0, 1)
    b.add("U2", 2)
    b.add("CZ", 1, 2)
    b.add("PhaseShift", 1)
    b.add("RY", 0)
    b.add("CNOT", 1, 0)
    b.every("RZ", "RX")
    return Circuit("asymmetric", 3, "rx", 1, b.n_weights, tuple(b.gates))


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random weights [W] and angles [BATCH, 3] of `asymmetric`, radians."""
    random = rng(seed, "parity")
    weights = torch.from_numpy(random.uniform(0, 2 * np.pi, asymmetric().n_weights))
    return weights, torch.from_numpy(random.uniform(-np.pi, np.pi, (BATCH, asymmetric().n_qubits)))


def deviation(device: Device, seed: int = 0) -> float:
    """Largest difference of a probability between `device` and the ideal circuit `asymmetric`.

    Raises:
        DeviceError: the device cannot run it.
    """
    circuit, (weights, angles) = asymmetric(), inputs(seed)
    try:
        theirs = device.probabilities(circuit, weights, angles)
    except HqcError:
        raise
    except Exception as problem:  # each plugin has exceptions of its own
        raise DeviceError(f"{device.label} failed: {said(problem)}") from problem
    return float((theirs - simulate.Program(circuit)(weights, angles)).abs().max())
