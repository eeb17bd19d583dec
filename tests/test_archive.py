"""A finished sweep in Python: its rows, and the images, model and adversarial examples of each, by which it is checked."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import hqc_ray
from hqc_ray.attacks import get as attack
from hqc_ray.errors import InputError, ResultsError
from hqc_ray.evaluation.statistics import unpack
from hqc_ray.results.folder import Folder
from hqc_ray.sweep import run

SWEEP = """
name: archived
defaults:
  data: {source: "checked_mine:Plain", size: 40, images: 60, path: "${CHECKED_FOLDER}", classes: [wide, fine]}
  train: {epochs: 2}
  evaluate: {images: 6, batch_size: 4, keep: true}
  attack: [{name: clean}, {name: pgd, epsilon: [0.05, 0.2], steps: 2}]
  seed: [0, 1]
blocks:
  - model: {backbone: "checked_mine:network", weights: random, head: tanh, n_qubits: 2}
    evaluate: {judges: {seeds: all}}
  - model: {backbone: "checked_mine:network", weights: random, head: basic_entangler, n_qubits: 2}
    evaluate: {judges: {seeds: all}}
    device: [{name: qiskit.aer, noise: fake_manila, shots: 100}, {name: "checked_mine:lab", options: {p: 0.02}}]
  - model: {backbone: "checked_mine:network", weights: random, head: "checked_mine:ring", n_qubits: 2}
    evaluate: {mode: native, judges: {seeds: all}}
    device: {name: default.qubit}
  - model: {backbone: "checked_mine:network", weights: random, head: vqc6, n_qubits: 2}
    attack: {name: pgd, level: angles, epsilon: 0.1, steps: 2}
    device: {name: "checked_mine:Faded", strength: 0.2}
