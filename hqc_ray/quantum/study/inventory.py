"""Which quantum devices are installed and usable here, and whether they agree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from hqc_ray.errors import DeviceError
from hqc_ray.guard import one_line
from hqc_ray.quantum import devices
from hqc_ray.quantum.devices import parity
from hqc_ray.quantum.devices.pennylane import PACKAGES, PennyLane, fit_names
from hqc_ray.quantum.noise import machines, shipped

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Found:
    """A device and its state on this machine.

    Args:
        name: as a sweep file says it.
        version: of its package; empty where that is not installed.
        usable: whether a circuit can be run on it now.
        note: why not, the pip line that installs it, or what there is to know.
        checkable: whether a check runs on this machine, and costs nothing.
    """

    name: str
    version: str
    usable: bool
    note: str

    checkable: bool = False


def installed() -> list[Found]:
    """Every device of the table, and of PennyLane's the ones whose package is known."""
    own = [_found(name, entry.packages, entry.look) for name, entry in devices.DEVICES.items() if entry is not PennyLane]
    return own + [_found(name, (package,), functools.partial(_plugin, name)) for name, package in PACKAGES.items()]


def others() -> list[str]:
    """What else PennyLane finds here, but for what is known not to run such circuits; none of them is opened."""
    return sorted(fit_names() - devices.DEVICES.keys() - PACKAGES.keys())


def backends() -> list[str]:
    """The fake backends that `noise` takes, by their canonical names; none without qiskit-ibm-runtime."""
    try:
        return sorted(f"fake_{key}" for key in shipped.sizes() or machines.known())
    except DeviceError:
        return []


def _found(name: str, packages: Sequence[str], look: Callable[[], str]) -> Found:
    try:
        at = version(packages[0])
        for package in packages[1:]:
            version(package)
    except PackageNotFoundError:
        return Found(name, "", False, f"pip install {' '.join(packages)}")
    try:
        note = look()
    except Exception as problem:  # each plugin has exceptions of its own
        return Found(name, at, False, one_line(str(problem)))
    entry = devices.DEVICES.get(name, PennyLane)
    return Found(name, at, True, note, checkable=entry.exactness == "exact")


def _plugin(name: str) -> str:
    devices.get(name).check(parity.asymmetric())
    return ""


def probabilities(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> torch.Tensor:
    """What a device with `options` says of `parity.asymmetric`, at random weights and angles of `seed`: [BATCH, 8].

    Raises:
        DeviceError: the device cannot run it.
    """
    return devices.get(name, **(options or {})).probabilities(parity.asymmetric(), *parity.inputs(seed))
