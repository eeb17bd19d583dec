"""Qiskit Aer, directly: compiled once per circuit with angles and weights as parameters, bound in batches, one thread.

PennyLane's plugin compiles every tape anew, turns shots=None into 1,024 shots and drops readout errors; hence this device.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Parameter, Weight
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.base import Noise, require
from hqc_ray.quantum.noise.parametric import BASIS, NoiseOptions
from hqc_ray.quantum.transfer import grid as transfer
from hqc_ray.quantum.transfer.ptm import UnsupportedError

METHODS = {
    "H": "h",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "PhaseShift": "p",
    "U1": "p",
    "U3": "u",
    "CNOT": "cx",
    "CZ": "cz",
    "CRX": "crx",
    "CRZ": "crz",
}
PARAMETRIC = "parametric"  # what a circuit is compiled to without a machine, where there is noise
CHUNK = 512  # bound circuits in one Aer job: bounds the memory of its result


@dataclass(frozen=True, eq=False)
class Compiled:
    """A circuit for a machine; compared by identity.

    Args:
        measured: the transpiled circuit; classical bit i is wire i.
        gates: the same without its measurements.
        angles: Qiskit's parameters of the angles.
        weights: and of the weights.
        layout: physical qubit of each wire at the end.
    """

    measured: Any
    gates: Any
    angles: Any
    weights: Any
    layout: list[int]

    def bound(self, weights: np.ndarray, measured: bool = False) -> Any:
        """The transpiled circuit with its weights bound."""
        # the compiler may have removed a weight that cannot change the outcome, as a phase before the measurement
        values = dict(zip(self.weights, weights, strict=True))
        return (self.measured if measured else self.gates).assign_parameters(values, strict=False)


class Aer(NoiseOptions, Device):
    """Qiskit Aer's simulator: ideal, or with noise: of a real machine's calibration, or by numbers. Probabilities are exact.

    With noise the circuit is transpiled to the gates and the coupling map of the machine (by numbers: to `noise_models.BASIS` on
    any pair of qubits), its density matrix is evolved with an error after each gate, and readout errors are applied by their
    assignment matrices. Idling is free: nothing is scheduled. Where no noise is left (scale 0) it is the ideal device, bit for
    bit; the compiled circuit and its facts remain those of the machine. The options of the noise: see `NoiseOptions`.

    Args:
        optimization_level: of the transpiler. From 2 on Qiskit's choice of qubits may differ between runs, whatever the seed.
        transpile_seed: of the transpiler's layout and routing.
    """

    name: ClassVar[str] = "qiskit.aer"
    optimization_level: Literal[0, 1, 2, 3] = 1
    transpile_seed: int = 0

    def _tags(self) -> list[str]:
        defaults = type(self).model_fields
        of_compiler = {key: getattr(self, key) for key in ("optimization_level", "transpile_seed")}
        changed = self.changed | {key: value for key, value in of_compiler.items() if value != defaults[key].default}
        return [*([self.noise] if self.noise else []), *(f"{key}={value!r}".removesuffix(".0") for key, value in changed.items())]

    def check(self, circuit: Circuit) -> None:
        """Look whether Aer is there, the machine large enough, and its noise acts on the compiled circuit (compiled once).

        Raises:
            DeviceError: Aer is not installed, the circuit has more qubits than the machine, an error that is declared never
                fires, or scaling takes a probability above 1.
        """
        require("qiskit_aer", "qiskit-aer")
        if self.noise is not None and circuit.n_qubits > (size := machines.backend(self.noise).num_qubits):
            raise DeviceError(f"{circuit!r} has more qubits than {self.noise}", where="noise", valid=f"up to {size} qubits")
        if self.noisy:
            self.check_noise(self._compile(circuit).measured)

    def compiled(self, circuit: Circuit, weights: Tensor) -> Any:
        """The transpiled `QuantumCircuit` with weights [W] bound and the angles as parameters angle[0..Q-1].

        It ends in measurements: classical bit i is wire i (in Qiskit's count strings wire 0 is therefore the rightmost).
        """
        self.check(circuit)
        return self._compile(circuit).bound(weights.detach().cpu().double().numpy(), measured=True)

    def facts(self, circuit: Circuit) -> dict[str, Any]:
        """After transpilation, unmeasured: qubits, gates, two_qubit_gates, depth, layout, noisy_gates, noisy_readouts."""
        self.check(circuit)
        compiled, noise = self._compile(circuit), self.noise_model()
        return {
            "qubits": circuit.n_qubits,
            "gates": compiled.gates.size(),
            "two_qubit_gates": compiled.gates.num_nonlocal_gates(),
            "depth": compiled.gates.depth(),
            "layout": list(compiled.layout),
            "noisy_gates": len(noise.noisy_gates(compiled.gates)) if noise else 0,
            "noisy_readouts": sum(noise.assignment(qubit) is not None for qubit in compiled.layout) if noise else 0,
        }

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.run`."""
        noise = self.noise_model()
        compiled = self._compile(circuit) if noise else self._compile_for(circuit, None)
        program = compiled.bound(weights)
        program.save_probabilities(compiled.layout[::-1])  # Qiskit's last qubit is the leftmost bit
        chunks = [angles[start : start + CHUNK] for start in range(0, len(angles), CHUNK)]
        simulator = _noisy_simulator(compiled, noise) if noise else _simulator()
        true = np.concatenate([self._execute(simulator, compiled, program, chunk) for chunk in chunks])
        return noise.read(true, compiled.layout) if noise else true

    def tabulate(self, circuit: Circuit, weights: np.ndarray, axis: np.ndarray) -> np.ndarray:
        """See `Device.tabulate`: with noise, by transfer matrices, where the compiled circuit allows them."""
        noise = self.noise_model()
        if noise is None:
            return super().tabulate(circuit, weights, axis)
        compiled = self._compile(circuit)
        try:
            true = transfer.probabilities(compiled.bound(weights), axis, compiled.angles, noise, compiled.layout)
        except UnsupportedError:
            return super().tabulate(circuit, weights, axis)
        return noise.read(true, compiled.layout)

    def _execute(self, simulator: Any, compiled: Compiled, program: Any, angles: np.ndarray) -> np.ndarray:
        """Probabilities [N, 2**Q] saved by `program`, bound to angles [N, Q] in one job."""
        kept = [i for i, parameter in enumerate(compiled.angles) if parameter in program.parameters]
        binds = {compiled.angles[i]: angles[:, i].tolist() for i in kept}
        result = simulator.run([program], parameter_binds=[binds], shots=1).result()
        if not result.success:
            raise DeviceError(f"Aer failed: {result.status}", where=self.label)
        return np.stack([np.asarray(result.data(i)["probabilities"]) for i in range(len(result.results))])

    def _compile(self, circuit: Circuit) -> Compiled:
        return self._compile_for(circuit, self.noise or (PARAMETRIC if self.noisy else None))

    def _compile_for(self, circuit: Circuit, machine: str | None) -> Compiled:
        return _compile(circuit, machine, self.optimization_level, self.transpile_seed)


def _written(circuit: Circuit) -> tuple[Any, Any, Any]:
    """The circuit in Qiskit's gates, not measured yet, with its parameters."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    from qiskit.circuit import ParameterVector

    angles, weights = ParameterVector("angle", circuit.n_qubits), ParameterVector("weight", circuit.n_weights)
    written = QuantumCircuit(QuantumRegister(circuit.n_qubits, "wire"), ClassicalRegister(circuit.n_qubits, "outcome"))

    def value(parameter: Parameter) -> Any:
        if isinstance(parameter, Angle):
            return angles[parameter.index]
        return weights[parameter.index] if isinstance(parameter, Weight) else parameter

    for gate in circuit.gates:
        values = [value(parameter) for parameter in gate.parameters]
        if gate.name == "U2":
            written.u(math.pi / 2, *values, *gate.wires)
        else:
            getattr(written, METHODS[gate.name])(*values, *gate.wires)
    return written, angles, weights


@functools.lru_cache(maxsize=256)
def _compile(circuit: Circuit, machine: str | None, level: int, seed: int) -> Compiled:
    """For a fake backend by name, for `PARAMETRIC` noise, or for an ideal simulator (None)."""
    from qiskit import transpile

    written, angles, weights = _written(circuit)
    options: dict[str, Any] = {"basis_gates": [*BASIS, "measure"]}
    if machine != PARAMETRIC:
        options = {"backend": machines.backend(machine) if machine else _simulator()}
    wires = range(circuit.n_qubits)
    measured = "backend" not in options or "measure" in options["backend"].operation_names  # some early machines know none
    if measured:
        written.measure(wires, wires)
    compiled = transpile(written, **options, optimization_level=level, seed_transpiler=seed)
    layout = compiled.layout.final_index_layout() if compiled.layout else list(wires)
    if not measured:
        compiled.measure(layout, wires)
    compiled.name = repr(circuit)
    gates = compiled.copy_empty_like()
    for step in compiled.data:
        if step.operation.name != "measure":
            gates.append(step)
    return Compiled(compiled, gates, angles, weights, layout)


@functools.lru_cache(maxsize=64)
def _noisy_simulator(compiled: Compiled, noise: Noise) -> Any:
    """Aer with the gate errors of one compiled circuit."""
    return _simulator(noise.model(compiled.gates))


def _simulator(noise_model: Any = None) -> Any:
    """Aer, exact and in one thread."""
    method = "statevector" if noise_model is None else "density_matrix"
    aer = require("qiskit_aer", "qiskit-aer").AerSimulator
    return aer(method=method, noise_model=noise_model, max_parallel_threads=1)
