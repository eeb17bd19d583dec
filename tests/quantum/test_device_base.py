"""What the base class of devices does for all of them: names, streams of shots, grids, facts, refusals in one line."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from quantum_cases import AXIS, asymmetric, inputs

from hqc_ray import circuits, devices
from hqc_ray.errors import CircuitError, DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.devices import parity, qiskit
from hqc_ray.quantum.devices.device import Device, combinations
from hqc_ray.quantum.devices.facts import CompiledFacts
from hqc_ray.quantum.ideal.simulate import Program
from hqc_ray.seeds import stream


class Slanted(Device):
    """A user's own: outcome k has a probability that grows with k and with the first angle; it counts its calls."""

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"slope": 0.2},)
    calls: ClassVar[list[int]] = []
    slope: float = 0.5
    mood: str = "calm"

    def run(self, circuit: Circuit, weights: np.ndarray, angles: np.ndarray) -> np.ndarray:
        self.calls.append(len(angles))
        rising = 1 + self.slope * np.arange(2**circuit.n_qubits) * (1.5 + np.sin(angles[:, :1]))
        return np.asarray(rising / rising.sum(1, keepdims=True))

    def _tags(self) -> list[str]:
        return [self.mood] if self.mood != "calm" else []

    def check(self, circuit: Circuit) -> None:
        if circuit.n_qubits > 3:
            raise DeviceError("too wide", where="slanted", valid="3 qubits")


class Unfinished(Device):
    """Does not say how it runs."""


@pytest.fixture(autouse=True)
def _users_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("slanted_devices")
    vars(module).update(Slanted=Slanted, Unfinished=Unfinished, Other=int)
    monkeypatch.setitem(sys.modules, "slanted_devices", module)
    Slanted.calls.clear()


def slanted(**options: Any) -> Device:
    return devices.get("slanted_devices:Slanted", **options)


def test_a_label_shows_tags_then_shots_then_seed_and_only_what_differs() -> None:
    assert slanted().label == "Slanted"  # without a name, the class has one
    assert slanted().title == "Slanted"
    assert slanted(mood="wild", shots=64, seed=5).label == "Slanted[wild,shots=64,seed=5]"
    assert slanted(seed=5).label == "Slanted[seed=5]"
    assert slanted(shots=64, seed=5).exact().label == "Slanted[seed=5]"
    assert devices.get("default.mixed", options={"readout_prob": 0.1}, shots=8).label == "default.mixed[readout_prob=0.1,shots=8]"


def test_a_draw_is_the_stream_of_its_number_and_keeps_every_other_option() -> None:
    device = slanted(mood="wild", shots=64, seed=5)
    assert device.drawn(3) == device.model_copy(update={"seed": stream(5, "draw", 3)})
    assert len({device.drawn(k).seed for k in range(50)}) == 50


def test_samples_depend_on_seed_circuit_weights_and_angles_and_on_nothing_else() -> None:
    circuit, (weights, angles) = asymmetric(), inputs(asymmetric(), batch=3)
    angles[2] = angles[0]
    device = slanted(shots=500, seed=1)
    found = device.probabilities(circuit, weights, angles)
    assert torch.equal(found[0], found[2])  # equal circuits, equal samples
    assert not torch.equal(found[0], found[1])
    renamed = Circuit("another", 3, "rx", 1, circuit.n_weights, circuit.gates)
    assert torch.equal(device.probabilities(renamed, weights, angles), found)
    moved = weights.clone()
    moved[4] += 1e-9  # `run` does not use them
    longer = Circuit("longer", 3, "rx", 1, circuit.n_weights, (*circuit.gates, Gate("H", (0,))))
    for other in ((circuit, moved), (longer, weights)):
        assert not torch.equal(device.probabilities(*other, angles), found)
    exact = device.exact().probabilities(circuit, weights, angles)
    many = torch.stack([device.drawn(k).probabilities(circuit, weights, angles)[1] for k in range(200)])
    error = (exact[1] * (1 - exact[1]) / 500).sqrt()
    torch.testing.assert_close(many.std(0) / error, torch.ones(8, dtype=torch.float64), atol=0.2, rtol=0)
    assert ((many.mean(0) - exact[1]) / error * 200**0.5).abs().max() < 4


def test_expectations_weigh_each_outcome_by_the_bits_of_its_wires() -> None:
    circuit, (weights, angles) = asymmetric(), inputs(asymmetric(), batch=3)
    probabilities = slanted().probabilities(circuit, weights, angles)
    slow = torch.zeros(3, 3, dtype=torch.float64)
    for outcome in range(8):
        for wire, bit in enumerate(format(outcome, "03b")):
            slow[:, wire] += (1 if bit == "0" else -1) * probabilities[:, outcome]
    torch.testing.assert_close(slanted().expectations(circuit, weights, angles), slow, atol=1e-14, rtol=0)


def test_a_grid_has_angle_0_slowest_and_is_one_call() -> None:
    circuit, (weights, _) = asymmetric(), inputs(asymmetric())
    table = slanted().tabulate(circuit, weights.numpy(), AXIS)
    assert Slanted.calls == [27]
    slow = [slanted().run(circuit, weights.numpy(), np.array([[a, b, c]]))[0] for a in AXIS for b in AXIS for c in AXIS]
    np.testing.assert_array_equal(table, slow)
    np.testing.assert_array_equal(combinations(np.array([7.0, 8.0]), 2), [[7, 7], [7, 8], [8, 7], [8, 8]])


