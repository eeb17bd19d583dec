"""Circuits and inputs that the tests of this room share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hqc_ray.quantum.circuits.ir import Angle, Builder, Circuit, Gate, Weight

AXIS = np.array([-2.1, 0.4, 1.3])  # radians, of a grid: of no symmetry


def inputs(circuit: Circuit, batch: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Weights [W] and angles [batch, Q], float64."""
    generator = torch.Generator().manual_seed(seed)
    weights = 6 * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
    return weights, 2 * torch.randn(batch, circuit.n_qubits, generator=generator, dtype=torch.float64)


def asymmetric() -> Circuit:
    """Three qubits, every gate of the table, no symmetry between wires, qubit orders, or controls and targets."""
    gates = [Gate("RX", (wire,), (Angle(wire),)) for wire in range(3)]
    gates += [Gate("CNOT", (0, 2)), Gate("U3", (1,), (Weight(0), Weight(1), Weight(2))), Gate("CRX", (2, 1), (Weight(3),))]
    gates += [Gate("H", (0,)), Gate("CRZ", (0, 1), (Weight(4),)), Gate("U2", (2,), (Weight(5), Weight(6))), Gate("CZ", (1, 2))]
    gates += [Gate("PhaseShift", (1,), (Weight(7),)), Gate("U1", (0,), (Weight(8),)), Gate("RY", (1,), (0.3,))]
    gates += [
        Gate("CNOT", (1, 0)),
        Gate("RZ", (0,), (Weight(9),)),
        Gate("RX", (0,), (Weight(10),)),
        Gate("RY", (2,), (Weight(11),)),
    ]
    return Circuit("asymmetric", 3, "rx", 1, 12, tuple(gates))


def uneven() -> Circuit:
    """Four qubits: two meet before an angle enters, which enters on a third as well; one is alone; two angles are dead."""
    gates = [Gate("RY", (3,), (Weight(0),)), Gate("CNOT", (3, 1)), Gate("RX", (1,), (Angle(3),)), Gate("RY", (2,), (Angle(3),))]
    gates += [Gate("RX", (0,), (Angle(1),)), Gate("CNOT", (0, 1)), Gate("CRX", (2, 3), (Weight(1),))]
    return Circuit("uneven", 4, "own", 1, 2, tuple(gates))


def reuploading(b: Builder) -> None:
    """Each angle enters twice."""
    b.every("RZ", "RY")
    b.add("CRX", 2, 0)
    b.embed()
    b.add("CNOT", 0, 1)
    b.every("RY")


def mixed(b: Builder) -> None:
    """No symmetry between three wires, bit orders, or controls and targets."""
    b.add("CNOT", 0, 2)
    b.add("U3", 1)
    b.add("CRX", 2, 1)
    b.add("H", 0)
    b.add("CRZ", 0, 1)
    b.add("U2", 2)
    b.add("CZ", 1, 2)
    b.every("RX", "RZ")
    b.add("CNOT", 1, 0)
    b.every("RY", wires=(0, 2))


def turned(b: Builder) -> None:
    """After the embedding RX, H leaves <Z> at 0, and <X> at the cosine of the input, turned by a weight."""
    b.every("H", "RZ")
