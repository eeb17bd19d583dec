"""A circuit on a noisy device as a torch layer with trainable weights: training under noise, with exact gradients.

What comes after the last gate of an input angle is propagated backwards once per training step, whatever the size of the batch:
not a density matrix per image, nor 2^Q outcomes, but the Q observables as they are read (the Heisenberg picture). What comes
before that gate is a small state per image.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.noise.base import Noise
from hqc_ray.quantum.transfer import blocks as symbolic
from hqc_ray.quantum.transfer.blocks import Block
from hqc_ray.quantum.transfer.ptm import TRACE, ZERO, UnsupportedError
from hqc_ray.quantum.transfer.track import Track
from hqc_ray.quantum.transfer.vectors import Vectors, apply

MAX_ENTRIES = 2**26  # of the observables at every block, which the gradient needs twice: 1 GiB


def on(ideal: CircuitLayer, device: Device) -> CircuitLayer | NoisyLayer:
    """The layer that trains the circuit of `ideal` on `device`, from the same weights: itself, where the device is ideal too.

    Raises:
        DeviceError: see `is_noisy`.
    """
    if not is_noisy(ideal.circuit, device):
        return ideal
    layer = NoisyLayer(ideal.circuit, device, torch.Generator()).to(ideal.weights.device)
    layer.load_state_dict(ideal.state_dict())
    return layer


def is_noisy(circuit: Circuit, device: Device) -> bool:
    """Whether training on `device` differs from training the ideal circuit; refused where it has no exact gradients.

    Raises:
        DeviceError: the device samples shots or mitigates, cannot run the circuit, or is noisy and has no transfer matrices.
    """
    _refuse_unlike(device)
    device.check(circuit)
    if device.kind == "ideal":
        return False
    _open(circuit, device)
    return True


def _refuse_unlike(device: Device) -> None:
    if device.shots is not None:
        what = f"training takes exact gradients, and {device.label} samples shots"
        raise DeviceError(what, where="shots", valid="no shots, on a device that is exact without them")
    if device.quasi:
        what = f"training runs the circuit as it is, and {device.label} mitigates afterwards"
        raise DeviceError(what, where="mitigation", valid="no mitigation while training; the trained model may be run with it")


def _open(circuit: Circuit, device: Device) -> tuple[list[Block], list[Block], list[int], Noise]:
    """The compiled circuit in blocks (see `symbolic.blocks`), the physical qubit of each wire at the end, and the noise."""
    program = device.noisy_program(circuit)
    if program is None:
        what = f"training under the noise of {device.label} needs its transfer matrices, which it does not give"
        raise DeviceError(what, valid="qiskit.aer with noise; without noise, a CircuitLayer")
    compiled, noise = program
    try:
        first, rest = symbolic.blocks(compiled.gates, compiled.weights, compiled.angles, noise)
    except UnsupportedError as problem:
        raise DeviceError(f"cannot train {circuit!r} on {device.label}: {problem}", valid="another noise model") from problem
    entries = circuit.n_qubits * 4 ** symbolic.width(rest, symbolic.touched(first), compiled.layout) * len(rest)
    if entries > MAX_ENTRIES:
        what = f"training {circuit!r} on {device.label} needs {entries} numbers per step"
        raise DeviceError(what, valid=f"up to {MAX_ENTRIES}: fewer qubits, or a machine that needs less routing")
    return first, rest, compiled.layout, noise


class NoisyLayer(nn.Module):
    """Exact <Z> of every wire of a circuit on a noisy device, as read; trained by autograd.

    The float64 parameter `weights` [W] has the name and the first values that it has in `CircuitLayer`: states are exchangeable.

    Args:
        circuit: Q wires, W weights.
        device: `qiskit.aer` with noise, without shots.
        generator: draws the first weights, uniform in [0, 2 pi).

    Raises:
        DeviceError: the device has no noise, samples shots, mitigates, or compiles the circuit to gates without transfer
            matrices.
    """

    observables: Tensor  # [Q, 4^Q] <Z> of each wire as it is read, over the qubits of the layout
    zero: Tensor  # [4] the Pauli vector of |0>
    trace: Tensor  # [4] of the observable 1
    stochastic: ClassVar[bool] = False

    def __init__(self, circuit: Circuit, device: Device, generator: torch.Generator) -> None:
        super().__init__()
        self.circuit, self.label = circuit, device.label
        _refuse_unlike(device)
        device.check(circuit)
        first, rest, self.layout, noise = _open(circuit, device)
        self.begin, self.leaving = symbolic.touched(first), symbolic.leaving(rest, symbolic.touched(first))
        self.first, self.rest = (Track(part, circuit.n_weights, circuit.n_qubits) for part in (first, rest))
        self.weights = nn.Parameter(2 * math.pi * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64))
        self.register_buffer("observables", torch.from_numpy(_observables(self.layout, noise)), persistent=False)
        for name, vector in (("zero", ZERO), ("trace", TRACE)):
            self.register_buffer(name, torch.from_numpy(vector), persistent=False)

    def forward(self, angles: Tensor) -> Tensor:
        """<Z> of every wire [B, Q], in the dtype of angles [B, Q], radians.

        Raises:
            CircuitError: another number of angles than wires.
        """
        if angles.ndim != 2 or angles.shape[1] != self.circuit.n_qubits:
            shape, valid = list(angles.shape), f"[B, {self.circuit.n_qubits}]"
            raise CircuitError(f"angles of shape {shape}", where=repr(self.circuit), valid=valid)
        effects, qubits = self._effects()
        return (self.first.states(self.weights, angles.double(), qubits) @ effects.T).to(angles.dtype)

    def _effects(self) -> Vectors:
        """The observables before the later blocks [Q, 4^n], over the n qubits that angles act on."""
        vectors, qubits = self.observables, list(self.layout)
        for at, (touched, matrix) in reversed(list(enumerate(self.rest(self.weights)))):
            vectors, qubits = self._entered(vectors, qubits, touched)
            vectors, qubits = apply(vectors, qubits, touched, matrix)
            vectors, qubits = self._left(vectors, qubits, self.leaving.get(at, ()))
        vectors, qubits = self._entered(vectors, qubits, self.begin)
        return self._left(vectors, qubits, [qubit for qubit in qubits if qubit not in self.begin])

    def _entered(self, vectors: Tensor, qubits: list[int], wanted: tuple[int, ...]) -> Vectors:
        """With an axis for each of the `wanted` qubits: nothing was measured on those that have none yet."""
        for qubit in wanted:
            if qubit not in qubits:
                vectors, qubits = (vectors[:, :, None] * self.trace).flatten(1), [*qubits, qubit]
        return vectors, qubits

    def _left(self, vectors: Tensor, qubits: list[int], gone: list[int] | tuple[int, ...]) -> Vectors:
        """Without the axes of the qubits `gone`, which are |0> here."""
        for qubit in gone:
            vectors, qubits = apply(vectors, qubits, (qubit,), self.zero[:, None])
            qubits = qubits[:-1]
        return vectors, qubits

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"{self.circuit!r} on {self.label}"


def _observables(layout: list[int], noise: Noise) -> np.ndarray:
    """[Q, 4^Q]: Z of each wire after its assignment matrix, in Pauli axes in the order of `layout`."""
    rows = []
    for wire, qubit in enumerate(layout):
        matrix = noise.assignment(qubit)
        zero, one = (np.eye(2) if matrix is None else matrix) @ [1, -1]  # what is read, on average, of a 0 and of a 1
        read = np.sqrt(2) * np.array([(zero + one) / 2, 0, 0, (zero - one) / 2])
        rows.append(reduce(np.kron, [read if other == wire else TRACE for other in range(len(layout))]))
    return np.stack(rows)
