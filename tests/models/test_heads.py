from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hqc_ray import devices
from hqc_ray.errors import CircuitError, ModelError
from hqc_ray.models import heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.models.head import FEATURE_NORM, Head, linear
from hqc_ray.spec import ModelSpec

# sim9's outputs do not move under the default embedding, so that it is refused: see test_a_head_is_built_as_it_says
WORKING = {"sim9": {"embedding": "ry"}}
BOTTLENECKS = ["tanh", "fourier", "vqc1", "vqc2", "vqc3", "vqc4", "vqc5", "vqc6", "sim13"]
HEADS = ["linear", "mlp", *BOTTLENECKS]


def own_circuit(builder) -> None:
    for wire in range(builder.n_qubits):
        builder.add("RY", wire)
    builder.add("CNOT", 0, 1)
    builder.add("CNOT", 1, 2)


def make(head, n_features=11, seed=0, n_classes=2, **options):
    spec = ModelSpec(backbone="resnet18", head=head, **options)
    return heads.build(spec, n_features, n_classes, torch.Generator().manual_seed(seed))


class Wide(heads.HeadEntry):
    """A user's own head: a quadratic function of the features, of a width that is an option."""

    title = "wide"
    width_factor: int = 2

    def build(self, n_features, n_classes, generator):
        return Squares(n_features, n_classes, self.width_factor, generator)


class Squares(Head):
    def __init__(self, n_features, n_classes, factor, generator):
        super().__init__(n_features, n_classes)
        self.first = linear(n_features, factor * n_features, generator)
        self.last = linear(factor * n_features, n_classes, generator)

    def logits(self, values):
        return self.last(self.first(values).square())


class NoHead(heads.HeadEntry):
    def build(self, n_features, n_classes, generator):
        return nn.Linear(n_features, n_classes)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("name", [*heads.HEADS, f"{__name__}:Wide"])
def test_a_head_is_built_as_it_says(name, n_classes):
    spec = ModelSpec(backbone="resnet18", head=name, **WORKING.get(name, {}))
    entry, head = heads.get(spec), make(name, n_classes=n_classes, **spec.options)
    features = torch.randn(5, 11, generator=torch.Generator().manual_seed(0))
    assert head(features).shape == (5, n_classes)
    assert head.n_classes == n_classes
    assert entry.levels == head.levels
    assert entry.title
    assert entry.__doc__
    assert entry.width == (head.angles(features).shape[1] if "angles" in head.levels else None)
    assert (entry.kind == "circuit") == (entry.circuit() is not None) == (head.ideal is not None)
    assert head.ideal is None or head.ideal.circuit == entry.circuit()
    assert not head.stochastic
    assert head.drawn(3) is head
    assert head.surrogate is None
    assert heads.get(ModelSpec(backbone="resnet18", head=name, **entry.model_dump())) == entry  # options survive a dump
    torch.testing.assert_close(head.logits(head.standardised(features)), head(features))
    if entry.kind == "classical":
        assert head.on(devices.get("default.qubit")) is head


@pytest.mark.parametrize("name", HEADS)
def test_with_more_classes_the_layers_before_the_logits_begin_alike(name):
    two, five = make(name).state_dict(), make(name, n_classes=5).state_dict()
    different = {key for key in two if two[key].shape != five[key].shape}
    assert len(different) == 2  # weight and bias of the last layer
    later = ["core.weights"] if "core.weights" in two else []
    assert all(torch.equal(two[key], five[key]) for key in two if key not in {*different, *later})


def test_one_class_is_none():
    with pytest.raises(ModelError, match=r"n_classes: 1 classes \(valid: 2 or more\)"):
        make("linear", n_classes=1)


def test_a_head_without_a_bottleneck_says_so():
    head, values = make("mlp"), torch.zeros(1, 11)
    for call in (head.angles, head.squeezed, head.decided):
        with pytest.raises(ModelError, match="no bottleneck of angles"):
            call(values)


def test_options_of_other_entries_are_dropped_and_unknown_ones_refused():
    every = {"n_qubits": 3, "embedding": "ry", "hidden": 5}
    assert heads.get(ModelSpec(backbone="resnet18", head="linear", **every)) == heads.LinearHead()
    assert heads.get(ModelSpec(backbone="resnet18", head="mlp", **every)) == heads.MLPHead(hidden=5)
    assert heads.get(ModelSpec(backbone="resnet18", head="vqc1", **every)).circuit().embedding == "ry"
    with pytest.raises(ModelError) as problem:
        heads.get(ModelSpec(backbone="resnet18", head="mlp", hiden=5))
    assert (
        str(problem.value)
        == "unknown option 'hiden'; did you mean 'hidden'? (valid: backbone, head, hidden, image_size, weights)"
    )


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("mlp", {"hidden": 0}, "hidden: head 'mlp': Input should be greater than or equal to 1, not 0"),
        ("tanh", {"n_qubits": 13}, "n_qubits: head 'tanh': Input should be less than or equal to 12, not 13"),
        ("vqc1", {"layers": "x"}, "layers: head 'vqc1': Input should be a valid integer"),
        ("vqc1", {"readout": "w"}, "readout: head 'vqc1': Input should be 'x', 'y' or 'z', not 'w'"),
        (f"{__name__}:NoHead", {}, "NoHead: builds Linear (valid: a hqc_ray.models.head.Head)"),
        (f"{__name__}:Squares", {}, "is not a subclass of hqc_ray.models.heads.HeadEntry"),
    ],
)
def test_an_option_out_of_range_is_named_in_one_line(head, options, message):
    with pytest.raises(ModelError) as problem:
        make(head, **options)
    assert message in str(problem.value)
    assert "\n" not in str(problem.value)


def test_the_width_of_a_circuit_is_filled_in():
    assert heads.get(ModelSpec(backbone="cnn1", head="vqc5")).model_dump()["n_qubits"] == 7
    assert heads.get(ModelSpec(backbone="cnn1", head="vqc5", n_qubits=3)).model_dump()["n_qubits"] == 3


def test_levels_of_a_model_are_those_of_its_head_unless_it_is_trained_end_to_end():
    assert heads.levels(ModelSpec(backbone="resnet18", head="vqc1")) == ("pixels", "features", "angles")
    assert heads.levels(ModelSpec(backbone="resnet18", head="linear")) == ("pixels", "features")
    assert heads.levels(ModelSpec(backbone="cnn1", head="vqc1")) == ("pixels",)


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
    assert found.square().sum(1).mean().sqrt().item() == pytest.approx(FEATURE_NORM, rel=1e-4)
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
        ({"head": "no_such_module:f"}, ModelError, "cannot import head"),
    ],
)
def test_bad_heads_say_what_is_wrong(options, error, message):
    with pytest.raises(error) as problem:
        make(**options)
    assert message in str(problem.value)


def test_an_unknown_head_lists_the_valid_ones():
    with pytest.raises(ModelError, match=r"fourier, linear, mlp, package\.module:name, sim1.*tanh, vqc1"):
        make("quantum")
