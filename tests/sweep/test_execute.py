"""A sweep from its file to its rows, on one thread of this process: what is said, what is left, what is kept."""

import io
import json
import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from hqc_ray import cli, load_classifier
from hqc_ray.columns import counted
from hqc_ray.errors import AttackError, DataError, HqcError, SpecError
from hqc_ray.models import classifier
from hqc_ray.results import ledger
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.seal import arrays, opened
from hqc_ray.sweep import isolated, run
from tests.sweep.cases import changed

TWO = "[{name: fgsm, epsilon: [0.01, 0.1]}, {name: noise, epsilon: 0.1}]"
TEXT = changed(("{name: fgsm, epsilon: [0.01, 0.1]}", TWO))


@pytest.fixture
def execute(sweep_file, tmp_path):
    """Runs a sweep serially; what it left, and the lines that it said."""

    def run_it(text=TEXT, **arguments):
        out = io.StringIO()
        console = Console(file=out, width=300)
        found = run.execute(sweep_file(text), tmp_path / "r", serial=True, console=console, **arguments)
        return found, out.getvalue().splitlines()

    return run_it


def test_what_is_said_and_what_is_left_behind(execute):
    found, lines = execute()
    assert lines[0].startswith("reading ")
    assert lines[0].endswith("sweep.yaml, and checking all that it names")
    assert lines[1] == "reading 40 images of tests.sweep.cases:Dots, seed 0"
    assert lines[2] == "cases: 3 cells, 0 done before, 4 jobs to do"
    assert lines[-2].startswith("3 of 3 cells; features 1/1, trainings 1/1, searches 2/2; 1 worker; ")
    assert lines[-1].startswith("cases: took ")
    assert "idle" not in lines[-1]  # nobody counts that of one process
    assert (found.failed, found.missing, found.storage) == (0, 0, None)
    assert found.rows["attack"].tolist() == ["fgsm", "fgsm", "noise"]
    (facts,) = found.provenance["runs"]
    assert (facts["runner"], facts["workers"], facts["threads_per_worker"], facts["idle_share"]) == ("serial", 1, 1, None)
    assert json.loads((found.folder / "cells.json").read_text()) == found.rows["key"].tolist()


def test_how_models_were_trained_is_kept_epoch_by_epoch(execute, monkeypatch):
    found, _ = execute()
    (key,) = set(found.rows["model_key"])
    saved = classifier.parse((found.folder / "models" / f"{key}.pt").read_bytes()).meta["history"]
    table = pd.read_csv(found.folder / "training.csv")
    assert table["model_key"].tolist() == [key] * len(saved)
    assert table["epoch"].tolist() == list(range(1, len(saved) + 1))
    np.testing.assert_allclose(table["train_loss"], [epoch["train_loss"] for epoch in saved], rtol=1e-4)
    before = (found.folder / "training.csv").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "parse", lambda *_: 1 / 0)  # what is written down is not read again
        execute()
    assert (found.folder / "training.csv").read_bytes() == before
    (found.folder / "training.csv").write_text("something else")
    execute()
    assert (found.folder / "training.csv").read_bytes() == before


def test_pictures_say_how_sure_the_model_is_of_them(execute):
    found, _ = execute()
    row = found.rows[found.rows["example"] != ""].iloc[0]
    kept = arrays(opened((found.folder / row["example"]).read_bytes())[0])
    model = load_classifier(found.folder, row["model_key"])
    for images, classes in (("clean", "clean_prediction"), ("adversarial", "prediction")):
        with torch.no_grad():
            probabilities = model(torch.from_numpy(kept[images]).float()).softmax(1).numpy()
        np.testing.assert_allclose(
            kept[f"{images}_confidence"], probabilities[np.arange(len(probabilities)), kept[classes]], rtol=1e-5
        )
    assert 0.5 <= kept["clean_confidence"].min() < kept["clean_confidence"].max() <= 1


def test_the_same_command_again_does_nothing_and_says_so(execute):
    found, _ = execute()
    before = (found.folder / "rows.jsonl").read_bytes()
    again, lines = execute()
    assert "cases: 3 cells, 3 done before, 0 jobs to do" in lines
    assert (again.folder / "rows.jsonl").read_bytes() == before
    assert again.rows.equals(found.rows)
    assert [one["workers"] for one in again.provenance["runs"]] == [1, 0]


def test_rows_that_were_lost_are_made_again_from_what_is_kept(execute):
    found, _ = execute()
    path = found.folder / "rows.jsonl"
    facts = {key: row.facts() for key, row in Ledger(path).rows.items()}
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b'{"key": "half')
    again, lines = execute()
    assert "cases: 3 cells, 1 done before, 2 jobs to do" in lines
    assert {key: row.facts() for key, row in Ledger(path).rows.items()} == facts
    assert again.missing == 0


