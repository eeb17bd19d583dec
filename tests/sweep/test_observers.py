"""Loggers get each result once, and whatever goes wrong in one is said once and ends nothing but it."""

import json
import threading
import time

import pytest
import yaml

from hqc_ray import cli
from hqc_ray.errors import SpecError
from hqc_ray.spec import parse
from hqc_ray.sweep import observers
from hqc_ray.sweep.observers import Observers
from hqc_ray.sweep.observers.logger import Logger, Run, Session, metric, step
from hqc_ray.sweep.observers.table import LOGGERS, chosen
from tests.example_rows import row
from tests.sweep.cases import build, changed


class Spy(Logger):
    """Keeps what it is told; `fails` says at which row it raises, `slow` how long it takes for each."""

    modules = ()
    extra = "spy"
    fails: int = 99
    slow: float = 0.0

    def open(self, folder, sweep):
        spy, told = self, self.told

        class Told(Session):
            def log(self, run, rows):
                for one in rows:
                    time.sleep(spy.slow)
                    if len(told) >= spy.fails:
                        raise OSError(28, "No space left on device")
                    told.append((run.name, one.key))

            def close(self):
                told.append("closed")

        return Told()

    @property
    def told(self):
        return TOLD


TOLD = []


@pytest.fixture(autouse=True)
def fresh():
    TOLD.clear()


def test_each_result_is_told_to_its_run(tmp_path):
    with Observers({"spy": Spy()}, tmp_path, "s") as told:
        told.take([row("a"), row("b", device="default.qubit"), row("c")])
        told.take([])
        told.take([row("d", seed=3, model_key="n")])
    name = "resnet18 tanh classical size 40 seed 0"
    others = [("resnet18 tanh default.qubit size 40 seed 0", "b"), ("resnet18 tanh classical size 40 seed 3", "d")]
    assert sorted(TOLD[:-1]) == sorted([(name, "a"), (name, "c"), *others])
    assert TOLD[-1] == "closed"


def test_a_logger_that_is_told_nothing_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(Spy, "open", lambda *_: pytest.fail("opened"))
    with Observers({"spy": Spy()}, tmp_path, "s") as told:
        told.take([])
    assert TOLD == []


def test_one_that_fails_is_left_out_and_said_once(tmp_path):
    said = []
    with Observers({"bad": Spy(fails=1)}, tmp_path, "s", said.append) as told:
        for key in "abcdef":
            told.take([row(key)])
    (line,) = said
    assert (
        line
        == "logger 'bad' failed, and gets no more of this run (the rows are safe): OSError: [Errno 28] No space left on device"
    )
    assert [key for _, key in TOLD] == ["a"]


def test_the_line_about_a_failure_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "abcdef123")
    monkeypatch.setattr(
        Spy, "open", lambda *_: (_ for _ in ()).throw(RuntimeError("no access for abcdef123 at http://me:pw@host"))
    )
    said = []
    with Observers({"bad": Spy()}, tmp_path, "s", said.append) as told:
        told.take([row("a")])
    assert "${SOME_API_KEY}" in said[0]
    assert "pw@" not in said[0]


def test_one_that_stalls_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(observers, "PATIENCE", 0.05)
    monkeypatch.setattr(observers, "FULL", 3)
    block, said = threading.Event(), []
    monkeypatch.setattr(Spy, "open", lambda *_: block.wait(20))
    began = time.monotonic()
    with Observers({"slow": Spy()}, tmp_path, "s", said.append) as told:
        for key in "abcdefgh":
            told.take([row(key)])
    assert time.monotonic() - began < 5
    block.set()
    assert len(said) == 1
    assert "wait for it" in said[0]


def test_a_run_is_the_same_in_every_process_and_a_curve_tells_rows_apart():
    assert Run.of(row("a")).key == Run.of(row("b", epsilon=0.1)).key == "b94f87930bccde32"
    assert len({Run.of(row(**c)).key for c in ({}, {"device": "x"}, {"model_key": "n"}, {"sweep": "t"})}) == 4
    assert Run.of(row()).parameters["head"] == "tanh"
    assert "shots" not in Run.of(row()).parameters
    changes = (
        {},
        {"attack_label": "pgd"},
        {"level": "angles"},
        {"access": "ideal"},
        {"search_model_key": "n", "search_head": "vqc1"},
    )
    names = [metric(row(**one)) for one in changes]
    assert names == [
        "robust_accuracy/fgsm", "robust_accuracy/pgd", "robust_accuracy/fgsm angles", "robust_accuracy/fgsm access ideal",
        "robust_accuracy/fgsm from vqc1 seed 0",
    ]  # fmt: skip
    assert [step(row(epsilon=e)) for e in (0.0, 1 / 255, 0.05, 2.5)] == [0, 3922, 50_000, 2_500_000]


# the sweep file


def loggers(text):
    return parse(yaml.safe_load(f"loggers: {text}\nblocks: [{{}}]"), "s", "s.yaml").loggers


