"""A user's own PennyLane device, as a class or as a function that makes one: tried, fitted and run like any other."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import devices, surrogate
from hqc_ray.errors import DeviceError
from hqc_ray.quantum.circuits.ir import Angle, Weight
from hqc_ray.quantum.cores.native import Native
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.study import trial


class Plain(qml.devices.DefaultQubit):
    """Ideal."""


class Bare(qml.devices.Device):
    """Only what PennyLane asks of a device; it has no idea of batches."""

    def execute(self, circuits: Any, execution_config: Any = None) -> Any:
        inner = qml.device("default.qubit", wires=self.wires)
        assert all(tape.batch_size is None for tape in circuits)
        return tuple(inner.execute(tape) for tape in circuits)


def damped(n: int, p: float = 0.1) -> Any:
    """Noisy: amplitude damping after each gate of two wires."""
    model = qml.NoiseModel({qml.noise.op_in(["CNOT", "CZ", "CRX", "CRZ"]): _damp}, p=p)
    return qml.add_noise(qml.device("default.mixed", wires=n), model)


def _damp(op: Any, p: float = 0.0, **_: Any) -> None:
    for wire in op.wires:
        qml.AmplitudeDamping(p, wires=wire)


def nothing(n: int) -> None:
    """Gives no device."""


def fails(n: int) -> Any:
    raise OSError(f"no lab for {n} wires")


def qutrits(n: int) -> Any:
    return qml.device("default.gaussian", wires=n)


@pytest.fixture(autouse=True)
def _module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("their_devices")
    vars(module).update({f.__name__: f for f in (Plain, Bare, damped, nothing, fails, qutrits)}, number=5, Text=str)
    monkeypatch.setitem(sys.modules, "their_devices", module)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [("Plain", {}, "ideal"), ("Bare", {}, "ideal"), ("damped", {"options": {"p": 0.2}}, "noisy")],
)
def test_it_is_tried_fitted_and_run_natively(name: str, options: dict[str, Any], kind: str) -> None:
    device, circuit = devices.get(f"their_devices:{name}", **options), asymmetric()
    trial.tried(f"their_devices:{name}", device, circuit)
    trial.fits(f"their_devices:{name}", device)
    assert device.kind == kind
    assert device.label == f"their_devices:{name}" + ("[p=0.2]" if options else "")
    weights, angles = inputs(circuit, batch=2)
    fitted = surrogate.fit(circuit, weights, device)
    native = Native(circuit, weights, device)(angles)
    assert fitted.max_error < 1e-8
    torch.testing.assert_close(fitted(angles), native, atol=1e-8, rtol=0)
    same = devices.get(f"their_devices:{name}", **device.model_dump(mode="json"))  # as a planned sweep has it
    assert same == device


def test_its_noise_is_that_of_pennylane_itself() -> None:
    circuit, (weights, angles) = asymmetric(), inputs(asymmetric(), batch=2)
    found = devices.get("their_devices:damped", options={"p": 0.2}).probabilities(circuit, weights, angles)

    @qml.qnode(qml.device("default.mixed", wires=3))
    def by_hand(row: Any) -> Any:
        for gate in circuit.gates:
            values = [
                row[p.index] if isinstance(p, Angle) else p.of(weights[p.index]) if isinstance(p, Weight) else p
                for p in gate.parameters
            ]
            operation = getattr(qml, gate.name)(*map(float, values), wires=gate.wires)
            if len(gate.wires) == 2:
                _damp(operation, 0.2)
        return qml.probs(wires=range(3))

    np.testing.assert_allclose(found, [by_hand(row) for row in angles], atol=1e-10)


def test_shots_are_its_own() -> None:
    circuit, (weights, angles) = asymmetric(), inputs(asymmetric(), batch=2)
    device = devices.get("their_devices:Plain", shots=100)
    found = device.probabilities(circuit, weights, angles).numpy() * 100
    np.testing.assert_allclose(found, found.round(), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: devices.get("their_devices:number"),
            "device 'their_devices:number': is not a subclass of .*a device class of PennyLane's",
        ),
        (lambda: devices.get("their_devices:Text"), "device 'their_devices:Text': is not a subclass of"),
        (lambda: devices.get("their_devices:damped", p=0.1), "device 'their_devices:damped': unknown option 'p' .*options="),
        (lambda: devices.get("pennylane", plugin="their_devices:damped"), "is no plugin .*valid: name: their_devices:damped"),
        (lambda: _tried("nothing"), "'their_devices:nothing': gives NoneType .*valid: a device of PennyLane's"),
        (lambda: _tried("fails"), r"cannot open .*'their_devices:fails': OSError: no lab for 3 wires \(.*test_users_devices.py"),
        (lambda: _tried("qutrits"), r"Gate RX not supported on device default.gaussian \(.*test_users_devices.py, line \d+\)"),
        (
            lambda: _tried("damped", options={"q": 1}),
            rf"cannot open .*unexpected keyword argument 'q' \(.*test_users_devices.py, line {damped.__code__.co_firstlineno}\)",
        ),
        (lambda: trial.tried("default.gaussian", devices.get("default.gaussian"), asymmetric()), "default.gaussian"),
    ],
)
def test_what_is_no_device_of_qubits_is_refused_in_one_line(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(DeviceError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def _tried(name: str, **options: Any) -> Device:
    device = devices.get(f"their_devices:{name}", **options)
    trial.tried(f"their_devices:{name}", device, asymmetric())
    return device
