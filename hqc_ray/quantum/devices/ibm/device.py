"""IBM's quantum computers, through the V2 primitives of qiskit-ibm-runtime: shots are counted, nothing is exact.

A whole grid of angles is one PUB of one parameterised circuit; mitigation adds PUBs. All are one job, up to what IBM takes.
A job is identified by its content, recorded when it is submitted, and never paid for twice. Fake backends take the same path in
the runtime's local testing mode.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from hqc_ray.entries import Seed
from hqc_ray.errors import DeviceError
from hqc_ray.later import later
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.device import Layout
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import service as ibm_service
from hqc_ray.quantum.devices.ibm.measuring import Measurement
from hqc_ray.quantum.devices.ibm.programs import assignments, check_foldable
from hqc_ray.quantum.devices.ibm.service import placed
from hqc_ray.quantum.devices.mitigating import Mitigating
from hqc_ray.quantum.devices.qiskit import Compiled
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.mitigation import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from hqc_ray.quantum.devices import shift
else:
    shift = later("hqc_ray.quantum.devices.shift")

ACCOUNT_FILE = Path("~/.qiskit/qiskit-ibm.json")  # where the runtime saves accounts; only whether it holds any matters here


class IBM(Mitigating):
    """A quantum computer of IBM, or a fake one in the runtime's local testing mode. Probabilities are frequencies of shots.

    Equal seeds mean the same measurement, which is made once; another seed measures anew. With `mitigation` frequencies become
    quasi-probabilities: `readout` measures two calibration circuits on the same qubits, beside the circuits of a call; `zne` runs
    each two-qubit gate of the compiled circuit 1, 3, 5, ... times. With `resilience_level` the runtime's Estimator mitigates
    in its own way, and gives expectations: such a device `estimates`, and has no probabilities.

    Args:
        backend: a machine's name, as ibm_torino; least_busy; or a fake backend, as fake_manila, which runs on this computer.
        shots: of each circuit.
        optimization_level: of the transpiler.
        transpile_seed: of the transpiler's layout and routing.
        layout: on which qubits: see `Aer`.
        job_executions: circuits times shots of one job at most; IBM accepts 10 million.
    """

    name: ClassVar[str] = "ibm"
    title: ClassVar[str] = "IBM Quantum"
    packages: ClassVar[tuple[str, ...]] = ("qiskit-ibm-runtime", "qiskit")
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"backend": "fake_manila", "shots": 4000},)
    exactness: ClassVar[Literal["exact", "measured"]] = "measured"
    backend: str
    shots: Annotated[int, Field(ge=1, le=10_000_000)] = 4096
    optimization_level: Literal[0, 1, 2, 3] = 2
    transpile_seed: Seed = 0
    layout: Layout = "qiskit"
    job_executions: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000_000

    @model_validator(mode="after")
    def _repeatable(self) -> Self:
        for scale in self.mitigation.zne if self.mitigation else ():
            if scale % 2 != 1:
                what = f"{scale:g} on a machine, whose noise cannot be scaled: each two-qubit gate is run so many times"
                raise DeviceError(what, where="mitigation.zne", valid="odd whole numbers, such as [1, 3, 5]")
        return self

    @field_validator("backend")
    @classmethod
    def _canonical(cls, backend: str) -> str:
        plain = backend.strip().lower()
        if plain.startswith("fake"):
            return placed(lambda: machines.fake(plain))
        if not plain.replace("_", "").isalnum():
            raise ValueError("a backend is named like ibm_torino, least_busy or fake_manila")
        return plain

    @classmethod
    def look(cls) -> str:
        """See `Device.look`: whether there is an account; never what is in it."""
        if os.environ.get("QISKIT_IBM_TOKEN"):
            return "account: in the environment"
        try:
            saved = bool(json.loads(ACCOUNT_FILE.expanduser().read_text()))
        except (OSError, ValueError):
            saved = False
        if not saved:
            raise DeviceError("no account", valid=ibm_service.ACCOUNT)
        return "account: saved on this machine"

    @property
    def fake(self) -> bool:
        """Whether it runs on this computer."""
        return self.backend.startswith("fake_")

    def _tags(self) -> list[str]:
        defaults = type(self).model_fields
        changed = [
            key for key in ("optimization_level", "transpile_seed", "layout") if getattr(self, key) != defaults[key].default
        ]
        return [self.backend, *(f"{key}={getattr(self, key)}" for key in changed), *self._of_mitigation()]

    def exact(self) -> Self:
        """See `Device.exact`."""
        return self

    @property
    def caveat(self) -> str:
        """See `Device.caveat`."""
        if not (self.fake and self.mitigation and self.mitigation.resilience_level):
            return ""
        return "a rehearsal without mitigation: the runtime's local mode takes resilience_level and does not apply it"

    @property
    def runs_at_once(self) -> int:
        """Circuits that are not put into different jobs: the Estimator's, of one set of angles."""
        return self.runs if self.estimates else 1

    @property
    def job_size(self) -> int:
        """How many circuits fit into one job; of the Estimator, how many sets of angles."""
        return max(self.job_executions // (self.shots * self.runs_at_once), 1)

    def n_jobs(self, circuits: int) -> int:
        """In how many jobs that many circuits are measured."""
        return math.ceil(circuits / (self.job_size * self.runs_at_once))

    def check(self, circuit: Circuit) -> None:
        """Refuse what can be seen to fail without a connection.

        Raises:
            DeviceError: the package is missing, a circuit's shots exceed a job, or a fake backend has too few qubits, or gates
                that cannot be repeated for zero-noise extrapolation.
        """
        ibm_service.require()
        if self.shots > (most := self.job_executions // self.runs_at_once):
            raise DeviceError(f"{self.shots} shots do not fit into a job", where="shots", valid=f"up to {most}")
        if self.fake:
            machine = machines.backend(self.backend)
            self._check_size(circuit, machine)
            self.check_gates(circuit, machine)

    def prepare(self, circuit: Circuit) -> None:
        """Connect, see that the machine is there and large enough, and fix the folder of the jobs.

        Raises:
            DeviceError: see `check`; no account, no connection, or no such machine.
        """
        self.check(circuit)
        ibm_jobs.pin()
        self.check_gates(circuit, self.opened(circuit))

    def facts(self, circuit: Circuit) -> CompiledFacts:
        """See `Device.facts`: after transpilation. Connects to the machine."""
        self.check(circuit)
        machine = self.opened(circuit)
        return self.compiled_for(circuit, machine).facts(backend=machine.name)

    def executed(self, circuit: Circuit, weights: Tensor) -> CompiledFacts:
        """See `Device.executed`: as recorded with the job; `facts` where there is no record."""
        measurement = Measurement(self, circuit, weights.detach().cpu().double().numpy())
        record = ibm_jobs.here().latest(measurement.model_key, "model")
        return CompiledFacts.recorded(record["compiled"]) if record else self.facts(circuit)

    def counted(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, Recipe | None]:
        """See `Device.counted`; all jobs are submitted before the first is waited for, the calibration in the first of them.

        Raises:
            DeviceError: no account or connection, or a job that failed. A job that was submitted is found again by the next call.
        """
        if self.estimates:
            what = f"{self.label} has no probabilities: the Estimator gives <Z> of each wire"
            raise DeviceError(what, where="mitigation.resilience_level", valid="readout and zne in its place, or expectations")
        counts = Measurement(self, circuit, weights).results(angles).astype(np.float64)
        read = counts[self.calibrations :].reshape(self.runs, len(angles), -1)
        read = read / read.sum(-1, keepdims=True)
        if self.mitigation is None:
            return read, None
        return read, Recipe(self.mitigation.weights, assignments(counts[:2]) if self.calibrations else None)

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Frequencies [N, 2**Q] of `shots` for weights [W], angles [N, Q]; mitigated, quasi-frequencies. Raises as `counted`."""
        read, made = self.counted(circuit, weights, angles)
        return made.combined(read) if made else read[0]

    def estimated(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """See `Device.estimated`.

        Raises:
            DeviceError: see `counted`; or the Estimator found no number for a value, or no standard error of at most 1.
        """
        found = Measurement(self, circuit, weights).results(angles).swapaxes(0, 1)
        sound = np.isfinite(found).all(0) & (found[1] >= 0) & (found[1] <= 1)  # <Z> spans 2: beyond, a value says nothing
        if not sound.all():
            what = f"the Estimator gave {(~sound).sum()} of {sound.size} values that are no number or have no sound error"
            raise DeviceError(what, where="device ibm", valid="another seed, which measures anew, or another resilience_level")
        return found

    def expectations(self, circuit: Circuit, weights: Tensor, angles: Tensor) -> Tensor:
        """See `Device.expectations`."""
        if not self.estimates or len(angles) == 0:
            return super().expectations(circuit, weights, angles)
        self.check_input(circuit, weights, angles)
        return shift.Shifted.apply(weights, angles, circuit, lambda *given: self.estimated(*given)[0])

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return self.run(circuit, weights, angles)

    def service(self) -> ibm_service.Service:
        """Where its jobs go: the cloud, or this computer."""
        return ibm_service.local() if self.fake else ibm_service.cloud()

    def opened(self, circuit: Circuit) -> Any:
        """The machine, as Qiskit's backend; large enough for `circuit`. Connects.

        Raises:
            DeviceError: no account, no connection, no such machine, or one that is too small.
        """
        machine = self.service().backend(self.backend, circuit.n_qubits)
        self._check_size(circuit, machine)
        return machine

    def _check_size(self, circuit: Circuit, machine: Any) -> None:
        if circuit.n_qubits > machine.num_qubits:
            what = f"{circuit!r} has more qubits than {machine.name}"
            raise DeviceError(what, where="backend", valid=f"up to {machine.num_qubits} qubits")

    def check_gates(self, circuit: Circuit, machine: Any) -> None:
        """See that zero-noise extrapolation can repeat the gates of a circuit as it is compiled for a machine.

        Raises:
            DeviceError: it has no two-qubit gate, or one that is not its own inverse.
        """
        if self.mitigation and self.mitigation.zne:
            check_foldable(self.compiled_for(circuit, machine).measured, machine.name)

    def compiled_for(self, circuit: Circuit, machine: Any) -> Compiled:
        """The circuit for a machine.

        Raises:
            DeviceError: the machine cannot run it.
        """
        best = machines.noise_of(machine) if self.layout == "best" else None
        return qiskit.compiled(circuit, machine, self.optimization_level, self.transpile_seed, best)
