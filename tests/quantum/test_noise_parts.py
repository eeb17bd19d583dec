"""What noise is made of: readout, gates that carry errors, names of machines, channels by numbers; and what is installed."""

from __future__ import annotations

import itertools
import math
import re
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
import torch

from hqc_ray import circuits, devices
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.guard import LENGTH
from hqc_ray.quantum.devices import parity
from hqc_ray.quantum.devices.pennylane import PACKAGES, plugin_names
from hqc_ray.quantum.noise import machines, shipped
from hqc_ray.quantum.noise.base import Noise, positions, require
from hqc_ray.quantum.noise.parametric import NoiseOptions
from hqc_ray.quantum.study import catalogue, inventory, trial


class Flips(Noise):
    """Another assignment matrix on each qubit; an error after x, and after cx in one direction."""

    matrices: dict[int, Any] = {4: [[0.9, 0.1], [0.3, 0.7]], 0: [[0.8, 0.2], [0.05, 0.95]]}  # noqa: RUF012

    def error(self, gate: str, qubits: tuple[int, ...]) -> Any:
        from qiskit_aer.noise import depolarizing_error

        return depolarizing_error(0.1, len(qubits)) if (gate, qubits) in (("x", (2,)), ("cx", (2, 0))) else None

    def assignment(self, qubit: int) -> np.ndarray | None:
        return np.array(self.matrices[qubit]) if qubit in self.matrices else None

    def check(self, compiled: Any) -> None:
        pass


def test_readout_sums_over_what_was_there_for_what_is_read() -> None:
    given, layout = np.random.default_rng(0).dirichlet(np.ones(8), size=5), [4, 2, 0]
    expected = np.zeros((5, 8))
    for true, read in itertools.product(itertools.product((0, 1), repeat=3), repeat=2):
        chance = 1.0
        for wire, qubit in enumerate(layout):
            matrix = Flips.matrices.get(qubit, np.eye(2))
            chance *= matrix[true[wire]][read[wire]]
        expected[:, int("".join(map(str, read)), 2)] += chance * given[:, int("".join(map(str, true)), 2)]
    np.testing.assert_allclose(Flips().read(given, layout), expected, atol=1e-15)
    np.testing.assert_array_equal(Flips().read(given, [1, 2, 3]), given)


def test_gates_that_carry_an_error_are_told_by_name_and_qubits() -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(3)
    circuit.x(2)
    circuit.x(1)
    circuit.cx(0, 2)
    circuit.cx(2, 0)
    circuit.x(2)
    assert [positions(circuit, step) for step in circuit.data] == [(2,), (1,), (0, 2), (2, 0), (2,)]
    assert Flips().noisy_gates(circuit) == [("x", (2,)), ("cx", (2, 0)), ("x", (2,))]
    model = Flips().model(circuit)
    assert {gate: set(errors) for gate, errors in model._local_quantum_errors.items()} == {"x": {(2,)}, "cx": {(2, 0)}}
    assert model.basis_gates == ["cx", "x"]


def test_a_module_that_is_missing_is_named_with_its_package() -> None:
    assert require("json", "json").__name__ == "json"
    with pytest.raises(
        DeviceError, match=r"^device qiskit.aer: some-package is not installed: .*\(valid: pip install some-package\)$"
    ):
        require("no_such_module_at_all", "some-package")