def test_a_failure_is_counted_and_the_rest_is_done(execute, monkeypatch):
    from hqc_ray.attacks import FGSM

    with monkeypatch.context() as patch:
        patch.setattr(FGSM, "search", lambda *_: 1 / 0)
        found, lines = execute()
    assert (found.failed, found.missing) == (2, 0)
    assert found.rows["status"].tolist() == ["failed", "failed", "ok"]
    assert "2 failed" in lines[-2]
    assert execute()[0].failed == 0


def test_a_training_that_fails_takes_its_cells_along_and_names_itself(execute, monkeypatch):
    from hqc_ray.models import training

    monkeypatch.setattr(training, "train", lambda *_, **__: 1 / 0)
    found, _ = execute()
    assert found.failed == 3
    assert all(error.startswith("needs model/") and "ZeroDivisionError" in error for error in found.rows["error"])


def test_ray_is_not_asked_in_a_serial_run(execute, monkeypatch):
    monkeypatch.setattr(run, "_connect", lambda *_: pytest.fail("asked for Ray"))
    monkeypatch.setattr(run, "_disconnect", lambda: pytest.fail("asked for Ray"))
    assert execute()[0].failed == 0


def test_a_bad_sweep_leaves_no_folder(execute, tmp_path):
    with pytest.raises(AttackError, match="unknown attack 'fgms'; did you mean 'fgsm'"):
        execute(TEXT.replace("fgsm", "fgms"))
    assert not (tmp_path / "r" / "cases").exists()


@pytest.mark.parametrize("address", ["nowhere", "http://x:1", "ray://h:port"])
def test_a_bad_address_is_refused_before_the_file_is_read(tmp_path, address):
    with pytest.raises(HqcError, match="address"):
        run.execute(tmp_path / "missing.yaml", address=address, console=Console(quiet=True))


def test_storage_of_the_command_line_goes_before_that_of_the_file(execute, tmp_path):
    (tmp_path / "mount").mkdir()
    text = TEXT.replace("name: cases", 'name: cases\nstorage: "${NOT_SET_ANYWHERE}"')
    with pytest.raises(SpecError, match=r"^storage: the environment variable NOT_SET_ANYWHERE is not set"):
        execute(text)
    found, _ = execute(text, storage=str(tmp_path / "mount"))
    assert (tmp_path / "mount" / "cases" / "cells.json").read_bytes() == (found.folder / "cells.json").read_bytes()
    with pytest.raises(SpecError, match=r"^--storage: not a storage"):
        execute(text, storage="ftp://x/y")


