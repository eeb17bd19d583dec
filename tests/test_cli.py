"""Every bad input is one line that says what, where and what is valid, exit code 2, before anything is computed."""

import json
import os
import re
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from torchvision.models import resnet18, squeezenet1_0, squeezenet1_1

from hqc_ray import cli, report

GOOD = {
    "data": "{source: synthetic, size: 40, images: 60}",
    "model": "{backbone: squeezenet1_1, weights: random, image_size: 32, head: vqc1, n_qubits: 3}",
    "attack": "{name: fgsm, epsilon: 0.1}",
    "device": "{name: default.qubit}",
}
PCAM = "{source: pcam, path: FOLDER, size: 10}"
BAD = {
    "unknown head": ({"model": "{backbone: cnn1, head: vqc9}"}, "model.head: unknown head 'vqc9'", "vqc1"),
    "unknown backbone": (
        {"model": "{backbone: resnet19}"},
        "model: unknown backbone 'resnet19'; did you mean 'resnet18'?",
        "more: hqc list backbones",
    ),
    "unknown model option": (
        {"model": GOOD["model"].replace("n_qubits", "n_qubit")},
        "model: unknown option 'n_qubit'; did you mean 'n_qubits'?",
        "backbone, embedding, head, image_size, layers, n_qubits, readout, reuploads, weights",
    ),
    "model option out of range": (
        {"model": "{backbone: cnn1, head: mlp, hidden: 0}"},
        "model.hidden: head 'mlp': Input should be greater than or equal to 1, not 0",
        "",
    ),
    "unknown attack": ({"attack": "{name: pdg}"}, "attack: unknown attack 'pdg'; did you mean 'pgd'", "deepfool"),
    "unknown option": ({"attack": "{name: pgd, step: 3}"}, "attack: attack 'pgd': unknown option 'step'", "steps=20"),
    "unknown device": ({"device": "{name: qiskit.ear}"}, "qiskit.ear", "qiskit.aer"),
    "unknown backend": ({"device": "{name: qiskit.aer, noise: fake_manilla}"}, "fake_manilla", "fake_manila"),
    "too many qubits": (
        {"device": "{name: qiskit.aer, noise: fake_manila}", "model": GOOD["model"].replace("3}", "6}")},
        "fake_manila",
        "up to 5 qubits",
    ),
    "dead embedding": ({"model": GOOD["model"].replace("}", ", embedding: rz}")}, "embedding 'rz'", "h+ry"),
    "unknown source": (
        {"data": "{source: pacm, size: 40}"},
        "data: unknown data source 'pacm'; did you mean 'pcam'",
        "synthetic",
    ),
    "too few images": ({"data": "{source: synthetic, size: 100, images: 60}"}, "data.size: 100 images asked for", "10 to 60"),
    "image too small": ({"model": "{backbone: alexnet, weights: random, image_size: 16}"}, "16 pixels", ""),
    "missing file": ({"data": PCAM}, "camelyonpatch_level_2_split_train_y.h5", "hqc data pcam --download"),
    "weights not there": (
        {"model": "{backbone: resnet18, weights: nothing.pth}"},
        "no such weights file 'nothing.pth'",
        "imagenet",
    ),
    "unset variable": ({"data": PCAM.replace("FOLDER", '"${HQC_NOWHERE}"')}, "HQC_NOWHERE is not set", "export"),
}


def sweep(folder, **sections):
    path = folder / "sweep.yaml"
    lines = [f"  {name}: {text}" for name, text in {**GOOD, **sections}.items()]
    path.write_text("name: bad\ndefaults:\n" + "\n".join(lines).replace("FOLDER", str(folder)))
    return path


def refused(capsys, *arguments):
    """The one line that the command prints before it exits with 2."""
    assert cli.main([str(a) for a in arguments]) == cli.BAD_INPUT
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading ")]
    assert len(lines) == 1
    assert lines[0].startswith("hqc: error: ")
    return lines[0]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sweep_file_is_refused_in_one_line(tmp_path, capsys, name):
    sections, what, valid = BAD[name]
    error = refused(capsys, "plan", sweep(tmp_path, **sections))
    assert what in error, error
    assert valid in error, error


def write_pcam(folder, x=None, y=None):
    x = np.zeros((20, 96, 96, 3), np.uint8) if x is None else x
    y = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1) % 2 if y is None else y
    for name, array in (("x", x), ("y", y)):
        with h5py.File(folder / f"camelyonpatch_level_2_split_train_{name}.h5", "w") as file:
            file.create_dataset(name, data=array)


def test_files_that_are_truncated_or_of_another_shape_or_with_other_labels(tmp_path, capsys):
    file = sweep(tmp_path, data=PCAM)
    write_pcam(tmp_path, x=np.zeros((20, 96, 3), np.uint8))
    assert "96, 96, 3" in refused(capsys, "plan", file)
    write_pcam(tmp_path, y=np.full((20, 1, 1, 1), 7, np.uint8))
    assert "7" in refused(capsys, "plan", file)
    write_pcam(tmp_path)
    x = tmp_path / "camelyonpatch_level_2_split_train_x.h5"
    x.write_bytes(x.read_bytes()[:1000])
    assert x.name in refused(capsys, "plan", file)


