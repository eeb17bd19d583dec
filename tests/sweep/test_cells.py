"""What a row says before anything is computed: each planned column from the sweep file."""

import json

import pytest

from hqc_ray.attacks import SPACES
from hqc_ray.results.row import Measured, Row
from hqc_ray.spec import SECTIONS
from hqc_ray.sweep.graph import cells as cells_room
from hqc_ray.sweep.graph.cells import Cells
from hqc_ray.sweep.graph.lookup import Lookup
from tests.sweep.cases import NOISY, SAMPLED, changed, planned, save_weights


def rows(text, limit=None):
    found = planned(text)
    cells = Cells(found, Lookup())
    return [row for group in found.groups for row, _ in cells.of(group)]


def test_every_column_of_a_classical_cell():
    first, second = rows(changed(more="  seed: 3"))
    columns = first.model_dump()
    assert {k: v for k, v in columns.items() if not k.endswith(("key", "digest"))} == {
        "sweep": "cases", "data_source": "tests.sweep.cases:Dots", "data_size": 40, "n_classes": 2, "class_names": '["0", "1"]',
        "n_train": 32, "n_test": 8, "seed": 3, "backbone": "tests.sweep.cases:tiny", "weights": "own",
        "weights_origin": "own", "image_size": 8, "image_width": None, "head": "tanh", "head_kind": "classical", "n_qubits": 2,
        "embedding": None,
        "layers": None, "reuploads": None, "readout": None, "model_options": '{"n_qubits": 2}', "train_device": "",
        "search_head": "tanh", "search_seed": 3, "search_device": "classical", "access": "exact", "audience": "itself",
        "level": "pixels", "attack": "fgsm", "attack_title": "FGSM", "attack_kind": "budget",
        "attack_options": '{"norm": "linf"}', "gradient_steps": 1, "aims": False, "black_box": False,
        "attack_label": "fgsm", "one_search": True, "norm": "linf", "epsilon": 0.01,
        "epsilon_unit": SPACES["pixels"].unit, "device": "classical", "device_kind": "classical", "shots": None,
        "mode": "surrogate", "foreign_device": False, "example": f"examples/{first.key}.npz",
        "backbone_title": "tests.sweep.cases:tiny", "head_title": "tanh", "data_test_fraction": None,
        "data_validation_fraction": None, "data_options": '{"images": 80, "n_classes": 2, "path": "", "seed": 0, "side": 8}',
        "train_epochs": 1, "train_batch_size": 32, "train_learning_rate": 0.1, "device_options": "{}",
        "mitigation": "", "image_shots": None, "calibration_shots": None,
            "evaluate_images": 6, "evaluate_batch_size": 3, "evaluate_repeats": 1, "evaluate_certificate": False,
    }  # fmt: skip
    assert first.model_key == first.search_model_key
    assert second.model_dump() == columns | {"key": second.key, "epsilon": 0.1, "example": f"examples/{second.key}.npz"}
    assert second.key != first.key


def test_every_key_of_a_sweep_file_has_a_column():
    """A new key needs one, or the report would average over it."""
    columns = Row.model_fields.keys() - Measured.model_fields.keys()
    elsewhere = {"data.classes": "class_names", "evaluate.judges": "audience"}
    without = {"evaluate.keep"}  # no number depends on it
    for section, kind in SECTIONS.items():
        for key in kind.model_fields:
            if f"{section}.{key}" in without:
                continue
            name = elsewhere.get(f"{section}.{key}", f"{section}_{key}")
            assert columns & {name, key, section}, f"{section}.{key}"


