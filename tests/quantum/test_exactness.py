"""Every device is what it says: ideal without noise, Aer's own counts with noise, and its surrogate at any angle.

The rest of the product takes minutes: `pytest -m exhaustive tests/quantum/test_exactness.py`. What runs without that meets every
circuit, size, machine, and pair of size and machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from noise_cases import chi_square, counted, uniform_angles
from quantum_cases import inputs

from hqc_ray import circuits, devices, surrogate

CIRCUITS = [*(f"vqc{number}" for number in range(1, 7)), "sim2", "sim9", "sim14"]
SIZES = {"fake_manila": (3, 4, 5), "fake_jakarta": (3, 4, 5, 7), "fake_guadalupe": (3, 4, 5, 7), "by numbers": (3, 4, 5, 7)}
NUMBERS = {
    "depolarizing_1q": 0.002, "depolarizing_2q": 0.015, "amplitude_damping": 0.003, "phase_damping": 0.004,
    "t1_us": 80.0, "t2_us": 60.0, "gate_time_2q_ns": 400.0, "readout_01": 0.02, "readout_10": 0.06,
}  # fmt: skip
SILENT: list[tuple[str, dict[str, Any]]] = [
    ("lightning.qubit", {}),
    ("default.mixed", {}),
    ("qiskit.aer", {}),
    ("qiskit.aer", {"noise": "fake_jakarta", "noise_scale": 0}),
    ("qiskit.aer", {"depolarizing_2q": 0.0, "readout_10": 0.0}),
]
SHOTS, LEVEL = 200_000, 1e-4  # of each chi-square test; all samples are seeded
PARITY, EXACT, ANGLES = 1e-6, 1e-8, 100
ALL = [(circuit, size, machine) for circuit in CIRCUITS for machine, sizes in SIZES.items() for size in sizes]
FEW = [
    ("vqc1", 4, "fake_manila"), ("vqc2", 5, "fake_jakarta"), ("vqc3", 3, "fake_guadalupe"), ("sim2", 7, "fake_jakarta"),
    ("vqc5", 5, "fake_manila"), ("vqc6", 4, "by numbers"), ("sim2", 7, "by numbers"), ("sim9", 7, "fake_guadalupe"),
    ("sim14", 3, "fake_manila"), ("vqc1", 4, "fake_jakarta"), ("vqc5", 4, "fake_guadalupe"), ("sim14", 5, "fake_guadalupe"),
    ("sim9", 5, "by numbers"), ("vqc4", 3, "by numbers"), ("sim2", 3, "fake_jakarta"),
]  # fmt: skip


def cases(few: list[Any], every: list[Any]) -> Iterator[Any]:
    """`few`, and the rest of `every` where the exhaustive run is asked for."""
    yield from (pytest.param(*case) for case in few)
    yield from (pytest.param(*case, marks=pytest.mark.exhaustive) for case in every if case not in few)


SILENT_ALL = [(name, options, circuit, size) for name, options in SILENT for circuit in CIRCUITS for size in (3, 4, 5, 7)]
SILENT_FEW = [case for at, case in enumerate(SILENT_ALL) if at % 11 == 4]


def test_the_few_meet_every_circuit_and_device_and_every_pair_of_size_and_machine() -> None:
    assert {circuit for circuit, _, _ in FEW} == set(CIRCUITS)
    assert {(size, machine) for _, size, machine in FEW} == {(size, machine) for machine in SIZES for size in SIZES[machine]}
    assert {circuit for _, _, circuit, _ in SILENT_FEW} == set(CIRCUITS)
    assert {(name, *options) for name, options, _, _ in SILENT_FEW} == {(name, *options) for name, options in SILENT}


@pytest.mark.parametrize(("name", "options", "circuit", "size"), cases(SILENT_FEW, SILENT_ALL))
def test_without_noise_every_device_is_default_qubit(
    name: str, options: dict[str, Any], circuit: str, size: int, record_property: Any
) -> None:
    made = circuits.get(circuit, size)
    weights, angles = inputs(made)
    theirs = devices.get(name, **options).probabilities(made, weights, angles)
    error = float((theirs - devices.get("default.qubit").probabilities(made, weights, angles)).abs().max())
    record_property("parity", error)
    assert error < PARITY


@pytest.mark.parametrize(("circuit", "size", "machine"), cases(FEW, ALL))
def test_with_noise_probabilities_are_aers_counts_and_the_surrogate_is_the_device(
    circuit: str, size: int, machine: str, record_property: Any
) -> None:
    made = circuits.get(circuit, size)
    device = devices.get("qiskit.aer", **(NUMBERS if machine == "by numbers" else {"noise": machine}))
    weights, _ = inputs(made)
    angles = uniform_angles(made, ANGLES)
    exact = device.probabilities(made, weights, angles)
    fitted = surrogate.fit(made, weights, device)
    error = float((fitted.probabilities(angles) - exact).abs().max())
    counts = counted(device, made, weights, angles[0], SHOTS)
    agreement = chi_square(counts, exact[0])
    ideal = devices.get("default.qubit").probabilities(made, weights, angles[:1])[0]
    for name, value in (("surrogate", error), ("max_error", fitted.max_error), ("p_value", agreement)):
        record_property(name, value)
    assert error < EXACT
    assert fitted.max_error < EXACT
    assert agreement > LEVEL
    assert chi_square(counts, ideal) < LEVEL  # the counts would tell the ideal device


@pytest.mark.parametrize("machine", ["fake_guadalupe", "by numbers"])
def test_a_tenth_more_noise_would_be_seen(machine: str) -> None:
    made = circuits.get("vqc1", 4)
    device = devices.get("qiskit.aer", **(NUMBERS if machine == "by numbers" else {"noise": machine}))
    weights, angles = inputs(made)
    counts = counted(device, made, weights, angles[0], SHOTS)
    nearly = device.model_copy(update={"noise_scale": 1.1}).probabilities(made, weights, angles[:1])[0]
    assert chi_square(counts, device.probabilities(made, weights, angles[:1])[0]) > LEVEL > chi_square(counts, nearly)
