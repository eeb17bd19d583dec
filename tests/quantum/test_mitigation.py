"""Mitigation as a property of a device: against mitiq and mthree on the same executions, exactly and by shots."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quantum_cases import AXIS, asymmetric, inputs

from hqc_ray import circuits, devices, surrogate
from hqc_ray.certify.bounds import berberich
from hqc_ray.certify.margins import decision
from hqc_ray.errors import CircuitError, DeviceError, ModelError
from hqc_ray.models.head import Bottleneck
from hqc_ray.quantum.circuits.ir import Angle, Circuit, Gate, Weight
from hqc_ray.quantum.cores import noisy_layer
from hqc_ray.quantum.cores.mitigated import Mitigated
from hqc_ray.quantum.cores.native import Native, ShotEstimate
from hqc_ray.quantum.cores.surrogate import refuse_large
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import combinations
from hqc_ray.quantum.noise.mitigation import Mitigation, Recipe, recipe

KEPT = json.loads((Path(__file__).parent / "references" / "mitigation.json").read_text())
SCALES = {"a": [1.0, 1.5, 2.0], "b": [1.0, 2.0, 3.0, 4.0]}
BOTH = {"readout": True, "zne": [1, 1.5, 2]}
FLIPS = {"readout_01": 0.04, "readout_10": 0.12}
IDEAL = devices.get("qiskit.aer")


def get(mitigation: dict[str, Any] | None = None, **options: Any) -> Aer:
    found = devices.get("qiskit.aer", mitigation=mitigation, **options)
    assert isinstance(found, Aer)
    return found


@pytest.mark.parametrize("extrapolation", ["richardson", "linear"])
@pytest.mark.parametrize("scales", SCALES)
def test_extrapolations_are_mitiqs_of_the_same_executions(scales: str, extrapolation: str) -> None:
    made = Mitigation(zne=tuple(SCALES[scales]), extrapolation=extrapolation)  # type: ignore[arg-type]
    executions = np.stack([KEPT["expectations"][str(scale)] for scale in SCALES[scales]])
    np.testing.assert_allclose(np.tensordot(made.weights, executions, 1), KEPT["mitiq"][scales][extrapolation], atol=1e-9)
    assert made.weights.sum() == pytest.approx(1, abs=1e-12)


def test_the_executions_that_mitiq_was_given_are_those_of_the_device() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    if devices.get("qiskit.aer", noise="fake_manila").facts(circuit).layout != tuple(KEPT["layout"]):
        pytest.skip("this version of Qiskit chooses other qubits")
    options = {"noise": "fake_manila", "idle": True}
    found = get(**options).expectations(circuit, weights, angles)
    np.testing.assert_allclose(found, KEPT["expectations"]["1.0"], atol=1e-9)
    mitigated = get({"zne": SCALES["b"], "extrapolation": "linear"}, **options)
    np.testing.assert_allclose(mitigated.expectations(circuit, weights, angles), KEPT["mitiq"]["b"]["linear"], atol=1e-9)


def test_the_inverse_of_the_readout_is_mthrees_of_the_same_counts() -> None:
    made = recipe(Mitigation(readout=True), np.array(KEPT["assignments"])[None])
    counts = np.array([KEPT["counts"][format(outcome, "03b")] for outcome in range(8)])
    quasi = made.combined(counts[None, None] / counts.sum())[0]
    np.testing.assert_allclose(quasi, [KEPT["mthree"][format(outcome, "03b")] for outcome in range(8)], atol=1e-6)
    assert np.abs(quasi - counts / counts.sum()).max() > 0.01


@pytest.mark.parametrize(
    ("scales", "expected"), [((1, 2), (2, -1)), ((1, 1.5, 2), (6, -8, 3)), ((1, 2, 3), (3, -3, 1)), ((3, 1), (1.5, -0.5))]
)
def test_richardsons_weights(scales: tuple[float, ...], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(Mitigation(zne=scales).weights, expected, atol=1e-12)
    if len(scales) == 2:
        np.testing.assert_allclose(Mitigation(zne=scales, extrapolation="linear").weights, expected, atol=1e-12)


def test_an_inverted_readout_leaves_no_trace_of_it() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    ideal = IDEAL.probabilities(circuit, weights, angles)
    torch.testing.assert_close(get({"readout": True}, **FLIPS).probabilities(circuit, weights, angles), ideal, atol=1e-12, rtol=0)
    assert (get(**FLIPS).probabilities(circuit, weights, angles) - ideal).abs().max() > 0.05


def test_zero_noise_extrapolation_is_the_sum_over_scaled_devices() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    options = {"noise": "fake_manila", "idle": True, "noise_scale": 0.8}
    parts = [get(**{**options, "noise_scale": 0.8 * scale}).probabilities(circuit, weights, angles) for scale in (1, 1.5, 2)]
    found = get({"zne": [1, 1.5, 2]}, **options).probabilities(circuit, weights, angles)
    torch.testing.assert_close(found, 6 * parts[0] - 8 * parts[1] + 3 * parts[2], atol=1e-12, rtol=0)
    table = get(BOTH, **options).tabulate(circuit, weights.numpy(), AXIS)
    np.testing.assert_allclose(table, get(BOTH, **options).run(circuit, weights.numpy(), combinations(AXIS, 3)), atol=1e-11)


SPIN = Circuit("spin", 2, "rx", 1, 1, (*(Gate("RX", (q,), (Angle(q),)) for q in (0, 1)), Gate("RY", (1,), (Weight(0),))))


def beyond() -> tuple[Aer, torch.Tensor]:
    """An excess turn of 0.4 from |1> of wire 0: 2 cos(e) - cos(2 e) is 1 + e^2 and more, and the weights of the circuit."""
    device = get({"zne": [1, 2]}, overrotation_1q=0.2)
    return device, torch.zeros(1, dtype=torch.float64)


def test_expectations_leave_their_range_and_nothing_clips_them() -> None:
    device, weights = beyond()
    fitted = surrogate.fit(SPIN, weights, device)
    angles = torch.tensor([[0.0, 0.0], [0.4, -0.2]], dtype=torch.float64)
    exact = device.expectations(SPIN, weights, angles)
    assert float(exact.abs().max()) > 1.01
    torch.testing.assert_close(fitted(angles), exact, atol=1e-12, rtol=0)
    assert (fitted.quasi, device.quasi, get(overrotation_1q=0.2).quasi) == (True, True, False)
    assert float(fitted.probabilities(angles).min()) < -1e-3
    head = Bottleneck(3, 2, fitted, 2, torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    logits = fitted(angles) @ head.readout.weight.double().T + head.readout.bias.double()
    torch.testing.assert_close(head.decided(angles.float()).double(), logits, atol=1e-6, rtol=0)
    margins = decision(head).margins(0)  # what a certificate bounds is the same function
    np.testing.assert_allclose(margins.at(angles.numpy())[0], (logits[:, 0] - logits[:, 1]).numpy(), atol=1e-9)
    low = margins.over(angles.numpy() - 0.05, angles.numpy() + 0.05)[0]
    assert (low <= margins.at(angles.numpy())).all()
    with pytest.raises(ModelError, match=r"may leave \[-1, 1\], where the bound does not hold"):
        berberich(head, "angles", angles.float(), [0, 1])


def test_a_mitigated_surrogate_is_its_device_and_survives_its_file() -> None:
    circuit, device = asymmetric(), get(BOTH, noise="fake_manila")
    weights, angles = inputs(circuit)
    fitted = surrogate.fit(circuit, weights, device)
    assert isinstance(fitted, Mitigated)
    assert fitted.max_error < 1e-11
    torch.testing.assert_close(fitted.probabilities(angles), device.probabilities(circuit, weights, angles), atol=1e-11, rtol=0)
    torch.testing.assert_close(Native(circuit, weights, device)(angles), fitted(angles), atol=1e-11, rtol=0)
    assert fitted.evaluations == 3 * surrogate.fit(circuit, weights, get(noise="fake_manila")).evaluations
    again, facts = surrogate.loads(surrogate.dumps(fitted, {"a": 1}))
    assert facts == {"a": 1}
    assert isinstance(again, Mitigated)
    drawn = [one.samples(angles, 50, torch.Generator().manual_seed(3), 2) for one in (fitted, again)]
    assert torch.equal(*drawn)
    assert float((drawn[0][0] - drawn[0][1]).abs().max()) > 0
    plain = surrogate.fit(circuit, weights, get({"zne": [1, 2]}, noise="fake_manila"))
    assert isinstance(plain, Mitigated)
    assert plain.recipe.assignments is None


def test_samples_scatter_by_the_weights_of_the_scales() -> None:
    """Var = sum of c^2 (1 - z^2) / shots over the scales, and the mean is the exact value."""
    circuit, shots, repeats = asymmetric(), 200, 600
    weights, angles = inputs(circuit, batch=2)
    options: dict[str, Any] = {"noise": "fake_manila"}
    fitted = surrogate.fit(circuit, weights, get({"zne": [1, 1.5, 2]}, **options))
    found = fitted.samples(angles, shots, torch.Generator().manual_seed(0), repeats)
    read = torch.stack([get(**options, noise_scale=s).expectations(circuit, weights, angles) for s in (1, 1.5, 2)])
    variance = (torch.tensor([36.0, 64.0, 9.0]).double()[:, None, None] * (1 - read**2)).sum(0) / shots
    assert float(((found.mean(0) - fitted(angles)) / (variance / repeats).sqrt()).abs().max()) < 4
    torch.testing.assert_close(found.var(0), variance, rtol=0.25, atol=0)
    assert float(found.abs().max()) > 1  # nobody clips


def test_the_readout_is_calibrated_by_shots_of_its_own_once_for_all_images() -> None:
    circuit, shots = asymmetric(), 60
    weights, angles = inputs(circuit, batch=1)
    fitted = surrogate.fit(circuit, weights, get({"readout": True}, **FLIPS))
    many = angles.expand(400, 3)
    found = fitted.samples(many, shots, torch.Generator().manual_seed(0), 40)
    common = found.mean(1).var(0)  # of a mean over 400 images, next to nothing is left of the shots of each
    assert (common > 5 * found.var(1).mean(0) / 400).all()
    exact = recipe(Mitigation(readout=True), np.array([[[[0.9, 0.1], [0.3, 0.7]]]]))
    drawn = np.stack([exact.calibrated(100, np.random.default_rng(seed))[0, 0] for seed in range(2000)])
    np.testing.assert_allclose(drawn.mean(0), [[0.9, 0.1], [0.3, 0.7]], atol=5e-3)
    np.testing.assert_allclose(drawn.std(0)[[0, 1], [1, 0]], [0.03, math.sqrt(0.21) / 10], rtol=0.1)
    one = Recipe(np.ones(1), np.array([[[[0.5, 0.5], [0.01, 0.99]]]]))  # by one shot, both rows may agree
    for seed in range(8):
        assert np.isfinite(one.combined(np.array([[[0.5, 0.5]]]), one.calibrated(1, np.random.default_rng(seed)))).all()


def test_a_device_with_shots_samples_every_scale() -> None:
    circuit = asymmetric()
    weights, angles = inputs(circuit)
    device = get(BOTH, noise="fake_manila", shots=200_000)
    found = device.probabilities(circuit, weights, angles)
    assert torch.equal(found, device.probabilities(circuit, weights, angles))
    assert torch.equal(found[:2], device.probabilities(circuit, weights, angles[:2]))
    exact = device.exact().probabilities(circuit, weights, angles)
    assert 1e-4 < float((found - exact).abs().max()) < 0.08
    assert (device.runs, device.calibrations, get({"zne": [1, 2]}, noise="manila").calibrations) == (3, 6, 0)
    estimate = ShotEstimate(surrogate.fit(circuit, weights, device), circuit, 200_000, seed=1)
    wanted = angles.clone().requires_grad_()
    estimate(wanted).sum().backward()
    assert wanted.grad is not None
    ideal = angles.clone().requires_grad_()
    surrogate.fit(circuit, weights, device)(ideal).sum().backward()
    torch.testing.assert_close(wanted.grad, ideal.grad, atol=0.3, rtol=0)


def test_training_takes_the_noise_as_it_is() -> None:
    with pytest.raises(DeviceError, match="mitigation: training runs the circuit as it is"):
        noisy_layer.is_noisy(asymmetric(), get(BOTH, noise="fake_manila"))


def test_all_tables_count_where_a_surrogate_would_be_too_large() -> None:
    refuse_large(circuits.get("vqc1", 10))
    with pytest.raises(CircuitError, match=r"up to 134217728, 9 qubits"):
        refuse_large(circuits.get("vqc1", 10), 3)


def test_labels_and_options() -> None:
    assert get(BOTH, noise="manila").label == "qiskit.aer[fake_manila,mitigation=readout+zne(1/1.5/2)]"
    linear = get({"zne": [1, 3], "extrapolation": "linear"}, noise="manila", shots=9)
    assert linear.label == "qiskit.aer[fake_manila,mitigation=zne(linear:1/3),shots=9]"
    assert get(**linear.model_dump(mode="json")) == linear
    assert "mitigation" not in get(noise="manila").model_dump()
    assert linear.exact().mitigation == linear.mitigation


@pytest.mark.parametrize(
    ("mitigation", "options", "message"),
    [
        (BOTH, {}, "mitigation: mitigation on an ideal device"),
        (BOTH, {"noise": "manila", "noise_scale": 0}, "mitigation on an ideal device"),
        (BOTH, {"depolarizing_2q": 0}, "mitigation on an ideal device"),
        ({}, {"noise": "manila"}, "nothing is mitigated"),
        ({"readout": False, "zne": []}, {"noise": "manila"}, "nothing is mitigated"),
        ({"zne": [1]}, {"noise": "manila"}, r"mitigation.zne: 1 scales up to 1 \(valid: 2 to 10 different"),
        ({"zne": [1.5, 2]}, {"noise": "manila"}, "the smallest scale is 1.5"),
        ({"zne": [0.5, 1]}, {"noise": "manila"}, "the smallest scale is 0.5"),
        ({"zne": [1, 2, 2]}, {"noise": "manila"}, "scales repeat"),
        ({"zne": [1, 1.001]}, {"noise": "manila"}, "scales repeat, or are nearer than 0.01"),
        ({"zne": [1, 1e9]}, {"noise": "manila"}, "2 scales up to 1e.09"),
        ({"zne": [1, float("nan")]}, {"noise": "manila"}, r"mitigation.zne.*finite"),
        ({"zne": [1, True]}, {"noise": "manila"}, "a boolean is no number"),
        ({"zne": "1, 2"}, {"noise": "manila"}, r"mitigation.zne"),
        ({"readout": 1}, {"noise": "manila"}, "mitigation.readout: .*true or false"),
        ({"readout": True, "extrapolation": "linear"}, {"noise": "manila"}, "extrapolation without zne"),
        ({"zne": [1, 2], "extrapolation": "exponential"}, {"noise": "manila"}, "'richardson' or 'linear'"),
        ({"zen": [1, 2]}, {"noise": "manila"}, "unknown option 'mitigation.zen'"),
        (True, {"noise": "manila"}, "mitigation"),
        ({"zne": [1, 4]}, {"depolarizing_2q": 0.3}, r"mitigation.zne: among \[1.0, 4.0\]: .*takes depolarizing_2q 0.3 above 1"),
        ({"zne": [1, 10]}, {"noise": "manila", "noise_scale": 10}, "noise_scale 100 takes the error of readout"),
        ({"readout": True}, {"readout_01": 0.5, "readout_10": 0.495}, "tells 0 from 1 by 0.005 cannot be inverted"),
    ],
)
def test_mitigation_that_makes_no_sense(mitigation: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught:
        devices.get("qiskit.aer", mitigation=mitigation, **options).check(asymmetric())
    assert "\n" not in str(caught.value)