def test_settings_stand_in_the_row_as_the_file_has_them(monkeypatch):
    monkeypatch.setenv("HQC_PLACE", "nowhere-else")
    text = changed(
        ("head: tanh", "head: vqc1"), ("epochs: 1", "epochs: 2, batch_size: 8"),
        ("size: 40", 'size: 40, test_fraction: 0.3, path: "/home/ann/${HQC_PLACE}"'),
        more=f"  device: {SAMPLED}",
    )  # fmt: skip
    row = rows(text)[0]
    assert (row.train_epochs, row.train_batch_size, row.train_learning_rate, row.data_test_fraction) == (2, 8, 0.1, 0.3)
    assert json.loads(row.data_options)["path"] == "~/${HQC_PLACE}"
    assert json.loads(row.device_options)["shots"] == 50


def test_the_columns_of_a_circuit_and_of_its_devices():
    text = changed(
        ("head: tanh", "head: vqc1, embedding: ry, layers: 2, reuploads: 3, readout: y"),
        ("epochs: 1", f"epochs: 1, device: {NOISY}"),
        more=f"  device: [{{name: default.qubit}}, {NOISY}, {SAMPLED}]",
    )  # fmt: skip
    found = rows(text)
    first = found[0]
    assert (first.head_kind, first.n_qubits, first.embedding, first.layers, first.reuploads, first.readout) == (
        "circuit", 2, "ry", 2, 3, "y",
    )  # fmt: skip
    assert json.loads(first.model_options) == {"n_qubits": 2, "embedding": "ry", "layers": 2, "reuploads": 3, "readout": "y"}
    assert {row.train_device for row in found} == {"qiskit.aer[fake_manila]"}
    by_device = {row.device: (row.device_kind, row.shots, row.audience, row.search_device) for row in found}
    exact = "qiskit.aer[fake_manila]"
    assert by_device == {
        "default.qubit": ("ideal", None, "itself", "default.qubit"),
        exact: ("noisy", None, "itself", exact),
        "qiskit.aer[fake_manila,shots=50]": ("noisy", 50, "samples", exact),  # what is differentiated is its exact twin
    }
    assert len({row.search_key for row in found}) == 3


def test_access_is_seen_in_what_the_attacker_looked_through():
    shots = rows(changed(("tanh", "vqc1"), ("images: 6", "images: 6, access: shots"), more=f"  device: {SAMPLED}"))
    assert {(row.access, row.search_device) for row in shots} == {("shots", "qiskit.aer[fake_manila,shots=50]")}
    ideal = rows(changed(("tanh", "vqc1"), ("images: 6", "images: 6, access: ideal"), more=f"  device: [{NOISY}, {SAMPLED}]"))
    assert {(row.access, row.search_device, row.audience) for row in ideal} == {("ideal", "ideal", "others")}
    assert len({row.search_key for row in ideal}) == 1
    native = rows(changed(("tanh", "vqc1"), ("images: 6", "images: 6, mode: native"), more=f"  device: {NOISY}"))
    assert {row.device for row in native} == {"qiskit.aer[fake_manila] (native)"}


def test_classes_are_counted_and_named():
    three = rows(changed(("size: 40", "size: 42, n_classes: 3, images: 90")))
    assert {(row.n_classes, row.class_names, row.n_train + row.n_test) for row in three} == {(3, '["0", "1", "2"]', 42)}
    chosen = rows(changed(("size: 40", "size: 40, n_classes: 3, images: 90, classes: [2, 0]")))
    assert {(row.n_classes, row.class_names) for row in chosen} == {(2, '["2", "0"]')}
    assert three[0].data_digest != chosen[0].data_digest


def test_a_transfer_names_who_was_attacked_and_who_judged():
    found = rows(changed(("tanh", "[tanh, linear]"), ("images: 6", "images: 6, judges: {heads: all}")))
    pairs = {(row.search_head, row.head): row for row in found}
    assert set(pairs) == {(a, b) for a in ("tanh", "linear") for b in ("tanh", "linear")}
    assert len({row.key for row in found}) == len(found) == 8
    for (attacked, judging), row in pairs.items():
        assert (row.search_model_key == row.model_key) == (attacked == judging)
        assert row.search_key == pairs[attacked, attacked].search_key
        assert row.audience == "others"
        assert bool(row.example) == (attacked == judging)  # one picture of a search is enough
    seeds = rows(changed(("images: 6", "images: 6, judges: {seeds: [1]}"), more="  seed: [0, 1]"))
    assert {(row.search_seed, row.seed) for row in seeds} == {(0, 0), (0, 1), (1, 1)}


