"""How far waits, a static coupling, excess turns, mitigation and the layout move <Z>: the tables of docs/noise.md.

Random weights and random angles of the range that a bottleneck has; of each number the mean over wires, angles and weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hqc_ray import circuits, devices, surrogate

CIRCUITS, MACHINES, QUBITS = ("vqc1", "vqc3", "vqc6"), ("fake_manila", "fake_jakarta", "fake_torino"), 4
DRAWS, ANGLES = 2, 200
SHOTS = 16_384  # of each of the 81 circuits that a rehearsal measures
MOVES: dict[str, dict[str, Any]] = {  # from the calibrated noise
    "idle": {"idle": True},
    "zz 60 kHz": {"zz_khz": 60.0},
    "excess 0.01 / 0.02": {"overrotation_1q": 0.01, "overrotation_2q": 0.02},
    "layout best": {"layout": "best"},
}
MITIGATED: dict[str, dict[str, Any]] = {  # from the ideal circuit, all with idle
    "none": {},
    "readout": {"mitigation": {"readout": True}},
    "zne": {"mitigation": {"zne": [1, 1.5, 2]}},
    "both": {"mitigation": {"readout": True, "zne": [1, 1.5, 2]}},
    "both, layout best": {"mitigation": {"readout": True, "zne": [1, 1.5, 2]}, "layout": "best"},
}


def expectations(circuit: Any, weights: Tensor, angles: Tensor, options: dict[str, Any]) -> Tensor:
    """<Z> [N, Q] at angles [N, Q], radians."""
    return surrogate.fit(circuit, weights, devices.get("qiskit.aer", **options))(angles)


def line(name: str, machine: str) -> str:
    """A row: mean changes of <Z>, and what the circuit takes in time."""
    circuit, generator = circuits.get(name, QUBITS), torch.Generator().manual_seed(0)
    sums = dict.fromkeys([*MOVES, *MITIGATED], 0.0)
    for _ in range(DRAWS):
        weights = 2 * math.pi * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
        angles = math.pi * (torch.rand(ANGLES, QUBITS, generator=generator, dtype=torch.float64) - 0.5)
        ideal = expectations(circuit, weights, angles, {})
        plain = expectations(circuit, weights, angles, {"noise": machine})
        for key, more in MOVES.items():
            found = expectations(circuit, weights, angles, {"noise": machine, **more})
            sums[key] += float((found - plain).abs().mean()) / DRAWS
        for key, more in MITIGATED.items():
            found = expectations(circuit, weights, angles, {"noise": machine, "idle": True, **more})
            sums[key] += float((found - ideal).abs().mean()) / DRAWS
    facts = devices.get("qiskit.aer", noise=machine, idle=True).facts(circuit)
    times = f"{facts.duration:.1f} | {facts.idle:.1f}"
    return f"| {name} | {machine} | {facts.two_qubit_gates} | {times} | {' | '.join(f'{value:.4f}' for value in sums.values())} |"


def rehearsal(name: str, machine: str) -> str:
    """A row: how far <Z>, measured by the runtime's local mode, lies from the model without waits, and from the one with them."""
    circuit, generator = circuits.get(name, QUBITS), torch.Generator().manual_seed(0)
    weights = 2 * math.pi * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
    angles = math.pi * (torch.rand(ANGLES, QUBITS, generator=generator, dtype=torch.float64) - 0.5)
    level = 2  # of the transpiler, that both have the same circuit
    device = devices.get("ibm", backend=machine, shots=SHOTS, optimization_level=level)
    measured = surrogate.fit(circuit, weights, device)(angles)
    models = (
        expectations(circuit, weights, angles, {"noise": machine, "optimization_level": level, "idle": i}) for i in (False, True)
    )
    return f"| {name} | {machine} | {' | '.join(f'{float((measured - model).abs().mean()):.4f}' for model in models)} |"


def main() -> None:
    """Both tables."""
    columns = ["circuit", "machine", "2q gates", "µs", "idle µs", *MOVES, *(f"error, {key}" for key in MITIGATED)]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in CIRCUITS:
        for machine in MACHINES:
            print(line(name, machine), flush=True)
    print("\n| circuit | machine | measured and model without waits | with waits |\n|---|---|---|---|")
    for name in CIRCUITS:
        print(rehearsal(name, MACHINES[0]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
