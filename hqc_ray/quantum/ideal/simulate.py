"""The ideal circuit in torch: exact, batched, differentiable in angles and weights by ordinary autograd.

One-qubit gates between entanglers are merged, vectorised, into one matrix per moment; a controlled rotation is a sum of two
diagonals, one of them after a bit flip. The columns that run through the circuit are the batch or the basis, whichever is fewer.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn

from hqc_ray.quantum.circuits.ir import EMBEDDINGS, Angle, Circuit, Gate, Parameter, Weight
from hqc_ray.quantum.ideal.rotations import PAULI, Rotation, rotations

Moment = dict[int, list[Rotation]]  # the rotations of each wire between two entanglers


def bits(n_qubits: int) -> Tensor:
    """[2**Q, Q] int64: the bit of each wire in each outcome; wire 0 is the leftmost bit."""
    return (torch.arange(2**n_qubits)[:, None] >> torch.arange(n_qubits - 1, -1, -1)) & 1


def z_signs(n_qubits: int) -> Tensor:
    """[2**Q, Q] float64: the eigenvalue of Z on each wire in each outcome."""
    return 1.0 - 2.0 * bits(n_qubits).double()


class Program(nn.Module):
    """A circuit compiled for torch: (weights [W], angles [B, Q]) -> outcome probabilities [B, 2**Q], float64.

    Args:
        circuit: what to compile.
    """

    constants: Tensor  # [C] radians; the first is 0
    index: Tensor  # [moments, depth, Q] into the weights followed by the constants
    scale: Tensor  # [moments, depth, Q] of these, and what is added: both empty where every gate takes a weight as it is
    offset: Tensor
    paulis: Tensor  # [moments, depth, Q, 2, 2] -i times the axis of each rotation
    fixed: Tensor  # [F, 2**Q, 2**Q] entanglers without parameters
    keep: Tensor  # [R, 2**Q] where a rotation acts: the mask of its control
    turn: Tensor  # [R, 2**Q] the factor of sin(angle/2), and of the amplitude at `flip`
    flip: Tensor  # [R, 2**Q] the outcome whose amplitude the rotation brings in
    entry: Tensor  # [E, 2, 2] -i times the axis of each rotation of the embedding

    def __init__(self, circuit: Circuit) -> None:
        super().__init__()
        self.circuit, self.dim = circuit, 2**circuit.n_qubits
        self.steps: list[tuple[str, int]] = []  # (table, position in it)
        self.parameters_of_rotations: list[Parameter] = []
        moments: list[Moment] = []
        fixed: list[Tensor] = []
        masks: list[tuple[Tensor, Tensor, Tensor]] = []
        for gate in circuit.gates[circuit.n_embedding_gates :]:
            last = self.steps[-1][0] if self.steps else ""
            if len(gate.wires) == 1 and not any(isinstance(p, Angle) for p in gate.parameters):
                if last != "moment":
                    self.steps.append(("moment", len(moments)))
                    moments.append({})
                moments[-1].setdefault(gate.wires[0], []).extend(rotations(gate))
            elif gate.parameters:
                ((axis, parameter),) = rotations(gate)
                self.steps.append(("rotation", len(masks)))
                self.parameters_of_rotations.append(parameter)
                masks.append(_masks(axis, gate.wires, circuit.n_qubits))
            elif last == "fixed":
                fixed[-1] = _entangler(gate, circuit.n_qubits) @ fixed[-1]
            else:
                self.steps.append(("fixed", len(fixed)))
                fixed.append(_entangler(gate, circuit.n_qubits))
        self.late = any(isinstance(parameter, Angle) for parameter in self.parameters_of_rotations)  # angles after the embedding
        self.embedding = [turn for name in EMBEDDINGS[circuit.embedding] for turn in rotations(Gate(name, (0,), (Angle(0),)))]
        self._pack(
            "entry", [-1j * torch.tensor(PAULI[axis], dtype=torch.complex128) for axis, _ in self.embedding], torch.complex128
        )
        self._pack_moments(moments)
        self._pack("fixed", fixed, torch.complex128)
        for position, (name, dtype) in enumerate((("keep", torch.float64), ("turn", torch.complex128), ("flip", torch.int64))):
            self._pack(name, [mask[position] for mask in masks], dtype)

    def _pack(self, name: str, tensors: list[Tensor], dtype: torch.dtype) -> None:
        self.register_buffer(name, torch.stack(tensors) if tensors else torch.zeros(0, dtype=dtype), persistent=False)

    def _pack_moments(self, moments: list[Moment]) -> None:
        depth = max((len(turns) for moment in moments for turns in moment.values()), default=1)
        shape = (len(moments), depth, self.circuit.n_qubits)
        constants = [0.0]
        index = torch.full(shape, self.circuit.n_weights)  # padding: a rotation by the constant 0
        scale, offset = torch.ones(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        paulis = torch.zeros(*shape, 2, 2, dtype=torch.complex128)
        for m, moment in enumerate(moments):
            for wire, turns in moment.items():
                for d, (axis, parameter) in enumerate(turns):
                    paulis[m, d, wire] = -1j * torch.tensor(PAULI[axis], dtype=torch.complex128)
                    index[m, d, wire] = self._position(parameter, constants)
                    if isinstance(parameter, Weight):
                        scale[m, d, wire], offset[m, d, wire] = parameter.scale, parameter.offset
        plain = bool((scale == 1).all() and (offset == 0).all())
        self.register_buffer("scale", scale[:0] if plain else scale, persistent=False)
        self.register_buffer("offset", offset[:0] if plain else offset, persistent=False)
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64), persistent=False)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("paulis", paulis, persistent=False)

    def _position(self, parameter: Parameter, constants: list[float]) -> int:
        if isinstance(parameter, Weight):
            return parameter.index
        constants.append(float(parameter))  # type: ignore[arg-type]  # an angle is never inside a moment
        return self.circuit.n_weights + len(constants) - 1

    def forward(self, weights: Tensor, angles: Tensor) -> Tensor:
        """Outcome probabilities [B, 2**Q] float64 of weights [W] and angles [B, Q], radians."""
        weights, angles = weights.double(), angles.double()
        state = self._embedded(angles)
        if self.late or len(angles) <= self.dim:
            state = self._run(weights, angles, state.T).T
        else:
            state = state @ self._run(weights, angles, torch.eye(self.dim, dtype=state.dtype, device=state.device)).T
        return state.real.square() + state.imag.square()

    def _embedded(self, angles: Tensor) -> Tensor:
        """The product state [B, 2**Q] after the embedding."""
        state = torch.zeros(*angles.shape, 2, dtype=torch.complex128, device=angles.device)
        state[..., 0] = 1.0
        for pauli, (_, angle) in zip(self.entry, self.embedding, strict=True):
            theta = angles / 2 if isinstance(angle, Angle) else torch.full_like(angles, float(angle) / 2)  # type: ignore[arg-type]
            state = theta.cos()[..., None] * state + theta.sin()[..., None] * (state @ pauli.T)
        return reduce(lambda left, right: (left[:, :, None] * right[:, None, :]).flatten(1), state.unbind(1))

    def _run(self, weights: Tensor, angles: Tensor, state: Tensor) -> Tensor:
        """The columns [2**Q, M] after all steps; with angles in the steps, M is B."""
        moments = self._moments(weights) if len(self.index) else ()
        rotation = self._rotation_factors(weights, angles) if len(self.flip) else []
        for table, at in self.steps:
            if table == "moment":
                state = moments[at] @ state
            elif table == "fixed":
                state = self.fixed[at] @ state
            else:
                stay, move = rotation[at]
                state = stay * state + move * state.index_select(0, self.flip[at])
        return state

    def _moments(self, weights: Tensor) -> tuple[Tensor, ...]:
        """One matrix [2**Q, 2**Q] for each moment."""
        taken = torch.cat([weights, self.constants])[self.index]
        theta = (self.scale * taken + self.offset if len(self.scale) else taken)[..., None, None] / 2
        eye = torch.eye(2, dtype=torch.complex128, device=weights.device)
        gates = theta.cos() * eye + theta.sin() * self.paulis  # [moments, depth, Q, 2, 2]
        wires = reduce(lambda done, gate: gate @ done, gates.unbind(1))  # [moments, Q, 2, 2]
        return reduce(_kron, wires.unbind(1)).unbind(0)

    def _rotation_factors(self, weights: Tensor, angles: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each rotation the factors [2**Q, 1 or B] of the amplitude itself and of the one at `flip`."""
        given = [self._value(parameter, weights, angles) for parameter in self.parameters_of_rotations]
        theta = torch.stack(torch.broadcast_tensors(*given))[:, None] / 2  # [R, 1, 1 or B]
        keep = self.keep[..., None]
        stay, move = 1 - keep + keep * theta.cos(), self.turn[..., None] * theta.sin()
        return list(zip(stay.unbind(0), move.unbind(0), strict=True))

    def _value(self, parameter: Parameter, weights: Tensor, angles: Tensor) -> Tensor:
        if isinstance(parameter, Angle):
            return angles[:, parameter.index]
        if isinstance(parameter, Weight):
            return parameter.of(weights[parameter.index : parameter.index + 1])
        return weights.new_full((1,), parameter)


