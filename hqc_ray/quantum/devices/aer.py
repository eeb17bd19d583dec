"""Qiskit Aer, directly: compiled once per circuit with angles and weights as parameters, bound in batches, one thread.

PennyLane's plugin compiles every tape anew, turns shots=None into 1,024 shots and drops readout errors; hence this device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from hqc_ray.entries import Seed
from hqc_ray.errors import DeviceError
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import layouts, parity, qiskit
from hqc_ray.quantum.devices.aer_programs import as_it_runs, ideal_simulator, longer, noisy_simulator, refuse_unknown, relaxing
from hqc_ray.quantum.devices.device import Kind, Layout
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.mitigating import Scaled
from hqc_ray.quantum.devices.qiskit import Compiled
from hqc_ray.quantum.noise import machines, shipped
from hqc_ray.quantum.noise.base import Noise, require
from hqc_ray.quantum.noise.machines import Calibrated
from hqc_ray.quantum.transfer.ptm import UnsupportedError

if TYPE_CHECKING:
    from torch import Tensor

    from hqc_ray.quantum.transfer import grid as transfer
else:
    transfer = later("hqc_ray.quantum.transfer.grid")

CHUNK = 512  # bound circuits in one Aer job: bounds the memory of its result


class Aer(Scaled):
    """Qiskit Aer's simulator, ideal or noisy; the noise is that of a real machine's calibration, or given by numbers.

    Probabilities are exact. With noise the circuit is transpiled to the gates and the coupling map of the machine (by numbers: to
    `parametric.BASIS` on any pair of qubits), its density matrix is evolved with an error after each gate, and readout errors are
    applied as assignment matrices. Qubits that wait have no errors, unless `idle` is on. At noise scale 0 the probabilities equal
    those of the ideal device bit for bit, while the compiled circuit and its facts remain those of the machine. For the options
    of the noise see `NoiseOptions`, of what is done about it `Mitigating`.

    Args:
        optimization_level: of the transpiler. From level 2, Qiskit may choose other qubits from run to run, whatever the seed.
        transpile_seed: seed of the transpiler's layout and routing.
        layout: on which qubits of the machine: those that `qiskit` chooses, or the `best`: where the circuit is least likely to
            fail, by the machine's errors of its gates and readout.
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
        {"noise": "fake_guadalupe", "layout": "best"},
    )
    optimization_level: Literal[0, 1, 2, 3] = 1
    transpile_seed: Seed = 0
    layout: Layout = "qiskit"

    @model_validator(mode="after")
    def _placed(self) -> Aer:
        if self.layout == "best" and self.noise is None:
            raise DeviceError("the best qubits of no machine", where="layout", valid="qiskit, or beside `noise`: a machine")
        return self

    @property
    def kind(self) -> Kind:
        """See `Device.kind`."""
        return "noisy" if self.noise_model() else "ideal"

    @classmethod
    def look(cls) -> str:
        """See `Device.look`."""
        cls().check(parity.asymmetric())
        try:
            return f"noise of {len(shipped.sizes() or machines.known())} fake backends"
        except DeviceError:
            return "fake backends: pip install qiskit-ibm-runtime"

    def _tags(self) -> list[str]:
        defaults = type(self).model_fields
        of_compiler = {key: getattr(self, key) for key in ("optimization_level", "transpile_seed", "layout")}
        changed = self.changed | {key: value for key, value in of_compiler.items() if value != defaults[key].default}
        tags = (key if value is True else f"{key}={value}".removesuffix(".0") for key, value in changed.items())
        return [*([self.noise] if self.noise else []), *tags, *self._of_mitigation()]

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
                refuse_unknown(self._compile(circuit).measured)
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
        if self.noise:
            error = layouts.expected_error(compiled.measured, noise) if isinstance(noise, Calibrated) else 0.0
            facts = replace(facts, expected_error=error)
        if noise is None or not self.extras.timed:
            return facts
        found = as_it_runs(compiled, noise, self.extras)
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
            return self._true(self._compile(circuit, ideal=True), ideal_simulator(), weights, angles)
        compiled = self._compile(circuit)
        simulator, program = noisy_simulator(compiled, noise), relaxing(self._as_it_runs(circuit, noise), noise)
        return noise.read(self._true(program, simulator, weights, angles), compiled.layout)

    def without_noise(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.without_noise`: of the compiled circuit."""
        return self._true(self._compile(circuit), ideal_simulator(), weights, angles)

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
        return longer(compiled, noise, self.extras) if self.extras else compiled

    def _layout(self, circuit: Circuit) -> list[int]:
        return self._compile(circuit).layout

    def _compile(self, circuit: Circuit, ideal: bool = False) -> Compiled:
        """For the machine; where noise is given by numbers, for `parametric.BASIS`; if `ideal` or without noise, for Aer."""
        backend = None
        if ideal or not self.noisy:
            backend = ideal_simulator()
        elif self.noise:
            backend = machines.backend(self.noise)
        best = machines.machine(self.noise) if self.noise and backend and self.layout == "best" and not ideal else None
        return qiskit.compiled(circuit, backend, self.optimization_level, self.transpile_seed, best)
