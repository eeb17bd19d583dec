"""The driver's half: rows are written once, failures take along what needed them."""

import numpy as np
import pytest
from rich.console import Console

from hqc_ray.results.ledger import Ledger
from hqc_ray.sweep.driver import Driver
from hqc_ray.sweep.graph.jobs import Graph, Job, Outcome
from hqc_ray.sweep.progress.live import Live
from tests.example_rows import measured, planned


class Kept:
    """Stands in for a store: a real ledger, and the names of what was saved, in order."""

    def __init__(self, folder):
        self.ledger, self.saved = Ledger(folder / "rows.jsonl"), []

    def save(self, id, artifact):
        self.saved.append((id, artifact))

    def save_example(self, name, arrays):
        assert not self.ledger.keys()  # a row that names a picture comes after it
        self.saved.append((name, sorted(arrays)))


class Task:
    title = "a task"


def search(id, *keys, needs=("model/m",)):
    return Job(id, "search", needs, Task(), 2.0, tuple(planned(key) for key in keys))


@pytest.fixture
def driver(tmp_path):
    jobs = [Job("model/m", "train", (), Task(), 4.0), search("one", "a", "b"), search("two", "c")]
    return Driver(Graph(jobs), Kept(tmp_path), Live(Console(quiet=True), jobs, 1))


def rows(driver):
    return {key: row.status for key, row in driver.store.ledger.rows.items()}


def done(id, n, **more):
    return Outcome(id, 6.0, measured=tuple(measured(gradients=i) for i in range(n)), host="there", **more)


def test_an_artifact_is_kept_and_makes_no_row(driver):
    news = driver.take([Outcome("model/m", 1.0, b"content")])
    assert [outcome.job for outcome in news] == ["model/m"]
    assert driver.store.saved == [("model/m", b"content")]
    assert rows(driver) == {}
    assert set(driver.open) == {"one", "two"}


def test_each_cell_becomes_its_row_with_its_share_of_the_time(driver):
    driver.take([done("one", 2, examples={"examples/a.npz": {"clean": np.zeros(1)}})])
    found = driver.store.ledger.rows
    assert {key: (row.gradients, row.seconds, row.host, row.status) for key, row in found.items()} == {
        "a": (0, 3.0, "there", "ok"), "b": (1, 3.0, "there", "ok"),
    }  # fmt: skip
    assert found["a"].finished_at.endswith("Z")
    assert driver.store.saved == [("examples/a.npz", ["clean"])]
    assert (driver.live.done, driver.live.failed, driver.live.cells) == (2, 0, 3)


def test_what_is_told_twice_is_written_once(driver):
    driver.take([done("one", 2)])
    before = driver.store.ledger.path.read_bytes()
    assert driver.take([done("one", 2)]) == []
    assert driver.store.ledger.path.read_bytes() == before
    assert driver.live.done == 2


def test_all_rows_of_a_report_are_one_write(driver, monkeypatch):
    written = []
    monkeypatch.setattr(driver.store.ledger, "append", lambda rows: written.append([row.key for row in rows]))
    driver.take([done("one", 2), done("two", 1)])
    assert written == [["a", "b", "c"]]


def test_results_that_do_not_fit_the_cells_are_not_written(driver):
    with pytest.raises(ValueError, match="zip"):
        driver.take([done("one", 1)])
    assert rows(driver) == {}


def test_an_error_is_news_but_nothing_is_written_until_it_is_final(driver):
    (news,) = driver.take([Outcome("one", 1.0, error="boom")])
    assert news.error == "boom"
    assert rows(driver) == {}
    assert "one" in driver.open


def test_a_failure_is_a_row_of_each_cell_that_needed_it(driver):
    driver.record_failure(["model/m", "one", "two"], "Traceback\nboom")
    assert rows(driver) == dict.fromkeys("abc", "failed")
    texts = {row.error for row in driver.store.ledger.rows.values()}
    assert texts == {"needs model/m (train), which failed:\nTraceback\nboom"}
    assert (driver.open, driver.live.done, driver.live.failed) == ({}, 0, 3)
    assert driver.live.busy == 0.0  # what failed was no work


def test_the_first_of_the_lost_says_what_happened_itself(driver):
    driver.record_failure(["two"], "boom")
    (row,) = driver.store.ledger.rows.values()
    assert (row.key, row.error, row.example, row.robust_accuracy) == ("c", "boom", "", None)
    driver.take([Outcome("model/m", 1.0, b""), done("one", 2)])
    assert rows(driver) == {"a": "ok", "b": "ok", "c": "failed"}


def test_a_row_that_was_searched_again_for_its_images_stays_and_a_difference_is_said(driver, monkeypatch):
    driver.take([done("one", 2)])
    before, said = driver.store.ledger.path.read_bytes(), []
    monkeypatch.setattr(driver.live, "say", said.append)
    monkeypatch.setattr(type(driver.store), "save_example", lambda self, name, arrays: self.saved.append((name, sorted(arrays))))
    driver.open["one"] = search("one", "a", "b")
    driver.take([Outcome("one", 1.0, measured=(measured(), measured(robust_correct="80")), examples={"kept/s1-0.05.npz": {}})])
    assert driver.store.ledger.path.read_bytes() == before
    assert ("kept/s1-0.05.npz", []) in driver.store.saved
    assert [text.partition(":")[0] for text in said] == ["row b"]
    driver.open["one"] = search("one", "a", "d")
    driver.record_failure(["one"], "Traceback\nboom")
    assert rows(driver) == {"a": "ok", "b": "ok", "d": "failed"}
    assert [text for text in said if text.startswith("one: ")] == ["one: no images are kept of 1 row: boom"]
