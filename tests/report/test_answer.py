"""The answer in words: what is said of sweeps of every kind, by hand, and of a real one against numbers reckoned anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report_rows import as_frame, failed_row, make_row, suspect_rows, sweep_rows, transferred
from rich.console import Console

from hqc_ray.evaluation.statistics import pack, unpack
from hqc_ray.report import Report, table_markdown, terminal_table
from hqc_ray.results.folder import Folder
from hqc_ray.results.ledger import frame

N = 200
REAL = Path(__file__).parents[2] / "results" / "table2_resnet18"


def attacked(head, start, stop, attack="bottleneck", epsilon=0.02, **more):
    """A row in which the images from start to stop are right; nothing is trapped, unless told otherwise."""
    bits = pack((np.arange(N) >= start) & (np.arange(N) < stop))
    known = {"trapped_share": 0.0, "aims": attack == "bottleneck", "robust_correct": bits}
    return make_row(attack, epsilon, robust=stop - start, head=head, **{**known, **more})


def said(*rows, cells=None):
    return Report.of(as_frame(rows), cells).answer


def of_circuit(*rows):
    (text,) = [text for text in said(*rows) if text.startswith(("Is it", "No head", "No attack"))]
    return text


TESTED = "by paired tests on the same images against tanh"


def test_a_circuit_that_is_told_from_its_control():
    texts = said(attacked("vqc6", 0, 60), attacked("tanh", 40, 70))
    assert texts == (
        "2 cells of 2 trained models: ResNet18 with tanh (4) and vqc6, under bottleneck; one seed, which another training may "
        "not repeat.",
        f"Is it the circuit? Under these attacks yes, {TESTED}: more images stay right than with any control at 0.02 (circuit "
        "minus control +15.0 points).",
        "Images right, circuits against other heads on the same images: 88.0 % against 88.0 % without attack; in the worst case "
        "over all attacks 30.0 % against 15.0 % at 0.02.",
        "The audit flags no cell.",
    )


def test_a_circuit_that_does_harm_and_one_that_cannot_be_told():
    assert of_circuit(attacked("vqc6", 40, 70), attacked("tanh", 0, 60)).startswith(
        f"Is it the circuit? No, and where there is a difference it does harm, {TESTED}: fewer images stay right than with a "
        "control at 0.02 (circuit minus control -15.0 points)."
    )
    same = of_circuit(attacked("vqc6", 0, 60), attacked("tanh", 1, 61))
    assert same.startswith(f"Is it the circuit? No sign of it, {TESTED}: in the only case (a circuit")
    assert same.endswith("no difference is significant (95 % intervals within -1.5 and +1.5 points).")
    rows = [attacked(head, *span, epsilon=e) for head, span in (("vqc6", (0, 60)), ("tanh", (1, 61))) for e in (0.02, 0.03)]
    assert "in both cases (a circuit at an epsilon) no difference is significant, corrected for 2 comp" in of_circuit(*rows)


def test_a_difference_in_doubt_is_no_answer():
    rows = [attacked(h, *span, "pgd", trapped_share=None) for h, span in (("vqc6", (0, 60)), ("tanh", (40, 70)))]
    assert f"Undecided, {TESTED}: there is a difference at 0.02 (circuit minus control +15.0 points), not to be" in of_circuit(
        *rows
    )
    assert "no attack aimed past the corners" in of_circuit(*rows)
    trapped = [row | {"trapped_share": 0.5 * (row["head"] == "vqc6")} for row in rows]
    assert of_circuit(*trapped).endswith("since the attacks on one of the two are in doubt (trapped).")
    assert any("Undecided" in text for text in said(*trapped, cells=9))  # where the flag itself waits for an attack that aims


def test_one_control_that_does_as_well_is_enough():
    rows = [attacked("vqc6", 0, 60), attacked("tanh", 0, 5), attacked("fourier", 0, 59)]
    text = of_circuit(*rows)
    assert "No sign of it, by paired tests on the same images against tanh and fourier" in text
    assert "the difference from at least one control is not significant, corrected for 2 comparisons" in text


def test_a_circuit_between_its_controls_neither_helps_nor_harms():
    rows = [attacked("vqc6", 0, 60), attacked("tanh", 0, 120), attacked("fourier", 0, 5)]
    text = of_circuit(*rows)
    assert text.startswith("Is it the circuit? No: which does better depends on the control, by paired tests")
    assert "more images stay right than with one control and fewer than with another at 0.02 (circuit" in text
    assert "circuit minus control -30.0 to +27.5 points" in text


def test_circuits_are_counted_at_each_epsilon():
    rows = [attacked("tanh", 0, 10, epsilon=e, seed=s) for e in (0.02, 0.03) for s in (0, 1)]
    rows += [attacked(head, 0, 60, seed=s) for head in ("vqc1", "vqc6") for s in (0, 1)]
    rows += [attacked("vqc1", 0, 60, epsilon=0.03, seed=s) for s in (0, 1)]
    rows += [attacked("vqc6", 0, 11, epsilon=0.03, seed=s) for s in (0, 1)]
    text = of_circuit(*rows)
    assert text.startswith("Is it the circuit? Under these attacks in part,")
    assert "than with any control for 2 of 2 circuits at 0.02 and 1 of 2 at 0.03 (circuit minus control +25.0 points)" in text
    assert "in the other 1 of 4 cases (a circuit at an epsilon) no difference is significant, corrected for 4" in text
    assert "; 2 seeds." in said(*rows)[0]
    assert "; 1 to 2 seeds a model." in said(*rows, make_row("pgd", head="vqc2"))[0]


def test_without_controls_nothing_is_called_paired():
    wider = of_circuit(attacked("vqc6", 0, 60), attacked("tanh", 0, 10, n_qubits=7))
    assert wider.startswith("Is it the circuit? Nobody can say: no circuit has a control")
    assert wider.endswith("the ranges below are not paired, and width, training or chance may make their difference.")
    sampled = of_circuit(attacked("vqc6", 0, 60, shots=100), attacked("tanh", 0, 10))
    assert "as circuits that are judged by shots never have;" in sampled
    for other in ([], [attacked("tanh", 0, 10, data_size=5000)], [attacked("tanh", 0, 10, "noise")]):
        assert "no other head was attacked on the same images (add `controls: true`)" in of_circuit(
            attacked("vqc6", 0, 60), *other
        )


def test_what_was_not_asked_is_not_answered():
    assert of_circuit(attacked("tanh", 0, 60)) == "No head here is a circuit."
    assert not any("a circuit" in text for text in said(attacked("tanh", 0, 60), cells=9))  # one may be to come
    for rows in ([make_row("clean", 0.0)], [make_row("clean", 0.0), make_row("noise", 0.05, robust=100)]):
        assert of_circuit(*rows).startswith("No attack was made: these are accuracies without one")
        assert not any("worst case" in text or "Upper bounds" in text for text in said(*rows))
    assert said() == ("No rows yet.",)
    assert said(cells=65) == ("Unfinished: 0 of 65 cells, 65 to come. All that follows is of the cells that are there, and "
                              "preliminary.", "No rows yet.")  # fmt: skip
    assert said(failed_row(head="vqc2"), failed_row(head="vqc1")) == ("All 2 cells failed: nothing was measured.",)
    assert said(failed_row(head="vqc2")) == ("The only cell failed: nothing was measured.",)
    assert said(failed_row(head="vqc2"), make_row("pgd"))[0].startswith("2 cells, of which 1 failed, of 2 trained models: ")


def test_heads_that_their_options_tell_apart_are_counted_one_by_one():
    told = [{"model_options": f'{{"hidden": {hidden}}}', "model_key": f"mlp-{hidden}"} for hidden in (4, 5)]
    wide = [attacked("mlp", 0, 60, "pgd", **its) for its in told]
    assert "2 trained models: ResNet18 with mlp, model.hidden=4 and mlp, model.hidden=5, under PGD" in said(*wide)[0]
    others = [attacked(head, 0, 60, "pgd") for head in ("linear", "vqc1", "vqc2", "vqc3", "vqc6")]
    assert "7 trained models: ResNet18 with 7 heads, under PGD" in said(*wide, *others)[0]


def bounds(*rows):
    return [text for text in said(*rows) if text.startswith("Upper bounds")]


def test_gradients_alone_give_upper_bounds():
    pgd = attacked("vqc6", 0, 60, "pgd")
    (text,) = bounds(pgd)
    assert text.startswith("Upper bounds: circuits were attacked without `bottleneck` or `autoattack`. Gradients")
    assert bounds(pgd, attacked("vqc6", 0, 60)) == []
    assert bounds(attacked("tanh", 0, 60, "pgd")) == []
    assert bounds(attacked("vqc6", 0, 60, "pgd", level="angles", epsilon_unit="radian")) == []
    (text,) = bounds(pgd, attacked("vqc6", 0, 60), attacked("vqc6", 0, 50, "pgd", 0.03))
    assert text.startswith("Upper bounds: at 0.03 circuits were attacked without")
    (text,) = bounds(pgd, attacked("vqc6", 0, 60), attacked("vqc1", 0, 50, "pgd"))
    assert text.startswith("Upper bounds: a circuit was attacked without")
    (text,) = bounds(pgd, attacked("vqc6", 0, 60) | {"search_model_key": "another"})  # which aims at another model's corners
    assert "circuits were attacked without" in text
    assert "`autoattack` so far. Gradients" in said(pgd, cells=9)[3]


def test_sides_that_met_other_attacks_are_not_compared_in_silence():
    rows = [attacked("vqc6", 0, 60, "pgd"), attacked("tanh", 0, 10, "pgd"), attacked("tanh", 0, 1)]
    (text,) = [text for text in said(*rows) if "worst case" in text]
    assert text.endswith(
        "30.0 % against 0.5 % at 0.02. These are not under the same attacks: bottleneck attacked the others alone."
    )


def test_flags_are_counted_and_said_in_short():
    (text,) = [text for text in said(*suspect_rows()) if "flagged" in text]
    assert text == (
        "2 of 12 cells are flagged (2 FGSM); what is flagged is no evidence of robustness: rises_with_epsilon 2 (more right than "
        "at a smaller epsilon, so the search failed); noise_as_strong 1 (random noise fools as many)."
    )
    ill = {"random_share": 1.0, "gradient_error": 1.0, "dead_input_share": 1.0, "outputs_normalised": True,
           "bad_gradient_share": 1.0, "surrogate_error": 1.0}  # fmt: skip
    text = said(attacked("vqc6", 0, 60, **ill))[-1]
    assert text.startswith("1 of 1 cell is flagged (1 bottleneck)")
    assert text.endswith("; 2 more kinds.")


def test_an_unfinished_sweep_says_so_everywhere():
    rows = as_frame([attacked("vqc6", 0, 60, "pgd"), attacked("tanh", 0, 10, "pgd"), failed_row(head="vqc2")])
    report, whole = Report.of(rows, 65), Report.of(rows, 3)
    assert report.unfinished == "2 of 65 cells, 62 to come, 1 failed"
    assert (whole.unfinished, Report.of(rows).unfinished) == ("", "")
    assert (
        report.answer[0] == f"Unfinished: {report.unfinished}. All that follows is of the cells that are there, and preliminary."
    )
    text = table_markdown(report)
    assert text.startswith(f"# example, unfinished: {report.unfinished}\n\nUnfinished: ")
    assert "| Worst case so far |" in text
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(report))
    assert f"unfinished: {report.unfinished}" in capture.get()
    assert "no_noise_control" in table_markdown(whole)
    assert "no_noise_control" not in text  # the noise may be among the 62
    assert "nfinished" not in table_markdown(whole)
    assert "so far" not in table_markdown(whole)


@pytest.mark.parametrize("rows", [
    sweep_rows(), sweep_rows(epsilons=(0.05,)), sweep_rows(devices=("default.qubit", "qiskit.aer[fake_manila]")),
    sweep_rows(n_classes=10, class_names=str([f"{i}" for i in range(10)]).replace("'", '"')),
    sweep_rows(weights="random"), sweep_rows(level="features", epsilon_unit="std"), sweep_rows(norm="l2"),
    sweep_rows(epsilons=tuple(i / 255 for i in range(1, 12))), sweep_rows(heads=tuple(f"sim{i}" for i in range(1, 10))),
    [make_row("pgd", 0.05, robust=30, head="linear"), transferred(make_row(), make_row(head="tanh"), 44)],
    [*sweep_rows(), *(failed_row(head="vqc2", attack=a) for a in ("pgd", "clean"))],
    [make_row("pgd", 0.05, n=3, clean=0, robust=0, test_accuracy=None)],
    [make_row("pgd", 0.0, robust=30)],
], ids=["grid", "one epsilon", "noise", "classes", "random", "features", "l2", "epsilons", "heads", "transfer", "failed",
        "nothing right", "epsilon 0"])  # fmt: skip
def test_any_sweep_has_sentences(rows):
    for text in (*said(*rows), *said(*rows, cells=10_000)):
        assert text.endswith(".")
        assert text.count("(") == text.count(")")
        assert not {"nan", "None", "inf", "", "()"} & set(text.replace(",", "").replace(".", "").split(" "))
        assert len(text) < 700
    assert any("random: this tests the tool" in text for text in said(*rows)) == (rows[0]["weights"] == "random")


def test_a_real_sweep_against_numbers_reckoned_anew():
    """858 cells: the worst cases and the flags from the rows' bits alone, without the code of the report."""
    rows = Folder(REAL).rows()
    told = "\n".join(Report.of(frame(rows)).answer)
    assert "858 cells of 24 trained models: CNN, CNN2 and ResNet18 with linear, tanh (4), tanh (7), vqc1, vqc5 and vqc6" in told
    right: dict[tuple[bool, str, str, int], np.ndarray] = {}
    for row in rows:
        if row.backbone == "resnet18" and row.attack != "clean" and row.epsilon <= 1 / 255 + 1e-9:
            model = (row.head_kind == "circuit", row.model_key, row.device, row.data_size)
            right[model] = right.get(model, True) & unpack(row.robust_correct, row.n_evaluated)
    found = {
        kind: [100 * float(bits.mean()) for (circuit, *_), bits in right.items() if circuit == kind] for kind in (True, False)
    }
    assert (len(found[True]), len(found[False])) == (18, 9)
    sides = [f"{min(its):.1f} to {max(its):.1f} %" for its in (found[True], found[False])]
    assert f"in the worst case over all attacks {sides[0]} against {sides[1]} at 1/255, 0.0 % against 0.0 % at 4/255" in told
    assert "Upper bounds" not in told  # AutoAttack aims
    assert "279 of 858 cells are flagged (114 DeepFool, 98 PGD, 67 FGSM)" in told
    assert "Is it the circuit? No sign of it, by paired tests on the same images against tanh: in all 90 cases" in told