def test_a_plan_computes_nothing(sweep_file, monkeypatch, tmp_path):
    from hqc_ray.sweep.graph import lookup

    monkeypatch.setattr(lookup, "subset", lambda *_: pytest.fail("images were read"))
    loaded, planned = run.prepare(sweep_file(TEXT))
    assert (loaded.name, planned.n_cells, len(planned.trainings)) == ("cases", 3, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


@pytest.fixture
def fresh(monkeypatch):
    """As in a driver that has not imported torch: work goes to a child."""
    monkeypatch.delitem(sys.modules, "torch")


def test_the_child_gives_back_what_it_finds_and_its_memory(fresh):
    here = []
    assert isolated.call(lambda: here.append(1) or [1, 2]) == [1, 2]
    assert here == []  # it happened elsewhere


def test_the_child_passes_on_what_is_wrong(fresh):
    def wrong():
        raise SpecError("what", where="there", valid="this")

    with pytest.raises(SpecError, match=r"^there: what \(valid: this\)$") as caught:
        isolated.call(wrong)
    assert caught.value.valid == "this"


def test_a_child_that_dies_is_told_of(fresh, capfd):
    import os

    with pytest.raises(HqcError, match="ended with exit code 7"):
        isolated.call(lambda: os._exit(7))
    with pytest.raises(HqcError, match="ended with exit code 1"):
        isolated.call(lambda: 1 / 0)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize("backbone", ["tiny", "Trained"])
def test_images_that_change_while_a_sweep_runs_end_it_with_one_line(execute, monkeypatch, backbone):
    from hqc_ray.data import splits
    from tests.sweep.cases import Dots

    def subset(*arguments):
        found = real(*arguments)
        monkeypatch.setattr(Dots, "_image", lambda self, index: before(self, index) ^ 1)
        return found

    before, real = Dots._image, splits.subset
    monkeypatch.setattr("hqc_ray.sweep.graph.lookup.subset", subset)
    with pytest.raises(DataError, match=r"'tests.sweep.cases:Dots': image \d+ is not the one that was chosen") as caught:
        execute(TEXT.replace("tests.sweep.cases:tiny", f"tests.sweep.cases:{backbone}"))
    assert "\n" not in str(caught.value)


def test_an_option_with_a_variable_is_shown_as_it_is_written(execute, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cr3t-0123456789")
    monkeypatch.setattr("tests.sweep.cases.Dots.check", lambda self: 1 / len(self.path.split("s3cr3t")[0]))
    for options in ("path: '${TOKEN}'", "side: 'a${TOKEN}'", "colour: 'a${TOKEN}'"):
        with pytest.raises(DataError) as caught:
            execute(TEXT.replace("size: 40", f"size: 40, {options}"))
        assert "s3cr" not in str(caught.value)


def test_images_that_are_not_square_stay_so_from_the_file_to_the_gradient(execute, monkeypatch):
    import numpy as np

    from hqc_ray import load_classifier
    from tests.sweep.cases import Dots

    monkeypatch.setattr(Dots, "_image", lambda self, index, make=Dots._image: np.concatenate([make(self, index)] * 2, axis=1))
    found, _ = execute(TEXT.replace(", image_size: 8", ""))
    assert found.failed == 0
    assert set(zip(found.rows["image_size"], found.rows["image_width"], strict=True)) == {(8, 16)}
    assert load_classifier(found.folder, found.rows["model_key"][0]).backbone.image_size == (8, 16)
    assert np.load(found.folder / found.rows["example"][0])["clean"].shape[1:3] in ((8, 16), (3, 8))
    with pytest.warns(UserWarning, match="images of 8 x 16 pixels are stretched to image_size 12"):
        assert set(execute(TEXT.replace("image_size: 8", "image_size: 12"))[0].rows["image_size"]) == {12}


@pytest.fixture
def interrupted_at(monkeypatch):
    """Sends a signal to this process when a place is reached; the handlers of before are there again afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def at(owner, name, number=signal.SIGINT, when=lambda: True):
        there, sent = getattr(owner, name), []

        def reached(*arguments, **more):
            if not sent and when():
                sent.append(number)
                os.kill(os.getpid(), number)
            return there(*arguments, **more)

        monkeypatch.setattr(owner, name, reached)

    yield at
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "ended"])
def test_an_interrupted_serial_sweep_ends_as_one_on_ray_does(sweep_file, tmp_path, capsys, interrupted_at, number):
    from hqc_ray.attacks import FGSM, Noise

    path, place = sweep_file(TEXT), ["--serial", "--results", str(tmp_path / "r")]
    file = tmp_path / "r" / "cases" / "rows.jsonl"
    for attack in (FGSM, Noise):  # whichever is second
        interrupted_at(attack, "search", number, file.exists)
    assert cli.main(["sweep", str(path), *place]) == cli.INTERRUPTED
    out, err = capsys.readouterr()
    done = len(Ledger(file).rows)
    left = 3 - done
    assert 0 < done < 3
    assert f"unfinished: {done} of 3 cells, {left} to come" in out
    assert f"Unfinished: {done} of 3 cells" in out
    assert err.endswith(f"hqc: interrupted with {counted(left, 'cell')} left; the same command goes on with them\n")
    assert "drawing the report of" in err
    assert f"unfinished: {done} of 3 cells" in (file.parent / "table.md").read_text()
    assert cli.main(["sweep", str(path), *place]) == cli.OK
    assert "nfinished" not in capsys.readouterr().out
    assert len(Ledger(file).done()) == 3


def test_an_interrupt_before_the_first_row_and_one_while_a_row_is_written(execute, interrupted_at):
    from hqc_ray.models import training
    from hqc_ray.sweep.work import Worker

    interrupted_at(training, "train")
    found, _ = execute()
    assert (len(found.rows), found.missing, found.failed) == (0, 3, 0)
    interrupted_at(ledger, "_append")
    found, _ = execute()
    assert (len(found.rows), found.missing) in ((1, 2), (2, 1))  # the row that was being written is there
    assert set(found.rows["status"]) == {"ok"}
    interrupted_at(Worker, "run")
    assert execute()[0].missing == found.missing
    assert execute()[0].missing == 0


def test_code_that_raises_an_interrupt_itself_is_not_ctrl_c(execute, monkeypatch):
    from hqc_ray.sweep.work import Worker

    def run_it(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "run", run_it)
    with pytest.raises(KeyboardInterrupt):
        execute()