def test_its_own_refusal_comes_before_anything_runs() -> None:
    wide = circuits.get("sim1", 4)
    for call in (
        slanted().prepare,
        lambda c: slanted().probabilities(c, *inputs(c)),
        lambda c: slanted().check_input(c, *inputs(c)),
    ):
        with pytest.raises(DeviceError, match=r"^slanted: too wide \(valid: 3 qubits\)$"):
            call(wide)
    with pytest.raises(CircuitError, match=r"angles of shape \[\] .*\[B, 3\]"):
        slanted().probabilities(asymmetric(), inputs(asymmetric())[0], torch.tensor(1.0))
    assert Slanted.calls == []
    assert slanted().n_jobs(100) == 0
    assert slanted().noisy_program(asymmetric()) is None


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("Unfinished", {}, "device 'slanted_devices:Unfinished': does not define run"),
        ("Other", {}, "device 'slanted_devices:Other': is not a subclass of hqc_ray.quantum.devices.Device"),
        ("Missing", {}, "cannot import device 'slanted_devices:Missing': AttributeError"),
        ("Slanted", {"slop": 1}, "unknown option 'slop'; did you mean 'slope'? (valid: shots=None, seed=0, slope=0.5, mood="),
        ("Slanted", {"slope": "steep"}, "slope: device 'slanted_devices:Slanted': Input should be a valid number"),
        ("Slanted", {"shots": 0}, "shots: device 'slanted_devices:Slanted': Input should be greater than or equal to 1, not 0"),
    ],
)
def test_a_users_class_that_cannot_be_used_is_refused_in_one_line(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(says)) as caught:
        devices.get(f"slanted_devices:{name}", **options)
    assert "\n" not in str(caught.value)


def test_its_look_and_its_kind_come_from_running_it() -> None:
    assert slanted().look() == ""
    assert slanted().kind == "noisy"
    asked = len(Slanted.calls)
    assert slanted(shots=3).kind == "noisy"  # that of its exact twin, which was compared already
    assert len(Slanted.calls) == asked
    assert slanted(mood="wild").kind == "noisy"
    assert len(Slanted.calls) == asked + 1
    weights, angles = parity.inputs()
    far = (
        (slanted().probabilities(parity.asymmetric(), weights, angles) - Program(parity.asymmetric())(weights, angles))
        .abs()
        .max()
    )
    assert parity.deviation(slanted()) == pytest.approx(float(far))


def test_facts_of_a_circuit_as_written_count_its_longest_path_and_survive_json() -> None:
    gates = [
        Gate(
            "RX",
            (w,),
            (
                Angle(
                    w,
                ),
            ),
        )
        for w in range(4)
    ]
    gates += [Gate("CNOT", (0, 1)), Gate("CRX", (1, 2), (Weight(0),)), Gate("H", (2,)), Gate("H", (3,)), Gate("CZ", (3, 0))]
    facts = slanted().facts(Circuit("path", 4, "rx", 1, 1, tuple(gates)))
    assert facts == CompiledFacts(qubits=4, gates=9, two_qubit_gates=3, depth=4)  # RX, CNOT, CRX, H
    compiled = devices.get("qiskit.aer", noise="fake_manila").facts(asymmetric())
    for one in (facts, compiled):
        assert CompiledFacts.recorded(json.loads(json.dumps(asdict(one)))) == one
    assert slanted().executed(asymmetric(), inputs(asymmetric())[0]) == slanted().facts(asymmetric())


@pytest.mark.parametrize("backend", [None, "fake_manila"])
def test_a_compiled_circuit_is_the_written_one_on_its_layout(backend: str | None) -> None:
    """By Qiskit's state vector of the bound circuit, without any simulator of ours or Aer's."""
    from qiskit.quantum_info import Statevector

    from hqc_ray.quantum.noise import machines

    circuit, (weights, angles) = asymmetric(), inputs(asymmetric(), batch=2)
    made = qiskit.compiled(circuit, None if backend is None else machines.backend(backend), 1, 0)
    assert "measure" not in made.gates.count_ops()
    assert made.measured.count_ops()["measure"] == 3
    expected = Program(circuit)(weights, angles)
    for row, exact in zip(angles, expected, strict=True):
        values = {made.angles[wire]: float(value) for wire, value in enumerate(row)}
        state = Statevector(made.bound(weights.numpy()).assign_parameters(values, strict=False))
        np.testing.assert_allclose(state.probabilities(made.layout[::-1]), exact, atol=1e-12)
    clbits = {made.measured.find_bit(s.clbits[0]).index: made.measured.find_bit(s.qubits[0]).index
              for s in made.measured.data if s.operation.name == "measure"}  # fmt: skip
    assert [clbits[wire] for wire in range(3)] == made.layout
    facts = made.facts()
    assert (facts.gates, facts.noisy_gates, facts.noisy_readouts) == (sum(made.gates.count_ops().values()), 0, 0)
    assert facts.two_qubit_gates == made.gates.count_ops()["cx"]


class Tilted(Slanted):
    """Without a word about its label."""

    name = "tilted"
    _tags = Device._tags


def test_a_users_options_are_in_the_label_where_they_differ_from_their_defaults() -> None:
    assert Tilted(slope=0.5).label == "tilted"
    labels = {Tilted(slope=slope, shots=5, seed=1).label for slope in (0.1, 0.2)}
    assert labels == {"tilted[slope=0.1,shots=5,seed=1]", "tilted[slope=0.2,shots=5,seed=1]"}
