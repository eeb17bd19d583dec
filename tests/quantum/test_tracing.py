"""A PennyLane function as a head: all engines compute what PennyLane itself computes when it runs the function."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits import drawing
from hqc_ray.quantum.circuits.ir import Circuit, Gate, Weight
from hqc_ray.quantum.circuits.tracing import traced
from hqc_ray.quantum.cores.noisy_layer import NoisyLayer
from hqc_ray.quantum.devices import shift
from hqc_ray.quantum.ideal.simulate import Program
from hqc_ray.quantum.ideal.states import states

Function = Callable[[Any, Any], None]
ANGLES = [  # operation of PennyLane's, its number of angles, its number of wires
    *((name, 1, 1) for name in ("RX", "RY", "RZ", "PhaseShift", "U1")), ("U2", 2, 1), ("U3", 3, 1), ("Rot", 3, 1),
    *((name, 1, 2) for name in ("CRX", "CRY", "CRZ", "ControlledPhaseShift", "IsingXX", "IsingYY", "IsingZZ", "IsingXY")),
    ("CRot", 3, 2), ("PSWAP", 1, 2), ("SingleExcitation", 1, 2), ("MultiRZ", 1, 3), ("DoubleExcitation", 1, 4),
]  # fmt: skip
FIXED = [
    *((name, 1) for name in ("Hadamard", "PauliX", "PauliY", "PauliZ", "S", "T", "SX", "Identity")),
    *((name, 2) for name in ("CNOT", "CY", "CZ", "CH", "SWAP", "ISWAP", "SISWAP", "ECR")),
    *((name, 3) for name in ("Toffoli", "CSWAP", "CCZ")),
]  # fmt: skip


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Circuit]:
    module = types.ModuleType("their_functions")
    monkeypatch.setitem(sys.modules, "their_functions", module)

    def made(found: Any, *given: Any, **options: Any) -> Circuit:
        vars(module)["f"] = found
        return circuits.get("their_functions:f", *given, **options)

    return made


def pennylane(function: Function, weights: np.ndarray, angles: np.ndarray, layers: int = 1) -> np.ndarray:
    """Probabilities [B, 2**Q] as PennyLane itself runs the function, behind an RX embedding; a layer for each row of weights."""
    n = angles.shape[1]

    @qml.qnode(qml.device("default.qubit", wires=n))
    def qnode(row: np.ndarray) -> Any:
        for wire in range(n):
            qml.RX(row[wire], wires=wire)
        for own in np.split(weights, layers):
            function(own, list(range(n)))
        return qml.probs(wires=range(n))

    return np.array([qnode(row) for row in angles])


def drawn(circuit: Circuit, batch: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(-3, 3, circuit.n_weights), random.uniform(-3, 3, (batch, circuit.n_qubits))


def same(function: Function, circuit: Circuit, seed: int = 0) -> None:
    """The trained layer, the state vectors and a device give PennyLane's own probabilities."""
    weights, angles = drawn(circuit, seed=seed)
    expected = pennylane(function, weights, angles)
    tensors = torch.from_numpy(weights), torch.from_numpy(angles)
    np.testing.assert_allclose(Program(circuit)(*tensors), expected, atol=1e-10)
    np.testing.assert_allclose(Program(circuit)(tensors[0], tensors[1].repeat(20, 1))[-len(angles) :], expected, atol=1e-10)
    np.testing.assert_allclose(np.abs(states(circuit, np.tile(weights, (3, 1)), angles)) ** 2, expected, atol=1e-10)
    np.testing.assert_allclose(devices.get("lightning.qubit").probabilities(circuit, *tensors), expected, atol=1e-10)


def one(name: str, n_angles: int, n_wires: int) -> Function:
    """Between mixing gates, so that the gate's phases matter; the last wire first, so that their order does."""

    def function(weights: Any, wires: Any) -> None:
        for wire in wires:
            qml.RY(weights[wire] + 0.3, wires=wire)
        getattr(qml, name)(*(weights[i] for i in range(n_angles)), wires=wires[-n_wires:][::-1])
        for wire in wires:
            qml.RX(-0.7 * weights[wire], wires=wire)

    return function


@pytest.mark.parametrize(("name", "n_angles", "n_wires"), [*ANGLES, *((name, 0, n) for name, n in FIXED)], ids=str)
def test_each_gate_is_what_pennylane_runs(get: Callable[..., Circuit], name: str, n_angles: int, n_wires: int) -> None:
    function = one(name, n_angles, n_wires)
    same(function, get(function, max(3, n_wires)))


def mixed(weights: Any, wires: Any) -> None:
    """Shared, scaled and shifted weights in gates of all kinds."""
    for wire, weight in zip(wires, weights, strict=False):
        qml.RY(weight, wires=wire)
    for control, target in zip(wires, [*wires[1:], wires[0]], strict=True):
        qml.CRX(np.pi * weights[3] - 1, wires=[control, target])
    qml.Rot(weights[0] / 2, 0.25, -weights[4], wires=wires[1])
    qml.IsingZZ(2 * weights[0], wires=wires[:2])
    qml.CRY(1.5 * weights[1], wires=wires[1:])
    qml.U3(weights[2], 3 * weights[2], weights[3] + 1, wires=wires[2])


