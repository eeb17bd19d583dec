from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch
from quantum_cases import inputs
from rich.console import Console

from hqc_ray import circuits, devices, plan, surrogate
from hqc_ray.models import heads
from hqc_ray.quantum.circuits.ir import Angle, Circuit
from hqc_ray.quantum.ideal.layer import CircuitLayer
from hqc_ray.spec import DataSpec, DeviceSpec, ModelSpec
from hqc_ray.sweep import run
from hqc_ray.sweep.graph import costs, resolve

DATA = DataSpec(source="synthetic", size=10)
SPEC = ModelSpec(backbone="squeezenet1_1", weights="random", head="sim14", n_qubits=3, reuploads=2)


@pytest.mark.parametrize(("name", "once"), [("vqc1", 0), ("sim10", 3)])
def test_embedding_and_layers_are_repeated_with_fresh_weights(name: str, once: int) -> None:
    single, triple = circuits.get(name, 3, "h+ry", layers=2), circuits.get(name, 3, "h+ry", layers=2, reuploads=3)
    assert triple.n_weights == 3 * (single.n_weights - once) + once
    assert triple.degree == 3
    uploads = [gate.parameters[0] for gate in triple.gates if any(isinstance(p, Angle) for p in gate.parameters)]
    assert Counter(uploads) == {Angle(wire): 3 for wire in range(3)}
    names = [gate.name for gate in single.gates]
    assert [gate.name for gate in triple.gates] == names + 2 * (names[:6] + names[6 + once :])


def test_one_is_the_circuit_as_it_was() -> None:
    assert circuits.get("sim14", 3, reuploads=1) == circuits.get("sim14", 3)
    assert "reuploads=2" in repr(circuits.get("sim14", 3, reuploads=2))


@pytest.mark.parametrize(("name", "options"), [("default.qubit", {}), ("qiskit.aer", {"noise": "fake_manila"})])
@pytest.mark.parametrize("reuploads", [2, 3])
def test_the_surrogate_has_the_degree_and_is_exact(name: str, options: dict[str, str], reuploads: int) -> None:
    circuit, device = circuits.get("sim14", 3, "ry", reuploads=reuploads), devices.get(name, **options)
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, device)
    assert len(fitted.coefficients) == (2 * reuploads + 1) ** 3
    torch.testing.assert_close(fitted(angles), device.expectations(circuit, weights, angles), atol=1e-12, rtol=0)
    top = fitted.coefficients.reshape(*[2 * reuploads + 1] * 3, -1)[-2:, 0, 0].abs().max()
    assert top > 1e-4  # the highest frequency is there: no smaller grid would do


def test_the_layer_equals_the_device_and_is_trained_through_every_upload() -> None:
    circuit = circuits.get("strongly_entangling", 3, layers=2, reuploads=2)
    layer, (_, angles) = CircuitLayer(circuit, torch.Generator().manual_seed(0)), inputs(circuit, batch=9)
    theirs = devices.get("default.qubit").expectations(circuit, layer.weights.detach(), angles)
    torch.testing.assert_close(layer(angles), theirs, atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(layer(angles)[:, 0].sum(), [layer.weights])
    assert gradient[:18].abs().max() > 1e-3
    assert gradient[18:].abs().max() > 1e-3


def test_a_model_and_its_costs_use_it() -> None:
    head = heads.build(SPEC, 7, 2, torch.Generator().manual_seed(0))
    assert head.ideal is not None
    assert head.ideal.circuit == circuits.get("sim14", 3, reuploads=2) == resolve.circuit(SPEC)
    assert costs.circuits(SPEC, DeviceSpec()) == 5**3 + surrogate.n_checks(3, False)
    assert costs.fit(SPEC, DeviceSpec()) > costs.fit(SPEC.model_copy(update={"reuploads": 1}), DeviceSpec())


def test_the_degree_of_a_users_own_circuit_is_counted_too(user: Callable[..., Circuit]) -> None:
    assert user("reuploading", n_qubits=3).degree == 2
    assert user("reuploading", n_qubits=3, reuploads=2).degree == 4
    assert costs.circuits(
        SPEC.model_copy(update={"head": "user_circuits:reuploading"}), DeviceSpec()
    ) == 9**3 + surrogate.n_checks(3, False)


def test_it_is_part_of_a_key_and_means_nothing_without_a_circuit() -> None:
    keys = {plan.content_key(SPEC.model_copy(update={"reuploads": r})) for r in (1, 2, 3)}
    assert len(keys) == 3
    rooms = resolve.Rooms()
    assert rooms.model(SPEC, DATA).options["reuploads"] == 2
    controls = [name for name, entry in heads.HEADS.items() if entry.kind == "classical"]
    assert not any("reuploads" in rooms.model(SPEC.model_copy(update={"head": name}), DATA).options for name in controls)


@pytest.mark.parametrize("n_qubits", [2, 3, 4, 5])
@pytest.mark.parametrize("layers", [1, 4])
@pytest.mark.parametrize("name", ["strongly_entangling", "basic_entangler"])
def test_equals_the_template_of_pennylane(name: str, layers: int, n_qubits: int) -> None:
    circuit = circuits.get(name, n_qubits, "ry", layers)
    weights, angles = inputs(circuit)
    template = {"strongly_entangling": qml.StronglyEntanglingLayers, "basic_entangler": qml.BasicEntanglerLayers}[name]
    shaped = weights.numpy().reshape(template.shape(n_layers=layers, n_wires=n_qubits))

    @qml.qnode(qml.device("default.qubit", wires=n_qubits))
    def reference(x):  # type: ignore[no-untyped-def]
        qml.AngleEmbedding(x, wires=range(n_qubits), rotation="Y")
        template(shaped, wires=range(n_qubits))
        return qml.probs(wires=range(n_qubits))

    ours = devices.get("default.qubit").probabilities(circuit, weights, angles)
    torch.testing.assert_close(ours, torch.from_numpy(reference(angles.numpy())), atol=1e-12, rtol=0)


@pytest.mark.parametrize("reuploads", [0, 101, 2.0, True])
def test_a_bad_number_is_refused(reuploads: object) -> None:
    with pytest.raises(circuits.CircuitError, match=r"reuploads .*a whole number from 1 to 100"):
        circuits.get("sim1", reuploads=reuploads)  # type: ignore[arg-type]


SWEEP = """
name: uploads
defaults:
  data: {source: synthetic, size: 20, images: 30}
  train: {epochs: 1}
  evaluate: {images: 4, batch_size: 4}
  attack: {name: fgsm, epsilon: 0.05}
blocks:
  - model: {backbone: squeezenet1_1, weights: random, image_size: 32, head: [sim14, tanh], n_qubits: 3, reuploads: [1, 2]}
"""


def test_rows_carry_it_and_the_circuits_that_measured_the_surrogate(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    console = Console(quiet=True)
    found = run.execute(tmp_path / "sweep.yaml", tmp_path / "results", serial=True, console=console).rows.sort_values("reuploads")
    assert set(found["status"]) == {"ok"}
    assert found["head"].tolist() == ["sim14", "sim14", "tanh"]  # the control has no uploads: one model, not two
    assert found["reuploads"].iloc[:2].tolist() == [1, 2]
    assert np.isnan(found["reuploads"].iloc[2])
    assert found["circuits"].iloc[:2].tolist() == [3**3 + surrogate.n_checks(3, False), 5**3 + surrogate.n_checks(3, False)]
    assert found["surrogate_error"].iloc[:2].max() < 1e-12
