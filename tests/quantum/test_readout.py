"""The basis that is measured: gates at the end of the circuit, seen by everything that looks at a circuit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from quantum_cases import inputs

from hqc_ray import circuits
from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits import drawing
from hqc_ray.quantum.circuits.ir import READOUTS, Gate
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.quantum.ideal.simulate import PAULI
from hqc_ray.quantum.ideal.states import states
from hqc_ray.quantum.study import analysis


@pytest.mark.parametrize("readout", READOUTS)
def test_the_layer_reads_the_operator_in_the_state_before_the_readout(readout: str) -> None:
    plain = circuits.get("vqc6", 3, "ry", layers=2, reuploads=2)
    circuit = circuits.get("vqc6", 3, "ry", layers=2, reuploads=2, readout=readout)
    assert circuit.gates[: len(plain.gates)] == plain.gates
    assert (circuit.n_weights, circuit.degree) == (plain.n_weights, plain.degree)
    layer, (_, angles) = CircuitLayer(circuit, torch.Generator().manual_seed(1)), inputs(circuit)
    weights = layer.weights.detach().numpy()
    before = states(plain, np.tile(weights, (5, 1)), angles.numpy())
    for wire in range(3):
        factors = [np.eye(2), np.eye(2), np.eye(2)]
        factors[wire] = np.array(PAULI[readout.upper()])
        operator = np.kron(np.kron(factors[0], factors[1]), factors[2])
        expected = np.einsum("bi,ij,bj->b", before.conj(), operator, before).real
        np.testing.assert_allclose(layer(angles)[:, wire].detach().numpy(), expected, atol=1e-12)


def test_z_adds_nothing_and_the_names_tell_circuits_apart() -> None:
    x, y, z = (circuits.get("sim14", 3, readout=readout) for readout in "xyz")
    assert z == circuits.get("sim14", 3)
    assert [gate.name for gate in (*x.gates[-3:], *y.gates[-3:])] == ["RY"] * 3 + ["RX"] * 3
    assert len({x, y, z}) == len({x.digest, y.digest, z.digest}) == len({repr(c) for c in (x, y, z)}) == 3
    with pytest.raises(CircuitError, match=r"unknown readout 'q' \(valid: x, y, z\)"):
        circuits.get("sim14", 3, readout="q")


def test_what_is_dead_depends_on_what_is_read() -> None:
    assert analysis.dead_inputs(circuits.get("quantum_cases:turned", 3)) == [0, 1, 2]
    assert analysis.dead_inputs(circuits.get("quantum_cases:turned", 3, readout="x")) == []
    last = range(24, 28)  # the phases before the measurement, of which Z sees none
    assert set(last) <= set(analysis.dead_weights(circuits.get("vqc1", 4)))
    assert not set(last) & set(analysis.dead_weights(circuits.get("vqc1", 4, readout="x")))


def test_the_states_spread_and_entangle_alike_whatever_is_read() -> None:
    found = [analysis.expressibility(circuits.get("sim14", 3, readout=readout), 200).value for readout in READOUTS]
    np.testing.assert_allclose(found, found[0], atol=1e-6)
    entangling = [analysis.entangling_capability(circuits.get("sim14", 3, readout=r), 200).value for r in READOUTS]
    np.testing.assert_allclose(entangling, entangling[0], atol=1e-12)


def test_drawings_show_it() -> None:
    shown = drawing.text(circuits.get("sim1", 3, readout="y"))
    assert shown.startswith("sim1: 3 qubits, 6 weights, embedding rx, readout y\n")
    assert shown.count("RX(π/2)") == 3
    assert "readout" not in drawing.text(circuits.get("sim1", 3))
    (axes,) = drawing.figure(circuits.get("sim1", 3, readout="x")).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("RY\n-π/2") == 3
    assert any("RY(-π/2) and <Z> at the end of every wire read <X>" in text for text in texts)
    assert drawing.figure(circuits.get("sim1", 3)).axes[0].texts[1].get_text().endswith("<Z> of every wire is read")
    assert math.isclose(circuits.get("sim1", 3, readout="x").gates[-1].parameters[0], -math.pi / 2)  # type: ignore[arg-type]
    assert circuits.get("sim1", 3, readout="y").gates[-1] == Gate("RX", (2,), (math.pi / 2,))
