from __future__ import annotations

import hashlib
import socket

import pytest
import torch
from torchvision import models as torchvision_models

from hqc_ray.errors import ModelError
from hqc_ray.models import backbones
from hqc_ray.models.backbones import weights

SQUEEZENET_HASH = "b66bff10"  # in torchvision's URL of squeezenet1_0


@pytest.fixture(scope="module")
def state():
    """A state dict of all of torchvision's squeezenet1_0, classification layer included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return torchvision_models.squeezenet1_0(weights=None).state_dict()


@pytest.fixture
def folder(tmp_path, monkeypatch, state):
    """HQC_WEIGHTS with a float16 squeezenet1_0.pth."""
    torch.save({key: value.half() for key, value in state.items()}, tmp_path / "squeezenet1_0.pth")
    monkeypatch.setenv("HQC_WEIGHTS", str(tmp_path))
    return tmp_path


def test_imagenet_is_the_file_of_that_name_as_float32(folder, state, images):
    backbone = backbones.get("squeezenet1_0", "imagenet", 48)
    key = "features.0.weight"
    assert torch.equal(backbone.body.state_dict()[key], state[key].half().float())
    found = backbones.weights_id("squeezenet1_0", "imagenet")
    assert found.origin == "file squeezenet1_0.pth"
    assert hashlib.sha256((folder / "squeezenet1_0.pth").read_bytes()).hexdigest().startswith(found.digest)
    assert len(found.digest) == 16
    assert backbone(images).std() > 0


def test_a_changed_file_is_another_identity(folder, state):
    before = backbones.weights_id("squeezenet1_0", "imagenet")
    torch.save(state, folder / "squeezenet1_0.pth")
    assert backbones.weights_id("squeezenet1_0", "imagenet").digest != before.digest


def test_a_path_gives_the_whole_networks_penultimate_features(tmp_path, state, images):
    path = tmp_path / "mine.pt"
    torch.save(state, path)
    backbone = backbones.get("squeezenet1_0", str(path), 48)
    network = torchvision_models.squeezenet1_0(weights=None).eval()
    network.load_state_dict(state)
    seen = []
    network.classifier[1].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0].mean((2, 3))))
    pixels = torch.nn.functional.interpolate(images, (48, 48), mode="bilinear", antialias=True)
    with torch.no_grad():
        network((pixels - backbone.mean) / backbone.std)
        torch.testing.assert_close(backbone(images), seen[0])
    assert backbones.weights_id("squeezenet1_0", str(path)).origin == "file mine.pt"


def test_a_fine_tuned_network_with_other_classes_is_accepted(tmp_path, state):
    tuned = {key: value[:2] if key.startswith("classifier") else value for key, value in state.items()}
    torch.save(tuned, tmp_path / "tuned.pth")
    assert backbones.get("squeezenet1_0", str(tmp_path / "tuned.pth"), 32).n_features == 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "features.3.squeeze.bias"}, "missing 'features.3.squeeze.bias'"),
        (lambda s: {**s, "layer1.0.conv3.weight": torch.zeros(1)}, "unexpected 'layer1.0.conv3.weight'"),
        (lambda s: {**s, "features.0.bias": torch.zeros(64)}, "'features.0.bias' is [64], not [96]"),
        (lambda s: {"epoch": 3, "state_dict": s}, "not a state dict, but 'state_dict' in it is one"),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "their names begin with 'module.'"),
        (lambda s: {**s, "features.0.bias": torch.full((96,), float("nan"))}, "'features.0.bias' holds NaN or infinity"),
        (lambda s: {**s, "features.0.bias": torch.full((96,), 1e300, dtype=torch.float64)}, "holds NaN or infinity"),
        (lambda s: {**s, "features.0.bias": torch.ones(96, dtype=torch.int8)}, "'features.0.bias' is torch.int8"),
        (lambda s: {**s, "features.0.bias": torch.ones(96).to_sparse()}, "'features.0.bias' is torch.sparse_coo"),
        (lambda s: {**s, "features.0.bias": torch.ones(96, device="meta")}, "'features.0.bias' has fewer values than its shape"),
        (lambda s: {**s, "features.0.bias": torch.zeros(1).half().expand(10**12)}, "has fewer values than its shape"),
        (lambda s: {**s, "features.0.bias": torch.ones(96).numpy()}, "would run code"),
        (lambda s: [1, 2], "not a state dict"),
        (lambda s: {1: torch.zeros(1)}, "not a state dict"),
        (lambda s: torch.nn.Linear(2, 2), "cannot be read"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, state, change, message):
    torch.save(change(state), tmp_path / "other.pth")
    with pytest.raises(ModelError) as problem:
        backbones.get("squeezenet1_0", str(tmp_path / "other.pth"), 32)
    assert message in str(problem.value)
    assert "other.pth" in str(problem.value)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n", b"PK\x03\x04 truncated"])
def test_a_broken_file_is_refused(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.pth: cannot be read"):
        backbones.get("squeezenet1_0", str(tmp_path / "broken.pth"), 32)


@pytest.mark.parametrize("name", ["resnet", "imagenet21k", "missing.pth", "weights/"])
def test_unknown_weights_list_what_is_valid(name):
    with pytest.raises(ModelError, match="valid: imagenet, random, or the path"):
        backbones.weights_id("resnet18", name)


def test_without_a_file_imagenet_is_torchvisions_own(monkeypatch, tmp_path):
    monkeypatch.delenv("HQC_WEIGHTS", raising=False)
    expected = weights.WeightsId("torchvision IMAGENET1K_V1", SQUEEZENET_HASH)
    assert backbones.weights_id("squeezenet1_0", "imagenet") == expected
    monkeypatch.setenv("HQC_WEIGHTS", str(tmp_path))
    assert backbones.weights_id("squeezenet1_0", "imagenet") == expected
    (tmp_path / "squeezenet1_0.pth").write_bytes(b"put there by hand")
    assert backbones.weights_id("squeezenet1_0", "imagenet").origin == "file squeezenet1_0.pth"
    monkeypatch.setattr(weights, "_sha256", lambda *file: SQUEEZENET_HASH + "0" * 56)
    assert backbones.weights_id("squeezenet1_0", "imagenet") == expected


def test_offline_the_error_says_where_to_get_the_file_and_where_to_put_it(monkeypatch, tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.delenv("HQC_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "_url", lambda name: f"http://127.0.0.1:{port}/{name}-{SQUEEZENET_HASH}.pth")
    with pytest.raises(ModelError) as problem:
        backbones.get("squeezenet1_0", "imagenet", 32)
    text = str(problem.value)
    assert "cannot download the weights of 'squeezenet1_0'" in text
    assert f"http://127.0.0.1:{port}/squeezenet1_0-{SQUEEZENET_HASH}.pth" in text
    assert "$HQC_WEIGHTS/squeezenet1_0.pth" in text
    assert capsys.readouterr().out == ""


def test_a_backbone_without_published_weights_says_so(monkeypatch):
    monkeypatch.delenv("HQC_WEIGHTS", raising=False)
    with pytest.raises(ModelError, match=r"publishes no IMAGENET1K_V1 weights of 'vit_h_14' \(valid: \$HQC_WEIGHTS/vit_h_14.pth"):
        backbones.weights_id("vit_h_14")


def test_a_users_own_backbone_has_no_published_weights_and_the_error_says_what_to_write(monkeypatch):
    monkeypatch.delenv("HQC_WEIGHTS", raising=False)
    with pytest.raises(
        ModelError, match=r"weights: nobody publishes .* 'mine:net', your own backbone \(valid: weights: random keeps"
    ):
        weights.identify("mine:net", "imagenet")


def test_random_and_trained_identities_differ_by_name():
    assert backbones.weights_id("resnet18", "random") != backbones.weights_id("resnet34", "random")
    assert backbones.weights_id("resnet18", "random").origin == "random"
    assert backbones.weights_id("cnn1").origin == "trained end to end"


def test_old_names_of_densenets_file_and_auxiliary_classifiers_are_understood(tmp_path):
    renamed = {"features.denseblock1.denselayer1.norm.1.weight": torch.ones(2), "AuxLogits.fc.weight": torch.ones(2)}
    torch.save(renamed, tmp_path / "old.pth")
    assert set(weights.read("densenet121", str(tmp_path / "old.pth"))) == {"features.denseblock1.denselayer1.norm1.weight"}


def test_a_negative_variance_is_refused_by_its_name(tmp_path):
    state = torchvision_models.resnet18(weights=None).state_dict()
    state["layer1.0.bn1.running_var"][3] = -1e-3
    torch.save(state, tmp_path / "negative.pth")
    with pytest.raises(ModelError, match=r"negative\.pth: the tensor 'layer1\.0\.bn1\.running_var' holds a negative variance"):
        backbones.get("resnet18", str(tmp_path / "negative.pth"), 32)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\n", "Git LFS"),
        (b"", "it is empty"),
        (b"PK\x03\x04" + bytes(90), "truncated or damaged"),
    ],
)
def test_a_file_that_is_no_state_dict_is_called_what_it_is(tmp_path, content, said):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelError, match=rf"w\.pth: cannot be read: .*{said}"):
        backbones.get("squeezenet1_0", str(tmp_path / "w.pth"), 32)


def test_a_folder_and_a_torchscript_are_no_weights(tmp_path):
    (tmp_path / "w.pth").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        backbones.get("squeezenet1_0", str(tmp_path / "w.pth"), 32)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "s.pt")
    with pytest.raises(ModelError, match="a TorchScript archive, which is code"):
        backbones.get("squeezenet1_0", str(tmp_path / "s.pt"), 32)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, state, monkeypatch):
    torch.save(state, tmp_path / "w.pth")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ModelError, match=r"w\.pth: no permission to read it"):
        weights.read("squeezenet1_0", str(tmp_path / "w.pth"))
