"""Which quantum devices are installed and usable here, and whether they agree."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hqc_ray.errors import DeviceError
from hqc_ray.quantum import devices
from hqc_ray.quantum.circuits.ir import Builder, Circuit
from hqc_ray.quantum.devices.pennylane import PACKAGES, plugin_names
from hqc_ray.quantum.ideal.simulate import Program
from hqc_ray.quantum.noise import machines
from hqc_ray.seeds import rng

PARITY = 1e-6  # largest difference of a probability that counts as equal
BATCH = 5
ACCOUNT_FILE = Path("~/.qiskit/qiskit-ibm.json")  # where qiskit-ibm-runtime saves accounts; only whether it is there matters here
NO_ACCOUNT = "no account: export QISKIT_IBM_TOKEN=..., or once QiskitRuntimeService.save_account(token=..., instance=...)"


@dataclass(frozen=True)
class Found:
    """A device and its state on this machine.

    Args:
        name: as a sweep file says it.
        version: of its package; empty where that is not installed.
        usable: whether a circuit can be run on it now.
        note: why not, the pip line that installs it, or what there is to know.
    """

    name: str
    version: str
    usable: bool
    note: str

    @property
    def checkable(self) -> bool:
        """Whether a check runs on this machine, and costs nothing."""
        return self.usable and self.name != "ibm"


def installed() -> list[Found]:
    """Every device that this package has been tried with."""
    return [_found(name, package, look) for name, (package, look) in KNOWN.items()]


def others() -> list[str]:
    """What else PennyLane finds here; not every one of them runs circuits of qubits."""
    return sorted(plugin_names() - KNOWN.keys())


def backends() -> list[str]:
    """The fake backends that `noise` takes, by their canonical names; none without qiskit-ibm-runtime."""
    try:
        return sorted(f"fake_{key}" for key in machines.known())
    except DeviceError:
        return []


def _found(name: str, package: str, look: Callable[[], str]) -> Found:
    try:
        at = version(package)
    except PackageNotFoundError:
        return Found(name, "", False, f"pip install {package}")
    try:
        note = look()
    except Exception as problem:  # each plugin has exceptions of its own
        return Found(name, at, False, " ".join(str(problem).split())[:200])
    return Found(name, at, note != NO_ACCOUNT, note)


def _opens(name: str) -> Callable[[], str]:
    def look() -> str:
        import pennylane as qml

        qml.device(name, wires=1)
        return ""

    return look


def _aer() -> str:
    devices.get("qiskit.aer").check(asymmetric())
    return f"noise of {len(backends())} fake backends" if backends() else "fake backends: pip install qiskit-ibm-runtime"


def _account() -> str:
    """Whether there is an account; never what is in it."""
    if os.environ.get("QISKIT_IBM_TOKEN"):
        return "account: in the environment"
    return "account: saved on this machine" if ACCOUNT_FILE.expanduser().is_file() else NO_ACCOUNT


KNOWN: dict[str, tuple[str, Callable[[], str]]] = {  # name: (the package it needs, a look at it that gives its note)
    "default.qubit": ("pennylane", _opens("default.qubit")),
    "lightning.qubit": ("pennylane-lightning", _opens("lightning.qubit")),
    "qiskit.aer": ("qiskit-aer", _aer),
    "default.mixed": ("pennylane", _opens("default.mixed")),
    "lightning.kokkos": (PACKAGES["lightning.kokkos"], _opens("lightning.kokkos")),
    "lightning.gpu": (PACKAGES["lightning.gpu"], _opens("lightning.gpu")),
    "ibm": ("qiskit-ibm-runtime", _account),
}


@functools.cache
def asymmetric() -> Circuit:
    """Three qubits, most gates, no symmetry between wires, bit orders, or controls and targets."""
    b = Builder(3, "rx")
    b.add("CNOT", 0, 2)
    b.add("U3", 1)
    b.add("CRX", 2, 1)
    b.add("H", 0)
    b.add("CRZ", 0, 1)
    b.add("U2", 2)
    b.add("CZ", 1, 2)
    b.add("PhaseShift", 1)
    b.add("RY", 0)
    b.add("CNOT", 1, 0)
    b.every("RZ", "RX")
    return Circuit("asymmetric", 3, "rx", 1, b.n_weights, tuple(b.gates))


def probabilities(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> torch.Tensor:
    """What a device with `options` says of `asymmetric`, at random weights and angles of `seed`: [BATCH, 8].

    Raises:
        DeviceError: the device cannot run it.
    """
    return devices.get(name, **(options or {})).probabilities(*_inputs(seed))


def parity(name: str, seed: int = 0) -> float:
    """Largest difference of a probability between a device and this package's own simulation, on `asymmetric`.

    Raises:
        DeviceError: the device cannot run it.
    """
    circuit, weights, angles = _inputs(seed)
    return float((probabilities(name, seed=seed) - Program(circuit)(weights, angles)).abs().max())


def _inputs(seed: int) -> tuple[Circuit, torch.Tensor, torch.Tensor]:
    circuit, random = asymmetric(), rng(seed, "parity")
    weights = torch.from_numpy(random.uniform(0, 2 * np.pi, circuit.n_weights))
    return circuit, weights, torch.from_numpy(random.uniform(-np.pi, np.pi, (BATCH, circuit.n_qubits)))