def test_weights_that_several_gates_share_and_scale_are_traced(get: Callable[..., Circuit]) -> None:
    circuit = get(mixed, 3)
    assert circuit.n_weights == 5
    assert circuit.gates[3:6] == tuple(Gate("RY", (wire,), (Weight(wire),)) for wire in range(3))
    assert circuit.gates[6] == Gate("CRX", (0, 1), (Weight(3, 3.14159265359, -1.0),))
    assert Gate("RY", (1,), (0.25,)) in circuit.gates
    assert "RX(3.14w3-1)" in drawing.text(circuit)
    same(mixed, circuit)


def test_layers_and_uploads_take_fresh_weights(get: Callable[..., Circuit]) -> None:
    circuit = get(mixed, 3, layers=2)
    weights, angles = drawn(circuit)
    expected = pennylane(mixed, weights, angles, layers=2)
    np.testing.assert_allclose(Program(circuit)(torch.from_numpy(weights), torch.from_numpy(angles)), expected, atol=1e-10)
    assert (circuit.n_weights, get(mixed, 3, reuploads=2).n_weights) == (10, 10)


@pytest.mark.parametrize("reading", ["z", "y"])
def test_gradients_are_those_of_differences_and_the_same_in_every_engine(get: Callable[..., Circuit], reading: str) -> None:
    circuit = get(mixed, 3, readout=reading)
    weights, angles = (torch.from_numpy(value).requires_grad_() for value in drawn(circuit))
    direction = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    program = Program(circuit)
    torch.autograd.gradcheck(program, (weights, angles))
    expected = torch.autograd.grad((program(weights, angles) * direction).sum(), [weights, angles])
    for name in ("default.qubit", "qiskit.aer"):
        found = torch.autograd.grad(
            (devices.get(name).probabilities(circuit, weights, angles) * direction).sum(), [weights, angles]
        )
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


def test_under_noise_the_transfer_matrices_are_aers_and_so_are_their_gradients(get: Callable[..., Circuit]) -> None:
    circuit, device = get(mixed, 3), devices.get("qiskit.aer", noise="fake_manila")
    weights, angles = (torch.from_numpy(value) for value in drawn(circuit))
    fitted = surrogate.fit(circuit, weights, device)
    assert fitted.max_error < 1e-8
    layer = NoisyLayer(circuit, device, torch.Generator())
    layer.weights.data.copy_(weights)
    torch.testing.assert_close(layer(angles), device.expectations(circuit, weights, angles), atol=1e-8, rtol=0)
    (found,) = torch.autograd.grad(layer(angles).sum(), [layer.weights])
    weights.requires_grad_()
    (wanted,) = torch.autograd.grad(device.expectations(circuit, weights, angles).sum(), [weights])
    torch.testing.assert_close(found, wanted, atol=1e-8, rtol=0)


FACTOR = st.sampled_from([1.0, -1.0, 0.5, 2.0, 1.7])
TAKEN = st.tuples(st.integers(0, 3), FACTOR, st.sampled_from([0, 0.3]))  # weight, scale, constant
OPERATION = st.one_of(
    st.tuples(st.sampled_from(ANGLES[:-1]), st.lists(TAKEN, min_size=3, max_size=3)),
    st.tuples(st.sampled_from([(name, 0, n) for name, n in FIXED]), st.just([])),
)  # fmt: skip


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.lists(st.tuples(OPERATION, st.permutations(range(3))), min_size=1, max_size=8))
def test_random_circuits_are_what_pennylane_runs(gates: list[Any]) -> None:
    def function(weights: Any, wires: Any) -> None:
        qml.RY(weights[0], wires=wires[0])
        for ((name, n_angles, n_wires), values), order in gates:
            angles = (weights[index] * factor + constant for index, factor, constant in values[:n_angles])
            getattr(qml, name)(*angles, wires=[wires[at] for at in order[:n_wires]])

    made, n_weights = traced(function, 3)
    embedding = tuple(Gate("RX", (w,), (circuits.Angle(w),)) for w in range(3))
    circuit = Circuit("random", 3, "rx", 1, n_weights, embedding + made)
    used = sorted({0} | {index for ((_, n, _), values), _ in gates for index, *_ in values[:n]})
    assert n_weights == len(used)
    same(lambda weights, wires: function({index: weights[at] for at, index in enumerate(used)}, wires), circuit)
    alone, taken = shift.unshared(circuit)
    assert (alone.n_weights, {w.index for w in taken}) == (len(taken), set(range(n_weights)))


def strong(weights: Any, wires: Any) -> None:
    qml.StronglyEntanglingLayers(weights, wires=wires)


strong.shape = lambda n_wires: qml.StronglyEntanglingLayers.shape(2, n_wires)  # type: ignore[attr-defined]