def test_images_that_are_all_the_same_are_refused_before_any_training(tmp_path, capsys):
    write_pcam(tmp_path)
    error = refused(capsys, "sweep", sweep(tmp_path, data=PCAM), "--results", tmp_path / "r", "--serial")
    assert "distinct" in error
    assert not (tmp_path / "r" / "bad" / "rows.jsonl").exists()


def test_weights_of_another_architecture(tmp_path, capsys):
    torch.save(squeezenet1_0(weights=None).state_dict(), tmp_path / "w.pth")
    error = refused(capsys, "plan", sweep(tmp_path, model=f"{{backbone: resnet18, weights: {tmp_path / 'w.pth'}}}"))
    assert "not of the architecture resnet18" in error


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """A sweep of squeezenet1_1 with imagenet weights, and the place of its file in $HQC_WEIGHTS."""
    monkeypatch.setenv("HQC_WEIGHTS", str(tmp_path))
    return sweep(tmp_path, model="{backbone: squeezenet1_1, image_size: 32, head: linear}"), tmp_path / "squeezenet1_1.pth"


def test_a_file_in_the_folder_of_weights_is_taken_for_what_its_name_says_until_the_sweep(tmp_path, capsys, placed):
    file, weights = placed
    torch.save(resnet18(weights=None).state_dict(), weights)
    assert cli.main(["plan", str(file)]) == cli.OK
    error = refused(capsys, "sweep", file, "--results", tmp_path / "r", "--serial")
    assert "not of the architecture squeezenet1_1" in error
    assert not (tmp_path / "r" / "bad" / "rows.jsonl").exists()


def damaged(path, change):
    """The weights of squeezenet1_1, with their bytes changed."""
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    path.write_bytes(change(path.read_bytes()))


