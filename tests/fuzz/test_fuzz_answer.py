"""Whatever rows a sweep has left so far: sentences that can be read, a table, a summary, and no flag that is taken back."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hqc_ray.report import Report, table_markdown
from hqc_ray.report.tables import summary
from tests.fuzz.promise import refused

sys.path.append(str(Path(__file__).parents[1] / "report"))
from report_rows import as_frame, failed_row, make_row

HEADS = ("linear", "tanh", "vqc1", "vqc2", "mine:head")
ODD = ("=1+1", "a | b", "](x)", "\x1b[31m", "x" * 300, "nul\x00", "ä\u202e", "-", "")


@st.composite
def rows(draw):
    """One cell: of any head, attack, level, with a result or without."""
    head, attack = draw(st.sampled_from(HEADS)), draw(st.sampled_from(("clean", "noise", "fgsm", "pgd", "bottleneck")))
    level, unit = draw(st.sampled_from((("pixels", "pixel"), ("features", "std"), ("angles", "radian"))))
    epsilon = 0.0 if attack == "clean" else draw(st.sampled_from((0.0, 1 / 255, 0.05, 0.3)))
    clean = draw(st.integers(0, 40))
    more = {
        "seed": draw(st.integers(0, 2)), "level": level, "epsilon_unit": unit, "aims": attack == "bottleneck",
        "norm": draw(st.sampled_from(("linf", "l2"))), "trapped_share": draw(st.sampled_from((None, 0.0, 0.5))),
        "head_title": draw(st.sampled_from(("", *ODD))), "weights": draw(st.sampled_from(("imagenet", "random"))),
        "data_size": draw(st.sampled_from((100, 1000))),
    }  # fmt: skip
    if head.startswith("vqc"):
        more |= draw(st.sampled_from(({}, {"shots": 10}, {"device": "qiskit.aer[fake_manila]"})))
    if draw(st.integers(0, 7)) == 0:
        return failed_row(attack=attack, epsilon=epsilon, head=head, **more)
    row = make_row(attack, epsilon, head=head, clean=clean, robust=draw(st.integers(0, clean)), n=40, **more)
    if draw(st.integers(0, 7)) == 0:
        row |= {"search_model_key": "another", "search_head": "vqc9", "key": row["key"] + "t"}
    return row


@settings(max_examples=25, derandomize=True, deadline=None, phases=[Phase.generate])
@given(st.lists(rows(), max_size=14, unique_by=lambda row: row["key"]), st.integers(0, 5))
def test_any_rows_have_an_answer(some, more):
    part, whole = Report.of(as_frame(some), len(some) + more), Report.of(as_frame(some))
    assert bool(part.unfinished) == (more > 0)
    assert len(part.answer) >= 1
    for text in (*part.answer, *whole.answer):
        assert text.endswith(".")
        assert "nan" not in text.split()
        assert not set("\x00\x1b\u202e") & set(text)
    assert bool(part.unfinished) == table_markdown(part).startswith("# example, unfinished: ") or not some
    table = pd.read_csv(BytesIO(summary.csv(part)))
    assert len(table) == len(part.lines)
    if len(table):
        worst = table["worst_accuracy"].dropna()
        assert ((worst >= 0) & (worst <= 1)).all()
        for name in ("fgsm", "pgd", "noise", "bottleneck"):
            if f"{name}_accuracy" in table and not table["shots"].notna().any():
                alone = table[f"{name}_seeds"] == table["worst_seeds"]
                assert not (alone & (table["worst_accuracy"] > table[f"{name}_accuracy"] + 1e-9)).any()
    final = dict(zip(whole.rows["key"], whole.rows["flags"], strict=True))
    assert all(set(flags) <= set(final[key]) for key, flags in zip(part.rows["key"], part.rows["flags"], strict=True))


@pytest.mark.parametrize("cells", ['{"a": 1}', "[]", "[1, 2]", "5"])
def test_a_list_of_cells_that_is_none_is_refused(tmp_path, cells):
    (tmp_path / "rows.jsonl").write_text(_ledger(make_row("pgd", 0.05, robust=30)))
    (tmp_path / "cells.json").write_text(cells)
    assert "cells.json is damaged" in refused(tmp_path, "report", tmp_path)


def _ledger(row):
    from hqc_ray.results.row import Row

    return Row(**row).model_dump_json() + "\n"