def test_names_and_mappings_are_loggers_with_their_options():
    found = chosen(loggers("[tensorboard, {name: mlflow, uri: 'sqlite:///runs.db'}]"))
    assert list(found) == ["tensorboard", "mlflow"]
    assert found["mlflow"].uri == "sqlite:///runs.db"
    assert list(chosen(loggers("tensorboard"))) == ["tensorboard"]
    assert chosen(loggers("null")) == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[tensorbord]", r"loggers\[0\]: unknown logger 'tensorbord'; did you mean 'tensorboard'\?"),
        ("[tensorboard, {name: wandb, mode: of}]", r"loggers\[1\].mode: .*not 'of'"),
        ("[{name: wandb, project: ''}]", r"loggers\[0\].project: "),
        (
            "[{name: mlflow, url: x}]",
            r"loggers\[0\]: logger 'mlflow': unknown option 'url'; did you mean 'uri'\? \(valid: uri=None\)",
        ),
        ("[{uri: x}]", r"loggers\[0\]: 'name' is required"),
        ("[3]", r"loggers\[0\]: not a logger: 3"),
        ("[tensorboard, tensorboard]", "loggers: the logger 'tensorboard' twice"),
        ("[{name: mlflow, uri: 'http://me:pw@host'}]", "a URL with a user, a password or a token"),
        (
            "[{name: mlflow, uri: '${NOT_SET_ANYWHERE}'}]",
            r"loggers\[0\].uri: the environment variable NOT_SET_ANYWHERE is not set",
        ),
    ],
)
def test_what_is_no_logger_is_refused(text, what):
    with pytest.raises(SpecError, match=what):
        chosen(loggers(text), "s.yaml")


def test_a_missing_package_is_one_line_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(LOGGERS["wandb"], "modules", ("no_such_module_anywhere",))
    with pytest.raises(
        SpecError, match=r"^s.yaml: loggers\[0\]: logger 'wandb' needs no_such.*\(valid: pip install 'hqc_ray\[wandb\]'\)$"
    ):
        chosen(loggers("[wandb]"), "s.yaml")


# real ones


@pytest.fixture
def sweep(sweep_file, tmp_path):
    """Runs a sweep serially, with loggers; rows of the ledger."""

    def run(text, code=cli.OK):
        path = sweep_file(changed().replace("name: cases", f"name: cases\nloggers: {text}"))
        assert cli.main(["sweep", str(path), "--serial", "--results", str(tmp_path / "r")]) == code
        return [json.loads(line) for line in (tmp_path / "r" / "cases" / "rows.jsonl").read_text().splitlines()]

    return run


def test_loggers_are_no_part_of_any_key():
    with_some = changed().replace("name: cases", "name: cases\nloggers: [tensorboard, {name: wandb, project: p}]")
    assert build(with_some).order == build().order


def test_tensorboard_reads_back_what_the_ledger_holds_and_nothing_twice(sweep, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    rows = sweep("[tensorboard]")
    keys = [one["key"] for one in rows]
    (folder,) = (tmp_path / "r" / "cases" / "tensorboard").iterdir()
    (tmp_path / "r" / "cases" / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n")  # as after a run that was interrupted
    rows = sweep("[tensorboard]")
    assert [one["key"] for one in rows] == keys
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    points = [(event.step, event.value) for event in found.Scalars("robust_accuracy/fgsm")]
    expected = [(step(row(epsilon=one["epsilon"])), pytest.approx(one["robust_accuracy"])) for one in rows]
    assert points == [*expected, expected[1]]  # it was computed again, so that it is told again; the other one is not
    assert [event.value for event in found.Scalars("clean_accuracy")] == [pytest.approx(rows[0]["clean_accuracy"])]
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert (settings["head"].string_value, settings["seed"].number_value) == ("tanh", 0)


def test_a_full_disk_of_a_logger_does_not_take_the_sweep_down(sweep, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    from hqc_ray.sweep.observers import tensorboard

    monkeypatch.setattr(tensorboard, "_append", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert len(sweep("[tensorboard]")) == 2
    assert capsys.readouterr().err.count("logger 'tensorboard' failed, and gets no more of this run") == 1


def test_mlflow_reads_back_what_it_was_told_and_a_second_process_goes_on_with_the_run(tmp_path):
    pytest.importorskip("mlflow", exc_type=ImportError)
    pytest.importorskip("sqlalchemy")
    from mlflow.tracking import MlflowClient

    (asked,) = chosen(loggers("[mlflow]")).values()
    for key, epsilon, accuracy in (("a", 0.01, 0.75), ("b", 0.05, 0.25)):
        with Observers({"mlflow": asked}, tmp_path, "mine", pytest.fail) as told:
            told.take([row(key, epsilon=epsilon, robust_accuracy=accuracy)])
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (run.info.run_name, run.info.status) == ("resnet18 tanh classical size 40 seed 0", "FINISHED")
    points = client.get_metric_history(run.info.run_id, "robust_accuracy/fgsm")
    assert [(one.step, one.value) for one in points] == [(10_000, 0.75), (50_000, 0.25)]
    assert run.data.metrics["clean_accuracy"] == 0.5
    assert (run.data.params["head"], run.data.params["data_size"]) == ("tanh", "40")


def test_an_mlflow_server_that_does_not_answer_is_said_once(tmp_path):
    pytest.importorskip("mlflow", exc_type=ImportError)
    said = []
    (asked,) = chosen(loggers("[{name: mlflow, uri: 'http://127.0.0.1:9'}]")).values()
    with Observers({"mlflow": asked}, tmp_path, "mine", said.append) as told:
        told.take([row("a")])
    (line,) = said
    assert line.startswith("logger 'mlflow' failed, and gets no more of this run (the rows are safe): ")


def test_wandb_writes_an_offline_run(tmp_path):
    pytest.importorskip("wandb")
    with Observers({"wandb": LOGGERS["wandb"]()}, tmp_path, "mine", pytest.fail) as told:
        told.take([row("a"), row("b", epsilon=0.1)])
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    content = next(folder.glob("*.wandb")).read_bytes()
    assert folder.name.endswith(Run.of(row()).key)
    assert b"robust_accuracy/fgsm" in content
    assert b"resnet18 tanh classical size 40 seed 0" in content