"""
MODULE = '''
import numpy as np
import pennylane as qml
import torch
from torch import nn

from hqc_ray.data import Source
from hqc_ray.quantum.devices import Device
from hqc_ray.quantum.ideal.simulate import Program


class Plain(Source):
    """Three classes of stripes on noise, not square."""

    images: int = 90
    path: str
    classes = ("fine", "middle", "wide")
    image_size = (10, 12)

    def labels(self):
        return (np.arange(3 * self.images) % 3).astype(np.uint8)

    def read(self, indices):
        return np.stack([self._image(int(i)) for i in indices])

    def _image(self, index):
        noise = np.random.default_rng(index).integers(0, 150, (10, 12, 3))
        return (noise + 100 * (np.arange(12) // (1, 2, 4)[index % 3] % 2)[:, None]).astype(np.uint8)


class Faded(Device):
    """With some probability the machine gives anything."""

    strength: float = 0.1

    def run(self, circuit, weights, angles):
        exact = Program(circuit)(torch.from_numpy(weights), torch.from_numpy(angles)).numpy()
        return (1 - self.strength) * exact + self.strength / 2**circuit.n_qubits


def lab(n, p):
    return qml.add_noise(qml.device("default.mixed", wires=n), qml.NoiseModel({qml.noise.op_eq("RX"): damp}, p=p))


def damp(op, p=0.0, **kwargs):
    qml.AmplitudeDamping(p, wires=op.wires)


def ring(weights, wires):
    for wire in wires:
        qml.Rot(weights[0], weights[1], 2 * weights[wire + 1], wires=wire)
    qml.CRY(0.3, wires=wires[:2])


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    at = tmp_path_factory.mktemp("archived")
    (at / "checked_mine.py").write_text(MODULE)
    (at / "archived.yaml").write_text(SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHECKED_FOLDER", str(at))
        patch.setenv("HQC_CACHE", str(at / "cache"))
        found = run.execute(at / "archived.yaml", at / "results", serial=True)
        assert not found.failed, found.rows["error"].iloc[0]
        yield found.folder


@pytest.fixture
def found(folder):
    return hqc_ray.results(folder)


def right(model, images, labels):
    with torch.no_grad():
        return model(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1).numpy() == labels


def test_every_row_is_reproduced_bit_for_bit_from_its_images_and_its_model(found):
    checked = set()
    for row in found.folder.rows():
        images, labels = found.images(row)
        assert (images.shape[1:], images.dtype, len(labels)) == ((10, 12, 3), np.uint8, row.n_evaluated)
        if not len(labels):
            continue
        correct = right(found.classifier(row), images, labels)
        if not row.shots:  # an accuracy by shots is a sample of this one
            assert correct.tolist() == unpack(row.clean_correct, row.n_evaluated).tolist()
            assert correct.mean() == row.clean_accuracy
        if row.level == "pixels" and row.attack == "pgd":
            attacked, same = found.adversarial(row)
            assert same.tolist() == labels.tolist()
            assert np.abs(attacked.astype(int) - images).max() <= row.epsilon * 255
            if not row.shots:
                assert (correct & right(found.classifier(row), attacked, labels)).mean() == row.robust_accuracy_8bit
        checked.add((row.device.partition("[")[0], row.seed == row.search_seed, row.level))
    devices = {"classical", "qiskit.aer", "checked_mine:lab", "default.qubit (native)"}
    assert checked >= {(name, itself, "pixels") for name in devices for itself in (True, False)} | {("Faded", True, "angles")}


def test_another_library_attacks_what_a_row_was_evaluated_on(folder):
    foolbox = pytest.importorskip("foolbox")
    found = hqc_ray.results(folder)
    row = found.row(head="tanh", attack="pgd", epsilon=0.2, seed=0, search_seed=0)
    images, labels = (torch.from_numpy(array) for array in found.images(row))
    model = foolbox.PyTorchModel(found.classifier(row), bounds=(0, 1), device="cpu")
    pixels = images.permute(0, 3, 1, 2) / 255
    assert foolbox.accuracy(model, pixels, labels) == pytest.approx(row.clean_accuracy)
    _, (moved,), _ = foolbox.attacks.LinfPGD(steps=5)(model, pixels, labels, epsilons=[row.epsilon])
    assert (moved - pixels).abs().max() <= row.epsilon + 1e-6
    assert foolbox.accuracy(model, moved, labels) <= foolbox.accuracy(model, pixels, labels)
    ours = attack("pgd", steps=2)  # and ours through the same door
    result = hqc_ray.attacks.run(ours, found.classifier(row), pixels, labels.numpy(), [row.epsilon], seed=0)
    assert result.per_epsilon[0].epsilon == row.epsilon


def test_the_rows_are_a_frame_with_types_and_flags(found, folder):
    frame = found.rows
    assert list(frame["key"]) == [row.key for row in Folder(folder).rows()]
    assert str(frame["n_qubits"].dtype) == "Int64"
    assert str(frame["epsilon"].dtype) == "float64"
    assert {type(flags) for flags in frame["flags"]} == {np.ndarray}
    assert found.row(frame.iloc[3]["key"][:12]) == Folder(folder).rows()[3]
    assert found.images(frame.iloc[3])[0].shape[0] == frame.iloc[3]["n_evaluated"]
    assert repr(found) == f"hqc_ray.results({str(folder)!r})  # {len(frame)} rows"


def test_one_row_by_its_columns(found):
    row = found.row(head="vqc6", seed=1, search_seed=1)
    assert (row.head, row.level, row.epsilon) == ("vqc6", "angles", 0.1)
    assert found.row(head="vqc6", seed=1, search_seed=1, epsilon=0.3 - 0.2) == row
    for given, says in [
        ({"hed": "vqc6"}, "no column 'hed'"),
        ({"head": "tanh", "attack": "pgd"}, r"8 rows with .*epsilon=0\.05 \| 0\.2, seed=0 \| 1"),
        ({"head": "vqc5"}, r"0 rows with .*head='tanh' \| 'basic_entangler'"),
    ]:
        with pytest.raises(ResultsError, match=says):
            found.row(**given)
    with pytest.raises(ResultsError, match="no row 'zzz'"):
        found.row("zzz")


def test_what_is_not_there_is_said_in_one_line(found, folder, tmp_path, monkeypatch):
    row = found.row(head="tanh", attack="pgd", epsilon=0.2, seed=0, search_seed=0)
    away = row.model_copy(update={"search_key": "0" * 16})
    lost = row.model_copy(update={"device": "nobody[x=1]", "head_kind": "circuit"})
    monkeypatch.delenv("CHECKED_FOLDER")
    for call, says in [
        (lambda: hqc_ray.results(tmp_path / "nowhere"), "no such folder"),
        (lambda: found.adversarial(away), "no images of row .* are kept .*keep: true"),
        (lambda: found.images(row), "CHECKED_FOLDER is not set"),
        (lambda: found.images(row, path="elsewhere", images=61), "the data here are not those of row"),
        (lambda: found.images(row.model_copy(update={"status": "failed"})), "failed: no image was evaluated"),
        (lambda: found.classifier(lost), r"does not say enough about its device 'nobody\[x=1\]' .*device=\.\.\."),
        (lambda: found.classifier(row.model_copy(update={"model_key": "0" * 16})), "no model '0000000000000000'"),
        (lambda: found.summary, r"no summary\.csv .*hqc report"),
    ]:
        with pytest.raises(InputError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert found.images(row, path="elsewhere")[1].tolist() == [0, 1, 0, 1, 0, 1]
    assert math.isclose(
        found.classifier(
            found.row(head="basic_entangler", device="qiskit.aer[fake_manila,shots=100]", attack="clean", seed=0, search_seed=0),
            device="default.qubit",
        ).max_error,
        0,
        abs_tol=1e-8,
    )


def test_summary_is_the_file_that_the_report_writes(found, folder):
    path = folder / "summary.csv"
    before = path.read_bytes() if path.exists() else None
    path.write_text("head,worst\nvqc1,0.5\n")
    try:
        assert found.summary.to_dict("records") == [{"head": "vqc1", "worst": 0.5}]
    finally:
        path.unlink() if before is None else path.write_bytes(before)


def test_rows_of_an_earlier_version_are_read(tmp_path):
    committed = Path(__file__).parents[1] / "results" / "table2_resnet18"
    later = ("data_options", "train_epochs", "aims", "members", "trapped_share", "mitigation", "expected_error")
    with (committed / "rows.jsonl").open() as lines, (tmp_path / "rows.jsonl").open("w") as earlier:
        for line in lines:
            earlier.write(json.dumps({name: value for name, value in json.loads(line).items() if name not in later}) + "\n")
    found = hqc_ray.results(tmp_path)
    assert len(found.rows) == 858
    assert set(found.rows["mitigation"]) == {""}
    pd.testing.assert_series_equal(found.rows["robust_accuracy"], hqc_ray.results(committed).rows["robust_accuracy"])
    with pytest.raises(InputError, match="'path' is required"):
        found.images(found.rows.iloc[0])


def test_the_public_names_are_listed_and_torch_waits_until_it_is_needed():
    import pydoc
    import subprocess
    import sys

    listed = (
        "import sys, hqc_ray; print(dir(hqc_ray)); assert not {'torch', 'pandas', 'pennylane', 'pydantic'} & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout
    public = [name for name in hqc_ray.__all__ if not name.startswith("_")]
    assert [name for name in public if f"'{name}'" not in shown] == []
    assert all(getattr(hqc_ray, name) is not None for name in hqc_ray.__all__)
    text = pydoc.render_doc(hqc_ray, renderer=pydoc.plaintext)
    assert [name for name in public if name not in text] == []
    assert callable(hqc_ray.results)
    assert issubclass(hqc_ray.results.row.Row, hqc_ray.results.row.Planned)  # and still the room of that name
    with pytest.raises(AttributeError, match="no attribute 'result'"):
        hqc_ray.result  # noqa: B018
