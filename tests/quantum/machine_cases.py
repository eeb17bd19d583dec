"""Machines that are not IBM's, as a user's own module gives them."""

from __future__ import annotations

import itertools
from typing import Any

from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CZGate, ECRGate, RGate, RZGate, SXGate, iSwapGate
from qiskit.providers import BackendV2, Options
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import InstructionProperties, QubitProperties, Target

COUNT = itertools.count()


class Machine(BackendV2):
    def __init__(self, target: Target) -> None:
        super().__init__(name="made_up")
        self._own = target

    @property
    def target(self) -> Target:
        return self._own

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError


def made_up(coupler: Any = None, error: float = 0.01) -> Machine:
    """Another basis, couplings in one direction, no durations, and qubit 0 is faulty: it has no gates."""
    target, good = Target(num_qubits=6), range(1, 6)
    free = {(q,): InstructionProperties(error=1e-3 * (q + 1)) for q in good}
    target.add_instruction(RGate(Parameter("theta"), Parameter("phi")), free)
    target.add_instruction(RZGate(Parameter("angle")), {(q,): None for q in good})
    pairs = ((1, 2), (3, 2), (3, 4), (5, 4))
    target.add_instruction(coupler or ECRGate(), {pair: InstructionProperties(error=error * pair[1]) for pair in pairs})
    target.add_instruction(Measure(), {(q,): InstructionProperties(error=0.01 * q) for q in good})
    return Machine(target)


def generic() -> GenericBackendV2:
    couplings = [[0, 1], [2, 1], [2, 3], [4, 3]]
    return GenericBackendV2(5, basis_gates=["rz", "sx", "ecr"], coupling_map=couplings, seed=3)


def carrying() -> Any:
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    model = NoiseModel(basis_gates=["rz", "sx", "cx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["sx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.08, 0.92]]))
    return AerSimulator(noise_model=model)


def with_times(t1: float, t2: float) -> Machine:
    target = Target(num_qubits=2, qubit_properties=[QubitProperties(t1=t1, t2=t2)] * 2)
    target.add_instruction(SXGate(), {(q,): InstructionProperties(1e-7, 1e-3) for q in range(2)})
    target.add_instruction(RZGate(Parameter("angle")))
    target.add_instruction(CZGate(), {(0, 1): InstructionProperties(1e-7, 1e-3)})
    target.add_instruction(Measure(), {(q,): None for q in range(2)})
    return Machine(target)


# what is refused

number = 3


def nothing() -> None:
    return None


def raises() -> None:
    raise KeyError("oops")


def takes(one: int) -> Machine:
    return made_up()


def loose() -> GenericBackendV2:
    return GenericBackendV2(5)


def drifts() -> Machine:
    return made_up(error=0.01 + 1e-6 * next(COUNT))


def wild() -> Machine:
    return made_up(error=0.7)


def timeless() -> Machine:
    return with_times(0.0, 1e-4)


def one_way() -> Machine:
    return made_up(iSwapGate())  # which Qiskit cannot turn round


def endless() -> Machine:
    target = Target()
    target.add_instruction(RZGate(Parameter("angle")))
    return Machine(target)


def silent() -> Machine:
    target = Target(num_qubits=4)
    target.add_instruction(RGate(Parameter("theta"), Parameter("phi")))
    target.add_instruction(CZGate())
    target.add_instruction(Measure())
    return Machine(target)
