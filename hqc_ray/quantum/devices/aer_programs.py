"""What Aer runs: a compiled circuit with all that acts beside the errors of its gates, and the simulators for it."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from hqc_ray.errors import DeviceError
from hqc_ray.quantum.devices.qiskit import Compiled
from hqc_ray.quantum.noise.base import Noise, positions, require
from hqc_ray.quantum.noise.running import Extras, Running, running


@functools.lru_cache(maxsize=64)
def as_it_runs(compiled: Compiled, noise: Noise, extras: Extras) -> Running:
    """See `noise.running`: waits, couplings and excess turns among the gates, and how long all of it takes."""
    return running(compiled.measured, noise, extras)


@functools.lru_cache(maxsize=64)
def longer(compiled: Compiled, noise: Noise, extras: Extras) -> Compiled:
    """The compiled circuit with these among its gates."""
    return replace(compiled, gates=as_it_runs(compiled, noise, extras).gates)


@functools.lru_cache(maxsize=64)
def relaxing(compiled: Compiled, noise: Noise) -> Compiled:
    """The same with Aer's errors of waits in the place of delays."""
    gates = compiled.gates.copy_empty_like()
    for step in compiled.gates.data:
        if step.operation.name == "delay":
            error = noise.wait(positions(compiled.gates, step)[0], step.operation.duration)
            gates.append(error.to_instruction(), step.qubits)
        else:
            gates.append(step)
    return replace(compiled, gates=gates)


@functools.lru_cache(maxsize=64)
def noisy_simulator(compiled: Compiled, noise: Noise) -> Any:
    """Aer with the gate errors of one compiled circuit."""
    return _aer(method="density_matrix", noise_model=noise.model(compiled.gates))


@functools.cache
def ideal_simulator() -> Any:
    """Aer without noise; one object, which circuits are compiled for."""
    return _aer(method="statevector")


def refuse_unknown(compiled: Any) -> None:
    """Refuse a transpiled circuit with gates that Aer does not simulate.

    Raises:
        DeviceError: it has one.
    """
    if unknown := sorted(set(compiled.count_ops()) - _gates() - {"measure", "barrier"}):
        what = f"Aer does not simulate the gate {unknown[0]}, to which {compiled.name} compiles"
        raise DeviceError(what, where="noise", valid="a machine of other gates, such as sx, rz, cx, cz, ecr, rzz, rxx")


@functools.cache
def _gates() -> frozenset[str]:
    return frozenset(_aer(method="density_matrix").configuration().basis_gates)


def _aer(**options: Any) -> Any:
    """Aer, exact and in one thread."""
    return require("qiskit_aer", "qiskit-aer").AerSimulator(max_parallel_threads=1, **options)
