from __future__ import annotations

import sys
import types
from collections.abc import Callable

import numpy as np
import pennylane as qml
import pytest
import torch
from quantum_cases import asymmetric

from hqc_ray import circuits
from hqc_ray.errors import CircuitError
from hqc_ray.models import heads
from hqc_ray.quantum.circuits.ir import EMBEDDINGS, Angle, Builder, Circuit, Weight
from hqc_ray.quantum.ideal.states import states
from hqc_ray.quantum.study import analysis
from hqc_ray.spec import DataSpec, ModelSpec
from hqc_ray.sweep.graph import resolve

# KL to Haar, 4 qubits, 5,000 pairs, one to three layers: recomputed for this project from Sim et al. 2019, Fig. 2
REFERENCE = {
    "sim1": (0.3088, 0.2048, 0.2098), "sim2": (0.2793, 0.0222, 0.0050), "sim3": (0.2618, 0.0816, 0.0323),
    "sim4": (0.1375, 0.0348, 0.0164), "sim5": (0.0569, 0.0072, 0.0030), "sim6": (0.0044, 0.0033, 0.0045),
    "sim7": (0.1134, 0.0384, 0.0182), "sim8": (0.0815, 0.0245, 0.0116), "sim9": (0.6984, 0.3987, 0.0217),
    "sim10": (0.2401, 0.1540, 0.1393), "sim11": (0.1397, 0.0124, 0.0053), "sim12": (0.1795, 0.0277, 0.0077),
    "sim13": (0.0731, 0.0106, 0.0042), "sim14": (0.0100, 0.0043, 0.0032), "sim15": (0.1925, 0.1207, 0.1325),
    "sim16": (0.2704, 0.0794, 0.0369), "sim17": (0.1430, 0.0290, 0.0114), "sim18": (0.2246, 0.0622, 0.0190),
    "sim19": (0.0851, 0.0066, 0.0040),
}  # fmt: skip


def built(fill: Callable[[Builder], None], n_qubits: int = 3, embedding: str = "rx") -> Circuit:
    builder = Builder(n_qubits, embedding)
    fill(builder)
    return Circuit("own", n_qubits, embedding, 1, builder.n_weights, tuple(builder.gates))


def state_of(circuit: Circuit, weights: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    """The state by PennyLane; without angles, of the gates that follow the embedding."""

    @qml.qnode(qml.device("default.qubit", wires=circuit.n_qubits))
    def qnode():  # type: ignore[no-untyped-def]
        for gate in circuit.gates[0 if angles is not None else circuit.n_embedding_gates :]:
            values = [
                weights[p.index] if isinstance(p, Weight) else angles[p.index] if isinstance(p, Angle) else p
                for p in gate.parameters
            ]
            getattr(qml, "Hadamard" if gate.name == "H" else gate.name)(*values, wires=gate.wires)
        return qml.state()

    return np.asarray(qnode())


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("circuit", [asymmetric(), circuits.get("sim14", 3, "h+ry"), circuits.get("vqc2", 4)], ids=repr)
def test_states_are_those_of_pennylane(circuit: Circuit, embedded: bool) -> None:
    random = np.random.default_rng(0)
    weights, angles = random.uniform(0, 6, (5, circuit.n_weights)), random.uniform(0, 6, (5, circuit.n_qubits))
    ours = states(circuit, weights, angles if embedded else None)
    assert ours.shape == (5, 2**circuit.n_qubits)
    for row, weight, angle in zip(ours, weights, angles, strict=True):
        theirs = state_of(circuit, weight, angle if embedded else None)
        assert abs(np.vdot(theirs, row)) == pytest.approx(1, abs=1e-12)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("name", REFERENCE)
def test_expressibility_agrees_with_the_reference(name: str, layers: int) -> None:
    found = analysis.expressibility(circuits.get(name, 4, layers=layers))
    half = found.high - found.value
    # both are estimates from 5,000 pairs: three standard errors of their difference
    assert abs(found.value - REFERENCE[name][layers - 1]) < 3 / 1.96 * 2**0.5 * half
    assert half < 0.1 * found.value + 0.01


def test_the_interval_is_what_repetitions_scatter_in() -> None:
    circuit = circuits.get("sim4", 3)
    found = [analysis.expressibility(circuit, pairs=500, seed=seed) for seed in range(30)]
    values = np.array([f.value for f in found])
    errors = np.mean([f.high - f.value for f in found]) / 1.96
    assert 0.6 < errors / values.std(ddof=1) < 1.6
    assert np.mean([f.low < values.mean() < f.high for f in found]) > 0.8
    assert found[0] == analysis.expressibility(circuit, pairs=500, seed=0)
    assert len(set(values)) == 30


def test_haar_probabilities() -> None:
    for n_qubits in (2, 3, 12):
        shares = np.exp(analysis._log_haar(n_qubits, 75))
        assert shares.sum() == pytest.approx(1, abs=1e-12)
        assert np.isfinite(analysis._log_haar(n_qubits, 75)).all()
    edges = np.linspace(0, 1, 6)
    expected = (1 - edges[:-1]) ** 7 - (1 - edges[1:]) ** 7
    np.testing.assert_allclose(np.exp(analysis._log_haar(3, 5)), expected, rtol=1e-12)


def test_the_floor_is_what_haar_random_states_give() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20, 2000, 8)) + 1j * random.normal(size=(20, 2000, 8))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    counts = np.stack([np.histogram(analysis._overlaps(v), bins=75, range=(0, 1))[0] for v in vectors])
    given = analysis._divergence(counts, analysis._log_haar(3, 75)).mean()
    assert analysis.floor(3, pairs=1000) == pytest.approx(given, rel=0.15)
    assert 0.003 < analysis.floor(4) < 0.005


