"""`layout: best`: the qubits where a circuit is least likely to fail, found by brute force as well."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

import machine_cases
import numpy as np
import pytest
import torch
from noise_cases import chi_square, counted, uniform_angles
from qiskit.circuit import Measure
from qiskit.circuit.library import CZGate, SXGate
from qiskit.transpiler import InstructionProperties, Target

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.devices import layouts, qiskit
from hqc_ray.quantum.devices.layouts import Uses
from hqc_ray.quantum.noise import machines
from hqc_ray.quantum.noise.base import positions


def grid(errors: np.random.Generator | None, couplings: list[tuple[int, int]], n: int) -> machines.Calibrated:
    """A machine with random errors, or with the same everywhere."""
    draw = (lambda: float(errors.uniform(0.001, 0.05))) if errors else (lambda: 0.01)
    target = Target(num_qubits=n)
    target.add_instruction(SXGate(), {(q,): InstructionProperties(error=draw()) for q in range(n)})
    target.add_instruction(CZGate(), {pair: InstructionProperties(error=draw()) for pair in couplings})
    target.add_instruction(Measure(), {(q,): InstructionProperties(error=draw()) for q in range(n)})
    return machines.noise_of(machine_cases.Machine(target))


def brute(uses: Uses, noise: machines.Calibrated) -> float:
    """The least probability that anything fails, over all places of all qubits."""
    target, least = noise.backend.target, 1.0
    for places in itertools.permutations(range(noise.backend.num_qubits), uses.n_qubits):
        survives = 1.0
        for (gate, on), n in [*uses.singles.items(), *uses.pairs.items()]:
            there = tuple(places[q] for q in on)
            known = target[gate].get(there) or target[gate].get(there[::-1])
            survives *= (1 - known.error) ** n if known else 0.0
        least = min(least, 1 - survives)
    return least


LINE = [(i, i + 1) for i in range(6)]
RING = [*LINE, (6, 0), (2, 5)]
USES = [
    Uses.chain(4, "cz"),
    Uses(3, {("sx", (0,)): 5, ("measure", (0,)): 1, ("measure", (2,)): 1}, {("cz", (0, 1)): 3, ("cz", (2, 1)): 1}),
    Uses(2, {("sx", (1,)): 9}, {}),
    Uses(4, {("measure", (0,)): 1}, {("cz", (0, 1)): 2, ("cz", (0, 2)): 1, ("cz", (0, 3)): 7}),  # a star
]


@pytest.mark.parametrize("uses", USES, ids=range(4))
@pytest.mark.parametrize("couplings", [RING, [(b, a) for a, b in RING], list(itertools.combinations(range(7), 2))], ids=range(3))
def test_the_best_place_is_that_of_brute_force(uses: Uses, couplings: list[tuple[int, int]]) -> None:
    for seed in range(3):
        noise = grid(np.random.default_rng(seed), couplings, 7)
        found = layouts.best(uses, noise)
        assert found is not None
        assert found[1] == pytest.approx(brute(uses, noise), rel=1e-9)
        assert len(set(found[0])) == uses.n_qubits


def test_of_equal_places_the_first_counts_and_a_machine_of_many_is_no_harder() -> None:
    everywhere = list(itertools.combinations(range(30), 2))
    found = layouts.best(Uses.chain(7, "cz"), grid(None, everywhere, 30))
    assert found is not None
    assert sorted(found[0]) == list(range(7))
    assert found[1] == pytest.approx(1 - 0.99**13)


def test_no_place() -> None:
    assert layouts.best(USES[3], grid(None, LINE, 7)) is None  # a star on a line
    assert layouts.best(Uses.chain(8, "cz"), grid(None, LINE, 7)) is None
    assert layouts.best(Uses.chain(2, "ecr"), grid(None, LINE, 7)) is None


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    module = types.ModuleType("lab")
    vars(module).update(made_up=machine_cases.made_up, carrying=machine_cases.carrying)
    monkeypatch.setitem(sys.modules, "lab", module)
    yield module
    machines.backend.cache_clear()
    machines.machine.cache_clear()


def device(noise: str, layout: str = "best", **options: Any) -> devices.Device:
    return devices.get("qiskit.aer", noise=noise, layout=layout, **options)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("noise", ["fake_guadalupe", "lab:made_up", "fake_essex"])  # 16 qubits; one-way couplings; no measurement
def test_a_circuit_at_its_best_is_the_same_circuit(noise: str) -> None:
    circuit = circuits.get("vqc3", 3)
    weights = 6 * torch.rand(circuit.n_weights, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    angles, best, plain = uniform_angles(circuit, 1), device(noise), device(noise, "qiskit")
    ideal = devices.get("default.qubit").probabilities(circuit, weights, angles)
    found = best.without_noise(circuit, weights.numpy(), angles.numpy())
    np.testing.assert_allclose(found, ideal, atol=1e-9)
    noisy = best.probabilities(circuit, weights, angles)[0]
    assert surrogate.fit(circuit, weights, best).max_error < 1e-12
    if noise != "fake_essex":
        assert chi_square(counted(best, circuit, weights, angles[0], 20_000), noisy) > 1e-3  # type: ignore[arg-type]
    here, there = best.facts(circuit), plain.facts(circuit)
    assert here.expected_error is not None
    assert there.expected_error is not None
    assert 0 < here.expected_error <= there.expected_error + 1e-12
    compiled = best.compiled(circuit, weights)  # type: ignore[attr-defined]
    target = machines.backend(str(best.noise)).target  # type: ignore[attr-defined]
    for step in compiled.data:
        if step.operation.name != "measure":
            assert target.instruction_supported(step.operation.name, positions(compiled, step)), step
    read = {
        compiled.find_bit(s.clbits[0]).index: positions(compiled, s)[0] for s in compiled.data if s.operation.name == "measure"
    }
    assert here.layout == tuple(read[wire] for wire in range(3))


def test_the_expected_error_is_the_product_over_gates_and_readouts() -> None:
    circuit, there = circuits.get("vqc1", 4), device("fake_guadalupe", "qiskit")
    compiled = qiskit.compiled(circuit, machines.backend("fake_guadalupe"), 1, 0).measured
    target, survives = machines.backend("fake_guadalupe").target, 1.0
    for step in compiled.data:
        survives *= 1 - (target[step.operation.name][positions(compiled, step)].error or 0)
    assert there.facts(circuit).expected_error == pytest.approx(1 - survives, rel=1e-9)


def test_the_choice_is_made_anew_in_the_same_way_and_no_scale_changes_it() -> None:
    circuit = circuits.get("vqc6", 4)
    first = device("fake_guadalupe").facts(circuit)
    qiskit.compiled.cache_clear()
    assert device("fake_guadalupe").facts(circuit) == first
    assert device("fake_guadalupe", noise_scale=0.5).facts(circuit).layout == first.layout


def test_the_options_of_before_are_dumped_as_before() -> None:
    assert "layout" not in device("fake_manila", "qiskit").model_dump(mode="json")
    assert device("fake_manila").model_dump(mode="json")["layout"] == "best"
    assert device("fake_manila").label == "qiskit.aer[fake_manila,layout=best]"
    assert "layout" not in devices.get("ibm", backend="fake_manila").model_dump()
    assert devices.get("ibm", backend="fake_manila", layout="best").label == "ibm[fake_manila,layout=best,shots=4096]"


def test_the_runtimes_local_mode_measures_there() -> None:
    circuit, best = circuits.get("vqc1", 3), devices.get("ibm", backend="fake_guadalupe", layout="best", optimization_level=1)
    assert best.facts(circuit).layout == device("fake_guadalupe").facts(circuit).layout
    made = qiskit.compiled(circuit, machines.backend("fake_guadalupe"), 1, 0, machines.machine("fake_guadalupe"))
    assert [register.name for register in made.measured.cregs] == ["outcome"]  # by which results are found


def test_best_qubits_without_a_machine() -> None:
    for options in ({}, {"depolarizing_1q": 0.1}):
        with pytest.raises(DeviceError, match="layout: the best qubits of no machine"):
            devices.get("qiskit.aer", layout="best", **options)
    with pytest.raises(DeviceError, match=r"layout: .*Input should be 'qiskit' or 'best'"):
        devices.get("qiskit.aer", noise="fake_manila", layout="worst")
