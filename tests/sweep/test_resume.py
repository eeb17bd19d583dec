"""Nothing is done twice, nothing is lost, and the final table is that of a run that was never disturbed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from hqc_ray import cli, data
from hqc_ray.errors import ResultsError
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.store import Store
from hqc_ray.sweep import run
from tests.sweep.conftest import SMALL, TINY

QUIET = Console(quiet=True)


def facts(folder):
    return {key: row.facts() for key, row in Ledger(folder / "rows.jsonl").rows.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The serial run of the tiny sweep: its file, and its results folder."""
    folder = tmp_path_factory.mktemp("serial")
    (folder / "tiny.yaml").write_text(TINY)
    finished = run.execute(folder / "tiny.yaml", folder / "results", serial=True, console=QUIET)
    assert (finished.failed, finished.missing) == (0, 0)
    return folder / "tiny.yaml", finished.folder


def differences(folder, other):
    """The columns in which two ledgers differ, by cell; empty where they are equal."""
    ours, theirs = facts(folder), facts(other)
    found = {k: [c for c in ours[k] if ours[k][c] != theirs[k][c]] for k in ours.keys() & theirs.keys()}
    return {k: c for k, c in found.items() if c} | dict.fromkeys(ours.keys() ^ theirs.keys(), "missing")


def start(file, results, *options):
    """`hqc sweep` as a user starts it, in a process group of its own."""
    command = [sys.executable, "-m", "hqc_ray.cli", "sweep", str(file), "--results", str(results), "--workers", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )


def wait_for_rows(path, count, process):
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no rows within two minutes"
        time.sleep(0.02)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["killed", "interrupted", "ended"])
def test_a_disturbed_run_on_ray_ends_in_the_serial_table(undisturbed, tmp_path, blow):
    file, serial = undisturbed
    expected = facts(serial)
    process = start(file, tmp_path)
    wait_for_rows(tmp_path / "tiny" / "rows.jsonl", 3, process)
    os.kill(process.pid, blow)
    output = process.communicate(timeout=60)[0]
    if blow != signal.SIGKILL:
        assert process.returncode == cli.INTERRUPTED, output
        assert "the same command goes on" in output
    before = facts(tmp_path / "tiny")
    assert 3 <= len(before) < len(expected)
    assert all(expected[key] == row for key, row in before.items())
    if blow == signal.SIGTERM:
        return  # it ends as Ctrl-C does, and how that goes on is seen once

    process = start(file, tmp_path)
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    assert f"{len(before)} done before" in output
    assert differences(tmp_path / "tiny", serial) == {}
    assert len((tmp_path / "tiny" / "rows.jsonl").read_text().splitlines()) == len(expected)
    for name in ("table.md", "rows.csv"):
        ours, theirs = (tmp_path / "tiny" / name).read_text(), ""
        assert ours
        if name == "table.md":
            cli.main(["report", str(serial)])
            theirs = (serial / name).read_text()
            assert ours == theirs


def test_a_finished_sweep_does_nothing_again(undisturbed, capsys):
    file, folder = undisturbed
    before = (folder / "rows.jsonl").read_bytes()
    again = run.execute(file, folder.parent, serial=True, console=Console(stderr=True, force_terminal=False))
    assert "0 jobs to do" in capsys.readouterr().err
    assert (folder / "rows.jsonl").read_bytes() == before
    assert len(again.rows) == len(before.splitlines())


def test_a_grown_sweep_does_only_what_is_new(sweep_file, tmp_path, capsys):
    run.execute(sweep_file(SMALL), tmp_path / "r", serial=True, console=QUIET)
    first = facts(tmp_path / "r" / "small")
    grown = SMALL.replace("[0.01, 0.1]", "[0.01, 0.05, 0.1]")
    run.execute(sweep_file(grown), tmp_path / "r", serial=True, console=Console(stderr=True, force_terminal=False))
    assert "3 cells, 2 done before, 1 job to do" in capsys.readouterr().err
    second = facts(tmp_path / "r" / "small")
    assert {k: second[k] for k in first} == first
    alone = run.execute(sweep_file(grown), tmp_path / "alone", serial=True, console=QUIET)
    assert facts(alone.folder) == second


