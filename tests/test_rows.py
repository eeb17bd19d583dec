import pytest

from hqc_ray.errors import ResultsError, WriteError
from hqc_ray.rows import VOLATILE, Ledger, Row, frame

BASE = {
    "status": "ok",
    "sweep": "s",
    "data_source": "synthetic",
    "data_size": 40,
    "data_digest": "d",
    "seed": 0,
    "backbone": "resnet18",
    "weights": "random",
    "weights_origin": "random",
    "image_size": 96,
    "head": "tanh",
    "n_qubits": 4,
    "embedding": None,
    "layers": None,
    "model_key": "m",
    "device": "classical",
    "attack": "fgsm",
    "attack_options": "{}",
    "attack_label": "fgsm",
    "norm": "linf",
    "epsilon": 0.05,
}


def row(key, **changes):
    return Row(key=key, **{**BASE, **changes})


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
    with pytest.raises(ResultsError, match="the row a is there already"):
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


def test_facts_leave_out_what_is_measured_and_nothing_else():
    assert set(Row.model_fields) - set(row("a").facts()) == set(VOLATILE)


def test_the_frame_has_every_column_without_any_row():
    assert list(frame([]).columns) == list(Row.model_fields)
