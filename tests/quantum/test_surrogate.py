from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from quantum_cases import asymmetric, inputs

from hqc_ray import circuits, devices, surrogate
from hqc_ray.errors import CircuitError
from hqc_ray.quantum.circuits.ir import Circuit
from hqc_ray.quantum.cores.surrogate import Surrogate, grid, trig_features

DEVICES = [("default.qubit", {}), ("lightning.qubit", {}), ("qiskit.aer", {}), ("qiskit.aer", {"noise": "fake_manila"})]


@pytest.mark.parametrize(("name", "options"), DEVICES)
@pytest.mark.parametrize("circuit", [asymmetric(), circuits.get("vqc3", 4, "h+ry"), circuits.get("vqc6", 4)], ids=repr)
def test_equals_its_device(name: str, options: dict[str, str], circuit: Circuit) -> None:
    device = devices.get(name, **options)
    weights, angles = inputs(circuit, seed=4)
    fitted = surrogate.fit(circuit, weights, device)
    assert fitted.max_error < 1e-12
    angles.requires_grad_()
    ours, theirs = fitted(angles), device.expectations(circuit, weights, angles)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    torch.testing.assert_close(fitted.probabilities(angles), device.probabilities(circuit, weights, angles), atol=1e-12, rtol=0)
    direction = torch.randn(ours.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = [torch.autograd.grad((outputs * direction).sum(), angles)[0] for outputs in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
    assert gradients[0].abs().max() > 1e-2


def test_five_noisy_qubits_on_a_larger_machine() -> None:
    circuit, device = circuits.get("vqc3", 5), devices.get("qiskit.aer", noise="fake_guadalupe")
    weights, angles = inputs(circuit, batch=2)
    fitted = surrogate.fit(circuit, weights, device)
    torch.testing.assert_close(fitted(angles), device.expectations(circuit, weights, angles), atol=1e-12, rtol=0)
    assert fitted.evaluations == 3**5 + surrogate.n_checks(5, False)


def test_an_angle_that_enters_twice_gets_the_grid_of_its_degree(user: Callable[..., Circuit]) -> None:
    circuit = user("reuploading", n_qubits=3)
    weights, angles = inputs(circuit)
    for device in (devices.get("default.qubit"), devices.get("qiskit.aer", noise="fake_manila")):
        fitted = surrogate.fit(circuit, weights, device)
        assert fitted.degree == 2
        torch.testing.assert_close(fitted(angles), device.expectations(circuit, weights, angles), atol=1e-12, rtol=0)


def test_a_function_of_another_degree_is_refused(user: Callable[..., Circuit], monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = user("reuploading", n_qubits=3)
    monkeypatch.setattr(Circuit, "degree", 1)
    with pytest.raises(CircuitError, match="misses its surrogate by"):
        surrogate.fit(circuit, inputs(circuit)[0], devices.get("qiskit.aer"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtype_in_is_dtype_out(dtype: torch.dtype) -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, devices.get("default.qubit"))
    rounded = angles.to(dtype)
    for outputs, exact in ((fitted(rounded), fitted(rounded.double())), (fitted.probabilities(rounded), None)):
        assert outputs.dtype == dtype
        if exact is not None:
            tolerance = {torch.float64: 0, torch.float32: 1e-6, torch.bfloat16: 1e-2}[dtype]
            torch.testing.assert_close(outputs.double(), exact, atol=tolerance, rtol=0)


def test_state_dict_round_trip() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, devices.get("default.qubit"))
    copy = Surrogate(circuit.n_qubits)
    copy.load_state_dict(fitted.state_dict())
    assert torch.equal(copy(angles), fitted(angles))
    assert copy.max_error == fitted.max_error
    assert not list(fitted.parameters())


def test_samples_scatter_around_the_exact_value_and_are_the_generators() -> None:
    circuit, shots = asymmetric(), 2000
    device = devices.get("qiskit.aer", noise="fake_manila", shots=shots)
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, device)  # of the exact twin
    generator = torch.Generator().manual_seed(3)
    draws = torch.stack([fitted.sample(angles, shots, generator) for _ in range(100)])
    exact = fitted(angles)
    error = ((1 - exact.square()) / shots).sqrt()
    assert ((draws.mean(0) - exact) / (error / 10)).abs().max() < 4
    torch.testing.assert_close(draws.std(0) / error, torch.ones(5, 3, dtype=torch.float64), atol=0.3, rtol=0)
    again = fitted.sample(angles, shots, torch.Generator().manual_seed(3))
    assert torch.equal(again, draws[0])
    assert not torch.equal(draws[1], draws[0])
    assert fitted.sample(angles.float(), shots, generator).dtype == torch.float32


def test_features_are_products_of_one_cosine_and_sine() -> None:
    angles = torch.tensor([[0.3, -0.7, 1.9]], dtype=torch.float64)
    features = trig_features(angles)
    assert features.shape == (1, 27)
    a, b, c = angles[0]
    assert features[0, 0] == 1
    torch.testing.assert_close(features[0, 1 * 9 + 2 * 3 + 0], a.cos() * b.sin())
    torch.testing.assert_close(features[0, 2 * 9 + 0 * 3 + 1], a.sin() * c.cos())
    assert trig_features(angles, degree=2).shape == (1, 125)


def test_the_grid_determines_the_features() -> None:
    assert grid(3).shape == (27, 3)
    assert torch.linalg.matrix_rank(trig_features(grid(3))) == 27
    assert torch.linalg.matrix_rank(trig_features(grid(2, 2), 2)) == 25