def test_two_drivers_in_one_folder_are_refused_and_a_stranger_too(sweep_file, tmp_path):
    file = sweep_file(SMALL)
    loaded, _ = run.prepare(file)
    store = Store(tmp_path / "r" / "small", loaded)
    with pytest.raises(ResultsError, match="another driver is at work"):
        run.execute(file, tmp_path / "r", serial=True, console=QUIET)
    store.close()
    assert not store.folder.exists()  # nothing was begun in it
    store = Store(store.folder, loaded)
    store.begin([])
    store.close()
    with pytest.raises(ResultsError, match="belongs to another sweep, 'small'"):
        Store(tmp_path / "r" / "small", loaded.model_copy(update={"name": "other"}))


def test_a_driver_that_is_killed_while_it_checks_the_sweep_leaves_no_lock_behind(sweep_file, tmp_path):
    file, folder = sweep_file(SMALL), tmp_path / "r" / "small"
    loaded, _ = run.prepare(file)
    process = start(file, tmp_path / "r")
    while not (folder / ".lock").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    time.sleep(0.3)  # its child has begun
    process.kill()
    process.wait()
    assert not (folder / "cells.json").exists()
    time.sleep(1.0)  # nobody types faster
    Store(folder, loaded).close()


def test_another_sweep_finds_the_model_and_the_features(sweep_file, tmp_path):
    run.execute(sweep_file(SMALL), tmp_path / "r", serial=True, console=QUIET)
    other = SMALL.replace("name: small", "name: other").replace("fgsm", "noise")
    jobs = jobs_left(sweep_file(other), tmp_path / "r")
    assert [job.kind for job in jobs] == ["search"]
    run.execute(sweep_file(other), tmp_path / "r", serial=True, console=QUIET)
    assert list((tmp_path / "r" / "other" / "models").glob("*.pt"))


def test_a_second_head_does_not_touch_the_backbone(sweep_file, tmp_path):
    run.execute(sweep_file(SMALL), tmp_path / "r", serial=True, console=QUIET)
    second = jobs_left(sweep_file(SMALL.replace("head: tanh", "head: [tanh, linear, mlp, vqc1]")), tmp_path / "r")
    assert sorted({job.kind for job in second}) == ["fit", "search", "train"]
    changed = jobs_left(sweep_file(SMALL.replace("image_size: 32", "image_size: 40")), tmp_path / "r")
    assert "features" in {job.kind for job in changed}


def jobs_left(file, results):
    from hqc_ray.sweep.graph.builder import Builder

    loaded, planned = run.prepare(file)
    store = Store(results / loaded.name, loaded)
    try:
        return Builder(planned, store).build().jobs
    finally:
        store.close()


def test_two_places_with_other_images_are_two_subsets_and_copies_are_one(sweep_file, tmp_path):
    for name, seed in (("a", 0), ("b", 1), ("copy", 0)):
        write_folder(tmp_path / name, seed)
    text = SMALL.replace(
        "{source: synthetic, size: 40, images: 60}", "{source: folder, path: [PLACES], size: 40, size_pixels: 32}"
    )
    places = ", ".join(str(tmp_path / name) for name in ("a", "b", "copy"))
    rows = run.execute(sweep_file(text.replace("PLACES", places)), tmp_path / "r", serial=True, console=QUIET).rows
    assert len(rows) == 4  # two epsilons on a, two on b
    assert rows["data_digest"].nunique() == 2


def write_folder(folder, seed):
    from PIL import Image

    source = data.get("synthetic", images=60, size_pixels=32, seed=seed)
    for index, label in enumerate(source.labels().tolist()):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.read([index])[0]).save(folder / str(label) / f"{index}.png")


@pytest.mark.parametrize("kind", ["models", "features"])
def test_a_damaged_artifact_is_set_aside_and_made_again(sweep_file, tmp_path, kind):
    first = run.execute(sweep_file(SMALL), tmp_path / "r", serial=True, console=QUIET)
    pattern = {"models": "small/models/*.pt", "features": ".cache/features/*/*.npz"}[kind]
    damaged = list((tmp_path / "r").glob(pattern)) + list(
        (tmp_path / "r" / ".cache").glob("model/*" * (kind == "models") or "none")
    )
    for path in damaged:
        path.write_bytes(path.read_bytes()[:500])
    second = run.execute(sweep_file(SMALL.replace("fgsm", "noise").replace("head: tanh", "head: [tanh, linear]")), tmp_path / "r",
                         serial=True, console=QUIET)  # fmt: skip
    assert (first.failed, second.failed, second.missing) == (0, 0, 0)
    assert all(path.with_name(path.name + ".bad").exists() for path in damaged)
