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
    assert first["The audit says"] == "16.0 % of right images are trapped; 1 of 2 attack rows is flagged: trapped"
    assert second["The audit says"] == "nothing against it"
    assert (second["Gradient error"], second["Noise"], second["Test accuracy"]) == ("2e-06", "0.12", "88.0 %")


def said(*its):
    (line,) = lines(*its)
    return line["The audit says"]


def search(name, robust, **more):
    return make_row(name, 0.05, robust=robust, **(SOUND | {"trapped_share": 0.168, "gradient_steps": 20} | more))


def test_flags_of_single_attacks_are_said_with_how_many_rows_they_are_of():
    beside = {"aims": True, "gradient_steps": None}
    its = [search("pgd", 40, seed=s) for s in (0, 1)] + [search("bottleneck", 20 if s else 40, seed=s, **beside) for s in (0, 1)]
    trapped = "16.8 % of right images are trapped"
    assert said(*its) == f"{trapped}; 1 of 4 attack rows is flagged: dominated, targets_beat_loss"
    assert said(*its[::2]) == trapped  # an attack aims past it, and no row is flagged
    assert said(*(row | {"trapped_share": 0.02} for row in its[::2])) == "nothing against it"
    assert said(*(row | {"trapped_share": 0.02} for row in its)).startswith("2.0 % of right images are trapped; 1 of 4")


def test_a_share_that_is_unknown_is_not_said():
    assert said(search("pgd", 40, trapped_share=None, gradient_error=0.9)) == "1 of 1 attack row is flagged: gradients_wrong"


def test_flags_that_a_row_brought_are_said_after_the_own_ones():
    found = as_frame([search("pgd", 40, gradient_error=0.9)]).assign(flags=[["asked_for", "again"]])
    (line,) = cards_lines(Report.of(found))
    assert line[-1].text.endswith("1 of 1 attack row is flagged: trapped, gradients_wrong, again, asked_for")


def test_flags_that_only_rows_without_an_attack_have_are_said_of_these():
    none = [make_row("noise", epsilon, robust=robust, **SOUND) for epsilon, robust in ((0.05, 140), (0.15, 170), (0.25, 170))]
    rise = "2 of 3 rows without an attack are flagged: rises_with_epsilon"
    assert said(*none) == f"0.0 % of right images are trapped; {rise}"
    more = [row | {"dead_input_share": 0.5} for row in [*none, make_row("fgsm", 0.25, robust=40, **SOUND)]]
    flagged = "0.0 % of right images are trapped; 1 of 1 attack row is flagged: dead_inputs"
    assert said(*more) == f"{flagged}; {rise}"


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
