"""Whatever `evaluate.certificate` says, and wherever: it is planned, or refused in one line."""

import pytest
import yaml

from hqc_ray import cli
from tests.fuzz.promise import refused

GOOD = {
    "name": "good",
    "defaults": {
        "data": {"source": "synthetic", "size": 40, "images": 60},
        "model": {"backbone": "resnet18", "weights": "random", "image_size": 32, "head": ["vqc1", "tanh"], "n_qubits": 3},
        "evaluate": {"images": 4, "certificate": True},
        "attack": {"name": "pgd", "level": "angles", "epsilon": 0.1},
    },
}


def written(folder, evaluate=None, attack=None):
    defaults = GOOD["defaults"]
    changed = {"evaluate": defaults["evaluate"] | (evaluate or {}), "attack": defaults["attack"] | (attack or {})}
    path = folder / "t.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "defaults": {**defaults, **changed}}))
    return path


@pytest.mark.parametrize("value", ["yes please", 3, 0.5, {"boxes": 5}, [[True]], None, ""], ids=repr)
def test_a_certificate_is_true_or_false(tmp_path, value):
    assert "evaluate" in refused(tmp_path, "plan", written(tmp_path, {"certificate": value}))


def test_a_native_circuit_is_refused(tmp_path):
    said = refused(tmp_path, "plan", written(tmp_path, {"mode": "native"}))
    assert "evaluate" in said
    assert "certificate" in said


@pytest.mark.parametrize(
    ("evaluate", "attack"),
    [
        ({}, {}), ({"certificate": [True, False]}, {}), ({}, {"level": "pixels", "epsilon": 0.01}), ({}, {"level": "features"}),
        ({}, {"level": "features", "norm": "l2"}), ({"mode": "native"}, {"level": "pixels", "epsilon": 0.01}),
    ],
)  # fmt: skip
def test_what_is_planned(tmp_path, evaluate, attack, capsys):
    assert cli.main(["plan", str(written(tmp_path, evaluate, attack))]) == 0
    assert "Traceback" not in capsys.readouterr().err
