"""What one machine reports about itself. It is sent to a node as code, so it runs where `hqc_ray` or a library is missing.

So its top imports only the standard library. It never reads a value of the environment that could be a secret.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata
from typing import Any, TypeVar

T = TypeVar("T")
FOLDERS = ("HQC_DATA", "HQC_WEIGHTS")
SHOWN = 12  # names of files of such a folder, at most


@dataclass(frozen=True)
class Report:
    """The state of one machine.

    Args:
        host: its name.
        python: version to the patch level.
        packages: versions by name; None where one is not installed.
        cores: that a process may use.
        threads: that torch would use in a worker; 0 where torch is missing.
        memory: bytes available now.
        temp: the folder of Ray's session, or of temporary files.
        disk_free: bytes free there.
        disk_total: bytes of that disk.
        devices: the quantum devices that are usable.
        folders: the names of files in HQC_DATA and HQC_WEIGHTS; a string says why there are none.
        probabilities: of one circuit, by device.
        problems: what could not be found out, and why, by subject.
    """

    host: str
    python: str
    packages: dict[str, str | None]
    cores: int
    threads: int
    memory: int
    temp: str
    disk_free: int
    disk_total: int
    devices: list[str] = field(default_factory=list)
    folders: dict[str, list[str] | str] = field(default_factory=dict)
    probabilities: dict[str, list[list[float]]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def report(packages: tuple[str, ...], circuits: dict[str, tuple[str, dict[str, str]]], temp: str) -> Report:
    """Look at this machine.

    Args:
        packages: whose versions are asked for.
        circuits: devices to run one circuit on: label -> (name, options).
        temp: the folder whose disk is looked at.
    """
    problems: dict[str, str] = {}
    free = shutil.disk_usage(temp)
    threads = _try("torch", _threads, problems)
    runs = {label: _try(label, partial(_run, *device), problems) for label, device in circuits.items()}
    return Report(
        host=socket.gethostname(), python=platform.python_version(), packages={name: _version(name) for name in packages},
        cores=len(os.sched_getaffinity(0)), threads=threads or 0, memory=_available(), temp=temp,
        disk_free=free.free, disk_total=free.total, devices=_try("devices", _devices, problems) or [],
        folders={name: _files(os.environ.get(name, "")) for name in FOLDERS},
        probabilities={label: run for label, run in runs.items() if run is not None}, problems=problems,
    )  # fmt: skip


def answer(packages: tuple[str, ...], circuits: dict[str, tuple[str, dict[str, str]]], temp: str) -> dict[str, Any]:
    """`report` as plain values, which every node and driver can read."""
    return asdict(report(packages, circuits, temp))


def _try(subject: str, look: Callable[[], T], problems: dict[str, str]) -> T | None:
    try:
        return look()
    except Exception as problem:  # a broken installation may raise anything, and is what is being looked for
        problems[subject] = f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300]
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _available() -> int:
    """Bytes of memory that the kernel could give."""
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def _devices() -> list[str]:
    from hqc_ray.quantum.study import inventory

    return [device.name for device in inventory.installed() if device.usable]


def _run(name: str, options: dict[str, str]) -> list[list[float]]:
    from hqc_ray.quantum.study import inventory

    return inventory.probabilities(name, options).tolist()


def _files(folder: str) -> list[str] | str:
    if not folder:
        return "not set"
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith("."))
    except OSError as problem:
        return problem.strerror or type(problem).__name__
    return names[:SHOWN] + ([f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else [])
