"""Attacked images that are kept: of which cells, once, all of them, through kills and damage; and judged by others."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from hqc_ray import cli, data, load_classifier, plan, spec
from hqc_ray.errors import WriteError
from hqc_ray.models import features
from hqc_ray.results.folder import Folder, kept_name
from hqc_ray.results.seal import arrays, opened
from hqc_ray.results.store import Store
from hqc_ray.sweep import driver, run
from hqc_ray.sweep.graph import costs
from hqc_ray.sweep.graph.resolve import Rooms
from tests.sweep.cases import Shelf, build, do

KEEPING = """
name: keeping
defaults:
  data: {source: 'tests.sweep.cases:Dots', size: 40, side: 96}
  train: {epochs: 4, learning_rate: 0.1}
  evaluate: {images: 8, batch_size: 4, keep: true, judges: {heads: all}}
  attack:
    - {name: clean}
    - {name: noise, epsilon: 0.5}
    - {name: pgd, epsilon: [0.0101, 0.5], steps: 4, step_size: 0.2}
    - {name: pgd, level: features, norm: l2, epsilon: 1, steps: 1}
blocks:
  - model: {backbone: 'tests.sweep.cases:tiny', weights: random, image_size: 8, head: [vqc1, tanh], n_qubits: 2}
"""
QUIET = Console(quiet=True)


def swept(path, text=KEEPING, **options):
    path.write_text(text)
    found = run.execute(path, path.parent / "results", serial=True, console=QUIET, **options)
    assert set(found.rows["status"]) == {"ok"}, found.rows["error"].iloc[0]
    return found


def kept(folder):
    """The content of each file of images, by its name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "kept").glob("*.npz")}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The sweep file, swept without images first."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("keeping") / "keeping.yaml"
    found = swept(path, KEEPING.replace("keep: true, ", ""))
    assert not (found.folder / "kept").exists()
    return path


@pytest.fixture(scope="module")
def before(file):
    """The rows of the sweep without images."""
    return {row.key: row.facts() for row in Folder(file.parent / "results" / "keeping").rows()}


@pytest.fixture(scope="module")
def folder(file, before):
    """The results folder of the same sweep with images, turned on after it was done."""
    return swept(file).folder


@pytest.fixture
def searched(monkeypatch):
    """The epsilons of the searches that are run."""
    found, real = [], driver.Driver.take

    def take(self, outcomes, worker=""):
        found.extend(row.epsilon for outcome in outcomes for row in self.open[outcome.job].rows)
        return real(self, outcomes, worker)

    monkeypatch.setattr(driver.Driver, "take", take)
    return found


def test_turned_on_afterwards_every_search_on_pixels_has_its_images_and_no_row_moves(folder, before):
    rows = Folder(folder).rows()
    assert {row.key: row.facts() for row in rows} == before
    assert len(rows) == 2 * (1 + 1 + 2) * 2 + 2 * 1 * 2
    moved = [row for row in rows if row.level == "pixels" and row.epsilon > 0]
    assert len(moved) == 12
    assert set(kept(folder)) == {kept_name(row) for row in moved}
    assert len(kept(folder)) == 6  # two judges share what was found for both


def test_what_is_there_is_not_searched_again_and_what_is_missing_or_damaged_is(folder, file, before, searched, caplog):
    swept(file)
    assert searched == []
    row = next(r for r in Folder(folder).rows() if r.attack == "pgd" and r.epsilon == 0.5)
    names = [kept_name(row), kept_name(next(r for r in Folder(folder).rows() if r.attack == "noise"))]
    whole = [(folder / name).read_bytes() for name in names]
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes(whole[1][:900] + b"\0" + whole[1][901:])
    swept(file)
    assert searched == [0.5, 0.5]  # one judge of each is enough
    assert [(folder / name).read_bytes() for name in names] == whole
    assert (folder / f"{names[1]}.bad").exists()
    assert {row.key: row.facts() for row in Folder(folder).rows()} == before


def test_images_are_those_that_the_judges_saw(folder):
    for row in Folder(folder).rows():
        if row.level == "pixels" and row.epsilon > 0:
            found = arrays(opened((folder / kept_name(row)).read_bytes(), kept_name(row))[0])
            clean, grey, floats = (found[name] for name in ("clean", "adversarial_8bit", "adversarial"))
            assert clean.shape == grey.shape == (8, 96, 96, 3)
            assert (clean.dtype, grey.dtype, floats.dtype) == (np.uint8, np.uint8, np.float16)
            moved = np.abs(grey.astype(int) - clean).max()
            assert moved == int(row.epsilon * 255 + 1e-3)  # the whole grey levels inside the ball
            beyond = np.abs(floats.transpose(0, 2, 3, 1).astype(float) - clean / 255).max() - row.epsilon
            assert -1e-3 < beyond < 2.5e-4


def test_a_sweep_that_died_goes_on_and_has_all_of_them(file, folder, monkeypatch):
    """Its images are on disk before the rows that they are of; here the disk is full at the second file."""
    path = file.parent / "again" / "keeping.yaml"
    path.parent.mkdir()
    real, written = Store.save_example, []

    def full(self, name, given):
        written.append(name)
        if len(written) == 3:
            raise WriteError("the disk is full")
        real(self, name, given)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_example", full)
        with pytest.raises(WriteError):
            swept(path)
    found = swept(path)
    assert kept(found.folder) == kept(folder)