def test_one_state_only_is_as_far_from_haar_as_can_be() -> None:
    found = analysis.expressibility(built(lambda b: b.add("CNOT", 0, 1)), pairs=100)
    assert found.value == pytest.approx(-7 * np.log(1 / 75))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_entangling_capability_where_it_is_known_exactly(layers: int) -> None:
    none, all_ = (analysis.entangling_capability(circuits.get(name, 4, layers=layers), 500) for name in ("sim1", "sim9"))
    assert none.value == pytest.approx(0, abs=1e-12)
    assert all_.value == pytest.approx(1, abs=1e-12)
    assert all_.high <= 1


def bell(b: Builder) -> None:
    b.add("H", 2)
    b.add("CNOT", 2, 0)


def test_entangling_capability_of_a_bell_pair_beside_a_free_wire() -> None:
    found = analysis.entangling_capability(built(bell), 10)
    assert found.value == pytest.approx(2 / 3)
    assert found.low == pytest.approx(found.high)


@pytest.mark.parametrize("name", ["sim6", "sim14", "strongly_entangling"])
def test_deep_circuits_entangle_as_haar_random_states_do(name: str) -> None:
    found = analysis.entangling_capability(circuits.get(name, 4, layers=6), 4000)
    assert found.value == pytest.approx(14 / 17, abs=0.01)
    assert 0.001 < found.high - found.low < 0.02


def test_vqc5_entangles_only_what_the_embedding_rotates() -> None:
    circuit = circuits.get("vqc5", 4)
    assert analysis.entangling_capability(circuit, 200).value == pytest.approx(0, abs=1e-12)
    assert analysis.entangling_capability(circuit, 200, embedded=True).value > 0.3


def test_large_circuits_are_sampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = circuits.get("sim14", 3)
    whole = analysis.expressibility(circuit, pairs=100)
    monkeypatch.setattr(analysis, "ENTRIES", 3 * 8 * 2)  # six states at a time
    parts = analysis.expressibility(circuit, pairs=100)
    assert parts == whole


def mute(b: Builder) -> None:
    """After an RX of the input, <Z> of wire 1 is <X> before H, which is 0; the others are moved."""
    b.add("H", 1)
    b.add("RZ", 1)
    b.add("RY", 0)


def mute_all(b: Builder) -> None:
    b.every("H", "RZ")


@pytest.mark.parametrize(
    ("circuit", "dead"),
    [
        (built(mute), [1]),
        (built(mute_all), [0, 1, 2]),
        (built(mute_all, embedding="ry"), []),
        (circuits.get("sim9", 3), [0, 1, 2]),
        (circuits.get("sim9", 4, layers=2), [0, 1, 2, 3]),
        (circuits.get("sim9", 4, layers=3), []),
        (circuits.get("sim9", 3, "ry"), []),
    ],
    ids=str,
)
def test_dead_inputs(circuit: Circuit, dead: list[int]) -> None:
    assert analysis.dead_inputs(circuit) == dead


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_no_other_circuit_has_a_dead_input(embedding: str) -> None:
    found = {name: analysis.dead_inputs(circuits.get(name, 3, embedding)) for name in circuits.CIRCUITS}
    expected = {"rx": {"sim9"}, "own": set(circuits.CIRCUITS)}  # the table's circuits have no gates of their own for inputs
    assert {name for name, dead in found.items() if dead} == expected.get(embedding, set())


@pytest.mark.parametrize("head", ["sim9", "user_mute:mute_all"])
def test_a_dead_embedding_is_refused_before_anything_is_trained(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("user_mute")
    vars(module).update(mute=mute, mute_all=mute_all)
    monkeypatch.setitem(sys.modules, "user_mute", module)
    spec = ModelSpec(backbone="squeezenet1_1", weights="random", image_size=32, head=head, n_qubits=3)
    with pytest.raises(CircuitError, match=r"embedding 'rx' is dead: no input moves any output.*\(valid: another embedding"):
        heads.build(spec, 7, 2, torch.Generator())
    with pytest.raises(CircuitError, match=rf"^model: circuit '{head}': embedding 'rx' is dead"):
        resolve.Rooms().model(spec, DataSpec(source="synthetic", size=10))
    alive = spec.model_copy(update={"embedding": "ry"})
    if head == "sim9":
        assert heads.build(alive, 7, 2, torch.Generator()).core
    else:
        with pytest.raises(CircuitError, match="no weight moves any output, so nothing would be trained"):
            heads.build(alive, 7, 2, torch.Generator())
    assert heads.build(spec.model_copy(update={"head": "user_mute:mute"}), 7, 2, torch.Generator()).core
