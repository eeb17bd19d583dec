"""One measurement on a machine: which jobs it takes, each kept, found again, or (only then) submitted, and what they gave."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import primitives, programs
from hqc_ray.quantum.devices.ibm import service as ibm_service
from hqc_ray.quantum.devices.ibm.programs import Programs, Pub
from hqc_ray.quantum.devices.ibm.service import guarded
from hqc_ray.seeds import stream

if TYPE_CHECKING:
    from hqc_ray.quantum.devices.ibm.device import IBM

FAILURES = ("RuntimeJobFailureError", "RuntimeJobMaxTimeoutError", "RuntimeInvalidStateError")  # no result will ever come


@dataclass(frozen=True)
class _Ticket:
    """One job: its content key, how many PUBs it has, and where its results will come from."""

    key: str
    pubs: int
    kept: np.ndarray | None = None
    job: Any = None


class Measurement:
    """A circuit with fixed weights on a machine, which is connected to when the first job is submitted.

    Args:
        device: the machine, and how it is used.
        circuit: Q wires, W weights.
        weights: [W].
    """

    def __init__(self, device: IBM, circuit: Circuit, weights: np.ndarray) -> None:
        self.device, self.circuit, self.weights, self.jobs = device, circuit, weights, ibm_jobs.here()
        self.primitive = primitives.of(device.mitigation)

    def results(self, angles: np.ndarray) -> np.ndarray:
        """What the primitive reads of the circuits for angles [N, Q], in the order of `programs.pubs`.

        Counts [C, 2**Q] of outcomes; or expectations and their standard errors, [N, 2, Q].

        All jobs are submitted before the first is waited for.

        Raises:
            DeviceError: no account or connection, or a job that failed. A job that was submitted is found again by the next call.
        """
        batches = programs.packed(programs.pubs(self.device.mitigation, angles), self.device.job_size)
        tickets = [self._submit(pubs) for pubs in batches]
        return np.concatenate([self._collect(ticket) for ticket in tickets])

    @property
    def model_key(self) -> str:
        """What the keys of all jobs of a circuit with these weights have in common."""
        mitigation, empty = self.device.mitigation, np.empty((0, self.circuit.n_qubits))
        if mitigation is None or mitigation.estimator:
            return self._digest([empty], None)
        return self._digest([empty], [mitigation.readout, *mitigation.zne])

    def key(self, pubs: Sequence[Pub]) -> str:
        """The content of a job: the circuit's gates, weights, angles, and every option that changes what is measured."""
        return self._digest([pub.angles for pub in pubs], [pub.mark for pub in pubs] if self.device.mitigation else None)

    def _digest(self, angles: list[np.ndarray], marks: list[Any] | None) -> str:
        gates = [(gate.name, gate.wires, [repr(p) for p in gate.parameters]) for gate in self.circuit.gates]
        told = {"job_executions"} if self.device.estimates else {"job_executions", "mitigation"}  # which the marks tell
        options = self.device.model_dump(mode="json", exclude=told)
        shape = (sum(map(len, angles)), self.circuit.n_qubits)
        plain = [self.circuit.n_qubits, gates, options, self.weights.shape, shape, *([] if marks is None else [marks])]
        content = json.dumps(plain, sort_keys=True).encode()
        arrays = [np.ascontiguousarray(a, dtype="<f8").tobytes() for a in (self.weights, *angles)]
        return hashlib.blake2b(content + b"".join(arrays), digest_size=16).hexdigest()

    def _submit(self, pubs: Sequence[Pub]) -> _Ticket:
        """The job of these circuits: kept, under way, or (only then) submitted now."""
        key, jobs = self.key(pubs), self.jobs
        if (kept := jobs.kept(key)) is not None:
            return _Ticket(key, len(pubs), kept)
        if key in jobs.failed_here:
            raise DeviceError(jobs.failed_here[key], where="device ibm", valid="the same command, which submits it once more")
        with jobs.lock():
            return _Ticket(key, len(pubs), job=self._found(key) or self._send(key, pubs))

    def _found(self, key: str) -> Any | None:
        """The job of a key that is already under way: by the record, or by its tag, if the record was lost."""
        record, service = self.jobs.latest(key), self.device.service()
        if record and record["event"] == "submitted":
            return service.job(record["job"])
        if (job := service.tagged(_tag(key))) is not None:
            self.jobs.record("submitted", key, job=job.job_id(), found="by its tag")
        return job

    @functools.cached_property
    def _programs(self) -> Programs:
        machine = self.device.opened(self.circuit)
        self.device.check_gates(self.circuit, machine)
        return Programs(self.device.compiled_for(self.circuit, machine), machine, self.weights)

    def _send(self, key: str, pubs: Sequence[Pub]) -> Any:
        made, shots, fake = self._programs, self.device.shots, self.device.backend if self.device.fake else ""
        name, facts = made.machine.name, made.compiled.facts(backend=made.machine.name)
        self._refuse_moved(key, facts)
        options: dict[str, Any] = {"environment": {"job_tags": [_tag(key)]}}
        if fake:
            seed = stream(self.device.seed, "ibm", key) % (2**31 - 1) + 1  # Aer's are 32 bit, and 0 counts as none
            options["simulator"] = {"seed_simulator": seed}
        submit = self.primitive.request(made, pubs, shots, options, fake)
        valid = "the same command, once IBM Quantum answers; what was submitted is found again"
        job = guarded(f"cannot submit to {name}", valid, submit)
        self.device.service().submitted(job)
        circuits = sum(map(len, pubs)) * self.device.runs_at_once
        said: dict[str, Any] = {"backend": name, "circuits": circuits, "shots": shots, "circuit": repr(self.circuit)}
        if (mitigation := self.device.mitigation) is not None and mitigation.estimator:
            said |= {"resilience_level": mitigation.resilience_level}
        elif mitigation is not None:
            said |= {"calibrations": sum(pub.bit is not None for pub in pubs), "scales": sorted({pub.scale for pub in pubs})}
        self.jobs.record("submitted", key, job=job.job_id(), **said, model=self.model_key, compiled=asdict(facts))
        return job

    def _refuse_moved(self, key: str, facts: CompiledFacts) -> None:
        """See that the circuit runs where its other jobs did: a calibration holds for its qubits, an extrapolation for its gates.

        Raises:
            DeviceError: another machine, or the compiler made something else of the circuit.
        """
        if self.device.mitigation is None:
            return
        for record in self.jobs.under_way(self.model_key):
            if record["key"] == key or self._died(record):
                continue
            if (before := CompiledFacts.recorded(record["compiled"])) != facts:
                where = [f"{one.backend} {list(one.layout or ())}" for one in (before, facts)]
                what = (
                    f"what is mitigated together runs in one place, and job {record['job']} went to {where[0]}, not to {where[1]}"
                )
                valid = "the machine by its name, with optimization_level: 1; or another seed, which measures all of it anew"
                raise DeviceError(what, where="mitigation", valid=valid)

    def _died(self, record: Mapping[str, Any]) -> bool:
        """Whether it is a job of the local testing mode that died with its process."""
        return self.device.fake and self.jobs.kept(record["key"]) is None and self.device.service().job(record["job"]) is None

    def _collect(self, ticket: _Ticket) -> np.ndarray:
        """What the primitive reads of a job, waited for."""
        if ticket.kept is not None:
            return ticket.kept
        job_id, jobs = ticket.job.job_id(), self.jobs
        try:
            result = ticket.job.result()
            parts = [self.primitive.read(result[i].data, self.circuit.n_qubits) for i in range(ticket.pubs)]
        except Exception as problem:  # of the machine, the account, the connection
            says = ibm_service.blotted(f"{type(problem).__name__}: {problem}")
            if type(problem).__name__ not in FAILURES:
                valid = "the same command: the job goes on, and is fetched by its id"
                raise DeviceError(f"lost sight of job {job_id}: {says}", where="device ibm", valid=valid) from None
            jobs.failed_here[ticket.key] = f"job {job_id} failed: {says}"
            jobs.record("failed", ticket.key, job=job_id, error=says)
            valid = "the same command, which submits it once more"
            raise DeviceError(jobs.failed_here[ticket.key], where="device ibm", valid=valid) from None
        found = np.concatenate(parts)
        jobs.keep(ticket.key, found)
        return found


def _tag(key: str) -> str:
    return f"hqc-{key}"
