"""summary.csv: the numbers of the table as a file, against numbers reckoned from the rows' bits."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from report_rows import as_frame, failed_row, make_row, suspect_rows, sweep_rows, transferred

from hqc_ray.evaluation.statistics import unpack, wilson
from hqc_ray.report import Report
from hqc_ray.report.tables import summary
from hqc_ray.results.folder import Folder
from hqc_ray.results.ledger import frame

REAL = Path(__file__).parents[2] / "results" / "table2_resnet18"


def read(rows, cells=None):
    return pd.read_csv(BytesIO(summary.csv(Report.of(rows, cells))), float_precision="round_trip")  # pandas 2 would not


def test_every_number_of_a_real_table_is_that_of_its_bits():
    rows = frame(Folder(REAL).rows())
    table = read(rows)
    attacked = rows[rows["attack"] != "clean"]
    assert len(table) == len(attacked[["model_key", "device", "epsilon"]].drop_duplicates()) == 165
    place = ["backbone", "head", "n_qubits", "data_size", "device"]
    for line in table.to_dict("records"):
        its = rows[[all(str(r[n]) == str(line[n]) for n in place) for r in rows.to_dict("records")]]
        bits = {(r["attack"], r["epsilon"]): unpack(r["robust_correct"], 200) for r in its.to_dict("records")}
        worst = sum(all(b[i] for (a, e), b in bits.items() if a != "clean" and e <= line["epsilon"]) for i in range(200))
        assert (line["worst_right"], line["worst_images"], line["worst_seeds"]) == (worst, 200, 1)
        assert line["worst_accuracy"] == pytest.approx(worst / 200)
        assert (line["worst_low"], line["worst_high"]) == pytest.approx(tuple(wilson(worst, 200)))
        for attack in ("fgsm", "deepfool", "pgd", "autoattack", "noise"):
            assert line[f"{attack}_right"] == bits[attack, line["epsilon"]].sum()
        assert line["clean_right"] == bits["clean", 0.0].sum()
        assert line["attacks"] == "fgsm;deepfool;pgd;autoattack;noise"


def test_seeds_are_averaged_and_their_images_pooled():
    (line,) = read(as_frame([make_row("pgd", 0.05, robust=r, seed=s) for s, r in ((0, 20), (1, 60))])).to_dict("records")
    assert (line["pgd_accuracy"], line["pgd_right"], line["pgd_images"], line["pgd_seeds"]) == (0.2, 80, 400, 2)
    assert line["pgd_sd"] == pytest.approx(0.2 / 2**0.5)
    assert (line["pgd_low"], line["pgd_high"]) == pytest.approx(tuple(wilson(80, 400)))
    assert line["preliminary"] is False
    assert read(as_frame([make_row()]), cells=2)["preliminary"].tolist() == [True]


def test_transferred_candidates_count_in_the_worst_case_alone():
    tanh, vqc1 = make_row("pgd", 0.05, robust=90, head="tanh"), make_row("pgd", 0.05, robust=80)
    table = read(as_frame([tanh, vqc1, transferred(vqc1, tanh, 44)]))
    line = table[table["head"] == "vqc1"].iloc[0]
    assert (line["pgd_right"], line["worst_right"]) == (80, 44)


def test_flags_failures_and_missing_numbers():
    table = read(as_frame([*suspect_rows(), failed_row(head="vqc2", attack="pgd"), make_row("clean", 0.0, head="linear")]))
    flagged = table[table["data_size"] == 10000].set_index("epsilon")
    assert flagged.loc[0.25, "fgsm_flags"] == "rises_with_epsilon;noise_as_strong"
    assert flagged.loc[0.25, "flags"] == "rises_with_epsilon;noise_as_strong"
    failed, linear = (table[table["head"] == h].iloc[0] for h in ("vqc2", "linear"))
    assert (failed["pgd_failed"], failed["clean_failed"]) == (1, 1)
    assert failed[["pgd_accuracy", "pgd_right", "worst_accuracy", "clean_low"]].isna().all()
    assert linear[["level", "epsilon", "worst_right", "n_qubits"]].isna().all()
    assert linear["clean_right"] == 176
    text = summary.csv(Report.of(as_frame([failed_row(), make_row("pgd", 0.15, robust=3)]))).decode()
    assert ",4,rx,1,1,z," in text  # whole numbers stay whole


def test_the_file_does_not_depend_on_the_rows_order_and_holds_no_formula():
    rows = as_frame(sweep_rows(heads=("tanh", "vqc1"), attack_options='{"steps": 3}'))
    assert summary.csv(Report.of(rows.sample(frac=1, random_state=1))) == summary.csv(Report.of(rows))
    text = summary.csv(Report.of(as_frame([make_row(head="=1+1")]))).decode()
    assert "'=1+1" in text
    assert summary.csv(Report.of(as_frame([]))).decode().startswith("data_source,")


def test_variants_of_an_attack_and_settings_have_columns_of_their_own():
    rows = [make_row("pgd", 0.05, robust=s, attack_options=f'{{"steps": {s}}}') for s in (10, 20)]
    rows += [make_row("pgd", 0.05, robust=9, head="mlp", model_options=f'{{"hidden": {h}}}', model_key=str(h)) for h in (4, 8)]
    table = read(as_frame(rows))
    assert {"pgd(steps=10)_right", "pgd(steps=20)_right", "model.hidden", "paper"} - set(table) == {"paper"}
    assert table["model.hidden"].dropna().tolist() == [4, 8]
