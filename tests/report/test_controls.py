"""Circuits against their controls: which rows are compared, with which numbers, and what is said of them."""

import numpy as np
import pytest
from report_rows import as_frame, make_row
from scipy import stats

from hqc_ray.evaluation.statistics import pack
from hqc_ray.report import Report, table_markdown
from hqc_ray.report.page import page
from hqc_ray.report.tables.controls import HEADER, controls_lines, sentences

N = 200


def right(start, stop):
    """Outcomes [200], packed."""
    return pack((np.arange(N) >= start) & (np.arange(N) < stop))


def attacked(head, start, stop, attack="bottleneck", epsilon=0.02, **more):
    """A row in which the images from start to stop are right; nothing is trapped, unless told otherwise."""
    known = {"trapped_share": 0.0, "aims": attack == "bottleneck", "robust_correct": right(start, stop)}
    return make_row(attack, epsilon, robust=stop - start, head=head, **{**known, **more})


def compared(*rows):
    return Report.of(as_frame(rows)).controls


def test_one_seed_by_hand():
    (one,) = compared(attacked("vqc6", 0, 60), attacked("tanh", 40, 70))  # 40 only the circuit, 10 only tanh
    assert (one.circuit.head, one.control.head, one.ball.epsilon, one.seeds) == ("vqc6", "tanh", 0.02, (0,))
    assert (one.circuit_value.mean, one.control_value.mean) == (30.0, 15.0)
    assert one.found.difference == 0.15
    exact = stats.binomtest(40, 50, 0.5).pvalue
    assert one.p == one.found.p == pytest.approx(exact)
    assert one.verdict == "more"
    text = table_markdown(Report.of(as_frame([attacked("vqc6", 0, 60), attacked("tanh", 40, 70)])))
    assert "more robust at 0.02 (+15.0 [+8.5, +21.5] points, p &lt; 0.0001)." in text
    assert "from one seed alone, which another training may not repeat: against tanh (4)" in text


def test_the_worst_case_is_over_the_attacks_that_both_had():
    mine = [attacked("vqc6", 0, 60), attacked("vqc6", 5, 200, "pgd", 0.01), attacked("vqc6", 0, 1, "deepfool")]
    its = [attacked("tanh", 0, 60), attacked("tanh", 0, 58, "pgd", 0.01), attacked("tanh", 0, 60, "noise", 0.03)]
    small, large = compared(*mine, *its)
    assert (small.ball.epsilon, small.circuit_value.mean, small.control_value.mean) == (0.01, 97.5, 29.0)
    assert (large.ball.epsilon, large.circuit_value.mean, large.control_value.mean) == (0.02, 27.5, 29.0)  # 55 and 58 images


def test_noise_alone_compares_nothing():
    assert compared(attacked("vqc6", 0, 60, "noise"), attacked("tanh", 0, 50, "noise")) == ()


def test_seeds_are_paired_one_by_one():
    rows = [attacked(head, *span, seed=s) for s in range(5) for head, span in (("vqc6", (0, 20)), ("tanh", (0, 40 + s)))]
    (one,) = compared(*rows, attacked("vqc6", 0, 200, seed=9))  # of which there is no control
    assert one.seeds == (0, 1, 2, 3, 4)
    assert one.found.difference == pytest.approx(-0.11)
    assert one.found.per_seed == tuple(pytest.approx(stats.binomtest(0, 20 + s, 0.5).pvalue) for s in range(5))
    (said,) = sentences(Report.of(as_frame(rows)))
    assert said.startswith(
        "vqc6 (ResNet18, 1,000 images, default.qubit), from 5 seeds: against tanh (4) less robust at 0.02 (-11.0 ["
    )
    assert "one seed" not in said