def test_machines_are_known_by_their_plain_names_and_near_ones_are_listed() -> None:
    known = machines.known()
    assert not {"providerforbackend", "fractionalbackend"} & set(known)
    assert all(re.fullmatch(r"[a-z0-9]+", key) for key in known)
    assert inventory.backends() == sorted(f"fake_{key}" for key in known)
    assert machines.canonical("Guadalupe-V2") == "fake_guadalupe"
    assert machines.backend("fake_guadalupe").num_qubits == 16
    assert machines.machine("fake_manila", 0.5) is machines.machine("fake_manila", 0.5)
    with pytest.raises(
        DeviceError, match=r"noise: unknown fake backend 'guadelupe'; did you mean 'fake_guadalupe'\? \(valid: "
    ) as told:
        machines.canonical("guadelupe")
    assert told.value.valid.startswith("fake_guadalupe, ")
    assert told.value.valid.endswith("...; a snapshot's FILE.json, your own package.module:callable, aqt:NAME, iqm:NAME")
    with pytest.raises(DeviceError, match=r"unknown fake backend 'xyzzy' \(valid: fake_algiers, .*, \.\.\.\)$"):
        machines.fake("xyzzy")  # like none


def kraus_of(options: NoiseOptions, gate: str, qubits: tuple[int, ...]) -> np.ndarray:
    noise = options.noise_model()
    assert noise is not None
    return np.asarray(noise.error(gate, qubits).to_quantumchannel().data)


def test_thermal_relaxation_by_numbers_is_the_decay_of_its_times() -> None:
    """|1> decays by T1 and a coherence by T2, during the gate's own duration; the scale divides both times."""
    times = {"t1_us": 50.0, "t2_us": 30.0, "gate_time_1q_ns": 100.0, "gate_time_2q_ns": 400.0}
    for scale, (gate, duration) in itertools.product((1.0, 2.5), (("sx", 0.1), ("cx", 0.4))):
        qubits = (0,) if gate == "sx" else (0, 1)
        channel = kraus_of(NoiseOptions(**times, noise_scale=scale), gate, qubits)  # on density matrices, columns stacked
        size = 2 ** len(qubits)
        one = np.zeros((size, size))
        one[size - 1, size - 1] = 1
        after = (channel @ one.reshape(-1, order="F")).reshape(size, size, order="F")
        assert after[-1, -1].real == pytest.approx(math.exp(-scale * duration / 50) ** len(qubits), abs=1e-9)
        tilted = np.full((size, size), 1 / size)
        after = (channel @ tilted.reshape(-1, order="F")).reshape(size, size, order="F")
        assert after[0, 1].real * size / 2 ** (len(qubits) - 1) == pytest.approx(
            math.exp(-scale * duration / 30) * (1 if len(qubits) == 1 else (2 - math.exp(-scale * duration / 50)) / 2), abs=1e-9
        )


def test_what_is_declared_and_what_is_left_of_it() -> None:
    assert not NoiseOptions().noisy
    for silent in ({}, {"depolarizing_1q": 0.0, "readout_01": 0.0}, {"depolarizing_1q": 0.5, "noise_scale": 0}):
        assert NoiseOptions(**silent).noise_model() is None
    zero = NoiseOptions(depolarizing_1q=0.0)
    assert (zero.noisy, zero.numbers, zero.changed) == (True, {"depolarizing_1q": 0.0}, {"depolarizing_1q": 0.0})
    scaled = NoiseOptions(readout_10=0.2, gate_time_1q_ns=35, noise_scale=0.5)
    assert scaled.changed == {"noise_scale": 0.5, "readout_10": 0.2}
    noise = scaled.noise_model()
    assert noise is scaled.model_copy().noise_model()  # derived once
    assert noise is not None
    np.testing.assert_allclose(noise.assignment(7), [[1, 0], [0.1, 0.9]])
    assert [noise.error(gate, (0,)) for gate in ("sx", "x", "rz")] == [None] * 3
    both = NoiseOptions(depolarizing_1q=0.1, depolarizing_2q=0.2).noise_model()
    assert both is not None
    assert both.error("rz", (0,)) is None
    assert both.assignment(0) is None
    for gate, qubits, p in (("x", (3,), 0.1), ("cx", (2, 5), 0.2)):
        channel = np.asarray(both.error(gate, qubits).to_quantumchannel().data)
        size = 2 ** len(qubits)
        mixed = np.outer(np.eye(size).reshape(-1), np.eye(size).reshape(-1)) / size  # leaves nothing but I / size
        np.testing.assert_allclose(channel, (1 - p) * np.eye(size**2) + p * mixed, atol=1e-12)


