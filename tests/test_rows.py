import resource

import pytest

from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.results import ledger as room
from hqc_ray.results.ledger import Ledger, frame
from hqc_ray.results.row import VOLATILE, Row
from tests.example_rows import row


def test_rows_come_back_equal(tmp_path):
    rows = [row("a", robust_accuracy=1 / 3, robust_correct="a0"), row("b", status="failed", error="line 1\nline 2")]
    Ledger(tmp_path / "rows.jsonl").append(rows)
    again = Ledger(tmp_path / "rows.jsonl")
    assert list(again.rows.values()) == rows
    assert again.done() == {"a"}


def test_a_half_written_line_is_cut_off_and_the_rest_kept(tmp_path):
    path = tmp_path / "rows.jsonl"
    Ledger(path).append([row("a"), row("b")])
    whole = path.read_bytes()
    for cut in (1, 40, len(whole.splitlines()[1])):
        path.write_bytes(whole[:-cut])
        again = Ledger(path)
        assert set(again.rows) == {"a"}
        again.append([row("b")])
        assert path.read_bytes() == whole


def test_a_result_is_never_written_twice_but_may_follow_a_failure(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    ledger.append([row("a", status="failed")])
    ledger.append([row("a")])
    with pytest.raises(ResultsError, match="the row a exists already"):
        ledger.append([row("a")])
    assert Ledger(tmp_path / "rows.jsonl").done() == {"a"}


def test_a_line_that_is_no_row_is_refused_with_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    Ledger(path).append([row("a")])
    path.write_text(path.read_text() + '{"key": "b"}\n')
    with pytest.raises(ResultsError, match=r"rows\.jsonl, line 2: not a row"):
        Ledger(path)


def test_a_full_disk_loses_nothing_that_was_written(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    ledger.append([row("a")])
    ledger.path = tmp_path / "gone" / "rows.jsonl"
    with pytest.raises(WriteError, match="cannot write a row"):
        ledger.append([row("b")])
    assert ledger.done() == {"a"}
    assert Ledger(tmp_path / "rows.jsonl").done() == {"a"}


def test_a_disk_that_takes_half_a_write_keeps_nothing_of_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path)
    ledger.append([row("a")])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) * 5 // 2, limits[1]))  # room for one row and a half
    try:
        with pytest.raises(WriteError, match=r"rows\.jsonl: cannot write a row: File too large"):
            ledger.append([row("b"), row("c")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    ledger.append([row("b"), row("c")])
    assert Ledger(path).done() == ledger.done() == {"a", "b", "c"}


def test_a_row_twice_in_one_write_is_refused_and_nothing_of_it_is_written(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    with pytest.raises(ResultsError, match="the same row twice"):
        ledger.append([row("a"), row("a")])
    assert not ledger.rows
    assert not ledger.path.exists()


def test_rows_are_read_back_in_the_order_asked_for_the_latest_of_each(tmp_path):
    ledger = Ledger(tmp_path / "rows.jsonl")
    ledger.append([row("é", status="failed", error="ü"), row("b")])
    ledger.append([row("é", robust_accuracy=0.5)])
    for one in (ledger, Ledger(ledger.path)):
        assert [r.key for r in one.read(["b", "unknown", "é"])] == ["b", "é"]
        assert one.rows["é"].robust_accuracy == 0.5
        assert one.frame()["key"].tolist() == ["b", "é"]


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_the_half_line_is_found_whatever_is_read_at_a_time(tmp_path, monkeypatch, block):
    monkeypatch.setattr(room, "BLOCK", block)
    path = tmp_path / "rows.jsonl"
    for content, kept in ((b"", b""), (b"half", b""), (b"\n", b"\n"), (b"a\nbc\nhalf of it", b"a\nbc\n")):
        path.write_bytes(content)
        room._cut_half_line(path)
        assert path.read_bytes() == kept


def test_what_an_append_costs_does_not_depend_on_how_many_rows_there_are(tmp_path, monkeypatch):
    read = []
    original = room.parse
    monkeypatch.setattr(room, "parse", lambda *line: read.append(line) or original(*line))
    ledger = Ledger(tmp_path / "rows.jsonl")
    for i in range(100):
        ledger.append([row(str(i))])
        assert str(i) in ledger.done()
    assert not read
    assert ledger.done() is ledger.done()


def test_facts_leave_out_what_is_measured_and_nothing_else():
    assert set(Row.model_fields) - set(row("a").facts()) == set(VOLATILE)


def test_the_frame_has_every_column_without_any_row():
    assert list(frame([]).columns) == list(Row.model_fields)
