"""Calibrated noise by the name of a machine: the fake backends of qiskit-ibm-runtime, their gate noise and readout errors."""

from __future__ import annotations

import difflib
import functools
import importlib
import re
import warnings
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from hqc_ray.errors import DeviceError

NOT_MACHINES = {"FakeProviderForBackendV2", "FakeFractionalBackend"}


def require(module: str, package: str) -> ModuleType:
    """The module of an optional package.

    Raises:
        DeviceError: not installed; names the pip line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        what = f"{package} is not installed: {problem}"
        raise DeviceError(what, where="device qiskit.aer", valid=f"pip install {package}") from problem


@dataclass(frozen=True)
class Machine:
    """A backend and its noise.

    Args:
        backend: Qiskit's backend: gates, coupling map, calibration.
        gate_noise: Aer's noise model of it, without readout errors.
        readout: assignment matrix [2, 2] of each physical qubit that has one: row is the true bit, column the bit read.
    """

    backend: Any
    gate_noise: Any = field(repr=False)
    readout: dict[int, np.ndarray] = field(repr=False)

    def error(self, name: str, qubits: tuple[int, ...]) -> Any:
        """Aer's quantum error after gate `name` on physical `qubits`; None where it is noiseless."""
        # Aer offers no public way to look an error up; from_backend makes local errors only
        return self.gate_noise._local_quantum_errors.get(name, {}).get(qubits)

    def noisy_gates(self, compiled: Any) -> list[tuple[str, tuple[int, ...]]]:
        """The gates of a transpiled circuit that carry an error: name and physical qubits of each, in order."""
        gates = [(step.operation.name, positions(compiled, step)) for step in compiled.data]
        return [gate for gate in gates if self.error(*gate) is not None]

    def noise_of(self, compiled: Any) -> Any:
        """Aer's noise model with the errors of a transpiled circuit only: Aer reads all of it anew in every job."""
        model = type(self.gate_noise)(basis_gates=self.gate_noise.basis_gates)
        for name, qubits in sorted(set(self.noisy_gates(compiled))):
            model.add_quantum_error(self.error(name, qubits), name, list(qubits))
        return model


def positions(compiled: Any, step: Any) -> tuple[int, ...]:
    """The physical qubits of an instruction."""
    return tuple(compiled.find_bit(qubit).index for qubit in step.qubits)


def read(probabilities: np.ndarray, machine: Machine, layout: list[int]) -> np.ndarray:
    """Probabilities [N, 2**Q] as read, from true ones; `layout` is the physical qubit of each wire, wire 0 the leftmost bit."""
    shaped = probabilities.reshape(-1, *[2] * len(layout))
    for wire, qubit in enumerate(layout):
        if qubit in machine.readout:
            shaped = np.moveaxis(np.tensordot(shaped, machine.readout[qubit], axes=([wire + 1], [0])), -1, wire + 1)
    return shaped.reshape(probabilities.shape)


def canonical(name: str) -> str:
    """The name of the fake backend meant by `name`: fake_manila for FakeManilaV2, Fake-Manila, manila.

    Raises:
        DeviceError: no such machine (near names are listed), or the package is missing.
    """
    machines = _machines()
    wanted = _key(name)
    if wanted in machines:
        return f"fake_{wanted}"
    near = difflib.get_close_matches(wanted, machines, n=5, cutoff=0.4) or sorted(machines)
    raise DeviceError(f"unknown fake backend {name!r}", where="noise", valid=", ".join(f"fake_{key}" for key in near) + ", ...")


@functools.lru_cache(maxsize=4)
def backend(name: str) -> Any:
    """The fake backend with the canonical `name`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some machines warn that their calibration is not typical
        return _machines()[_key(name)]()


@functools.lru_cache(maxsize=4)
def machine(name: str) -> Machine:
    """The machine with the canonical `name`; its noise model takes 0.1 s (5 qubits) to 5 s (127 qubits), once a process."""
    noise_model = require("qiskit_aer.noise", "qiskit-aer").NoiseModel
    opened = backend(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gates = noise_model.from_backend(opened, readout_error=False)
        errors = noise_model.from_backend(opened, gate_error=False, thermal_relaxation=False).to_dict()["errors"]
    readout = {int(error["gate_qubits"][0][0]): np.asarray(error["probabilities"], dtype=np.float64) for error in errors}
    return Machine(opened, gates, readout)


@functools.cache
def _machines() -> dict[str, type]:
    provider = require("qiskit_ibm_runtime.fake_provider", "qiskit-ibm-runtime")
    names = [name for name in dir(provider) if name.startswith("Fake") and name not in NOT_MACHINES]
    return {_key(name): getattr(provider, name) for name in names}


def _key(name: str) -> str:
    """What fake_manila, FakeManilaV2, Fake-Manila and manila have in common."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^fake", "", re.sub(r"v2$", "", plain))
