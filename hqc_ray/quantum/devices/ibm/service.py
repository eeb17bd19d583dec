"""Two ways to IBM's machines: the cloud, with the account that qiskit-ibm-runtime finds, and its local testing mode.

Credentials are read by qiskit-ibm-runtime itself. Its messages are passed on only after any credential in them is blotted out.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.noise import base, machines
from hqc_ray.quantum.noise.snapshots import Snapshot
from hqc_ray.quantum.noise.taking import taken

T = TypeVar("T")

LEAST_BUSY = "least_busy"
ACCOUNT = (
    "export QISKIT_IBM_TOKEN=... (and QISKIT_IBM_INSTANCE), or once QiskitRuntimeService.save_account(token=..., instance=...), "
    "or backend: fake_manila, which runs here"
)
OVER = ("ERROR", "CANCELLED")  # states from which no result comes


class Service(Protocol):
    """What a device needs of a service."""

    def backend(self, name: str, n_qubits: int) -> Any:
        """The backend `name`, or the least busy one with as many qubits."""

    def job(self, job_id: str) -> Any | None:
        """A job that was submitted before; None if it died with its process."""

    def tagged(self, tag: str) -> Any | None:
        """The latest job with a tag that may still give a result, or has given one."""

    def submitted(self, job: Any) -> None:
        """Take note of a job that was submitted."""


class Local:
    """The local testing mode: fake backends, through Aer. A job lives as long as its process."""

    def __init__(self) -> None:
        self._jobs: dict[str, Any] = {}

    def backend(self, name: str, n_qubits: int) -> Any:
        """See `Service.backend`."""
        return machines.backend(name)

    def job(self, job_id: str) -> Any | None:
        """See `Service.job`."""
        return self._jobs.get(job_id)

    def tagged(self, tag: str) -> Any | None:
        """See `Service.tagged`: no other process knows of a local job."""
        return None

    def submitted(self, job: Any) -> None:
        """See `Service.submitted`."""
        self._jobs[job.job_id()] = job


class Cloud:
    """IBM Quantum Platform, with the account of the environment or the one that qiskit-ibm-runtime saved.

    Raises:
        DeviceError: no account, or no connection.
    """

    def __init__(self) -> None:
        runtime = require()
        self._service = guarded("cannot reach IBM Quantum", ACCOUNT, runtime.QiskitRuntimeService)

    def backend(self, name: str, n_qubits: int) -> Any:
        """See `Service.backend`."""
        if name == LEAST_BUSY:
            valid = "fewer qubits, or a machine by its name"
            ask = functools.partial(self._service.least_busy, min_num_qubits=n_qubits, operational=True, simulator=False)
            return guarded(f"no machine with {n_qubits} qubits", valid, ask)
        valid = "a machine that QiskitRuntimeService().backends() lists, or least_busy"
        return guarded(f"cannot open backend {name!r}", valid, lambda: self._service.backend(name))

    def job(self, job_id: str) -> Any | None:
        """See `Service.job`."""
        valid = "the same account, and a connection; the job is not submitted again"
        return guarded(f"cannot find job {job_id}", valid, lambda: self._service.job(job_id))

    def tagged(self, tag: str) -> Any | None:
        """See `Service.tagged`."""
        ask = functools.partial(self._service.jobs, job_tags=[tag], limit=None)
        jobs = guarded("cannot ask for earlier jobs", "a connection; nothing was submitted", ask)
        return next((job for job in jobs if state(job) not in OVER), None)

    def submitted(self, job: Any) -> None:
        """See `Service.submitted`: the cloud keeps its own list."""


def calibration(name: str, day: datetime | None = None) -> Snapshot:
    """The calibration of a machine: of the cloud, or a fake one of the package's.

    Args:
        name: as ibm_torino or fake_torino.
        day: the last calibration before this time; None: the latest.

    Raises:
        DeviceError: no account, no connection, no such machine, or none that was calibrated before `day`.
    """
    fake = name.lower().startswith("fake")
    backend = local().backend(placed(lambda: machines.fake(name)), 1) if fake else cloud().backend(name, 1)
    ask = getattr(backend, "properties", None)
    if not callable(ask):
        raise DeviceError(f"{name} has no calibration", where="--snapshot", valid="a machine of qubits")
    if day is None:
        properties = guarded(f"cannot read the calibration of {name}", ACCOUNT, ask)
    elif "datetime" not in inspect.signature(ask).parameters:
        raise DeviceError(f"{name} has one calibration, of no other day", where="--date", valid="no date, or a machine of IBM's")
    else:
        properties = guarded(f"cannot read the calibration of {name}", "a later date", lambda: ask(datetime=day))
    return taken(backend, properties, name)


@functools.cache
def local() -> Local:
    """The local service of this process."""
    return Local()


@functools.cache
def cloud() -> Cloud:
    """The cloud; one connection per process."""
    return Cloud()


def require() -> Any:
    """The package qiskit_ibm_runtime.

    Raises:
        DeviceError: not installed; names the pip line.
    """
    return placed(lambda: base.require("qiskit_ibm_runtime", "qiskit-ibm-runtime"))


def placed(ask: Callable[[], T]) -> T:
    """The result of `ask`; an error of the noise models is reported as one of the device ibm.

    Raises:
        DeviceError: that of `ask`.
    """
    try:
        return ask()
    except DeviceError as problem:
        raise DeviceError(problem.what, where="device ibm", valid=problem.valid) from None


def state(job: Any) -> str:
    """The state of a job: text in the cloud, an enumeration in the local mode."""
    status = job.status()
    return str(getattr(status, "name", status))


def guarded(what: str, valid: str, ask: Callable[[], T]) -> T:
    """What a call of the service returns.

    Raises:
        DeviceError: whatever it raised, in one line and without any credential; nothing of the original is chained to it.
    """
    try:
        return ask()
    except Exception as problem:  # the service has many kinds: accounts, requests, sockets
        raise DeviceError(f"{what}: {type(problem).__name__}: {blotted(str(problem))}", where="device ibm", valid=valid) from None


def blotted(text: str) -> str:
    """`text` without the tokens and instances that are known on this machine."""
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets() -> set[str]:
    found = {os.environ.get(name, "") for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")}
    try:
        accounts = require().QiskitRuntimeService.saved_accounts().values()
    except Exception:  # a damaged file of accounts must not hide the error that is being reported
        accounts = []
    found |= {str(account.get(name) or "") for account in accounts for name in ("token", "instance")}
    return {secret for secret in found if len(secret) > 3}
