from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hqc_ray import devices
from hqc_ray.errors import CircuitError, ModelError
from hqc_ray.models import heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec

BOTTLENECKS = ["tanh", "fourier", "vqc1", "vqc2", "vqc3", "vqc4", "vqc5", "vqc6", "sim13"]
HEADS = ["linear", "mlp", *BOTTLENECKS]


def own_circuit(builder) -> None:
    for wire in range(builder.n_qubits):
        builder.add("RY", wire)
    builder.add("CNOT", 0, 1)
    builder.add("CNOT", 1, 2)


def make(head, n_features=11, seed=0, **options):
    spec = ModelSpec(backbone="resnet18", head=head, **options)
    return heads.build(spec, n_features, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", HEADS)
def test_every_head_carries_a_gradient_to_every_pixel_channel(name, squeezenet, images):
    model = Classifier(squeezenet, make(name, squeezenet.n_features))
    model.head.standardise(model.features(images))
    pixels = images.clone().requires_grad_()
    logits = model(pixels)
    assert logits.shape == (5, 2)
    assert logits.dtype == torch.float32
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1, 1])), pixels)
    assert (gradient.abs().amax((2, 3)) > 0).all()
    torch.testing.assert_close(model.classify(model.features(images)), logits)


@pytest.mark.parametrize("name", [*HEADS, f"{__name__}:own_circuit"])
def test_first_weights_come_from_the_generator_alone(name):
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    options = {"n_qubits": 3} if ":" in name else {}
    first, again, other = (make(name, seed=seed, **options).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    trained = [key for key, _ in make(name, **options).named_parameters()]
    assert trained
    assert not any(torch.equal(first[key], other[key]) for key in trained)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_angles_are_tanh_times_half_pi_and_the_readout_is_linear(name):
    head = make(name)
    features = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    angles = head.angles(features)
    torch.testing.assert_close(angles, torch.tanh(head.reduce(features)) * math.pi / 2)
    assert angles.abs().max() < math.pi / 2
    torch.testing.assert_close(head(features), head.readout(head.core(angles)))
    if name == "tanh":
        torch.testing.assert_close(head.core(angles), torch.tanh(head.reduce(features)))


@pytest.mark.parametrize(("name", "qubits"), [("vqc1", 4), ("vqc5", 7), ("tanh", 4), ("fourier", 4)])
def test_width_is_the_circuits_own_unless_asked_for(name, qubits):
    assert make(name).reduce.out_features == qubits
    assert make(name, n_qubits=3).readout.in_features == 3


def test_fourier_has_one_coefficient_per_product_and_output():
    assert make("fourier", n_qubits=3).core.coefficients.shape == (27, 3)


def test_fourier_can_be_any_circuit(images):
    circuit, fourier = make("vqc6", n_qubits=3), make("fourier", n_qubits=3)
    fitted = circuit.on(devices.get("default.qubit")).core
    with torch.no_grad():
        fourier.core.coefficients.copy_(fitted.readout)
    angles = 3 * torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fourier.core(angles), circuit.core(angles), atol=1e-5, rtol=0)


@pytest.mark.parametrize("embedding", ["rx", "ry", "h+ry"])
def test_embedding_reaches_the_circuit(embedding):
    head = make("vqc1", embedding=embedding)
    assert head.core.circuit.embedding == embedding


def test_mlp_has_the_hidden_width():
    assert make("mlp", hidden=9).layers[0].weight.shape == (9, 11)


def test_standardisation_centres_and_gives_the_norm_that_is_stated():
    features = 300 + torch.randn(50, 11, generator=torch.Generator().manual_seed(0)) * torch.arange(11)
    head = make("linear")
    assert torch.equal(head.standardised(features), features)
    head.standardise(features)
    found = head.standardised(features)
    torch.testing.assert_close(found.mean(0), torch.zeros(11), atol=1e-4, rtol=0)
    assert found.square().sum(1).mean().sqrt().item() == pytest.approx(heads.FEATURE_NORM, rel=1e-4)
    torch.testing.assert_close(found.std(0) / found.std(0)[10], features.std(0) / features.std(0)[10])
    assert {"center", "scale"} <= set(head.state_dict())


def test_standardisation_of_constant_features_stays_finite():
    head = make("linear")
    head.standardise(torch.full((6, 11), 2.0))
    assert torch.equal(head.standardised(torch.full((1, 11), 3.0)), torch.ones(1, 11))


def test_a_users_own_circuit_is_a_head():
    head = make(f"{__name__}:own_circuit", n_qubits=3)
    assert head.core.circuit.n_weights == 3
    assert head(torch.randn(5, 11)).shape == (5, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"head": "vqc9"}, ModelError, "unknown head 'vqc9'; did you mean 'vqc"),
        ({"head": "vqc1", "embedding": "rz"}, CircuitError, "fakes robustness"),
        ({"head": "no_such_module:f"}, CircuitError, "cannot import circuit"),
    ],
)
def test_bad_heads_say_what_is_wrong(options, error, message):
    with pytest.raises(error) as problem:
        make(**options)
    assert message in str(problem.value)


def test_an_unknown_head_lists_the_valid_ones():
    with pytest.raises(ModelError, match=r"fourier, linear, mlp, package\.module:function, sim1.*tanh, vqc1"):
        make("quantum")
