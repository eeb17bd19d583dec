"""Aer's own counts under its own full noise model, built without ours: what the tests of noisy devices hold on to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.carried import carried


def written_out(device: Aer) -> Any:
    """Aer's noise model of `device`, readout included, as its documentation says to build it."""
    from qiskit_aer import noise as library

    if device.noise is not None:
        backend = machines.backend(device.noise)
        return carried(backend) or library.NoiseModel.from_backend(backend)
    model = library.NoiseModel()
    for gates, duration, arity in ((["sx", "x"], device.gate_time_1q_ns, 1), (["cx"], device.gate_time_2q_ns, 2)):
        error = library.depolarizing_error((device.depolarizing_1q, device.depolarizing_2q)[arity - 1] or 0, arity)
        t1 = 1000 * (device.t1_us or math.inf)
        t2 = 1000 * device.t2_us if device.t2_us else 2 * t1
        for each in (
            library.amplitude_damping_error(device.amplitude_damping or 0),
            library.phase_damping_error(device.phase_damping or 0),
            library.thermal_relaxation_error(t1, t2, duration),
        ):
            error = error.compose(each if arity == 1 else each.expand(each))
        model.add_all_qubit_quantum_error(error, gates)
    zero, one = device.readout_01 or 0, device.readout_10 or 0
    model.add_all_qubit_readout_error(library.ReadoutError([[1 - zero, zero], [one, 1 - one]]))
    return model


def counted(device: Aer, circuit: Circuit, weights: Tensor, angles: Tensor, shots: int, seed: int = 11) -> np.ndarray:
    """Counts [2**Q] of Aer's run of the compiled and measured circuit at angles [Q]; wire 0 leftmost."""
    from qiskit_aer import AerSimulator

    compiled = device.compiled(circuit, weights)
    bound = compiled.assign_parameters({parameter: float(angles[parameter.index]) for parameter in compiled.parameters})
    options = {"method": "density_matrix", "seed_simulator": seed, "max_parallel_threads": 1}
    counts = AerSimulator(noise_model=written_out(device), **options).run(bound, shots=shots).result().get_counts()
    return np.array([counts.get(format(outcome, f"0{circuit.n_qubits}b")[::-1], 0) for outcome in range(2**circuit.n_qubits)])


def chi_square(counts: np.ndarray, probabilities: Tensor) -> float:
    """The p-value of counts [2**Q] under probabilities [2**Q]; outcomes that are expected less than 5 times are one."""
    expected = counts.sum() * probabilities.numpy()
    rare = expected < 5
    seen = np.append(counts[~rare], counts[rare].sum())
    due = np.append(expected[~rare], expected[rare].sum())
    kept = due > 1e-6
    if seen[~kept].any():
        return 0.0  # what cannot happen has happened
    statistic = float(((seen[kept] - due[kept]) ** 2 / due[kept]).sum())
    return float(chi2.sf(statistic, max(int(kept.sum()) - 1, 1)))


def uniform_angles(circuit: Circuit, count: int, seed: int = 5) -> Tensor:
    """[count, Q] in [-pi, pi)."""
    generator = torch.Generator().manual_seed(seed)
    return math.pi * (2 * torch.rand(count, circuit.n_qubits, generator=generator, dtype=torch.float64) - 1)
