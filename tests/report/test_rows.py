"""The files of rows: one schema for every sweep, and nothing in them that a program would run; nor in the page and the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from report_rows import as_frame, failed_row, make_row, write_examples
from rich.console import Console

from hqc_ray import report
from hqc_ray.report import Report, table_markdown, terminal_table, write_rows

EVIL = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://x";1)'
CURSOR = "\x1b[2J\u202ename"


def schema(path):
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_tables_of_two_sweeps_are_read_together(tmp_path):
    """In one a column holds nothing (no circuit, no flag, no error), in the other it does."""
    plain = [make_row("pgd", 0.05, robust=30, head="linear", mean_l2=None)]
    full = [make_row("pgd", 0.05, robust=30, layout="[0, 1]", surrogate_error=1.0), failed_row(attack="pgd", head="vqc2")]
    for name, rows in (("a", plain), ("b", full)):
        write_rows(Report.of(as_frame(rows)), tmp_path / name)
    paths = [tmp_path / name / "rows.parquet" for name in "ab"]
    assert schema(paths[0]) == schema(paths[1])
    assert "null" not in str(schema(paths[0]))
    for both in (paths, paths[::-1]):
        assert ds.dataset([str(p) for p in both]).to_table().num_rows == 3
        assert len(pd.read_parquet(both)) == 3
    joined = pd.concat([pd.read_parquet(p) for p in paths])
    assert str(joined["n_qubits"].dtype) == "Int64"


def test_no_row_at_all_has_the_same_schema(tmp_path):
    write_rows(Report.of(as_frame([])), tmp_path / "none")
    write_rows(Report.of(as_frame([make_row()])), tmp_path / "one")
    assert schema(tmp_path / "none" / "rows.parquet") == schema(tmp_path / "one" / "rows.parquet")


@pytest.mark.parametrize(("options", "kind"), [
    (('{"gain": 1}', '{"gain": 2.5}'), "double"), (('{"gain": true}', '{"gain": false}'), "bool"),
    (('{"gain": "a"}', '{"gain": 1}'), "string"), (('{"gain": [1]}', '{"gain": null}'), "string"),
])  # fmt: skip
def test_an_option_that_varies_has_a_column_of_one_type(tmp_path, options, kind):
    rows = [make_row("pgd", 0.05, model_options=o, key=o, model_key=o) for o in options]
    _, path = write_rows(Report.of(as_frame(rows)), tmp_path)
    assert schema(path)["model.gain"] == kind


def test_no_cell_of_the_csv_is_a_formula(tmp_path):
    texts = {"head": FORMULA, "device": "+1", "weights": "-1", "weights_origin": "@x", "backbone": "=1+1"}
    rows = [make_row(**texts), failed_row(attack="pgd") | {"error": "=cmd|' /C calc'!A0"}]
    path, parquet = write_rows(Report.of(as_frame(rows)), tmp_path)
    cells = pd.read_csv(path, dtype=str, keep_default_na=False).to_numpy().ravel()
    assert not [c for c in cells if c.startswith(("=", "+", "@", "\t", "-"))]
    assert f"'{FORMULA}" in set(cells)
    assert FORMULA in set(pd.read_parquet(parquet)["head"])  # a program reads it as it is


def test_nothing_of_a_user_runs_in_the_page_or_the_table(tmp_path):
    names = (
        "head",
        "backbone",
        "device",
        "attack_title",
        "weights",
        "weights_origin",
        "data_source",
        "head_title",
        "backbone_title",
    )
    rows = [make_row("pgd", 0.05, robust=30, **dict.fromkeys(names, EVIL)), failed_row(attack="pgd") | {"error": EVIL}]
    made = Report.of(as_frame(rows))
    *_, page = report.build(tmp_path, made, {EVIL: {EVIL: EVIL}}, EVIL)
    html, table = page.read_text(), table_markdown(made)
    assert EVIL not in html  # the page has scripts of its own; in its data no tag begins
    assert "<script" not in table
    assert all("&lt;script" in text for text in (html, table))
    link = table_markdown(Report.of(as_frame([make_row(head="[a](javascript:x)")])))
    assert "](" not in link


def test_a_terminal_gets_no_control_characters():
    rows = as_frame([make_row("pgd", 0.05, robust=30, head=CURSOR, device=CURSOR, attack_title=CURSOR)])
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(Report.of(rows)))
    assert not {"\x1b", "\u202e"} & set(capture.get() + table_markdown(Report.of(rows)))
    assert "name" in capture.get()


@pytest.mark.parametrize("label", ["d[" + "gain=1," * 80 + "]", "$\\frac{", "_hidden", "量子", "a/b\\c:d"])
def test_a_report_is_written_whatever_a_label_holds(tmp_path, label):
    rows = write_examples(tmp_path, [make_row(a, 0.05, robust=40, head=label, device=label) for a in ("clean", "pgd")])
    paths = report.build(tmp_path, Report.of(as_frame(rows)), {}, "odd")
    assert max(len(p.name) for p in paths) < 200
    assert len([p for p in paths if p.suffix == ".png"]) == 2  # panels and patches


def test_models_that_differ_in_options_or_only_in_signs_have_patches_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setitem(report.DRAWN, "patches", 9)
    varied = [make_row("pgd", 0.05, robust=40, head="mlp", model_options=f'{{"hidden": {n}}}', model_key=str(n), key=f"k{n}")
              for n in (8, 64)]  # fmt: skip
    signs = [make_row("pgd", 0.05, robust=40, head=h, key=h[-1:] + str(i)) for i, h in enumerate(("m:a-b", "m:a_b", "M:a-b"))]
    rows = write_examples(tmp_path, varied + signs)
    paths = report.build(tmp_path, Report.of(as_frame(rows)), {}, "odd")
    patches = [p.name.lower() for p in paths if p.name.startswith("patches_")]
    assert len(set(patches)) == len(patches) == 5


def test_an_unfinished_sweep_loses_no_figure_and_a_finished_one_its_stale_ones(tmp_path):
    rows = [make_row("pgd", 0.05, robust=40, head=h) for h in ("linear", "tanh")]
    (tmp_path / "cells.json").write_text(str([r["key"] for r in rows]).replace("'", '"'))
    report.build(tmp_path, Report.of(as_frame(rows)), {}, "both")
    drawn = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert [n.split("_")[0] for n in drawn] == ["accuracy", "heads"]
    report.build(tmp_path, Report.of(as_frame(rows[:1])), {}, "one")
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == drawn
    (tmp_path / "cells.json").write_text(f'["{rows[0]["key"]}"]')
    report.build(tmp_path, Report.of(as_frame(rows[:1])), {}, "one")
    assert [p.name.split("_")[0] for p in (tmp_path / "figures").iterdir()] == ["accuracy"]


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path):
    _, path = write_rows(Report.of(as_frame([make_row(), failed_row(attack="pgd")])), tmp_path)
    assert np.issubdtype(pq.read_table(path)["n_evaluated"].type.to_pandas_dtype(), np.integer)
