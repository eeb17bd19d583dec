"""What a ledger and its mirror exchange, however the rows are cut into segments and batches."""

import pytest

from hqc_ray.errors import ResultsError
from hqc_ray.results import merge as room
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.merge import merge
from tests.example_rows import row


class Mirror:
    """A storage in memory: its segments, and what was packed."""

    uri = "memory"

    def __init__(self, *segments):
        self.written = [lines(*rows) for rows in segments]
        self.packed = []

    def segments(self):
        return (content.encode() for content in list(self.written))

    def append(self, content):
        self.written.append(content)

    def pack(self, path):
        self.packed.append(path)


def lines(*rows):
    return "".join(one.model_dump_json() + "\n" for one in rows)


def failed(key):
    return row(key, status="failed", error="e")


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_either_side_gets_what_it_lacks_once_and_nothing_else(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(room, "BATCH", batch)
    ledger = Ledger(tmp_path / "rows.jsonl")
    ledger.append(
        [row("ours"), failed("theirs is a result"), row("ours is a result"), failed("both failed"), failed("ours failed")]
    )
    mirror = Mirror(
        [failed("theirs is a result"), row("theirs"), failed("both failed")],
        [row("theirs is a result", host="one"), failed("ours is a result"), failed("theirs failed")],
        [row("theirs is a result", host="late"), row("theirs", host="late")],
    )
    before = len(mirror.written)
    merge(ledger, mirror)
    assert {key: (one.status, one.host) for key, one in ledger.rows.items()} == {
        "ours": ("ok", ""), "theirs is a result": ("ok", "one"), "ours is a result": ("ok", ""), "both failed": ("failed", ""),
        "ours failed": ("failed", ""), "theirs": ("ok", ""), "theirs failed": ("failed", ""),
    }  # fmt: skip
    (uploaded,) = mirror.written[before:]
    assert uploaded == lines(row("ours"), row("ours is a result"), failed("ours failed"))
    assert mirror.packed == [ledger.path]
    content = ledger.path.read_bytes()
    merge(ledger, mirror)
    assert (ledger.path.read_bytes(), len(mirror.written)) == (content, before + 1)


def test_a_row_of_another_version_is_refused_with_its_place_and_nothing_is_written(tmp_path):
    ledger, mirror = Ledger(tmp_path / "rows.jsonl"), Mirror([row("a")])
    mirror.written[0] += '{"key": "b"}\n'
    with pytest.raises(ResultsError, match="storage memory, row 2 of a segment: not a row of this version"):
        merge(ledger, mirror)
    assert not ledger.path.exists()
