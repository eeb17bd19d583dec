"""The device ibm, offline: fake backends in the runtime's local testing mode, and a cloud that is a class of this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from qiskit_ibm_runtime.fake_provider.local_runtime_job import LocalRuntimeJob

from hqc_ray import devices
from hqc_ray.quantum.devices.ibm import device as ibm
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import service as ibm_service

SHOTS = 2000
LEVEL = 1  # from 2 on, Qiskit's transpiler does not always find the same layout, whatever its seed
TOKEN, INSTANCE = "token-0f5e8d2c", "crn:v1:bluemix:public:quantum-computing:us-east:a/1234::"


def another_process() -> None:
    """Forget what a process remembers."""
    for cached in (ibm_jobs._at, ibm_service.local, ibm_service.cloud):
        cached.cache_clear()


def fake(**options: Any) -> ibm.IBM:
    device = devices.get("ibm", **{"backend": "fake_manila", "shots": SHOTS, "optimization_level": LEVEL, **options})
    assert isinstance(device, ibm.IBM)
    return device


class Cloud:
    """The QiskitRuntimeService of an account: outlives processes, and runs its jobs on a fake backend."""

    machines: ClassVar[dict[str, Callable[[], Any]]] = {}  # one cloud, as there is one
    known: ClassVar[dict[str, Any]] = {}
    tags: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.asked.append("connect")

    @staticmethod
    def saved_accounts() -> dict[str, Any]:
        return {}

    def backend(self, name: str) -> Any:
        self.asked.append(f"backend {name}")
        if name not in self.machines:
            raise LookupError(f"no {name} for {TOKEN} of {INSTANCE}\nat all")
        return self.machines[name]()

    def least_busy(self, min_num_qubits: int, **filters: Any) -> Any:
        assert filters == {"operational": True, "simulator": False}
        assert min_num_qubits == 3
        return self.backend("ibm_lima")

    def job(self, job_id: str) -> Any:
        return self.known[job_id]

    def jobs(self, job_tags: list[str], limit: None) -> list[Any]:
        return [self.known[job_id] for job_id, tag in self.tags.items() if [tag] == job_tags]


def lose(monkeypatch: pytest.MonkeyPatch, times: int, problem: type[Exception]) -> list[str]:
    """Let the results of the next jobs be lost; returns the ids of the jobs that are asked for theirs."""
    asked: list[str] = []
    result = LocalRuntimeJob.result

    def lost(self: Any) -> Any:
        asked.append(self.job_id())
        if len(asked) <= times:
            raise problem(f"the line is dead, says {TOKEN}")
        return result(self)

    monkeypatch.setattr(LocalRuntimeJob, "result", lost)
    return asked
