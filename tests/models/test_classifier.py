from __future__ import annotations

import pytest
import torch

from hqc_ray import devices, files, load_classifier
from hqc_ray.errors import HqcError, ModelError
from hqc_ray.models import backbones, classifier, heads
from hqc_ray.models.classifier import Classifier
from hqc_ray.spec import ModelSpec

SPEC = ModelSpec(backbone="squeezenet1_0", weights="random", image_size=48, head="vqc1", n_qubits=3, embedding="ry")
META = {
    "weights_digest": backbones.weights_id("squeezenet1_0", "random").digest,
    "weights_origin": "random",
    "seed": 3,
    "history": [{"epoch": 1, "train_loss": 0.5}],
    "best_epoch": 1,
}


def make(spec=SPEC, backbone=None, seed=0, n_classes=2) -> Classifier:
    backbone = backbone or backbones.build(spec)
    head = heads.build(spec, backbone.n_features, n_classes, torch.Generator().manual_seed(seed))
    model = Classifier(backbone, head).eval()
    head.standardise(model.features(torch.rand(9, 3, 40, 56, generator=torch.Generator().manual_seed(2))).detach())
    return model


@pytest.fixture(scope="module")
def model(squeezenet) -> Classifier:
    return make(backbone=squeezenet)


def save(path, spec, state, meta) -> None:
    files.write(path, classifier.dumps(spec, 2, state, meta))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("head", ["linear", "fourier", "vqc1"])
def test_a_saved_model_comes_back_equal(head, n_classes, squeezenet, images, tmp_path):
    spec = SPEC.model_copy(update={"head": head})
    model = make(spec, squeezenet, n_classes=n_classes)
    state = classifier.trained_state(model)
    assert all(key.startswith("head.") for key in state)
    files.write(tmp_path / "models" / "m.pt", classifier.dumps(spec, n_classes, state, META))
    found = classifier.load(tmp_path / "models" / "m.pt")
    assert found.spec == spec
    assert found.n_classes == model.n_classes == n_classes
    assert found.meta == META
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], state[key]) and found.state[key].dtype == state[key].dtype for key in state)
    again = classifier.assemble(found.spec, found.n_classes, found.state)
    assert torch.equal(again(images), model(images))
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    with pytest.raises(ModelError, match=r"of another model: 'head\.(layers|readout)\.bias'"):
        classifier.assemble(found.spec, n_classes + 1, found.state)


def test_a_cnn_is_saved_with_its_backbone(images):
    spec = ModelSpec(backbone="cnn2", image_size=24, head="linear")
    backbone = backbones.get("cnn2", image_size=24, generator=torch.Generator().manual_seed(4))
    model = Classifier(backbone, heads.build(spec, 128, 3, torch.Generator().manual_seed(4))).eval()
    content = classifier.dumps(spec, 3, classifier.trained_state(model), {"weights_digest": "none"})
    again, meta = classifier.loads(content)
    assert torch.equal(again(images), model(images))
    assert meta == {"weights_digest": "none"}


def test_content_is_the_same_bytes_and_holds_no_backbone(model):
    state = classifier.trained_state(model)
    first, second = (classifier.dumps(SPEC, 2, state, META) for _ in range(2))
    assert first == second
    assert len(first) < 20_000
    assert classifier.loads_meta(first) == META


def test_meta_must_tell_the_weights():
    with pytest.raises(HqcError, match="weights_digest"):
        classifier.dumps(SPEC, 2, {}, {"seed": 1})


def test_tensors_of_another_specification_are_refused(model, squeezenet):
    state = classifier.trained_state(model)
    for update in ({"n_qubits": 4}, {"head": "tanh"}):
        with pytest.raises(ModelError, match="of another model: 'head"):
            classifier.assemble(SPEC.model_copy(update=update), 2, state, squeezenet)
    with pytest.raises(ModelError, match=r"of another model: 'head\.reduce\.bias'"):
        classifier.assemble(SPEC, 2, {k: v for k, v in state.items() if k != "head.reduce.bias"}, squeezenet)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04"])
