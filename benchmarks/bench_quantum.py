"""What a noisy circuit costs through its surrogate, through PennyLane, to fit, to attack and to train.

Times are CPU seconds of one thread. A comparison is of one run, with the contestants taking turns; a fit has a process of its
own, whose peak memory is that of everything it imported and did.
"""

from __future__ import annotations

import functools
import json
import math
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import pennylane as qml
import torch
from torch import Tensor

from hqc_ray import circuits, devices, surrogate
from hqc_ray.attacks.view import View
from hqc_ray.models import backbones, heads, training
from hqc_ray.models.classifier import Classifier
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Weight
from hqc_ray.quantum.devices.pennylane import OPERATIONS
from hqc_ray.quantum.noise import machines
from hqc_ray.spec import ModelSpec, TrainSpec

SAMPLES = 32
REPEATS = 200  # of a surrogate's step, which is too short to be timed alone
FITS = {  # qubits: limit in CPU seconds, machine, circuits: a shallow one and the one with the most gates
    4: (2, "fake_manila", ("vqc1", "vqc6")),
    5: (5, "fake_manila", ("vqc3", "vqc2")),
    7: (60, "fake_jakarta", ("vqc4", "vqc6")),
    8: (300, "fake_guadalupe", ("vqc1", "sim14")),
}
FIT_MEMORY = 1.5  # GiB


def inputs(circuit: Circuit, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Weights [W] and angles [samples, Q]."""
    generator = torch.Generator().manual_seed(0)
    weights = 2 * math.pi * torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
    return weights, math.pi * (torch.rand(samples, circuit.n_qubits, generator=generator, dtype=torch.float64) - 0.5)


def qnode(
    circuit: Circuit, weights: Tensor, device: Any, diff_method: str, error: float = 0.0, shots: int | None = None
) -> Callable[[Tensor], Tensor]:
    """The circuit in PennyLane, angles [..., Q] -> <Z> of every wire; `error` is depolarizing on each wire of each gate."""
    plain = weights.tolist()

    @functools.partial(qml.set_shots, shots=shots)
    @qml.qnode(device, interface="torch", diff_method=diff_method)
    def run(angles: Tensor) -> Any:
        for gate in circuit.gates:
            values = [
                angles[..., p.index] if isinstance(p, Angle) else plain[p.index] if isinstance(p, Weight) else p
                for p in gate.parameters
            ]
            getattr(qml, OPERATIONS.get(gate.name, gate.name))(*values, wires=gate.wires)
            for wire in gate.wires if error else ():
                qml.DepolarizingChannel(error, wires=wire)
        return [qml.expval(qml.PauliZ(wire)) for wire in range(circuit.n_qubits)]

    return lambda angles: torch.stack(list(run(angles)), -1)


def step(function: Callable[[Tensor], Tensor], angles: Tensor) -> Tensor:
    """Forward and input gradient."""
    at = angles.clone().requires_grad_()
    return torch.autograd.grad(function(at).sum(), at)[0]


def against_pennylane() -> None:
    """Four qubits: the surrogate against default.mixed with backprop and against PennyLane's plugin for Aer."""
    circuit = circuits.get("vqc1", 4)
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, devices.get("qiskit.aer", noise="fake_manila"))
    mixed = qnode(circuit, weights, qml.device("default.mixed", wires=4), "backprop", error=0.01)
    from qiskit_aer.noise import NoiseModel

    model = NoiseModel.from_backend(machines.backend("fake_manila"))
    aer = qml.device("qiskit.aer", wires=4, noise_model=model, max_parallel_threads=1)
    plugin = qnode(circuit, weights, aer, "parameter-shift", shots=1024)
    seconds = common.alternate(
        3,
        surrogate=lambda: [step(fitted, angles) for _ in range(REPEATS)],
        mixed=lambda: step(mixed, angles),  # one broadcast execution
        plugin=lambda: step(plugin, angles[0]),  # it cannot differentiate a batch
    )
    ours = seconds["surrogate"] / REPEATS
    size = f"{SAMPLES} samples, forward and input gradient, 4 qubits"
    ratio = f"{seconds['mixed'] / ours:,.0f} times ({1000 * seconds['mixed']:,.0f} ms to {1000 * ours:.2f} ms)"
    common.record(f"default.mixed with backprop / surrogate, {size}", ratio, "at least 100 times")
    per_sample = seconds["plugin"]
    ratio = (
        f"{per_sample * SAMPLES / ours:,.0f} times ({1000 * per_sample:,.0f} ms per sample, one measured, taken {SAMPLES} times)"
    )
    common.record(f"PennyLane's qiskit.aer / surrogate, {size}", ratio, "at least 10,000 times")


