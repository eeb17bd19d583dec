from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from quantum_cases import reuploading

from hqc_ray import circuits
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.ibm import jobs as ibm_jobs
from hqc_ray.quantum.devices.ibm import service as ibm_service


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -m exhaustive tests/quantum` runs the whole exactness suite."""
    config.addinivalue_line("markers", "exhaustive: takes minutes; runs only where -m names it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "exhaustive" not in config.option.markexpr:
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Circuit]:
    """Circuits from a user's own module."""
    module = types.ModuleType("user_circuits")
    vars(module).update(reuploading=reuploading, number=3, nothing=lambda b: None, wrong=lambda b: b.add("CNOT", 0, 7))
    monkeypatch.setitem(sys.modules, "user_circuits", module)
    return lambda name, **options: circuits.get(f"user_circuits:{name}", **options)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ibm_jobs.Jobs]:
    """A folder of jobs, an account that is nowhere, and services that have seen nothing."""
    from ibm_cases import another_process

    monkeypatch.setenv("HQC_JOBS", str(tmp_path / "jobs"))
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "cache"))  # what was measured before would not be measured again
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL", "QISKIT_IBM_URL"):
        monkeypatch.delenv(name, raising=False)
    accounts = "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE"
    monkeypatch.setattr(accounts, str(tmp_path / "accounts.json"))
    another_process()
    yield ibm_jobs.here()
    another_process()


@pytest.fixture
def submissions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The PUBs that samplers are given from now on."""
    import qiskit_ibm_runtime

    seen: list[Any] = []
    send = qiskit_ibm_runtime.SamplerV2.run

    def counted(self: Any, pubs: Any, **options: Any) -> Any:
        seen.extend(pubs)
        return send(self, pubs, **options)

    monkeypatch.setattr(qiskit_ibm_runtime.SamplerV2, "run", counted)
    return seen


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """The cloud in the place of IBM's, with an account in the environment."""
    import qiskit_ibm_runtime
    from ibm_cases import INSTANCE, TOKEN, Cloud

    monkeypatch.setenv("QISKIT_IBM_TOKEN", TOKEN)
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", INSTANCE)
    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", Cloud)
    for kept in (Cloud.known, Cloud.tags, Cloud.asked):
        kept.clear()

    monkeypatch.setattr(Cloud, "machines", {"ibm_lima": lambda: ibm_service.local().backend("fake_lima", 3)})

    def remembering(send: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(self: Any, pubs: Any, **options: Any) -> Any:
            job = send(self, pubs, **options)
            Cloud.known[job.job_id()] = job
            Cloud.tags[job.job_id()] = self.options.environment.job_tags[0]
            return job

        return remembered

    for primitive in (qiskit_ibm_runtime.SamplerV2, qiskit_ibm_runtime.EstimatorV2):
        monkeypatch.setattr(primitive, "run", remembering(primitive.run))
    return Cloud