# what is known of circuits and devices


def test_a_catalogue_needs_pairs_and_says_where_a_machine_is_too_small() -> None:
    with pytest.raises(CircuitError, match=r"9 pairs of states \(valid: 10 or more; 5000 is usual\)"):
        catalogue.row(circuits.get("sim1", 2), pairs=9)
    found = catalogue.row(circuits.get("sim9", 2), ["fake_armonk", "fake_manila"], pairs=10)
    assert found.compiled["fake_armonk"] is None  # one qubit
    assert found.compiled["fake_manila"] == catalogue.machine("fake_manila").facts(circuits.get("sim9", 2))
    assert (found.reported, found.dead_inputs) == (None, (0, 1))
    with pytest.raises(DeviceError, match="unknown fake backend 'fake_none'"):
        catalogue.row(circuits.get("sim1", 2), ["fake_none"], pairs=10)


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> dict[str, inventory.Found]:
    def version(package: str) -> str:
        if package in missing:
            raise PackageNotFoundError(package)
        return "1.2.3"

    monkeypatch.setattr(inventory, "version", version)
    return {found.name: found for found in inventory.installed()}


def test_a_device_whose_second_package_is_missing_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = without(monkeypatch, "qiskit", "pennylane-lightning")
    assert found["qiskit.aer"] == inventory.Found("qiskit.aer", "", False, "pip install qiskit-aer qiskit")
    assert found["lightning.qubit"] == inventory.Found("lightning.qubit", "", False, "pip install pennylane-lightning")
    assert (found["default.qubit"].version, found["default.qubit"].usable, found["default.qubit"].checkable) == (
        "1.2.3",
        True,
        True,
    )
    assert "pennylane" not in found  # it is how the others are opened


def test_a_device_that_does_not_open_says_why_in_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> str:
        raise OSError("no driver\n" + "x" * 500)

    monkeypatch.setattr(devices.DEVICES["default.qubit"], "look", look)
    found = without(monkeypatch)["default.qubit"]
    assert (found.usable, found.checkable, found.version) == (False, False, "1.2.3")
    assert found.note.startswith("no driver xxx")
    assert len(found.note) == LENGTH


def test_without_the_runtime_there_are_no_fake_backends_and_aer_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def known() -> dict[str, type]:
        raise DeviceError("not installed")

    monkeypatch.setattr(machines, "known", known)
    monkeypatch.setattr(shipped, "sizes", dict)
    assert inventory.backends() == []
    assert devices.DEVICES["qiskit.aer"].look() == "fake backends: pip install qiskit-ibm-runtime"


SHIPPED = [name for name in plugin_names() if name.startswith(("default.", "null.", "reference.", "qiskit."))]  # with PennyLane


@pytest.mark.parametrize("name", sorted({*SHIPPED} - devices.DEVICES.keys() - PACKAGES.keys()))
def test_other_plugins_that_are_listed_are_those_that_a_plan_accepts(name: str) -> None:
    def tried() -> None:
        trial.tried(name, devices.get(name), parity.asymmetric())

    if name in inventory.others():
        tried()
    else:
        with pytest.raises(DeviceError):
            tried()


def test_other_plugins_are_those_that_nobody_else_lists_and_probabilities_are_of_the_options() -> None:
    assert "reference.qubit" in inventory.others()
    assert not set(inventory.others()) & {*devices.DEVICES, "default.mixed", "lightning.gpu"}
    noisy = inventory.probabilities("qiskit.aer", {"readout_01": 0.1}, seed=3)
    device = devices.get("qiskit.aer", readout_01=0.1)
    assert torch.equal(noisy, device.probabilities(parity.asymmetric(), *parity.inputs(3)))
    assert (noisy - inventory.probabilities("qiskit.aer", seed=3)).abs().max() > 1e-2
