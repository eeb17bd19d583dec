"""The promise's own check can fail."""

import pytest

from tests.fuzz.promise import refused


def test_what_runs_well_is_no_refusal(tmp_path):
    with pytest.raises(AssertionError, match="hqc circuits"):
        refused(tmp_path, "circuits")


def test_what_is_refused_is_one_line(tmp_path):
    assert "nowhere.yaml" in refused(tmp_path, "plan", tmp_path / "nowhere.yaml")


def test_a_file_that_is_written_is_seen(tmp_path, monkeypatch):
    def main(arguments):
        (tmp_path / "litter").write_text("x")
        return 2

    monkeypatch.setattr("tests.fuzz.promise.cli.main", main)
    with pytest.raises(AssertionError):
        refused(tmp_path, "plan")
