"""Cards of models on their devices: the worst of the seeds, what the audit says, and nothing of rows that know nothing."""

from report_rows import as_frame, make_row

from hqc_ray.report import Report, table_markdown
from hqc_ray.report.page import page
from hqc_ray.report.tables.cards import HEADER, cards_lines

SOUND = {
    "trapped_share": 0.0, "gradient_error": 2e-6, "dead_input_share": 0.0, "random_share": 0.0, "batch_dependent_share": 0.0,
    "linear_distance_linf": 0.5 / 255,
}  # fmt: skip


def rows(*changes, **more):
    return [make_row("fgsm", 0.05, robust=40, seed=seed, **(SOUND | more | some)) for seed, some in enumerate(changes)]


def lines(*its):
    return [dict(zip(HEADER, (cell.text for cell in line), strict=True)) for line in cards_lines(Report.of(as_frame(its)))]


def test_a_line_per_model_and_device_with_the_worst_of_its_seeds():
    noisy = rows({"noise_effect": 0.125}, {"noise_effect": 0.25}, device="qiskit.aer[fake_manila]")
    ideal = rows({}, {"trapped_share": 0.16, "linear_distance_linf": 0.25 / 255})
    first, second = lines(*noisy, *ideal)
    assert (first["Device"], second["Device"]) == ("default.qubit", "qiskit.aer[fake_manila]")
    assert (first["Seeds"], first["Trapped"], first["Linear distance"], first["Noise"]) == ("2", "16.0 %", "0.25/255", "–")
    assert (first["The audit says"], second["The audit says"]) == ("trapped", "nothing against it")
    assert (second["Gradient error"], second["Noise"], second["Test accuracy"]) == ("2e-06", "0.12", "88.0 %")


def test_only_flags_of_the_model_stand_there():
    (line,) = lines(*rows({"gradient_error": 0.9, "bad_gradient_share": 1.0}))
    assert line["The audit says"] == "gradients_wrong"


def test_rows_of_before_have_no_cards():
    old, new = Report.of(as_frame([make_row("fgsm", 0.05, robust=40)])), Report.of(as_frame(rows({})))
    assert old.cards == ()
    for report, there in ((old, False), (new, True)):
        for text in (table_markdown(report), page(report, [], {}, "t")):
            assert ("Models on their devices" in text) == there
            assert ("nothing against it" in text) == there


def test_a_distance_that_nobody_measured_is_none_at_any_level():
    for level, unit in (("pixels", "pixel"), ("features", "std"), ("angles", "radian")):
        report = Report.of(as_frame([make_row("pgd", 0.05, robust=40, level=level, epsilon_unit=unit, trapped_share=0.1)]))
        (line,) = cards_lines(report)
        assert line[HEADER.index("Linear distance")].text == "–"
