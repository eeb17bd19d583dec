"""readout: x, y, z is an axis of the sweep like any other, on an ideal and on a noisy device."""

import itertools

import pytest
import torch
from rich.console import Console

from hqc_ray import load_classifier
from hqc_ray.sweep import run
from tests.sweep.cases import NOISY, changed

TEXT = changed(
    ("head: tanh", "head: [vqc1, tanh], readout: [x, y, z]"), ("n_qubits: 2", "n_qubits: 3"), ("epochs: 1", "epochs: 10"),
    ("{name: fgsm, epsilon: [0.01, 0.1]}", "{name: deepfool, epsilon: 0.5, max_iter: 4}"), ("images: 6", "images: 8"),
    more=f"  device: [{{name: default.qubit}}, {NOISY}]",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readout")
    (folder / "sweep.yaml").write_text(TEXT)
    found = run.execute(folder / "sweep.yaml", folder / "r", serial=True, console=Console(quiet=True))
    assert set(found.rows["status"]) == {"ok"}, found.rows["error"].max()
    return found


def test_each_basis_is_a_model_of_its_own_on_each_device_and_a_classical_head_has_none(rows):
    circuits = rows.rows[rows.rows["head"] == "vqc1"]
    assert sorted(zip(circuits["readout"], circuits["device"], strict=True)) == [
        (basis, device) for basis in "xyz" for device in ("default.qubit", "qiskit.aer[fake_manila]")
    ]
    assert circuits.groupby("readout")["model_key"].nunique().eq(1).all()
    assert circuits["model_key"].nunique() == 3
    assert circuits["search_key"].nunique() == circuits["key"].nunique() == 6
    classical = rows.rows[rows.rows["head"] == "tanh"]
    assert len(classical) == 1
    assert classical["readout"].isna().all()


def test_what_is_measured_differs_and_so_does_what_is_found(rows):
    circuits = rows.rows[rows.rows["head"] == "vqc1"]
    assert circuits["surrogate_error"].max() < 1e-8
    noisy = circuits[circuits["device_kind"] == "noisy"].set_index("readout")
    assert noisy.loc["z", "depth"] < noisy.loc["x", "depth"]  # a rotation before the measurement is a gate on the machine
    ideal = circuits[circuits["device_kind"] == "ideal"].set_index("readout")
    models = {basis: load_classifier(rows.folder, key) for basis, key in ideal["model_key"].items()}
    assert {model.head.ideal.circuit.readout for model in models.values()} == {"x", "y", "z"}
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = [model(images) for model in models.values()]
    assert not any(torch.allclose(one, other, atol=1e-3) for one, other in itertools.combinations(logits, 2))