def test_a_template_with_a_shape_is_the_one_of_the_table(get: Callable[..., Circuit]) -> None:
    assert get(strong, 3).gates == circuits.get("strongly_entangling", 3, layers=2).gates


def test_a_list_of_gates_with_fresh_weights_or_its_own(get: Callable[..., Circuit]) -> None:
    circuit = get([("RY", 0), ("CRX", 0, 2), ("CNOT", 2, 1)])
    assert (circuit.n_qubits, circuit.n_weights) == (3, 2)
    assert circuit.gates[3:] == (Gate("RY", (0,), (Weight(0),)), Gate("CRX", (0, 2), (Weight(1),)), Gate("CNOT", (2, 1)))
    shared = get([Gate("RY", (0,), (Weight(0),)), Gate("RZ", (1,), (Weight(0, 2.0, 0.1),)), ("RX", 1)], layers=2)
    assert [p for gate in shared.gates[2:] for p in gate.parameters] == [
        Weight(0), Weight(0, 2.0, 0.1), Weight(1), Weight(2), Weight(2, 2.0, 0.1), Weight(3),
    ]  # fmt: skip


def test_what_stands_in_keys_is_as_before_where_weights_are_taken_as_they_are() -> None:
    assert repr(Weight(3)) == "Weight(index=3)"
    assert circuits.get("vqc1").digest == "f3f9e20dc47f5d0413f8ef9b1333ceec"
    assert repr(Weight(3, 2.0)) == "Weight(index=3, scale=2.0, offset=0.0)"


def branches(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)
    if weights[0] > 0.5:
        qml.RX(weights[1], wires=0)


def squares(weights: Any, wires: Any) -> None:
    qml.RY(weights[0] ** 2, wires=0)


def sums(weights: Any, wires: Any) -> None:
    qml.RY(weights[0] + weights[1], wires=0)


def folds(weights: Any, wires: Any) -> None:
    qml.RY(abs(weights[0]), wires=0)


def measures(weights: Any, wires: Any) -> Any:
    qml.RY(weights[0], wires=0)
    return qml.expval(qml.PauliZ(0))


def midway(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)
    qml.measure(0)


def prepares(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)
    qml.StatePrep(np.eye(4)[1], wires=[0, 1])


def channel(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)
    qml.DepolarizingChannel(0.1, wires=0)


def elsewhere(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires="a")


def rows(weights: Any, wires: Any) -> None:
    qml.RY(weights[0, 1], wires=0)


def pairs(weights: Any, wires: Any) -> None:
    for first, _ in weights:
        qml.RY(first, wires=0)


def forgets(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)
    raise ValueError("I forgot something")


def everything(weights: Any, wires: Any) -> None:
    for weight in weights:
        qml.RY(weight, wires=0)


def batched(weights: Any, wires: Any) -> None:
    qml.RY(weights[:2], wires=0)


def continuous(weights: Any, wires: Any) -> None:
    qml.Displacement(weights[0], 0.1, wires=0)


def misshapen(weights: Any, wires: Any) -> None:
    qml.RY(weights[0], wires=0)


misshapen.shape = (3, -1)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (branches, "adds other gates when it is called again, with other weights"),
        (squares, "an angle of RY is neither constant nor a multiple of one weight, plus a constant"),
        (sums, "an angle of RY is neither constant nor a multiple of one weight"),
        (folds, "an angle of RY is neither constant nor a multiple of one weight"),
        (measures, "measures by itself: expval"),
        (midway, "MidMeasure.* is no gate of a circuit here"),
        (prepares, "StatePrep is no gate of a circuit here"),
        (channel, "DepolarizingChannel is no gate of a circuit here"),
        (continuous, "Displacement is no gate of a circuit here"),
        (elsewhere, "RY on wire 'a'.*valid: wires 0 to 3"),
        (rows, r"IndexError: too many indices .*valid: f.shape = \(layers, wires\)"),
        (pairs, r"TypeError: cannot unpack .*valid: f.shape = \(layers, wires\)"),
        (forgets, r"ValueError: I forgot something \([^ ]*test_tracing.py, line \d+\)$"),  # of shapes nothing
        (everything, "uses all of the 1,024 weights"),
        (batched, r"RY with an angle of shape \(2,\)"),
        (misshapen, r"has the shape \(3, -1\)"),
        (qml.QNode(measures, qml.device("default.qubit", wires=4)), "is a QNode, which has a device of its own"),
        ([], "adds no gate with a weight"),
        ([("RY", 0), "RX"], "'RX' among the gates"),
        ([("RY", 0), ("CRY", 0, 1)], "unknown gate 'CRY'"),
    ],
)
def test_what_is_no_circuit_is_refused_in_one_line(get: Callable[..., Circuit], function: Any, says: str) -> None:
    with pytest.raises(CircuitError, match=says) as caught:
        get(function)
    assert "\n" not in str(caught.value)
    if not isinstance(function, list | qml.QNode):
        assert "test_tracing.py, line " in str(caught.value)
