"""The table's text, number by number, and the files of rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from report_rows import EPSILONS, as_frame, failed_row, make_row, sweep_rows, transferred
from rich.console import Console

from hqc_ray.errors import ResultsError
from hqc_ray.evaluation.statistics import pack
from hqc_ray.report import Report, table_markdown, terminal_table, write_rows
from hqc_ray.results.row import VOLATILE


def parsed(rows):
    """The Markdown table as dictionaries, and the notes below it."""
    text = table_markdown(Report.of(rows))
    table, _, notes = text[text.index("| Model |") :].partition("\n\n")  # what comes before is the answer in words
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]], notes


def test_one_seed_shows_mean_interval_and_the_papers_number():
    (line,), notes = parsed(as_frame([make_row("fgsm", 0.05, robust=104, clean=177)]))
    assert line["FGSM"] == "52.0 [45-59] (paper 46.5)"
    assert line["Clean accuracy"] == "88.5 [83-92] (paper 88.5)"
    assert [line[c] for c in ("Model", "Computation", "Images", "Head", "Qubits", "Device", "Epsilon")] == [
        "ResNet18", "hybrid", "1,000", "vqc1", "4", "default.qubit", "0.05",
    ]  # fmt: skip
    assert not {"PGD", "DeepFool", "Noise"} & set(line)  # a column for what was run, and for nothing else
    assert "Evaluated: 200 test images per seed; seed 0. 1 search took 200 input gradients" in notes
    assert "compressed ImageNet" in notes
    assert "arXiv 2309.06377" in notes


def test_seeds_are_averaged_and_their_images_pooled():
    rows = as_frame([make_row("pgd", 0.07, robust=r, seed=s) for s, r in enumerate((100, 110, 120))])
    (line,), notes = parsed(rows)
    assert line["PGD"] == "55.0 ± 5.0 [51-59]"  # Wilson of 330 of 600: 51.0 to 58.9
    assert "seeds 0, 1, 2" in notes


def test_papers_number_is_marked_where_it_would_be_flagged(suspect):
    lines, notes = parsed(suspect)
    assert [line["FGSM"].partition("(")[2] for line in lines] == ["paper 50.9)", "paper 69.7!)", "paper 77.8!)"]
    assert "- !: the paper's own number would be flagged" in notes


@pytest.mark.parametrize("change", [
    {"data_source": "synthetic"}, {"weights": "random"}, {"access": "ideal"}, {"n_qubits": 5}, {"layers": 2}, {"readout": "x"},
    {"shots": 1000}, {"level": "features"}, {"n_classes": 10}, {"search_model_key": "another"},
    {"reuploads": 2}, {"train_device": "qiskit.aer[fake_manila]"},
    {"device": "qiskit.aer[fake_manila]"}, {"device_kind": "measured"},
    {"epsilon": 0.06}, {"norm": "l2"}, {"data_size": 2000}, {"backbone": "vgg16"},
])  # fmt: skip
def test_no_paper_number_beside_another_cell(change):
    (line,), _ = parsed(as_frame([make_row(robust=104, **change)]))
    attacked = {k: v for k, v in line.items() if k.startswith("FGSM") or k == "Worst case"}
    assert any(v.startswith("52.0 [45-59]") for v in attacked.values())
    assert "paper" not in "".join(attacked.values())


def test_the_papers_number_stands_beside_either_split():
    """10,000 patches are of two splits, where 1,000 are of one; the paper names none."""
    split = {1000: "train", 10000: "train+valid"}
    rows = [make_row(robust=104, data_size=n, data_options=f'{{"split": "{told}"}}', key=f"k{n}") for n, told in split.items()]
    lines, _ = parsed(as_frame(rows))
    assert [(line["data.split"], line["FGSM"].partition("(")[2]) for line in lines] == [
        ("train", "paper 46.5)"), ("train+valid", "paper 50.9)"),
    ]  # fmt: skip
    lines, _ = parsed(as_frame([{**row, "train_epochs": e} for e, row in enumerate(rows, 1)]))
    assert "paper" not in "".join(line["FGSM"] for line in lines)


def test_no_paper_number_beside_an_attack_with_other_options():
    rows = [make_row(robust=104 - s, attack_options=f'{{"norm": "linf", "steps": {s}}}') for s in (2, 3)]
    (line,), _ = parsed(as_frame(rows))
    assert [line["FGSM(steps=2)"], line["FGSM(steps=3)"]] == ["51.0 [44-58]", "50.5 [44-57]"]


def test_flags_stand_on_their_line_with_their_meaning(suspect):
    lines, notes = parsed(suspect)
    assert lines[0]["Flags"] == ""
    assert lines[1]["Flags"] == "rises_with_epsilon (FGSM)"
    assert lines[2]["Flags"] == "rises_with_epsilon (FGSM); noise_as_strong (FGSM)"
    assert "- rises_with_epsilon: robust accuracy is significantly higher" in notes
    assert "near_chance" not in notes


def test_flag_of_some_seeds_says_how_many():
    rows = [make_row("fgsm", 0.05, robust=90, seed=s, bad_gradient_share=0.5 * (s == 1)) for s in range(3)]
    (line,), _ = parsed(as_frame(rows))
    assert line["Flags"] == "bad_gradients (FGSM 1/3)"


def test_flag_of_every_attack_names_none():
    rows = as_frame([make_row(a, 0.05, robust=40, clean=100) for a in ("fgsm", "pgd")])
    (line,), _ = parsed(rows)
    assert line["Flags"] == "near_chance"


def test_worst_case_is_over_attacks_and_smaller_epsilons(suspect):
    lines, _ = parsed(suspect)
    assert [line["Worst case"] for line in lines] == ["46.0 [39-53]", "45.0 [38-52]", "44.0 [37-51]"]
    other_norm = as_frame([make_row("pgd", 0.01, robust=10, clean=165, data_size=10000, norm="l2", key="l2")])  # another unit
    with_it = parsed(pd.concat([suspect, other_norm], ignore_index=True))[0]
    assert [line["Worst case"][:4] for line in with_it] == ["46.0", "45.0", "44.0", "5.0 "]
    rising = suspect[suspect["attack"] == "fgsm"]
    assert [line["Worst case"] for line in parsed(rising)[0]] == ["51.0 [44-58]"] * 3


def test_the_worst_case_of_a_device_with_shots_is_its_strongest_attack_and_not_every_single_look():
    looks = [np.arange(200) < 110, np.arange(200) >= 90]  # right in one look or the other, 20 in both
    for shots, worst in ((None, "10.0"), (64, "55.0")):
        device = "default.qubit[shots=64]" if shots else "default.qubit"
        rows = [make_row(a, 0.05, robust=110, n=200, device=device, shots=shots, robust_correct=pack(bits))
                for a, bits in zip(("fgsm", "pgd"), looks, strict=True)]  # fmt: skip
        rows.append(make_row("pgd", 0.1, robust=30, n=200, device=device, shots=shots))
        line = parsed(as_frame(rows))[0][0]
        assert line["Worst case"].startswith(worst)


def test_lines_are_sorted_like_the_papers_and_do_not_depend_on_the_rows_order(sweep):
    lines, _ = parsed(sweep)
    assert [(line["Head"], line["Epsilon"]) for line in lines] == [
        (h, f"{e:g}") for h in ("linear", "tanh (4)", "vqc1", "vqc6") for e in EPSILONS
    ]
    assert [line["Qubits"] for line in lines[::3]] == ["–", "–", "4", "4"]
    shuffled = sweep.sample(frac=1, random_state=3)
    assert table_markdown(Report.of(shuffled)) == table_markdown(Report.of(sweep))


def test_models_that_differ_in_training_alone_are_not_averaged_as_seeds():
    rows = [make_row("fgsm", 0.05, robust=100 + 20 * i, model_key=f"{i}bcdefgh12", key=str(i)) for i in range(2)]
    lines, _ = parsed(as_frame(rows))
    assert [(line["Model"], line["FGSM"][:4]) for line in lines] == [
        ("ResNet18 (0bcdefgh)", "50.0"),
        ("ResNet18 (1bcdefgh)", "60.0"),
    ]


def test_variants_norms_and_user_heads_have_their_own_place():
    rows = [make_row("pgd", 0.05, robust=90, attack_options='{"steps": 40}'), make_row("mine", 2.0, robust=80, norm="l2"),
            make_row("pgd", 0.05, robust=91, attack_options='{"steps": 20}'),
            make_row("fgsm", 4 / 255, robust=99, head="pkg.mod:circuit", embedding="ry", layers=3, reuploads=2, readout="x",
                     weights="random")]  # fmt: skip
    lines, notes = parsed(as_frame(rows))
    assert [(line["Model"], line["Head"], line["Epsilon"]) for line in lines] == [
        ("ResNet18", "vqc1", "0.05"),
        ("ResNet18", "vqc1", "2 (L2)"),
        ("ResNet18 (random weights)", "pkg.mod:circuit x3 r2 (ry, readout x)", "4/255"),
    ]
    assert list(lines[0])[8:12] == ["FGSM", "PGD(steps=20)", "PGD(steps=40)", "mine"]
    assert lines[0]["PGD(steps=40)"].startswith("45.0")
    assert lines[1]["mine"].startswith("40.0")
    assert "random_weights:" in notes
    assert "no_noise_control:" in notes


def test_access_is_told_and_levels_have_their_own_lines():
    same = {"attack": "pgd", "epsilon": 0.05}
    rows = [make_row(**same, robust=90), make_row(**same, robust=80, access="ideal", search_device="ideal"),
            make_row(**same, robust=70, access="shots"), make_row(**same, robust=60, level="angles"),
            make_row(**same, robust=50, level="features"), make_row("noise", 0.05, robust=150, access="ideal"),
            make_row("pgd", 4 / 255, robust=40, level="angles", norm="l2")]  # fmt: skip
    lines, notes = parsed(as_frame(rows))
    assert list(lines[0])[8:12] == ["PGD", "PGD [ideal]", "PGD [shots]", "Noise [ideal]"]  # the control is last
    assert [line["Epsilon"] for line in lines] == ["0.05", "0.05 std (features)", "0.05 rad (angles)", "0.0157 rad (angles, L2)"]
    assert [lines[0][c][:4] for c in list(lines[0])[8:12]] == ["45.0", "40.0", "35.0", "75.0"]
    assert [line["PGD"][:4] for line in lines[1:]] == ["25.0", "30.0", "20.0"]
    assert [line["Worst case"][:4] for line in lines] == ["35.0", "25.0", "30.0", "20.0"]
    assert "rises_with_epsilon" not in notes
    assert "of angles, in radians" in notes


def test_attacks_through_several_devices_are_told_apart_where_one_judge_has_both():
    noisy, sampled = "qiskit.aer[fake_manila]", "qiskit.aer[fake_manila,shots=9]"
    rows = [make_row("pgd", 0.05, robust=90), make_row("pgd", 0.05, robust=80, search_device=noisy, foreign_device=True, key="x"),
            make_row("pgd", 0.05, robust=70, device=sampled, search_device=noisy)]  # fmt: skip
    lines, _ = parsed(as_frame(rows))
    assert [(line["PGD"][:4], line[f"PGD through {noisy}"][:4]) for line in lines] == [("45.0", "40.0"), ("35.0", "–")]


def test_ten_classes_and_tasks_of_one_source():
    names = json.dumps([str(i) for i in range(10)])
    digits = {"data_source": "idx", "image_size": 28, "n_classes": 10, "class_names": names}
    (line,), _ = parsed(as_frame([make_row("pgd", 0.05, robust=90, **digits)]))
    assert (line["Model"], line["Images"], line["Flags"]) == ("ResNet18 (at 28 px)", "1,000 (idx, 10 classes)", "")
    (line,), _ = parsed(as_frame([make_row("pgd", 0.05, robust=9, clean=26, **digits)]))  # 13 % right, from 9 %
    assert line["Flags"] == "near_chance (clean, PGD)"
    two = digits | {"n_classes": 2, "class_names": '["3", "8"]'}
    lines, _ = parsed(as_frame([make_row("pgd", 0.05, robust=90, **two, key="t"), make_row("pgd", 0.05, robust=90, **digits)]))
    assert [line["Images"] for line in lines] == ["1,000 (idx, 10 classes, 0 to 9)", "1,000 (idx, 3 / 8)"]


def test_options_of_heads_are_columns_where_they_differ():
    options = {f"{n}": json.dumps({"hidden": n, "n_qubits": n}) for n in (16, 32)}
    rows = [make_row("pgd", 0.05, robust=90, head="mlp", model_options=o, model_key=n, key=n) for n, o in options.items()]
    lines, _ = parsed(as_frame([*rows, make_row("pgd", 0.05, head="linear")]))
    assert [(line["Head"], line["model.hidden"]) for line in lines] == [("linear", "–"), ("mlp", "16"), ("mlp", "32")]


def axis(name, values, seeds=(0, 1), **more):
    """Rows that differ in one column beside their seeds; each value has its own accuracy."""
    rows = []
    for i, value in enumerate(values):
        for seed in seeds:
            keys = {"key": f"{i}{seed}", "model_key": f"m{i}{seed}"}
            rows.append(make_row("pgd", 0.05, robust=20 * i + 40 + seed, seed=seed, **keys, **{name: value}, **more))
    return rows


@pytest.mark.parametrize(("name", "values", "column", "shown"), [
    ("train_epochs", (3, 30), "train.epochs", ("3", "30")),
    ("train_learning_rate", (1e-5, 0.01), "train.learning_rate", ("1e-05", "0.01")),
    ("data_test_fraction", (None, 0.3), "data.test_fraction", ("–", "0.3")),
    ("data_options", ('{"split": "a"}', '{"split": "b"}'), "data.split", ("a", "b")),
    ("evaluate_images", (10, None), "evaluate.images", ("10", "all")),
    ("evaluate_batch_size", (10, 50), "evaluate.batch_size", ("10", "50")),
    ("model_options", ('{"hidden": 8}', '{"hidden": 64}'), "model.hidden", ("8", "64")),
    ("device_options", ('{"gain": 1}', '{"gain": 2}'), "device.gain", ("1", "2")),
])  # fmt: skip
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_nothing_is_averaged_but_seeds(name, values, column, shown, seeds):
    lines, _ = parsed(as_frame(axis(name, values, seeds)))
    assert sorted((line[column], line["PGD"][:4]) for line in lines) == sorted(
        zip(shown, ("20.0", "30.0") if len(seeds) == 1 else ("20.2", "30.2"), strict=True)
    )
    assert all(("±" in line["PGD"]) == (len(seeds) == 2) for line in lines)


def test_models_of_another_training_with_another_seed_are_no_seeds():
    """Two blocks, each with a seed of its own: one line each, and no mean over them."""
    one, other = axis("train_epochs", (1, 10), (0,)), axis("train_epochs", (1, 10), (1,))
    lines, _ = parsed(as_frame([one[0], other[1]]))
    assert [(line["train.epochs"], "±" in line["PGD"]) for line in lines] == [("1", False), ("10", False)]


def test_a_column_stands_only_where_it_varies():
    lines, _ = parsed(as_frame(axis("train_epochs", (3, 3), (0,))[:1] + axis("train_epochs", (3,), (1,))))
    assert not [name for line in lines for name in line if "." in name]


def test_judges_of_other_trainings_have_their_own_column_in_a_matrix():
    own = axis("train_epochs", (3, 30), (0,))
    notes = parsed(as_frame([*own, transferred(own[1], own[0], 90, train_epochs=30)]))[1]
    assert "| Found on | vqc1, train.epochs=3 | vqc1, train.epochs=30 |" in notes
    assert "| vqc1, train.epochs=3 | 20.0 [15-26] | 45.0 [38-52] |" in notes


def three_heads(**more):
    """Rows of three heads' own PGD, and of the first one's as the others stand it."""
    own = [make_row("pgd", 0.05, robust=r, head=h, **more) for h, r in (("linear", 40), ("tanh", 50), ("vqc1", 100))]
    return own, [transferred(own[1], own[0], 90, **more), transferred(own[2], own[0], 60, **more)]


def test_transfers_stand_in_a_matrix_and_count_in_the_worst_case():
    own, others = three_heads()
    lines, notes = parsed(as_frame(own + others))
    assert [line["PGD"][:4] for line in lines] == ["20.0", "25.0", "50.0"]
    assert [line["Worst case"][:4] for line in lines] == ["20.0", "25.0", "30.0"]
    assert [line["Flags"] for line in lines] == ["", "", "transfer_stronger (PGD)"]
    assert "attacks found on other models included" in notes
    assert "- transfer_stronger: an attack that needs no gradient of this model" in notes
    matrix = notes.partition("judged by:\n\n")[2].splitlines()
    assert matrix == [
        "| Attack | Epsilon | Found on | linear | tanh (4) | vqc1 |",
        "| --- | --- | --- | --- | --- | --- |",
        "| PGD | 0.05 | linear | 20.0 [15-26] | 45.0 [38-52] | 30.0! [24-37] |",
        "| PGD | 0.05 | tanh (4) | – | 25.0 [20-31] | – |",
        "| PGD | 0.05 | vqc1 | – | – | 50.0! [43-57] |",
    ]
    assert "Transferred attacks" not in parsed(as_frame(own))[1]


def test_transfers_to_another_seed_are_no_attack_on_the_model_itself():
    own = [make_row("pgd", 0.05, robust=100 + 20 * s, seed=s, head="vqc1") for s in (0, 1)]
    other = transferred(own[0], own[1], 30)
    (line,), notes = parsed(as_frame([*own, other]))
    assert line["PGD"] == "55.0 ± 7.1 [50-60] (paper 50.5!)"
    assert line["Worst case"] == "55.0 ± 7.1 [50-60]"  # they are other images
    assert "| PGD | 0.05 | vqc1, another seed | 15.0 [11-21] |" in notes
    assert "transfer_stronger" not in notes


def test_matrices_tell_devices_apart_and_keep_noise_out():
    noisy = "qiskit.aer[fake_manila]"
    own = [make_row("pgd", 0.05, robust=r, head="vqc1", device=d) for r, d in ((90, "default.qubit"), (80, noisy))]
    tanh = make_row("pgd", 0.05, robust=40, head="tanh")
    noise = make_row("noise", 0.05, robust=150, head="tanh")
    rows = [*own, tanh, noise, *(transferred(o, tanh, 70 + i) for i, o in enumerate(own)), transferred(tanh, own[1], 60),
            transferred(own[0], noise, 150, attack="noise")]  # fmt: skip
    _, notes = parsed(as_frame(rows))
    matrix = notes.partition("judged by:\n\n")[2].splitlines()
    assert matrix[0] == f"| Attack | Epsilon | Found on | tanh (4) | vqc1 on default.qubit | vqc1 on {noisy} |"
    assert [[cell[:4] for cell in line.split(" | ")[3:]] for line in matrix[2:]] == [
        ["20.0", "35.0", "35.5"], ["–", "45.0", "– |"], ["30.0", "–", "40.0"],
    ]  # fmt: skip
    assert matrix[3].startswith("| PGD | 0.05 | vqc1 through default.qubit |")


def test_gradients_of_a_search_with_several_judges_count_once():
    own, others = three_heads()
    report = Report.of(as_frame(own + [row | {"search_key": own[0]["search_key"]} for row in others]))
    assert (report.facts.searches, report.facts.gradients) == (3, 600)


def test_models_trained_on_a_noisy_device_have_their_own_line():
    rows = [make_row("pgd", 0.05, robust=90), make_row("pgd", 0.05, robust=80, train_device="qiskit.aer[fake_manila]")]
    lines, _ = parsed(as_frame(rows))
    assert [(line["Head"], line["PGD"][:4]) for line in lines] == [
        ("vqc1", "45.0"),
        ("vqc1, trained on qiskit.aer[fake_manila]", "40.0"),
    ]


def test_failed_cells_are_shown_and_listed():
    rows = [make_row("pgd", 0.05, robust=100, seed=0), failed_row(attack="pgd", seed=1), failed_row(attack="fgsm", head="vqc2")]
    lines, notes = parsed(as_frame(rows))
    assert lines[0]["PGD"] == "50.0 [43-57] (1 of 2 seeds) (paper 50.5!)"
    assert (lines[1]["FGSM"], lines[1]["Clean accuracy"]) == ("failed", "failed")
    assert notes.count("MemoryError: no room for \\| 2**30 amplitudes") == 2
    assert "Traceback" not in notes


def test_many_failures_are_counted():
    rows = as_frame([failed_row(attack="pgd", seed=s) for s in range(30)])
    (line,), notes = parsed(rows)
    assert line["PGD"] == "failed (paper 50.5!)"
    assert notes.count("- failed:") == 20
    assert "10 more cells failed" in notes
    assert "Nothing was evaluated" in notes


def test_clean_rows_alone_and_no_rows():
    (line,), _ = parsed(as_frame([make_row("clean", 0.0, clean=150)]))
    assert (line["Clean accuracy"], line["Epsilon"], line["Worst case"]) == ("75.0 [69-80] (paper 88.5)", "–", "–")
    assert table_markdown(Report.of(as_frame([]))) == "No rows yet.\n"


def shown(rows, width=120, **options):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(Report.of(rows), **options))
    return capture.get()


def test_terminal_table_fits_and_marks_flags(suspect):
    noisy = as_frame(sweep_rows(heads=("vqc1",), devices=("qiskit.aer[fake_manila,shots=4096]",), attack_options='{"a": 1}'))
    more = [make_row("pgd", e, robust=50, attack_options=f'{{"steps": {s}}}') for e in EPSILONS for s in (10, 20, 40)]
    other = as_frame([*more, failed_row(head="vqc2", attack="pgd")])
    text = shown(pd.concat([suspect, noisy, other], ignore_index=True), width=200)
    assert max(map(len, text.splitlines())) <= 120
    assert "77.5!" in text
    assert "51.0 " in text
    assert "rises_with_epsilon (2)" in text
    assert "qiskit.aer[fake" in text  # not taken for markup
    assert "1 of " in text
    assert "failed" in text


def test_terminal_table_is_cut(sweep):
    text = shown(sweep, max_lines=2)
    assert "10 more lines in table.md" in text
    assert text.count("ResNet18") == 2


def test_rows_come_back_from_csv_and_parquet(tmp_path, suspect):
    rows = pd.concat([suspect, as_frame([failed_row(head="linear", attack="pgd")])], ignore_index=True)
    paths = write_rows(Report.of(rows.sample(frac=1, random_state=1)), tmp_path)
    assert [p.name for p in paths] == ["rows.csv", "rows.parquet"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]  # no temporary file is left
    parquet, csv = pd.read_parquet(paths[1]), pd.read_csv(paths[0], dtype={"clean_correct": str, "robust_correct": str})
    assert list(parquet.columns) == list(csv.columns)
    assert list(parquet.columns[-3:]) == list(VOLATILE)
    given = rows.set_index("key")
    for table in (parquet.set_index("key"), csv.set_index("key")):
        assert set(table.index) == set(given.index)
        for column in ("robust_accuracy", "epsilon", "clean_low", "n_evaluated", "n_qubits", "seed"):
            np.testing.assert_array_equal(table[column].astype(float), given.loc[table.index, column].astype(float))
        back = table["robust_correct"].dropna()
        assert back.tolist() == given.loc[back.index, "robust_correct"].tolist()
    flags = {k: list(f) for k, f in zip(parquet["key"], parquet["flags"], strict=True)}
    assert {k: (f.split(";") if isinstance(f, str) else []) for k, f in zip(csv["key"], csv["flags"], strict=True)} == flags
    assert sum("rises_with_epsilon" in f for f in flags.values()) == 2
    assert "200.0" not in paths[0].read_text()  # counts stay whole although a row lacks them


def test_files_do_not_depend_on_the_rows_order(tmp_path, sweep):
    first = [p.read_bytes() for p in write_rows(Report.of(sweep), tmp_path / "a")]
    again = [p.read_bytes() for p in write_rows(Report.of(sweep.sample(frac=1, random_state=5)), tmp_path / "b")]
    assert first == again


def test_unwritable_folder_is_one_line(tmp_path, sweep):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write rows\.csv"):
        write_rows(Report.of(sweep), tmp_path / "file")


def test_several_evaluations_of_one_model_are_no_seeds():
    few = make_row("pgd", 0.05, robust=0, clean=6, n=6, key="few")
    many = make_row("pgd", 0.05, robust=20, clean=80, n=100, key="many")
    seed = make_row("pgd", 0.05, robust=30, clean=80, n=100, seed=1)
    (alone,), _ = parsed(as_frame([many]))
    (both,), _ = parsed(as_frame([few, many]))
    assert (both["PGD"], both["Worst case"]) == (alone["PGD"], alone["Worst case"])
    assert both["PGD"].startswith("20.0 [13-29]")
    (two,), _ = parsed(as_frame([few, many, seed]))
    assert two["PGD"].startswith("25.0 ± 7.1")
    failed, _ = parsed(as_frame([few | {"status": "failed", "robust_accuracy": None}, many]))
    assert failed[0]["PGD"] == alone["PGD"]


def test_a_search_for_others_is_told_from_the_models_own_where_it_has_both():
    own, whole = make_row("pgd", 0.05, robust=40), make_row("pgd", 0.05, robust=60, audience="others", key="w")
    (line,), _ = parsed(as_frame([own, whole]))
    assert (line["PGD"][:4], line["PGD [whole budget]"][:4]) == ("20.0", "30.0")
    (line,), _ = parsed(as_frame([whole]))
    assert line["PGD"][:4] == "30.0"


BOUNDS = {"level": "angles", "epsilon_unit": "radian", "certified_correct": None}


def test_certificates_stand_beside_the_worst_case_and_pixels_have_none():
    rows = [
        make_row("pgd", 0.1, robust=120, clean=177, seed=s, **BOUNDS, certified_accuracy=0.5 + s / 10, certified_undecided=0.02,
                 certified_radius=0.7 + s / 10, certified_radius_high=0.75 + s / 10)
        for s in (0, 1)
    ]  # fmt: skip
    rows.append(make_row("pgd", 0.3, robust=60, clean=177, **BOUNDS, certified_accuracy=0.1, certified_undecided=0.0,
                         certified_radius=0.7, certified_radius_high=0.7001))  # fmt: skip
    lines, notes = parsed(as_frame([make_row("pgd", 0.05, robust=104, clean=177), *rows]))
    assert list(lines[0])[-4:] == ["Worst case", "Certified", "Certified radius", "Flags"]
    assert [line["Certified"] for line in lines] == ["–", "55.0 ± 7.1 [50-60] (2.0 undecided)", "10.0 [7-15]"]
    assert [line["Certified radius"] for line in lines] == ["–", "0.75 to 0.8 rad", "0.7 rad"]
    assert "pixels are not certified" in notes
    (line,), notes = parsed(as_frame([make_row("pgd", 0.05, robust=104)]))
    assert not {"Certified", "Certified radius"} & set(line)
    assert "ertified" not in notes


def test_a_radius_without_an_upper_end_says_so():
    row = make_row("pgd", 0.1, robust=120, **BOUNDS, certified_accuracy=0.5, certified_undecided=0.0, certified_radius=1.2)
    (line,), _ = parsed(as_frame([row]))
    assert line["Certified radius"] == "at least 1.2 rad"


def test_a_contradicted_certificate_is_flagged_and_other_flags_are_the_attacks_own():
    same = BOUNDS | {"certified_accuracy": 0.6, "certified_undecided": 0.0}
    rows = as_frame([make_row("pgd", 0.1, robust=0, clean=177, **same, outputs_normalised=True)])
    (line,) = Report.of(rows).lines
    assert set(line.certified.value.flags) <= {"certificate_contradicted"}
    (row,) = rows.to_dict("records")
    wrong = as_frame([make_row("pgd", 0.1, robust=0, clean=177, **same | {"certified_correct": row["clean_correct"]})])
    (line,) = Report.of(wrong).lines
    assert line.certified.value.flags == {"certificate_contradicted": 1}


def test_certificates_are_columns_of_the_csv(tmp_path):
    row = make_row("pgd", 0.1, **BOUNDS, certified_accuracy=0.5, certified_undecided=0.25, certified_radius=1.2)
    (csv, _) = write_rows(Report.of(as_frame([row])), tmp_path)
    (found,) = pd.read_csv(csv).to_dict("records")
    assert [found[f"certified_{name}"] for name in ("accuracy", "undecided", "radius")] == [0.5, 0.25, 1.2]
