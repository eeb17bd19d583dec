"""The table in a terminal: in any width, what tells one line from another is there, whole."""

import re

import pytest
from report_rows import as_frame, make_row, sweep_rows
from rich.cells import cell_len
from rich.console import Console

from hqc_ray.report import Report, page, table_markdown, terminal_table

DEVICES = ("default.qubit", "qiskit.aer[fake_manila,shots=1024]", "qiskit.aer[fake_manila,shots=4096]")


def shown(rows, width, **options):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(Report.of(as_frame(rows)), **options))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140, 200])
def test_model_head_and_device_stand_whole_in_every_width(width):
    lines = shown(sweep_rows(heads=("vqc1", "tanh"), devices=DEVICES), width)
    assert max(map(cell_len, lines)) <= width
    assert not [line for line in lines if line != line.rstrip()]
    text = " ".join(lines)
    assert all(name in text for name in ("ResNet18", "vqc1", "tanh", *DEVICES))
    assert "Worst" in text


def test_what_is_said_of_several_is_not_said_of_one():
    """In the terminal, in Markdown and in the page's tiles."""
    alone, several = [make_row("pgd", 0.05, robust=0, gradients=1)], sweep_rows(heads=("vqc1",))
    assert [shown(rows, 140)[0] for rows in (alone, several)] == ["Accuracy, %", "Accuracy, % (mean over seeds)"]
    report = Report.of(as_frame(alone))
    text = table_markdown(report)
    assert "Accuracies in percent, of one seed; in brackets" in text
    assert "200 test images per seed; seed 0. 1 search took 1 input gradient of" in text
    assert "percent: mean over seeds, ± standard deviation" in table_markdown(Report.of(as_frame(several)))
    tiles = re.search(r'<ul class="tiles">(.*?)</ul>', page(report, [], {}, "one"))[1]
    told = " ".join(re.sub("<.*?>", "", tiles.replace("</li>", ", ")).split())
    assert told == "1 cell, 0 failed, 0 flagged cells, 1 trained model, 1 seed, 1 search, 1 input gradient,"


def test_a_narrow_terminal_gets_a_block_for_each_model_on_its_device():
    lines = shown(sweep_rows(heads=("vqc1",), devices=DEVICES[1:]), 60)
    heads = [i for i, line in enumerate(lines) if line.startswith("ResNet18, vqc1, ")]
    assert len(heads) == 2
    for i in heads:
        below = "\n".join(lines[i : i + 7])
        assert "ε  Clean" in below
        assert "0.05" in below


def test_a_wide_terminal_gets_one_line_for_each_strength():
    lines = shown(sweep_rows(heads=("vqc1",), devices=DEVICES[:1]), 140)
    numbers = [line.split() for line in lines if line.startswith("ResNet18")]
    assert len(numbers) == 3
    assert [line[:2] for line in numbers] == [["ResNet18", "vqc1"]] * 3


def test_variants_of_an_attack_are_told_apart_by_the_head_of_their_column():
    rows = [make_row("pgd", 0.05, robust=n, attack_options=f'{{"steps": {n}}}') for n in (10, 20)]
    lines = shown(rows, 120)
    assert any("(steps=10)" in line and "(steps=20)" in line for line in lines)


def test_what_has_no_room_is_counted_not_dropped_in_silence():
    rows = [make_row(f"user.attack{n}:Own{n}", 0.05, robust=40, attack_title=f"OwnAttackOfMine{n}") for n in range(6)]
    lines = shown(rows, 60)
    assert max(map(cell_len, lines)) <= 60
    assert any(line.endswith("more attacks in table.md") for line in lines)
    assert any("1 more line in table.md" in line for line in shown(sweep_rows(heads=("vqc1",)), 60, max_lines=2))