@pytest.mark.parametrize("level", ["pixels", "features", "angles"])
def test_levels_have_units_and_only_pixels_have_pictures(level):
    found = rows(changed(("epsilon:", f"level: {level}, epsilon:")))
    assert {(row.level, row.epsilon_unit) for row in found} == {(level, SPACES[level].unit)}
    assert {bool(row.example) for row in found} == {level == "pixels"}


def test_pictures_are_kept_of_the_first_seed_at_the_ends_of_the_strengths_and_not_of_too_many(monkeypatch):
    attacks = "[{name: clean}, {name: noise, epsilon: [0.01, 0.05, 0.1]}, {name: fgsm, epsilon: [0.1, 0.02, 0.05]}]"
    text = changed(("{name: fgsm, epsilon: [0.01, 0.1]}", attacks), more="  seed: [7, 8]")
    pictured = [(row.seed, row.attack, row.epsilon) for row in rows(text) if row.example]
    assert pictured == [(7, "noise", 0.01), (7, "noise", 0.1), (7, "fgsm", 0.1), (7, "fgsm", 0.02)]
    monkeypatch.setattr(cells_room, "MAX_EXAMPLES", 3)
    assert [row.attack for row in rows(text) if row.example] == ["noise", "noise", "fgsm"]


def test_a_label_shows_options_only_where_they_tell_attacks_apart():
    attacks = "[{name: fgsm, epsilon: 0.1}, {name: pgd, epsilon: 0.1, steps: [2, 3], norm: l2}]"
    found = rows(changed(("{name: fgsm, epsilon: [0.01, 0.1]}", attacks)))
    assert [row.attack_label for row in found] == ["fgsm", "pgd(steps=2)", "pgd(steps=3)"]
    assert [row.norm for row in found] == ["linf", "l2", "l2"]
    assert [json.loads(row.attack_options).get("steps") for row in found] == [None, 2, 3]
    ensemble = "{name: ensemble, members: {fgsm: {}, pgd: {steps: 2}}, epsilon: [0.01, 0.1]}"
    both = rows(changed(("{name: fgsm, epsilon: [0.01, 0.1]}", ensemble)))
    assert {row.one_search for row in both} == {False}
    assert list(json.loads(both[0].attack_options)["members"]) == ["fgsm", "pgd"]


def test_weights_are_named_and_never_their_folder(tmp_path):
    path = save_weights(tmp_path / "mine.pth")
    options = ("tanh", "linear, fine: [false, false]")
    found = rows(changed(("cases:tiny", "cases:Patches"), ("weights: random", f"weights: {path}"), options))
    assert {(row.weights, row.weights_origin) for row in found} == {("mine.pth", "file mine.pth")}
    assert str(tmp_path) not in "".join(row.model_dump_json() for row in found)
    assert json.loads(found[0].model_options) == {"fine": False}
    trained = rows(changed(("cases:tiny", "cases:Trained")))
    assert {row.weights for row in trained} == {"trained"}


def test_a_size_that_is_not_square_is_in_the_row_and_in_the_keys():
    square, wide, high = (rows(changed(("image_size: 8", f"image_size: {size}")))[0] for size in ("8", "[[8, 12]]", "[[12, 8]]"))
    assert [(row.image_size, row.image_width) for row in (square, wide, high)] == [(8, None), (8, 12), (12, 8)]
    assert len({row.model_key for row in (square, wide, high)}) == len({row.key for row in (square, wide, high)}) == 3
    assert rows(changed(("image_size: 8", "image_size: [[8, 8]]")))[0].image_width is None
