"""IBM's quantum computers, through the V2 sampler of qiskit-ibm-runtime: shots are counted, nothing is exact.

A whole grid of angles is one PUB of one parameterised circuit, and so one job. A job is identified by its content, recorded when
it is submitted, and never paid for twice. Fake backends take the same path in the runtime's local testing mode.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from hqc_ray.entries import Seed
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices import qiskit
from hqc_ray.quantum.devices.device import Device, Layout
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import service as ibm_service
from hqc_ray.quantum.devices.ibm.service import guarded, placed
from hqc_ray.quantum.devices.qiskit import Compiled
from hqc_ray.quantum.noise import machines
from hqc_ray.seeds import stream

if TYPE_CHECKING:
    from torch import Tensor

ACCOUNT_FILE = Path("~/.qiskit/qiskit-ibm.json")  # where qiskit-ibm-runtime saves accounts; only whether it is there matters here
FAILURES = ("RuntimeJobFailureError", "RuntimeJobMaxTimeoutError", "RuntimeInvalidStateError")  # no result will ever come


@dataclass(frozen=True)
class _Ticket:
    """One job: its content key, and where its counts will come from."""

    key: str
    counts: np.ndarray | None = None
    job: Any = None


class IBM(Device):
    """A quantum computer of IBM, or a fake one in the runtime's local testing mode. Probabilities are frequencies of shots.

    Equal seeds mean the same measurement, which is made once; another seed measures anew. Readout errors are not mitigated.

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

    @field_validator("backend")
    @classmethod
    def _canonical(cls, backend: str) -> str:
        plain = backend.strip().lower()
        if plain.startswith("fake"):
            return placed(lambda: machines.canonical(plain))
        if not plain.replace("_", "").isalnum():
            raise ValueError("a backend is named like ibm_torino, least_busy or fake_manila")
        return plain

    @classmethod
    def look(cls) -> str:
        """See `Device.look`: whether there is an account; never what is in it."""
        if os.environ.get("QISKIT_IBM_TOKEN"):
            return "account: in the environment"
        if not ACCOUNT_FILE.expanduser().is_file():
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
        return [self.backend, *(f"{key}={getattr(self, key)}" for key in changed)]

    def exact(self) -> Self:
        """See `Device.exact`."""
        return self

    def n_jobs(self, circuits: int) -> int:
        """In how many jobs that many circuits are measured."""
        return math.ceil(circuits / max(self.job_executions // self.shots, 1))

    def check(self, circuit: Circuit) -> None:
        """Refuse what can be seen to fail without a connection.

        Raises:
            DeviceError: the package is missing, a circuit's shots exceed a job, or a fake backend has too few qubits.
        """
        ibm_service.require()
        if self.shots > self.job_executions:
            raise DeviceError(f"{self.shots} shots do not fit into a job", where="shots", valid=f"up to {self.job_executions}")
        if self.fake:
            self._check_size(circuit, machines.backend(self.backend))

    def prepare(self, circuit: Circuit) -> None:
        """Connect, see that the machine is there and large enough, and fix the folder of the jobs.

        Raises:
            DeviceError: see `check`; no account, no connection, or no such machine.
        """
        self.check(circuit)
        ibm_jobs.pin()
        self._open(circuit)

    def facts(self, circuit: Circuit) -> CompiledFacts:
        """See `Device.facts`: after transpilation. Connects to the machine."""
        self.check(circuit)
        machine = self._open(circuit)
        return self._compile(circuit, machine).facts(backend=machine.name)

    def executed(self, circuit: Circuit, weights: Tensor) -> CompiledFacts:
        """See `Device.executed`: as recorded with the job; `facts` where there is no record."""
        record = ibm_jobs.here().latest(self._model_key(circuit, weights.detach().cpu().double().numpy()), "model")
        return CompiledFacts.recorded(record["compiled"]) if record else self.facts(circuit)

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Frequencies [N, 2**Q] of `shots` for weights [W], angles [N, Q]; all jobs are submitted before the first is waited for.

        Raises:
            DeviceError: no account or connection, or a job that failed. A job that was submitted is found again by the next call.
        """
        size = max(self.job_executions // self.shots, 1)
        parts = [angles[start : start + size] for start in range(0, len(angles), size)]
        tickets = [self._submit(circuit, weights, part) for part in parts]
        counts = np.concatenate([self._collect(ticket, circuit) for ticket in tickets]).astype(np.float64)
        return counts / counts.sum(-1, keepdims=True)

    def _evaluate(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return self.run(circuit, weights, angles)

    def _service(self) -> ibm_service.Service:
        return ibm_service.local() if self.fake else ibm_service.cloud()

    def _open(self, circuit: Circuit) -> Any:
        machine = self._service().backend(self.backend, circuit.n_qubits)
        self._check_size(circuit, machine)
        return machine

    def _check_size(self, circuit: Circuit, machine: Any) -> None:
        if circuit.n_qubits > machine.num_qubits:
            what = f"{circuit!r} has more qubits than {machine.name}"
            raise DeviceError(what, where="backend", valid=f"up to {machine.num_qubits} qubits")

    def _compile(self, circuit: Circuit, machine: Any) -> Compiled:
        best = machines.noise_of(machine) if self.layout == "best" else None
        return qiskit.compiled(circuit, machine, self.optimization_level, self.transpile_seed, best)

    def _key(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> str:
        """The content of a job: the circuit's gates, weights, angles, and every option that changes what is measured."""
        gates = [(gate.name, gate.wires, [repr(p) for p in gate.parameters]) for gate in circuit.gates]
        options = self.model_dump(mode="json", exclude={"job_executions"})
        content = json.dumps([circuit.n_qubits, gates, options, weights.shape, angles.shape], sort_keys=True).encode()
        arrays = [np.ascontiguousarray(a, dtype="<f8").tobytes() for a in (weights, angles)]
        return hashlib.blake2b(content + b"".join(arrays), digest_size=16).hexdigest()

    def _model_key(self, circuit: Circuit, weights: np.ndarray) -> str:
        """What the keys of all jobs of a circuit with these weights have in common."""
        return self._key(circuit, weights, np.empty((0, circuit.n_qubits)))

    def _submit(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> _Ticket:
        """The job of these angles: kept, under way, or (only then) submitted now."""
        key, jobs = self._key(circuit, weights, angles), ibm_jobs.here()
        if (counts := jobs.counts(key)) is not None:
            return _Ticket(key, counts)
        if key in jobs.failed_here:
            raise DeviceError(jobs.failed_here[key], where="device ibm", valid="the same command, which submits it once more")
        with jobs.lock():
            return _Ticket(key, job=self._found(key, jobs) or self._send(key, jobs, circuit, weights, angles))

    def _found(self, key: str, jobs: ibm_jobs.Jobs) -> Any | None:
        """The job of a key that is already under way: by the record, or by its tag, if the record was lost."""
        record, service = jobs.latest(key), self._service()
        if record and record["event"] == "submitted":
            return service.job(record["job"])
        if (job := service.tagged(_tag(key))) is not None:
            jobs.record("submitted", key, job=job.job_id(), found="by its tag")
        return job

    def _send(self, key: str, jobs: ibm_jobs.Jobs, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> Any:
        runtime, service, machine = ibm_service.require(), self._service(), self._open(circuit)
        compiled = self._compile(circuit, machine)
        bound = compiled.bound(weights, measured=True)
        columns = [list(compiled.angles).index(parameter) for parameter in bound.parameters]  # the compiler may have dropped one
        options: dict[str, Any] = {"environment": {"job_tags": [_tag(key)]}}
        if self.fake:
            seed = stream(self.seed, "ibm", key) % (2**31 - 1) + 1  # Aer's are 32 bit, and 0 counts as none
            options["simulator"] = {"seed_simulator": seed, "noise_model": _noise(self.backend, compiled)}
        sampler = runtime.SamplerV2(mode=machine, options=options)
        valid = "the same command, once IBM Quantum answers; what was submitted is found again"
        pub = (bound, angles[:, columns])
        job = guarded(f"cannot submit to {machine.name}", valid, lambda: sampler.run([pub], shots=self.shots))
        service.submitted(job)
        facts = {"backend": machine.name, "circuits": len(angles), "shots": self.shots, "circuit": repr(circuit)}
        facts |= {"model": self._model_key(circuit, weights), "compiled": asdict(compiled.facts(backend=machine.name))}
        jobs.record("submitted", key, job=job.job_id(), **facts)
        return job

    def _collect(self, ticket: _Ticket, circuit: Circuit) -> np.ndarray:
        """The counts [N, 2**Q] of a job, waited for."""
        if ticket.counts is not None:
            return ticket.counts
        job_id, jobs = ticket.job.job_id(), ibm_jobs.here()
        try:
            outcome = ticket.job.result()[0].data.outcome
        except Exception as problem:  # of the machine, the account, the connection
            says = ibm_service.blotted(f"{type(problem).__name__}: {problem}")
            if type(problem).__name__ not in FAILURES:
                valid = "the same command: the job goes on, and is fetched by its id"
                raise DeviceError(f"lost sight of job {job_id}: {says}", where="device ibm", valid=valid) from None
            jobs.failed_here[ticket.key] = f"job {job_id} failed: {says}"
            jobs.record("failed", ticket.key, job=job_id, error=says)
            valid = "the same command, which submits it once more"
            raise DeviceError(jobs.failed_here[ticket.key], where="device ibm", valid=valid) from None
        counts = _counts(outcome, circuit.n_qubits)
        jobs.keep(ticket.key, counts)
        return counts


def _tag(key: str) -> str:
    return f"hqc-{key}"


def _counts(outcome: Any, n_qubits: int) -> np.ndarray:
    """Counts [N, 2**Q] of a BitArray whose bit i is wire i; wire 0 is the leftmost bit."""
    bits = outcome.to_bool_array(order="little")  # [N, shots, Q]
    places = 2 ** np.arange(n_qubits)[::-1]
    return np.stack([np.bincount(shots @ places, minlength=2**n_qubits) for shots in bits])


def _noise(name: str, compiled: Compiled) -> Any:
    """The noise that qiskit.aer has for a fake backend, of this circuit only; the local testing mode has other readout errors."""
    machine = machines.machine(name)
    model = machine.model(compiled.gates)
    for qubit in compiled.layout:
        if (matrix := machine.assignment(qubit)) is not None:
            model.add_readout_error(matrix, [qubit])
    return model
