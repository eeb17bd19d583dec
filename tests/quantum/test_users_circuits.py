"""A user's own circuit: what is built is what is trained, run, written down and drawn, or it is refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits.ir import Angle, Builder, Circuit, Gate, Weight
from hqc_ray.quantum.ideal.layer import CircuitLayer

RNG = np.random.default_rng(0)


def reversed_embedding(b: Builder) -> None:
    n = b.n_qubits
    b.gates[:] = [Gate("RX", (n - 1 - wire,), (Angle(wire),)) for wire in range(n)]
    b.every("RY")


def gates_before(b: Builder) -> None:
    for wire in range(b.n_qubits):
        b.gates.insert(wire, Gate("H", (wire,)))
    b.every("RY")


def forgets_uploads(b: Builder) -> None:
    if len(b.gates) > 2 * b.n_qubits:
        del b.gates[-b.n_qubits :]
    b.every("RY")


def draws(b: Builder) -> None:
    for _ in range(12):
        b.add(RNG.choice(["RX", "RY", "RZ"]), int(RNG.integers(b.n_qubits)))


def own_embedding(b: Builder) -> None:
    """Two gates per angle, wires exchanged, and a weight before the first of them."""
    b.add("RX", 0)
    for wire in range(b.n_qubits):
        b.gates += [Gate("RY", (b.n_qubits - 1 - wire,), (Angle(wire),)), Gate("RZ", (wire,), (Angle(wire),))]
    b.every("RX")
    b.add("CNOT", 0, 1)


def numbers(b: Builder) -> None:
    b.every("RY", wires=np.arange(b.n_qubits))
    b.gates += [Gate("CNOT", [np.int64(0), 1]), Gate("RX", [0], [np.float32(0.5)]), Gate("RX", (1,), (1,))]


USERS = {f.__name__: f for f in (reversed_embedding, gates_before, forgets_uploads, draws, own_embedding, numbers)}
USERS |= {
    "nothing": lambda b: None,
    "entangles": lambda b: b.add("CNOT", 0, 1),
    "nan": lambda b: b.gates.append(Gate("RX", (0,), (float("nan"),))),
    "text": lambda b: b.gates.append("RX"),
    "tensor": lambda b: b.gates.append(Gate("RX", (0,), (torch.ones(1),))),
    "keyword": lambda b: b.add("RX", wires=0),
    "listed": lambda b: b.add("CNOT", [0, 1]),
    "off": lambda b: b.add("CNOT", 0, 7),
}


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Circuit]:
    module = types.ModuleType("their_circuits")
    vars(module).update(USERS)
    monkeypatch.setitem(sys.modules, "their_circuits", module)
    return lambda name, **options: circuits.get(f"their_circuits:{name}", **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("reversed_embedding", {}, "changes gates that were there before it: the embedding 'rx'.*embedding: own"),
        ("gates_before", {"embedding": "ry"}, "changes gates that were there before it"),
        ("forgets_uploads", {"reuploads": 2}, "changes gates that were there before it"),
        ("draws", {}, "adds other gates when it is called again"),
        ("nothing", {}, "adds no gate with a weight"),
        ("entangles", {}, "adds no gate with a weight"),
        ("nan", {}, "nan in RX .*finite radians"),
        ("text", {}, "str among the gates"),
        ("tensor", {}, r"tensor\(\[1.\]\) in RX"),
        ("keyword", {}, "TypeError: .*unexpected keyword argument 'wires'"),
        ("listed", {}, "TypeError: 'list' object"),
        ("off", {}, r"CNOT on wires \(0, 7\).*2 different wires below 4"),
    ],
)
def test_what_is_refused(get: Callable[..., Circuit], name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(CircuitError, match=message) as caught:
        get(name, **options)
    assert "test_users_circuits.py, line " in str(caught.value)


@pytest.mark.parametrize("n_qubits", [2, 3])
@pytest.mark.parametrize("batch", [3, 20])
@pytest.mark.parametrize("reuploads", [1, 2])
def test_an_embedding_of_ones_own_is_trained_as_devices_run_it(
    get: Callable[..., Circuit], n_qubits: int, batch: int, reuploads: int
) -> None:
    circuit = get("own_embedding", n_qubits=n_qubits, embedding="own", reuploads=reuploads)
    generator = torch.Generator().manual_seed(0)
    layer = CircuitLayer(circuit, generator)
    angles = 3 * torch.rand(batch, n_qubits, dtype=torch.float64, generator=generator)
    weights, expected = layer.weights.detach(), layer(angles).detach()
    for name, options in (("default.qubit", {}), ("lightning.qubit", {}), ("qiskit.aer", {})):
        found = devices.get(name, **options).expectations(circuit, weights, angles)
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert (circuit.embedding, circuit.degree, circuit.n_embedding_gates) == ("own", 2 * reuploads, 0)
    if reuploads == 1:
        assert surrogate.fit(circuit, weights, devices.get("qiskit.aer", noise="fake_manila")).max_error < 1e-8
        torch.testing.assert_close(surrogate.fit(circuit, weights, devices.get("default.qubit"))(angles), expected)


def test_numbers_of_numpy_are_pythons_own(get: Callable[..., Circuit]) -> None:
    circuit = get("numbers", n_qubits=2)
    assert repr(circuit.gates[-3:]) == repr((Gate("CNOT", (0, 1)), Gate("RX", (0,), (0.5,)), Gate("RX", (1,), (1.0,))))
    assert {type(wire) for gate in circuit.gates for wire in gate.wires} == {int}


RX = tuple(Gate("RX", (wire,), (Angle(wire),)) for wire in range(2))
RY = tuple(Gate("RY", (wire,), (Weight(wire),)) for wire in range(2))


@pytest.mark.parametrize(
    ("gates", "options", "message"),
    [
        (RX[::-1] + RY, {}, "do not begin with the embedding 'rx' that it declares"),
        (RX + RY, {"embedding": "ry"}, "do not begin with the embedding 'ry'"),
        (RX[:1] + RY, {}, "do not begin with the embedding 'rx'"),
        (RX + RY + RX[::-1], {"reuploads": 2}, "do not begin with, and hold 2 times, the embedding 'rx'"),
        (RX + RY, {"readout": "x"}, "do not end with the readout 'x' that it declares"),
        (RX + RY, {"readout": "w"}, "unknown readout 'w'"),
        (RX + RY, {"embedding": "rz"}, "unknown embedding 'rz'"),
    ],
)
def test_a_circuit_by_hand_is_what_it_declares(gates: tuple[Gate, ...], options: dict[str, object], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Circuit("by hand", 2, **{"embedding": "rx", "layers": 1, "n_weights": 2, "gates": gates, **options})


def test_a_circuit_by_hand_that_is_what_it_declares() -> None:
    again = (*RX, *RY, *RX, Gate("CNOT", (0, 1)))
    assert Circuit("by hand", 2, "rx", 1, 2, again, reuploads=2).degree == 2
    assert Circuit("by hand", 2, "own", 1, 2, (*RX[::-1], *RY)).n_embedding_gates == 0