def fit_here(circuit: Circuit, machine: str) -> dict[str, float]:
    """Open a machine, compile, and fit: CPU seconds, peak GiB of the process, and the error of the fit."""
    began = time.process_time()
    fitted = surrogate.fit(circuit, inputs(circuit)[0], devices.get("qiskit.aer", noise=machine))
    seconds = time.process_time() - began
    return {
        "seconds": seconds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "error": fitted.max_error,
    }


def fits() -> None:
    """Each fit in a fresh process; the slowest and the largest are recorded."""
    peak = 0.0
    for n_qubits, (limit, machine, names) in FITS.items():
        found = {}
        for name in names:
            command = [sys.executable, __file__, "fit", name, str(n_qubits), machine]
            found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peak = max(peak, found[name]["memory"])
        told = ", ".join(f"{name} {one['seconds']:.1f} s" for name, one in found.items())
        error = max(one["error"] for one in found.values())
        common.record(f"fit with the noise of {machine}, {n_qubits} qubits", f"{told} (error {error:.0e})", f"{limit} s")
    common.record("fit, peak memory of its process", f"{peak:.2f} GiB", f"{FIT_MEMORY} GiB")


def attack_steps() -> None:
    """Forward and input gradient behind resnet18 at 96 pixels: the hybrid on a noisy device against its tanh control."""
    backbone = backbones.get("resnet18", "random")
    images, labels = torch.rand(SAMPLES, 3, 96, 96), torch.arange(SAMPLES) % 2
    for n_qubits, limit in ((4, 1.05), (5, 1.05), (8, 1.25)):
        device = devices.get("qiskit.aer", noise="fake_guadalupe" if n_qubits > 5 else "fake_manila")
        views = {}
        for head in ("tanh", "vqc1"):
            spec = ModelSpec(backbone="resnet18", weights="random", head=head, n_qubits=n_qubits)
            built = heads.build(spec, backbone.n_features, 2, torch.Generator().manual_seed(0))
            views[head] = View(Classifier(backbone, built).eval().requires_grad_(False).on(device), SAMPLES)
        steps = {head: functools.partial(view.gradient, images, labels) for head, view in views.items()}
        medians = common.alternate(15, **steps)
        ratio = medians["vqc1"] / medians["tanh"]
        common.record(f"attack step, vqc1 with {n_qubits} noisy qubits / tanh", f"{ratio:.3f}", str(limit))


def trainings() -> None:
    """Thirty epochs of a four-qubit head on 800 cached features of resnet18's size."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(800, 512)).astype(np.float32), np.arange(800) % 2
    found = {}
    for head in ("vqc1", "vqc6"):
        began = time.process_time()
        spec = ModelSpec(backbone="resnet18", weights="random", head=head, n_qubits=4)
        training.train(spec, TrainSpec(epochs=30), features, labels, np.arange(800), np.arange(0), seed=0, n_classes=2)
        found[head] = time.process_time() - began
    told = ", ".join(f"{head} {seconds:.1f} s" for head, seconds in found.items())
    common.record("training a 4-qubit head on 800 features, 30 epochs", told, "20 s")


def main() -> None:
    """Measure and record all of it; or one fit, as a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of PennyLane's plugin
    if sys.argv[1:2] == ["fit"]:
        name, n_qubits, machine = sys.argv[2:]
        print(json.dumps(fit_here(circuits.get(name, int(n_qubits)), machine)))
        return
    for part in (against_pennylane, trainings, attack_steps, fits):
        part()


if __name__ == "__main__":
    main()
