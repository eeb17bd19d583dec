"""Qiskit Aer, directly: compiled once per circuit with angles and weights as parameters, bound in batches, one thread.

PennyLane's plugin compiles every tape anew, turns shots=None into 1,024 shots and drops readout errors; hence this device.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from hqc_ray.entries import Seed
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import parity, qiskit
from hqc_ray.quantum.devices.device import Device, Kind, digest
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.qiskit import Compiled
from hqc_ray.quantum.ideal.sampling import sample
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.base import Noise, positions, require
from hqc_ray.quantum.noise.mitigation import CALIBRATIONS, Mitigation, Recipe, recipe
from hqc_ray.quantum.noise.parametric import NoiseOptions
from hqc_ray.quantum.noise.running import Extras, Running, running
from hqc_ray.quantum.transfer import grid as transfer
from hqc_ray.quantum.transfer.ptm import UnsupportedError
from hqc_ray.seeds import rng

CHUNK = 512  # bound circuits in one Aer job: bounds the memory of its result


class Aer(NoiseOptions, Device):
    """Qiskit Aer's simulator, ideal or noisy; the noise is that of a real machine's calibration, or given by numbers.

    Probabilities are exact. With noise the circuit is transpiled to the gates and the coupling map of the machine (by numbers: to
    `parametric.BASIS` on any pair of qubits), its density matrix is evolved with an error after each gate, and readout errors are
    applied as assignment matrices. Qubits that wait have no errors, unless `idle` is on. At noise scale 0 the probabilities equal
    those of the ideal device bit for bit, while the compiled circuit and its facts remain those of the machine. For the options
    of the noise see `NoiseOptions`.

    Args:
        optimization_level: of the transpiler. From level 2, Qiskit may choose other qubits from run to run, whatever the seed.
        transpile_seed: seed of the transpiler's layout and routing.
        mitigation: what is done about the noise, see `noise.mitigation`: {readout: true, zne: [1, 1.5, 2]}; None: nothing.
    """

    name: ClassVar[str] = "qiskit.aer"
    title: ClassVar[str] = "Qiskit Aer"
    packages: ClassVar[tuple[str, ...]] = ("qiskit-aer", "qiskit")
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"noise": "fake_manila"},
        {"depolarizing_2q": 0.02, "amplitude_damping": 0.01, "readout_01": 0.03},
        {"noise": "fake_manila", "noise_scale": 0},
        {"noise": "fake_manila", "idle": True, "zz_khz": 60.0, "overrotation_1q": 0.02, "overrotation_2q": 0.05},
    )
    optimization_level: Literal[0, 1, 2, 3] = 1
    transpile_seed: Seed = 0
    mitigation: Annotated[Mitigation | None, Field(exclude_if=lambda value: value is None)] = None

    @model_validator(mode="after")
    def _mitigable(self) -> Aer:
        """There is noise to mitigate, at every scale that is asked for."""
        if self.mitigation is None:
            return self
        if not self.noisy or self.noise_scale == 0 or not (self.noise or self.noise_model()):
            raise DeviceError("mitigation on an ideal device", where="mitigation", valid="beside noise that acts")
        try:
            self.scaled()
        except DeviceError as problem:
            raise DeviceError(f"among {list(self.mitigation.scales)}: {problem.what}", where="mitigation.zne") from problem
        return self

    def scaled(self) -> tuple[Aer, ...]:
        """The device without its mitigation, at each of K scales; without shots."""
        own = {**self.model_dump(), "mitigation": None, "shots": None, "seed": 0}
        scales = self.mitigation.scales if self.mitigation else (1.0,)
        return tuple(type(self)(**{**own, "noise_scale": self.noise_scale * scale}) for scale in scales)

    def mitigated(self, circuit: Circuit) -> tuple[tuple[Device, ...], Recipe] | None:
        """See `Device.mitigated`; the readout is that of the noise at each scale."""
        if self.mitigation is None:
            return None
        found, layout = self.scaled(), self._compile(circuit).layout
        assignments = np.array([[_assignment(device.noise_model(), qubit) for qubit in layout] for device in found])
        return found, recipe(self.mitigation, assignments)

    @property
    def quasi(self) -> bool:
        """See `Device.quasi`."""
        return self.mitigation is not None

    @property
    def runs(self) -> int:
        """See `Device.runs`."""
        return len(self.mitigation.scales) if self.mitigation else 1

    @property
    def calibrations(self) -> int:
        """See `Device.calibrations`."""
        return CALIBRATIONS * self.runs if self.mitigation and self.mitigation.readout else 0

    @property
    def kind(self) -> Kind:
        """See `Device.kind`."""
        return "noisy" if self.noise_model() else "ideal"

    @classmethod
    def look(cls) -> str:
        """See `Device.look`."""
        cls().check(parity.asymmetric())
        try:
            return f"noise of {len(machines.known())} fake backends"
        except DeviceError:
            return "fake backends: pip install qiskit-ibm-runtime"

    def _tags(self) -> list[str]:
        defaults = type(self).model_fields
        of_compiler = {key: getattr(self, key) for key in ("optimization_level", "transpile_seed")}
        changed = self.changed | {key: value for key, value in of_compiler.items() if value != defaults[key].default}
        tags = (key if value is True else f"{key}={value!r}".removesuffix(".0") for key, value in changed.items())
        mitigated = [f"mitigation={self.mitigation.label}"] if self.mitigation else []
        return [*([self.noise] if self.noise else []), *tags, *mitigated]

    def check(self, circuit: Circuit) -> None:
        """Look whether Aer is there, the machine large enough, and its noise acts on the compiled circuit (compiled once).

        Raises:
            DeviceError: Aer is not installed, the circuit has more qubits than the machine, an error that is declared never
                fires, or scaling takes a probability above 1.
        """
        require("qiskit_aer", "qiskit-aer")
        if self.noise is not None and circuit.n_qubits > (size := machines.backend(self.noise).num_qubits):
            raise DeviceError(f"{circuit!r} has more qubits than {self.noise}", where="noise", valid=f"up to {size} qubits")
        for device in self.scaled() if self.mitigation else [self]:
            if device.noisy:
                device.check_noise(self._compile(circuit).measured)
        self.mitigated(circuit)

    def compiled(self, circuit: Circuit, weights: Tensor) -> Any:
        """The transpiled `QuantumCircuit` with weights [W] bound and the angles as parameters angle[0..Q-1].

        It ends in measurements: classical bit i is wire i (in Qiskit's count strings wire 0 is therefore the rightmost).
        """
        self.check(circuit)
        return self._compile(circuit).bound(weights.detach().cpu().double().numpy(), measured=True)

    def facts(self, circuit: Circuit) -> CompiledFacts:
        """See `Device.facts`: after transpilation."""
        self.check(circuit)
        compiled, noise = self._compile(circuit), self.noise_model()
        facts = compiled.facts(noise)
        if noise is None or not self.extras.timed:
            return facts
        found = _running(compiled, noise, self.extras)
        duration, idle = (round(1e6 * seconds, 6) for seconds in (found.duration or 0.0, found.idle or 0.0))
        return replace(facts, duration=duration, idle=idle)

    def noisy_program(self, circuit: Circuit) -> tuple[Compiled, Noise] | None:
        """See `Device.noisy_program`."""
        noise = self.noise_model()
        return (self._as_it_runs(circuit, noise), noise) if noise and not self.mitigation else None

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.run`."""
        if (parts := self.mitigated(circuit)) is not None:
            return parts[1].combined(np.stack([device.run(circuit, weights, angles) for device in parts[0]]))
        noise = self.noise_model()
        if noise is None:
            return self._true(self._compile(circuit, ideal=True), _simulator(), weights, angles)
        compiled = self._compile(circuit)
        simulator, program = _noisy_simulator(compiled, noise), _relaxing(self._as_it_runs(circuit, noise), noise)
        return noise.read(self._true(program, simulator, weights, angles), compiled.layout)

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device`; with shots, each circuit is sampled at each scale, and the readout calibrated once."""
        if self.shots is None or (parts := self.mitigated(circuit)) is None:
            return super()._evaluate(circuit, weights, angles)
        read = []
        for scale, device in enumerate(parts[0]):
            exact = device.run(circuit, weights, angles)
            streams = [rng(self.seed, "shots", circuit.digest, digest(weights, row), "scale", scale) for row in angles]
            read.append([sample(row, self.shots, stream) for row, stream in zip(exact, streams, strict=True)])
        calibrated = parts[1].calibrated(self.shots, rng(self.seed, "calibration", circuit.digest, digest(weights)))
        return parts[1].combined(np.array(read), calibrated)

    def without_noise(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.without_noise`: of the compiled circuit."""
        return self._true(self._compile(circuit), _simulator(), weights, angles)

    def _true(self, compiled: Compiled, simulator: Any, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Probabilities [N, 2**Q] before readout errors."""
        program = compiled.bound(weights)
        program.save_probabilities(compiled.layout[::-1])  # Qiskit's last qubit is the leftmost bit
        chunks = [angles[start : start + CHUNK] for start in range(0, len(angles), CHUNK)]
        return np.concatenate([self._execute(simulator, compiled, program, chunk) for chunk in chunks])

    def tabulate(self, circuit: Circuit, weights: np.ndarray, axis: np.ndarray) -> np.ndarray:
        """See `Device.tabulate`: with noise, by transfer matrices, where the compiled circuit allows them."""
        if (parts := self.mitigated(circuit)) is not None:
            return parts[1].combined(np.stack([device.tabulate(circuit, weights, axis) for device in parts[0]]))
        noise = self.noise_model()
        if noise is None:
            return super().tabulate(circuit, weights, axis)
        compiled = self._as_it_runs(circuit, noise)
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

    def _as_it_runs(self, circuit: Circuit, noise: Noise) -> Compiled:
        """The compiled circuit, its gates with all that acts beside their errors."""
        compiled = self._compile(circuit)
        return _longer(compiled, noise, self.extras) if self.extras else compiled

    def _compile(self, circuit: Circuit, ideal: bool = False) -> Compiled:
        """For the machine; where noise is given by numbers, for `parametric.BASIS`; if `ideal` or without noise, for Aer."""
        backend = None
        if ideal or not self.noisy:
            backend = _simulator()
        elif self.noise:
            backend = machines.backend(self.noise)
        return qiskit.compiled(circuit, backend, self.optimization_level, self.transpile_seed)


@functools.lru_cache(maxsize=64)
def _running(compiled: Compiled, noise: Noise, extras: Extras) -> Running:
    return running(compiled.measured, noise, extras)


@functools.lru_cache(maxsize=64)
def _longer(compiled: Compiled, noise: Noise, extras: Extras) -> Compiled:
    return replace(compiled, gates=_running(compiled, noise, extras).gates)


@functools.lru_cache(maxsize=64)
def _relaxing(compiled: Compiled, noise: Noise) -> Compiled:
    """The same with Aer's errors of waits in the place of delays."""
    gates = compiled.gates.copy_empty_like()
    for step in compiled.gates.data:
        if step.operation.name == "delay":
            error = noise.wait(positions(compiled.gates, step)[0], step.operation.duration)
            gates.append(error.to_instruction(), step.qubits)
        else:
            gates.append(step)
    return replace(compiled, gates=gates)


@functools.lru_cache(maxsize=64)
def _noisy_simulator(compiled: Compiled, noise: Noise) -> Any:
    """Aer with the gate errors of one compiled circuit."""
    return _aer(method="density_matrix", noise_model=noise.model(compiled.gates))


@functools.cache
def _simulator() -> Any:
    """Aer without noise; one object, which circuits are compiled for."""
    return _aer(method="statevector")


def _assignment(noise: Noise | None, qubit: int) -> np.ndarray:
    """The assignment matrix [2, 2] of a physical qubit; the identity where it is read without error."""
    found = noise.assignment(qubit) if noise else None
    return np.eye(2) if found is None else found


def _aer(**options: Any) -> Any:
    """Aer, exact and in one thread."""
    return require("qiskit_aer", "qiskit-aer").AerSimulator(max_parallel_threads=1, **options)