BROKEN = {
    "empty": (lambda path: path.touch(), "it is empty"),
    "a web page": (lambda path: path.write_text("<html>404</html>"), "it is a web page"),
    "text": (lambda path: path.write_text("weights"), "it is no file of torch"),
    "truncated": (lambda path: damaged(path, lambda whole: whole[:-100]), "it is truncated or damaged"),
    "changed bytes": (lambda path: damaged(path, lambda whole: whole[:400] + b"?!" + whole[402:]), "it is truncated or damaged"),
    "another archive": (lambda path: zipfile.ZipFile(path, "w").writestr("a/b", b"c"), "it is truncated or damaged"),
    "TorchScript": (lambda path: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path), "it is a TorchScript archive"),
    "an old form, of another network": (
        lambda path: torch.save({"a": torch.ones(1)}, path, _use_new_zipfile_serialization=False),
        "not of the architecture squeezenet1_1",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plan_refuses_a_file_in_the_folder_of_weights_that_is_no_whole_checkpoint(capsys, placed, case):
    file, weights = placed
    write, said = BROKEN[case]
    write(weights)
    error = refused(capsys, "plan", file)
    assert "squeezenet1_1.pth" in error
    assert said in error


def test_a_results_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    error = refused(capsys, "sweep", sweep(tmp_path), "--results", tmp_path / "file", "--serial")
    assert "cannot write to the results folder" in error


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HQC_CACHE", str(tmp_path / "file" / "cache"))
    error = refused(capsys, "sweep", sweep(tmp_path), "--results", tmp_path / "r", "--serial")
    assert "cannot write to the cache: Not a directory (valid: HQC_CACHE=" in error
    assert not (tmp_path / "r" / "bad" / "rows.jsonl").exists()


def test_a_results_folder_of_another_sweep_keeps_its_rows(tmp_path, capsys):
    folder = tmp_path / "r" / "bad"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("name: other")
    (folder / "rows.jsonl").write_text("not ours\n")
    assert "belongs to another sweep, 'other'" in refused(
        capsys, "sweep", sweep(tmp_path), "--results", tmp_path / "r", "--serial"
    )
    assert (folder / "rows.jsonl").read_text() == "not ours\n"


def test_options_that_contradict_each_other_and_a_cluster_that_is_not_there(tmp_path, capsys):
    assert "--serial" in refused(capsys, "sweep", sweep(tmp_path), "--serial", "--workers", "2")
    assert "not an option" in refused(capsys, "data", "synthetic", "images")
    assert "no rows.jsonl" in refused(capsys, "report", tmp_path)


def test_a_warning_of_ours_is_one_line_without_the_place_in_the_code(tmp_path, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards what main replaces
    cli.main(["report", str(tmp_path)])
    assert warnings.formatwarning("2 examples are gone", UserWarning, report.__file__, 1) == "hqc: 2 examples are gone\n"
    assert warnings.formatwarning("old", DeprecationWarning, "/lib/a.py", 7) == "/lib/a.py:7: DeprecationWarning: old\n"


def test_a_sheet_that_cannot_be_written(tmp_path, capsys):
    error = refused(capsys, "data", "synthetic", "images=40", f"--sheet={tmp_path / 'nowhere' / 'sheet.png'}")
    assert "sheet.png: cannot write the sheet: No such file" in error


def test_plan_shows_cells_trainings_circuits_shots_and_time(tmp_path, capsys):
    device = "[{name: default.qubit}, {name: qiskit.aer, shots: 100}]"
    assert cli.main(["plan", str(sweep(tmp_path, device=device))]) == cli.OK
    out = capsys.readouterr().out
    assert "bad: 2 cells" in out
    assert "1 subset of images, 1 training, 2 searches" in out
    assert f"{2 * (3**3 + 16)} circuit executions for 2 surrogates, then" in out
    assert "default.qubit, qiskit.aer[shots=100]" in out
    assert f"{40 * 2 * 100 * 8:,} shots" in out  # judged forty times
    assert re.search(r"(about .*|under a second) of work on one core, about .* on the \w+ here", out)
    assert os.listdir(tmp_path) == ["sweep.yaml"]


@pytest.mark.parametrize(("work", "cores", "told"), [
    (0.2, 2, "under a second of work on one core, about 12 s on the 2 here, most of it the start of Ray"),
    (3600.0, 4, "about 60 min of work on one core, about 15 min on the 4 here"),
    (60.0, 1, "about 60 s of work on one core, about 72 s on the one here"),
])  # fmt: skip
def test_a_plan_says_what_takes_the_time(monkeypatch, tmp_path, capsys, work, cores, told):
    from hqc_ray.sweep.graph import costs

    monkeypatch.setattr(costs, "total", lambda plan: work)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert cli.main(["plan", str(sweep(tmp_path))]) == cli.OK
    assert f"\n{told}\n" in capsys.readouterr().out


def test_data_checks_a_source_and_draws_it(tmp_path, capsys):
    assert cli.main(["data", "synthetic", "images=40", f"--sheet={tmp_path / 'sheet.png'}"]) == cli.OK
    assert "40" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_plan_as_json_says_the_same_in_numbers(tmp_path, capsys):
    assert (
        cli.main(["plan", str(sweep(tmp_path, device="[{name: default.qubit}, {name: qiskit.aer, shots: 100}]")), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert {k: found[k] for k in ("name", "cells", "subsets", "trainings", "searches", "surrogates", "circuits", "shots")} == {
        "name": "bad", "cells": 2, "subsets": 1, "trainings": 1, "searches": 2, "surrogates": 2, "circuits": 2 * (3**3 + 16),
        "shots": 40 * 2 * 100 * 8,
    }  # fmt: skip
    (model,) = found["models"]
    assert (model["head"], model["qubits"], model["cells"]) == ("vqc1", 3, 2)
    assert model["devices"] == ["default.qubit", "qiskit.aer[shots=100]"]
    assert found["seconds_on_one_core"] > 0


def test_mistakes_of_several_rooms_are_told_at_once_each_with_its_line(tmp_path, capsys):
    file = sweep(tmp_path, attack="{name: pdg, epsilon: 0.1}", model="{backbone: resnet19}", device="{name: qiskit.ear}")
    assert cli.main(["plan", str(file)]) == cli.BAD_INPUT
    lines = capsys.readouterr().err.splitlines()
    for number, name in ((4, "backbone 'resnet19'"), (5, "attack 'pdg'"), (6, "device 'qiskit.ear'")):
        (line,) = [line for line in lines if f"unknown {name}; did you mean" in line]
        assert line.startswith(f"hqc: error: sweep.yaml, line {number}: blocks[0].")
    assert len(lines) == 3


def test_own_code_that_fails_is_told_beside_other_mistakes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # the folder of a sweep file is added
    (tmp_path / "lab_of_mine.py").write_text("def damped(n):\n    raise OSError('no lab')\n")
    device = "{name: 'lab_of_mine:damped'}"
    file = sweep(tmp_path, attack="{name: pgd, epsilon: 0.1, step: 3}", device=device, train=f"{{epochs: 1, device: {device}}}")
    assert cli.main(["plan", str(file)]) == cli.BAD_INPUT
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert (
        sum("OSError: no lab (" in line and "lab_of_mine.py, line 2)" in line for line in lines) == 2
    )  # trained and judged with
    assert sum("unknown option 'step'; did you mean 'steps'?" in line for line in lines) == 1


def test_circuits_as_json(capsys):
    assert cli.main(["circuits", "vqc1", "--pairs", "20", "--json"]) == cli.OK
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["circuit"], found["qubits"], found["weights"], len(found["dead_weights"])) == ("vqc1", 4, 28, 8)
    assert set(found["expressibility"]) >= {"value", "low", "high"}
