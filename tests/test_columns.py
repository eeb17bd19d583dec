"""Tables fit the terminal, and what names a line is never cut."""

import pytest
from rich.cells import cell_len
from rich.text import Text

from hqc_ray import columns

HEAD = ("device", "usable", "note")
LINES = [["qiskit.aer[fake_manila,shots=1024]", "yes", "noise of 59 fake backends"], ["量子", "no", "pip install x"]]


def plain(found):
    return [text.plain for text in found]


def test_columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks():
    found = plain(columns.aligned(("a", "bb"), [["1", "long"], ["333", ""]], right=(0,)))
    assert found == ["  a  bb", "───  ────", "  1  long", "333"]


def test_a_wide_sign_counts_twice():
    found = plain(columns.aligned(HEAD, LINES))
    assert len({cell_len(line[: line.index(word)]) for line, word in zip(found[2:], ("yes", "no"), strict=True)}) == 1


def test_a_name_of_several_lines_stands_above_its_column():
    assert plain(columns.aligned(("ε", "PGD\n(steps=5)"), [["1/255", "70.0"]], right=(0, 1)))[:2] == [
        "             PGD",
        "    ε  (steps=5)",
    ]


@pytest.mark.parametrize("width", [40, 60, 79, 100, 140])
def test_a_table_fits_and_keeps_every_word(width):
    found = plain(columns.table(HEAD, LINES, width, heading=1, fold=(2,)))
    assert max(map(cell_len, found)) <= width
    words = " ".join(found).split()
    assert all(word in words for line in LINES for cell in line for word in cell.split())


def test_where_columns_do_not_fit_each_line_is_a_block():
    assert plain(columns.table(HEAD, LINES, 40)) == [
        "qiskit.aer[fake_manila,shots=1024]", "  usable  yes", "  note    noise of 59 fake backends", "",
        "量子", "  usable  no", "  note    pip install x",
    ]  # fmt: skip


def test_a_long_list_takes_several_lines_before_a_table_becomes_blocks():
    found = plain(columns.table(("head", "devices"), [["vqc1", "one two three four five six seven"]], 30, fold=(1,)))
    assert found[2:] == ["vqc1  one two three four five", "      six seven"]


def test_a_word_that_is_wider_than_the_terminal_stays_whole_and_styles_stay():
    assert "x" * 50 in plain(columns.table(("a", "b"), [["x" * 50, "y"]], 20))
    (cell,) = columns.aligned(("a",), [[Text("9!", style="yellow")]])[2:]
    assert cell.spans[0].style == "yellow" or cell.style == "yellow"


def test_one_is_not_many():
    assert columns.counted(1, "subset") == "1 subset"
    assert columns.counted(2000, "search", "searches") == "2,000 searches"