def _kron(left: Tensor, right: Tensor) -> Tensor:
    """The Kronecker product of two stacks of matrices [K, m, m], [K, n, n]."""
    size = left.shape[-1] * right.shape[-1]
    return (left[:, :, None, :, None] * right[:, None, :, None, :]).reshape(-1, size, size)


def _entangler(gate: Gate, n_qubits: int) -> Tensor:
    """The matrix [2**Q, 2**Q] of a gate without parameters on two wires."""
    control, target = gate.wires
    on = bits(n_qubits)[:, control]
    if gate.name == "CZ":
        return torch.diag(1 - 2 * on * bits(n_qubits)[:, target]).to(torch.complex128)
    outcomes = torch.arange(2**n_qubits)
    return torch.eye(2**n_qubits, dtype=torch.complex128)[outcomes ^ (on << (n_qubits - 1 - target))]


def _masks(axis: str, wires: tuple[int, ...], n_qubits: int) -> tuple[Tensor, Tensor, Tensor]:
    """`keep`, `turn` and `flip` of a rotation about `axis` of the last of `wires`, controlled by the others."""
    bit, outcomes = bits(n_qubits), torch.arange(2**n_qubits)
    keep = bit[:, list(wires[:-1])].prod(1).double()
    flip = outcomes if axis == "Z" else outcomes ^ (1 << (n_qubits - 1 - wires[-1]))
    rows = -1j * torch.tensor(PAULI[axis], dtype=torch.complex128).sum(1)  # the one entry in each row of a Pauli matrix
    return keep, keep * rows[bit[:, wires[-1]]], flip
