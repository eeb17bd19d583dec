"""What waits and mitigation cost: fits in one run, taking turns; compilations; and a step through a mitigated surrogate."""

from __future__ import annotations

import math
from typing import Any

import common
import torch

from hqc_ray import circuits, devices, surrogate
from hqc_ray.quantum.devices import qiskit

CIRCUITS = {"vqc1": 5, "vqc6": 4}  # name: qubits
MACHINE, SCALES = "fake_jakarta", [1, 1.5, 2]
ROUNDS, STEPS, IMAGES = 3, 200, 32


def compare(name: str, n_qubits: int) -> tuple[float, float, int, float]:
    """Seconds of a fit with waits, and of one at three scales, over those of a plain fit; compilations; seconds of a step."""
    circuit = circuits.get(name, n_qubits)
    weights = 2 * math.pi * torch.rand(circuit.n_weights, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options: dict[str, dict[str, Any]] = {"plain": {}, "idle": {"idle": True}, "zne": {"mitigation": {"zne": SCALES}}}
    found = {key: devices.get("qiskit.aer", noise=MACHINE, **more) for key, more in options.items()}
    qiskit.compiled.cache_clear()
    fitted = {key: surrogate.fit(circuit, weights, device) for key, device in found.items()}
    compilations = qiskit.compiled.cache_info().misses
    seconds = common.alternate(
        ROUNDS, **{key: lambda device=device: surrogate.fit(circuit, weights, device) for key, device in found.items()}
    )
    steps = common.alternate(ROUNDS, **{key: lambda core=core: step(core, n_qubits) for key, core in fitted.items()})
    return (
        seconds["idle"] / seconds["plain"],
        seconds["zne"] / seconds["plain"],
        compilations,
        steps["zne"] / steps["plain"],
    )


def step(core: surrogate.Surrogate, n_qubits: int) -> None:
    """Values and gradients of a batch, several times: too short to be timed alone."""
    angles = torch.zeros(IMAGES, n_qubits, requires_grad=True)
    for _ in range(STEPS):
        torch.autograd.grad(core(angles).sum(), angles)


def main() -> None:
    """One line per circuit and number."""
    for name, n_qubits in CIRCUITS.items():
        idle, zne, compilations, stepped = compare(name, n_qubits)
        where = f"{name}, {n_qubits} qubits, {MACHINE}"
        common.record(f"fit with idle / without: {where}", f"{idle:.2f}", "2")
        common.record(f"fit of zne at {len(SCALES)} scales / of one: {where}", f"{zne:.2f}", f"{len(SCALES) + 0.3}")
        common.record(f"compilations of these three fits: {where}", str(compilations), "1")
        common.record(f"step through a mitigated surrogate / a plain one: {where}", f"{stepped:.2f}", "1.05")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