def test_a_storage_has_them_too(file, folder, tmp_path):
    (tmp_path / "bucket").mkdir()
    path = tmp_path / "keeping.yaml"
    text = KEEPING.replace("    - {name: noise, epsilon: 0.5}\n", "").replace("[0.0101, 0.5]", "0.5")
    text = text.replace("[vqc1, tanh]", "tanh")
    first = swept(path, text, storage=str(tmp_path / "bucket"))
    (name,) = kept(first.folder)
    whole = (first.folder / name).read_bytes()
    assert (tmp_path / "bucket" / "keeping" / name).read_bytes() == whole
    (first.folder / name).unlink()
    swept(path, text, storage=str(tmp_path / "bucket"))
    assert (first.folder / name).read_bytes() == whole


@pytest.fixture
def exported(folder, tmp_path, capsys):
    """A row as `hqc export` writes it: its images and labels, read by `source: pcam`."""

    def read(row, *more):
        to = tmp_path / "-".join((row.key, *more)).strip("-")
        assert cli.main(["export", str(folder), row.key, str(to), *more]) == 0, capsys.readouterr()
        source = data.get("pcam", path=str(to), split="test")
        source.check()
        return source.read(range(8)), source.labels()

    return read


def test_exported_images_give_the_rows_number_where_the_model_is_the_same(folder, exported):
    """And of another head the number of its row, which judged the same images."""
    rows = [r for r in Folder(folder).rows() if r.level == "pixels" and r.epsilon == 0.5 and r.search_head == "tanh"]
    assert {r.head for r in rows} == {"vqc1", "tanh"}
    numbers = set()
    for row in rows:
        model = load_classifier(folder, row.model_key)
        right = np.ones(8, dtype=bool)
        for more in ((), ("--clean",)):
            images, labels = exported(row, *more)
            with torch.no_grad():
                right &= model(features.pixels(images)).argmax(1).numpy() == labels
        assert right.mean() == row.robust_accuracy_8bit
        numbers.add(float(right.mean()))
    assert len(numbers) > 1


def test_an_export_says_what_it_is_and_replaces_nothing(folder, tmp_path, capsys):
    row = next(r for r in Folder(folder).rows() if r.attack == "pgd" and r.epsilon == 0.5)
    assert cli.main(["export", str(folder), row.key[:12], str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"{row.robust_accuracy_8bit:.4f}" in printed
    with h5py.File(tmp_path / "camelyonpatch_level_2_split_test_x.h5") as x:
        assert dict(x.attrs) == {
            "attack": "pgd", "options": row.attack_options, "epsilon": 0.5, "changed": "yes", "norm": "linf", "row": row.key,
            "searched_on": row.search_model_key, "classes": '["0", "1"]',
        }  # fmt: skip
        assert x["x"].shape == (8, 96, 96, 3)
    with h5py.File(tmp_path / "camelyonpatch_level_2_split_test_y.h5") as y:
        assert y["y"].shape == (8, 1, 1, 1)
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert cli.main(["export", str(folder), row.key, str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def keys(text):
    made = plan.build(spec.parse(yaml.safe_load(text), "keeping"), Rooms())
    return [(cell.search.id, cell.judge.id, cell.epsilon) for group in made.groups for cell in group.cells], costs.kept(made)


def test_no_key_depends_on_it_and_a_plan_says_how_much_it_is():
    (on, sizes), (off, nothing) = keys(KEEPING), keys(KEEPING.replace("keep: true, ", ""))
    assert on == off
    assert nothing == (0, 0)
    assert sizes == (6, 6 * 8 * 96 * 96 * 3 * 4)
    both = KEEPING + KEEPING[KEEPING.index("  - model") :].rstrip() + "\n    evaluate: {keep: false}\n"
    assert keys(both) == (on, sizes)  # whichever of two equal cells asks for them
    still = KEEPING.replace("{name: noise, epsilon: 0.5}", "{name: clean, epsilon: 0.5}")
    assert keys(still)[1][0] == 4  # a clean image moves nowhere, whatever its epsilon


def test_rows_that_are_left_keep_what_is_missing_and_nothing_twice():
    text = KEEPING.replace("side: 96", "side: 8")
    store = Shelf()
    do(build(text.replace("keep: true, ", ""), store), store)
    again = build(text, store).jobs
    assert all(job.kind == "search" for job in again)
    assert sorted(row.epsilon for job in again for row in job.rows) == [0.0101, 0.0101, 0.5, 0.5, 0.5, 0.5]
    names = {name for job in again for _, name in job.task.kept}
    store.artifacts.update(dict.fromkeys(names))
    assert build(text, store).jobs == []
    (grown,) = [job for job in build(text.replace("[0.0101, 0.5]", "[0.0101, 0.2, 0.5]"), store).jobs if "vqc1" in job.task.title]
    assert [row.epsilon for row in grown.rows] == [0.2, 0.2]
    assert [epsilon for epsilon, _ in grown.task.kept] == [0.2]
