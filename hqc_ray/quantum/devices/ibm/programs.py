"""The circuits that mitigation adds on a machine: two-qubit gates that are run several times, and calibrations of the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.later import later
from hqc_ray.quantum.devices.qiskit import OUTCOME, Compiled, transpiled
from hqc_ray.quantum.noise.mitigation import Mitigation, assigned

if TYPE_CHECKING:
    from hqc_ray.quantum.ideal import simulate
else:
    simulate = later("hqc_ray.quantum.ideal.simulate")

EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class Pub:
    """Circuits that the sampler takes as one: the circuit at some angles, or one that calibrates the readout.

    Args:
        angles: [n, Q] radians; [1, 0] of a calibration.
        scale: how often each two-qubit gate is run, odd.
        bit: a calibration prepares all wires as it; None: the circuit.
    """

    angles: np.ndarray
    scale: int = 1
    bit: int | None = None

    def __len__(self) -> int:
        return len(self.angles)

    @property
    def mark(self) -> list[int | None]:
        """What tells it from others, but for the angles."""
        return [self.bit, self.scale, len(self)]


@dataclass(frozen=True, eq=False)
class Programs:
    """A compiled circuit and what mitigation adds to it, on one machine.

    Args:
        compiled: for that machine.
        machine: Qiskit's backend.
        weights: [W].
    """

    compiled: Compiled
    machine: Any
    weights: np.ndarray
    _prepared: dict[int, Any] = field(default_factory=dict)

    def of(self, pub: Pub) -> tuple[Any, ...]:
        """What the sampler takes: a measured circuit, and the values of its parameters."""
        if pub.bit is not None:
            return (self.preparing(pub.bit),)
        bound = self.compiled.bound(self.weights, measured=True)
        return folded(bound, pub.scale), self._values(bound, pub)

    def estimated(self, pub: Pub) -> tuple[Any, ...]:
        """What the estimator takes: a circuit, Z of the qubit that each wire ends on, and the values of its parameters."""
        from qiskit.quantum_info import SparsePauliOp

        bound = self.compiled.bound(self.weights)
        z = [SparsePauliOp.from_sparse_list([("Z", [qubit], 1)], bound.num_qubits) for qubit in self.compiled.layout]
        return bound, z, self._values(bound, pub)[:, None]

    def _values(self, bound: Any, pub: Pub) -> np.ndarray:
        """The angles [n, P] of the P parameters that are left: the compiler may drop one."""
        return pub.angles[:, [list(self.compiled.angles).index(parameter) for parameter in bound.parameters]]

    def preparing(self, bit: int) -> Any:
        """The circuit that prepares all wires as `bit` on the qubits where they are read, and reads them."""
        if bit not in self._prepared:
            self._prepared[bit] = prepared(self.compiled.layout, self.machine, bit)
        return self._prepared[bit]

    def gates(self, pubs: Sequence[Pub]) -> Any:
        """A circuit with every gate that some PUBs have, on its qubits."""
        found = self.compiled.gates.copy()
        for pub in pubs:
            if pub.bit is not None:
                added = self.preparing(pub.bit)
                for step in added.data:
                    if step.operation.name != "measure":
                        found.append(step.operation, [added.find_bit(qubit).index for qubit in step.qubits])
        return found


def pubs(mitigation: Mitigation | None, angles: np.ndarray) -> list[Pub]:
    """What is measured for angles [N, Q]: two calibrations, where the readout is mitigated, then all angles at each scale.

    The Estimator is given the angles alone, and adds to them what it needs.
    """
    if mitigation is None or mitigation.estimator:
        return [Pub(angles)]
    calibrations = [Pub(np.empty((1, 0)), bit=bit) for bit in (0, 1)] if mitigation.readout else []
    return [*calibrations, *(Pub(angles, int(scale)) for scale in mitigation.scales)]


def packed(given: Sequence[Pub], size: int) -> list[list[Pub]]:
    """PUBs in their order in jobs of `size` circuits, the last of which may have fewer."""
    jobs: list[list[Pub]] = []
    room = 0
    for pub in given:
        at = 0
        while at < len(pub):
            if room == 0:
                jobs.append([])
                room = size
            part = Pub(pub.angles[at : at + room], pub.scale, pub.bit)
            jobs[-1].append(part)
            at, room = at + len(part), room - len(part)
    return jobs


def folded(measured: Any, scale: int) -> Any:
    """A transpiled circuit with each two-qubit gate G run `scale` times, odd: as G is its own inverse, G G G is G again.

    It is not transpiled anew, so that nothing takes the repetitions out.
    """
    made = measured.copy_empty_like()
    for step in measured.data:
        for _ in range(scale if _on_two(step) else 1):
            made.append(step)
    return made


def prepared(layout: Sequence[int], machine: Any, bit: int) -> Any:
    """All qubits of `layout` prepared as `bit` and read: classical bit i is wire i."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    wires = range(len(layout))
    written = QuantumCircuit(QuantumRegister(len(layout), "wire"), ClassicalRegister(len(layout), OUTCOME))
    if bit:
        written.x(wires)
    made = transpiled(written, machine, 0, 0, f"a calibration of {len(layout)} qubits", initial_layout=list(layout))
    made.measure(list(layout), wires)
    return made


def assignments(counts: np.ndarray) -> np.ndarray:
    """Assignment matrices [1, Q, 2, 2] by the counts [2, 2**Q] of two calibrations: all wires prepared as 0, all as 1."""
    n_qubits = counts.shape[-1].bit_length() - 1
    ones = (1 - simulate.z_signs(n_qubits).numpy()) / 2  # [2**Q, Q] the bit of each wire
    return assigned(np.stack([counts[0] @ ones, counts[1] @ (1 - ones)], -1), int(counts[0].sum()))[None]


def check_foldable(measured: Any, machine: str) -> None:
    """Refuse a compiled circuit whose two-qubit gates cannot be repeated.

    Raises:
        DeviceError: it has none, or one that is not its own inverse.
    """
    gates = [step.operation for step in measured.data if _on_two(step)]
    if not gates:
        what = "a machine's noise grows by repeating two-qubit gates, and the compiled circuit has none"
        raise DeviceError(what, where="mitigation.zne", valid="no zne, or a circuit that entangles its wires")
    for name, gate in {gate.name: gate for gate in gates}.items():
        if not _undoes_itself(gate):
            what = f"a machine's noise grows by repeating two-qubit gates that undo themselves, and {name} of {machine} does not"
            raise DeviceError(what, where="mitigation.zne", valid="no zne, or a machine with cx, cz or ecr")


def _on_two(step: Any) -> bool:
    from qiskit.circuit import Gate

    return isinstance(step.operation, Gate) and step.operation.num_qubits == 2


def _undoes_itself(gate: Any) -> bool:
    try:
        matrix = np.asarray(gate.to_matrix())
    except Exception:  # of a gate with open parameters, or a machine's own, without a matrix
        return False
    return bool(abs(abs(np.trace(matrix @ matrix)) - len(matrix)) < EQUAL)