def test_a_broken_model_file_is_refused(content, tmp_path):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.pt: not a model"):
        classifier.load(tmp_path / "x.pt")


def test_another_torch_file_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=r"x\.pt: not a model"):
        classifier.load(tmp_path / "x.pt")


def test_on_a_device_without_noise_nothing_changes(model, images):
    twin = model.on(devices.get("default.qubit"))
    torch.testing.assert_close(twin(images), model(images), atol=1e-5, rtol=0)
    assert twin.backbone is model.backbone
    assert model.max_error is None
    assert 0 <= twin.max_error < 1e-9
    pixels = images.clone().requires_grad_()
    (there,) = torch.autograd.grad(twin(pixels).sum(), pixels)
    (here,) = torch.autograd.grad(model(pixels).sum(), pixels)
    torch.testing.assert_close(there, here, atol=1e-6, rtol=1e-3)
    assert all(p.requires_grad for p in model.head.parameters())


def test_a_classical_head_is_on_no_device(squeezenet):
    model = make(SPEC.model_copy(update={"head": "tanh"}), squeezenet)
    twin = model.on(devices.get("default.qubit", shots=5))
    assert twin.head is model.head
    assert twin.max_error is None


def test_sampled_logits_scatter_around_the_exact_ones(model, images):
    twin = model.on(devices.get("default.qubit", shots=200))
    angles = twin.head.angles(twin.features(images))
    draw = [twin.head.sampled(angles, 200, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, *range(2, 42))]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    exact = twin(images)
    spread = torch.stack(draw[1:]).std(0)
    assert (spread > 0).all()
    assert ((torch.stack(draw[1:]).mean(0) - exact).abs() < 5 * spread / 41**0.5).all()


def test_what_has_no_circuit_on_a_device_cannot_be_sampled(model):
    with pytest.raises(ModelError, match="no circuit on a device"):
        model.head.sampled(torch.zeros(1, 4), 10, torch.Generator())


def test_a_surrogate_fitted_elsewhere_takes_the_circuits_place(model, images, squeezenet):
    fitted = model.on(devices.get("default.qubit"))
    assert torch.equal(model.with_core(fitted.head.core)(images), fitted(images))
    with pytest.raises(ModelError, match="no core"):
        make(SPEC.model_copy(update={"head": "linear"}), squeezenet).with_core(fitted.head.core)


@pytest.fixture
def results(model, tmp_path):
    """A results folder with two models."""
    for key in ("abc123", "abd456"):
        save(tmp_path / "models" / f"{key}.pt", SPEC, classifier.trained_state(model), META)
    return tmp_path


@pytest.mark.parametrize("key", ["abc123", "abc"])
def test_load_classifier_by_key_or_beginning(results, model, images, key):
    assert torch.equal(load_classifier(results, key)(images), model(images))


@pytest.mark.parametrize("device", ["default.qubit", {"name": "default.qubit", "shots": 50}, devices.get("default.qubit")])
def test_load_classifier_onto_a_device(results, model, images, device):
    twin = load_classifier(str(results), "abc", device=device)
    assert twin.max_error < 1e-9
    torch.testing.assert_close(twin(images), model(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "message"), [("zzz", "no model 'zzz' (valid: abc123, abd456)"), ("ab", "2 models begin with 'ab'")]
)
def test_unknown_and_ambiguous_keys_list_the_models(results, key, message):
    with pytest.raises(ModelError) as problem:
        load_classifier(results, key)
    assert message in str(problem.value)


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(ModelError, match="no model was trained"):
        load_classifier(tmp_path, "abc")


def test_other_backbone_weights_on_this_machine_are_refused(model, tmp_path):
    meta = {**META, "weights_digest": "0123456789abcdef", "weights_origin": "file resnet18.pth"}
    save(tmp_path / "models" / "old.pt", SPEC, classifier.trained_state(model), meta)
    with pytest.raises(ModelError) as problem:
        load_classifier(tmp_path, "old")
    assert "file resnet18.pth (0123456789abcdef)" in str(problem.value)
    assert f"random ({META['weights_digest']})" in str(problem.value)