def test_p_values_count_their_number():
    rows = [attacked("vqc6", 0, 20), attacked("tanh", 0, 12), attacked("fourier", 0, 12)]
    alone = stats.binomtest(8, 8, 0.5).pvalue
    assert [one.p for one in compared(*rows)] == pytest.approx([2 * alone, 2 * alone])
    assert [one.verdict for one in compared(*rows)] == ["more", "more"]
    more = [attacked(head, *span, epsilon=0.01 * k) for k in (3, 4, 5) for head, span in (("vqc6", (0, 20)), ("tanh", (0, 12)))]
    assert {one.verdict for one in compared(*rows, *more)} == {"not"}  # 5 comparisons x 1/128, and those nested in them
    assert "not distinguishable at 0.02" in sentences(Report.of(as_frame([*rows, *more])))[0]


@pytest.mark.parametrize("other", [
    {"n_qubits": 5}, {"data_digest": "another"}, {"train_epochs": 10}, {"weights": "random"}, {"backbone": "vgg16"},
    {"n_evaluated": 8, "robust_correct": "f0", "clean_correct": "f0"}, {"seed": 1}, {"search_seed": 1}, {"status": "failed"},
    {"model_options": '{"fine": true}'}, {"data_size": 500},
])  # fmt: skip
def test_what_differs_in_more_than_the_head_is_no_control(other):
    circuit = attacked("vqc6", 0, 60, model_options='{"fine": false, "layers": 1}')
    assert compared(circuit, attacked("tanh", 0, 50, model_options='{"fine": false}'))
    assert compared(circuit, attacked("tanh", 0, 50, **{"model_options": '{"fine": false}', **other})) == ()


def test_an_mlp_is_a_control_by_its_number_of_parameters():
    circuit = attacked("vqc6", 0, 60, head_parameters=2090)
    assert compared(circuit, attacked("mlp", 0, 50, head_parameters=2062))
    assert compared(circuit, attacked("mlp", 0, 50, head_parameters=2062 + 515)) == ()  # one hidden unit more
    assert compared(circuit, attacked("mlp", 0, 50)) == ()  # a row of before
    assert compared(circuit, attacked("linear", 0, 50, head_parameters=1026)) == ()


def test_models_that_judge_by_shots_are_left_out():
    assert compared(attacked("vqc6", 0, 60, shots=100), attacked("tanh", 0, 50)) == ()


def test_attacks_in_doubt_give_no_verdict():
    pgd = [attacked("vqc6", 0, 60, "pgd", trapped_share=0.1), attacked("tanh", 40, 70, "pgd")]
    (one,) = compared(*pgd)
    assert (one.verdict, one.doubts) == ("none", ("trapped",))
    (said,) = sentences(Report.of(as_frame(pgd)))
    assert "not judged, its attacks are in doubt, at 0.02 (+15.0 [+8.5, +21.5] points, p < 0.0001; trapped)." in said
    aimed = [attacked("vqc6", 0, 60, trapped_share=0.1), attacked("tanh", 40, 70)]
    (one,) = compared(*pgd, *aimed)
    assert (one.verdict, one.doubts) == ("more", ())


def test_rows_of_before_do_not_say_whether_they_are_trapped():
    old = [attacked("vqc6", 0, 60, "pgd", trapped_share=None), attacked("tanh", 40, 70, "pgd", trapped_share=None)]
    (one,) = compared(*old)
    assert (one.verdict, one.doubts) == ("none", ("trapped is not known",))


def test_the_page_shows_them_too():
    report = Report.of(as_frame([attacked("vqc6", 0, 60), attacked("tanh", 40, 70)]))
    (line,) = controls_lines(report)
    assert dict(zip(HEADER, (cell.text for cell in line), strict=True)) == {
        "Circuit": "vqc6", "Images": "ResNet18, 1,000 images", "Device": "default.qubit", "Control": "tanh (4)",
        "Epsilon": "0.02", "Seeds": "1",
        "Circuit right": "30.0 [24-37]", "Control right": "15.0 [11-21]", "Difference": "+15.0 [+8.5, +21.5]",
        "McNemar": "< 0.0001", "p": "< 0.0001", "The circuit is": "more robust",
    }  # fmt: skip
    html = page(report, [], {}, "t")
    assert ">Paired controls</a></h2>" in html
    assert "more robust at 0.02" in html
    alone = Report.of(as_frame([attacked("vqc6", 0, 60)]))
    assert "Paired controls" not in page(alone, [], {}, "t") + table_markdown(alone)
