"""Every flag with a row that earns it and one that is close to it and does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from audit_rows import CLEAN, flags_of, of_attack, row, survivors

from hqc_ray.evaluation import audit
from hqc_ray.evaluation.flags import SHORT
from hqc_ray.evaluation.statistics import pack


def test_accuracy_that_rises_with_epsilon_is_flagged_where_it_is_higher():
    low, high = row("fgsm", 0.05, survivors(0, 20)), row("fgsm", 0.25, survivors(0, 27))  # 7 more, none fewer: p = 1/128
    assert flags_of(low, high) == [[], ["rises_with_epsilon"]]
    assert flags_of(high, low) == [["rises_with_epsilon"], []]  # whatever the order of the rows


@pytest.mark.parametrize(
    "other",
    [
        row("fgsm", 0.25, survivors(0, 26)),  # 6 more: p = 1/64 is not enough
        row("fgsm", 0.25, survivors(13, 40)),  # 7 more on balance, but 20 for 13: chance
        row("fgsm", 0.25, survivors(0, 27), model_key="another"),
        row("fgsm", 0.25, survivors(0, 27), device="qiskit.aer[fake_manila]"),
        row("fgsm", 0.25, survivors(0, 27), data_digest="another"),
        row("fgsm", 0.25, survivors(0, 27), norm="l2"),
        row("fgsm", 0.25, survivors(0, 27), attack_options='{"random_start": true}'),
        row("deepfool", 0.25, survivors(0, 27), attack_kind="own"),
        row("fgsm", 0.05, survivors(0, 27), attack_options='{"a": 1}'),
        row("fgsm", 0.25, survivors(0, 27), access="ideal"),
        row("fgsm", 0.25, survivors(0, 27), access="shots"),
        row("fgsm", 0.25, survivors(0, 27), level="angles"),
        row("fgsm", 0.25, survivors(0, 27), level="features"),
        row("fgsm", 0.25, survivors(0, 27), search_model_key="another"),
        row("fgsm", 0.25, survivors(0, 27), search_device="qiskit.aer[fake_manila]"),
        row("fgsm", 0.25, survivors(0, 27), audience="others"),
        row("fgsm", 0.25, survivors(0, 27), mode="native"),
        row("fgsm", 0.25, survivors(0, 27), status="failed"),
    ],
)
def test_rise_needs_significance_and_the_same_attack_model_device_and_images(other):
    assert flags_of(row("fgsm", 0.05, survivors(0, 20)), other) == [[], []]


def test_rise_is_found_against_any_smaller_epsilon():
    rows = [row("fgsm", e, survivors(0, k)) for e, k in [(0.05, 10), (0.15, 14), (0.25, 18)]]  # 4 at a time is chance, 8 is not
    assert flags_of(*rows) == [[], [], ["rises_with_epsilon"]]


def test_pgd_weaker_than_fgsm():
    fgsm, pgd = row("fgsm", 0.05, survivors(0, 20)), row("pgd", 0.05, survivors(0, 27))
    assert flags_of(fgsm, pgd) == [[], ["pgd_weaker_than_fgsm", "dominated"]]
    assert flags_of(pgd | of_attack("fgsm"), fgsm | of_attack("pgd")) == [[], []]  # as it should be
    assert flags_of(fgsm, pgd | {"epsilon": 0.04}) == [[], []]
    assert flags_of(fgsm, pgd | of_attack("deepfool") | {"attack_kind": "own"}) == [[], []]
    for other in ({"norm": "l2"}, {"level": "angles"}, {"access": "ideal"}, {"search_model_key": "another"}):
        assert flags_of(fgsm, pgd | other) == [[], []], other
    ideal = {"access": "ideal", "search_device": "ideal"}
    assert flags_of(fgsm | ideal, pgd | ideal) == [[], ["pgd_weaker_than_fgsm"]]  # like with like
    for mine in ({"attack": "mine:Momentum"}, {"attack_title": "Mine"}):  # a user's own that says its steps, whatever its name
        assert flags_of(fgsm, pgd | mine) == [[], ["pgd_weaker_than_fgsm", "dominated"]]
    for said in ({"gradient_steps": None}, {"gradient_steps": 1}):  # does not say, or is one step as well
        assert flags_of(fgsm, pgd | said) == [[], []]


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_rows_of_before_do_not_say_their_steps_and_are_not_compared_by_them(name):
    rows = [{k: v for k, v in row(name, 0.05, survivors(0, n)).items() if k != "gradient_steps"} for n in (20, 27)]
    assert flags_of(rows[0], rows[1] | {"attack_options": "{2}", "key": "other"}) == [[], []]


def test_candidates_that_are_not_finite_are_flagged():
    assert flags_of(row("pgd", 0.05, survivors(0, 20), not_finite_share=0.02)) == [["candidates_not_finite"]]
    for share in (0.0, None, float("nan")):
        assert flags_of(row("pgd", 0.05, survivors(0, 20), not_finite_share=share)) == [[]]


def accuracies(test, clean=50 / 60, **more):
    """A row on all of its test part, of an exact device."""
    columns = {"test_accuracy": test, "clean_accuracy": clean, "n_test": 60, "seed": 0, "shots": None}
    return row("fgsm", 0.05, survivors(0, 20), **{**columns, **more})


def test_test_and_clean_accuracy_on_the_same_images_are_the_same_number():
    assert flags_of(accuracies(50 / 60)) == [[]]
    assert flags_of(accuracies(49 / 60)) == [["accuracies_differ"]]
    assert flags_of(accuracies(51 / 60, device="qiskit.aer[fake_manila]")) == [["accuracies_differ"]]
    for other in ({"n_test": 61}, {"shots": 100}, {"seed": 1}, {"test_accuracy": None}):  # other images, samples, no test
        assert flags_of(accuracies(49 / 60, **other)) == [[]], other


def test_noise_as_strong_as_the_attack():
    noise = row("noise", 0.05, survivors(0, 40))
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36))) == [[], ["noise_as_strong"]]  # 4 more: p = 1/16
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 45))) == [[], ["noise_as_strong"]]  # even weaker
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 35))) == [[], []]  # 5 more: p = 1/32
    assert flags_of(noise, row("fgsm", 0.10, survivors(0, 36))) == [[], []]
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36), norm="l2")) == [[], []]
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36), level="features")) == [[], []]
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36), device="another")) == [[], []]
    assert flags_of(noise, row("clean", 0.05, CLEAN)) == [[], []]


def test_noise_is_noise_whoever_was_attacked():
    """A transferred attack, or one by another access, is held to the noise of its own search, else to any on the judge."""
    noise, transfer = row("noise", 0.05, survivors(0, 40)), {"search_model_key": "another", "audience": "others"}
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36), access="ideal")) == [[], ["noise_as_strong"]]
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 36), **transfer)) == [[], ["noise_as_strong"]]
    stronger = row("noise", 0.05, survivors(0, 45), **transfer)
    assert flags_of(noise, stronger, row("fgsm", 0.05, survivors(0, 36), **transfer)) == [[], [], []]  # 9 fewer than its own
    assert flags_of(noise, stronger, row("fgsm", 0.05, survivors(0, 36))) == [[], [], ["noise_as_strong"]]


ANOTHER = {"search_model_key": "another", "audience": "others"}


def test_a_transferred_attack_that_beats_every_attack_on_the_model_itself():
    fgsm, deepfool = row("fgsm", 0.05, survivors(0, 30)), row("deepfool", 0.05, survivors(0, 27), attack_kind="own")
    strong = row("pgd", 0.05, survivors(0, 20), **ANOTHER)  # 7 fewer than DeepFool: p = 1/128
    assert flags_of(fgsm, deepfool, strong) == [["transfer_stronger"]] * 3
    assert flags_of(strong, deepfool, fgsm) == [["transfer_stronger"]] * 3
    weak = row("fgsm", 0.05, survivors(0, 25), **ANOTHER)
    assert flags_of(fgsm, deepfool, strong, weak) == [*[["transfer_stronger"]] * 3, []]  # not the other transferred one


@pytest.mark.parametrize("other", [
    row("pgd", 0.05, survivors(0, 21), **ANOTHER),  # 6 fewer than DeepFool: p = 1/64
    row("pgd", 0.05, survivors(0, 20), access="ideal"),  # the same model, seen otherwise
    row("pgd", 0.05, survivors(0, 20), **ANOTHER, norm="l2"),
    row("pgd", 0.05, survivors(0, 20), **ANOTHER, level="features"),
    row("pgd", 0.04, survivors(0, 20), **ANOTHER),
    row("pgd", 0.05, survivors(0, 20), **ANOTHER, device="qiskit.aer[fake_manila]"),
    row("pgd", 0.05, survivors(0, 20), **ANOTHER, data_digest="another"),
    row("pgd", 0.05, survivors(0, 20), **ANOTHER, search_seed=1),  # another seed's images
])  # fmt: skip
def test_transfer_needs_significance_and_the_same_ball_judge_and_images(other):
    rows = row("fgsm", 0.05, survivors(0, 30)), row("deepfool", 0.05, survivors(0, 27), attack_kind="own"), other
    assert flags_of(*rows) == [[], [], []]


def test_noise_is_no_attack_that_a_transfer_could_beat():
    assert flags_of(row("noise", 0.05, survivors(0, 45)), row("pgd", 0.05, survivors(0, 20), **ANOTHER)) == [[], []]


def test_a_black_box_attack_that_beats_every_gradient():
    fgsm, deepfool = row("fgsm", 0.05, survivors(0, 30)), row("deepfool", 0.05, survivors(0, 27), attack_kind="own")
    square = row("pgd", 0.05, survivors(0, 20), black_box=True, gradient_steps=None)
    assert flags_of(fgsm, deepfool, square) == [["transfer_stronger"]] * 3
    assert flags_of(fgsm, deepfool, square | {"robust_correct": pack(survivors(0, 21))}) == [[], [], []]
    assert flags_of(fgsm, deepfool, square | {"black_box": False}) == [[], [], []]
    assert flags_of(square, row("deepfool", 0.05, survivors(0, 10), black_box=True)) == [[], []]  # no gradient is beaten


def test_noise_that_beats_every_gradient_accuses_them():
    noise, fgsm = row("noise", 0.05, survivors(0, 20)), row("fgsm", 0.05, survivors(0, 27))
    assert flags_of(noise, fgsm) == [[], ["noise_as_strong", "transfer_stronger"]]
    assert flags_of(noise, row("fgsm", 0.05, survivors(0, 26))) == [[], ["noise_as_strong"]]


def test_transfers_along_epsilon_are_one_attack_of_their_own():
    low, high = row("fgsm", 0.05, survivors(0, 20), **ANOTHER), row("fgsm", 0.25, survivors(0, 27), **ANOTHER)
    assert flags_of(low, high) == [[], ["rises_with_epsilon"]]
    assert flags_of(low, high | {"search_model_key": "a third"}) == [[], []]


def test_noise_that_fools_nothing_accuses_no_attack():
    assert flags_of(row("noise", 0.01, CLEAN), row("pgd", 0.01, CLEAN)) == [[], []]


def test_more_than_half_right_where_every_image_may_be_grey():
    assert flags_of(row("pgd", 0.5, survivors(0, 39))) == [["survives_unbounded"]]
    assert flags_of(row("pgd", 0.5, survivors(0, 37))) == [[]]  # interval reaches 0.5
    assert flags_of(row("pgd", 0.49, survivors(0, 39))) == [[]]
    assert flags_of(row("noise", 0.5, survivors(0, 39))) == [[]]
    assert flags_of(row("pgd", 0.5, survivors(0, 39), norm="l2")) == [[]]
    assert flags_of(row("pgd", 0.5, survivors(0, 39), **ANOTHER)) == [[]]  # a transferred one need not find it
    assert flags_of(row("pgd", 0.5, survivors(0, 39), level="features")) == [[]]  # which have no box
    assert flags_of(row("pgd", 1.5, survivors(0, 39), level="angles")) == [[]]
    assert flags_of(row("pgd", 1.6, survivors(0, 39), level="angles")) == [["survives_unbounded"]]
    assert flags_of(row("pgd", 0.5, survivors(0, 12), n_classes=10)) == [["survives_unbounded"]]  # from 0.118
    assert flags_of(row("pgd", 0.5, survivors(0, 10), n_classes=10)) == [[]]  # from 0.093


@pytest.mark.parametrize(
    ("column", "bad", "good", "flag"),
    [
        ("outputs_normalised", True, False, "softmax_output"),
        ("outputs_normalised", 1.0, None, "softmax_output"),
        ("bad_gradient_share", 0.051, 0.05, "bad_gradients"),
        ("bad_gradient_share", 1.0, float("nan"), "bad_gradients"),
        ("surrogate_error", 2e-8, 1e-8, "surrogate_inexact"),
        ("surrogate_error", 1.0, None, "surrogate_inexact"),
        ("gradient_error", 0.31, 0.3, "gradients_wrong"),
        ("gradient_error", 1.0, None, "gradients_wrong"),
        ("dead_input_share", 0.25, 0.0, "dead_inputs"),
        ("dead_input_share", 1.0, None, "dead_inputs"),
        ("surrogate_standard_error", 1e-16, 0.01, "surrogate_inexact"),  # of a measured one, shot noise is no error of the fit
    ],
)
def test_flags_of_a_row_by_itself(column, bad, good, flag):
    assert flags_of(row("fgsm", 0.05, survivors(0, 20), **{column: bad})) == [[flag]]
    assert flags_of(row("fgsm", 0.05, survivors(0, 20), **{column: good})) == [[]]


def test_wrong_gradients_matter_to_those_who_use_them():
    for other in (row("noise", 0.05, CLEAN, gradient_error=1.0), row("fgsm", 0.05, CLEAN, gradient_error=1.0, black_box=True)):
        assert flags_of(other) == [[]]


def test_a_head_without_a_bottleneck_may_choose_among_its_features():
    assert flags_of(row("fgsm", 0.05, survivors(0, 20), dead_input_share=0.9, n_qubits=None)) == [[]]
    assert flags_of(row("fgsm", 0.05, survivors(0, 20), dead_input_share=1.0, n_qubits=None)) == [["dead_inputs"]]


def test_noise_that_changes_no_logit_did_not_act():
    def found(kind, effect):
        return flags_of(row("fgsm", 0.05, survivors(0, 20), device_kind=kind, noise_effect=effect))

    assert found("noisy", 9e-6) == [["noise_inactive"]]
    for kind, effect in (("noisy", 1e-4), ("noisy", None), ("ideal", 0.0), ("measured", 0.0), ("classical", float("nan"))):
        assert found(kind, effect) == [[]], (kind, effect)


def test_near_chance():
    robust = survivors(0, 5)
    assert flags_of(row("fgsm", 0.05, robust, clean=survivors(0, 37))) == [["near_chance"]]  # Wilson: from 0.49
    assert flags_of(row("fgsm", 0.05, robust, clean=survivors(0, 39))) == [[]]  # from 0.52
    assert flags_of(row("fgsm", 0.05, robust, clean=survivors(0, 10))) == [["near_chance"]]  # worse than chance is no better
    assert flags_of(row("fgsm", 0.05, robust, clean=survivors(0, 12), n_classes=10)) == [[]]  # from 0.118
    assert flags_of(row("fgsm", 0.05, robust, clean=survivors(0, 10), n_classes=10)) == [["near_chance"]]  # from 0.093


def test_sampled_devices_are_compared_bit_by_bit_not_by_accuracy():
    """The same accuracy gain with disagreement both ways is chance; the percentages alone cannot tell."""
    first = row("fgsm", 0.05, survivors(10, 30))
    assert flags_of(first, row("fgsm", 0.25, survivors(10, 37)))[1] == ["rises_with_epsilon"]
    assert flags_of(first, row("fgsm", 0.25, survivors(23, 50)))[1] == []


def test_failed_rows_and_missing_numbers_raise_no_flag():
    failed = {
        "key": "f",
        "status": "failed",
        "model_key": "m",
        "device": "default.qubit",
        "data_source": "pcam",
        "data_digest": "d",
        "search_seed": 0,
        "attack_options": "{}",
        "norm": "linf",
        "epsilon": 0.05,
        "weights": "imagenet",
    } | of_attack("pgd")
    assert flags_of(failed, row("fgsm", 0.05, survivors(0, 20))) == [[], []]
    bare = row("pgd", 0.05, survivors(0, 30), robust_correct=None, clean_correct=None)
    assert flags_of(row("fgsm", 0.05, survivors(0, 20)), bare, row("noise", 0.05, survivors(0, 40))) == [[], [], []]


def test_flags_come_in_one_order():
    rows = [
        row("fgsm", 0.05, survivors(0, 20)),
        row("pgd", 0.04, survivors(0, 20)),
        row("noise", 0.05, survivors(0, 30)),
        row("pgd", 0.05, survivors(0, 30), bad_gradient_share=0.9),
    ]
    assert flags_of(*rows)[3] == [
        "rises_with_epsilon", "pgd_weaker_than_fgsm", "noise_as_strong", "dominated", "bad_gradients",
    ]  # fmt: skip


def test_annotate_keeps_foreign_flags_and_replaces_its_own():
    rows = [
        row("fgsm", 0.05, survivors(0, 20), flags=["saturated_tanh", "bad_gradients"]),
        row("fgsm", 0.25, survivors(0, 30), flags=None),
    ]
    before = pd.DataFrame(rows, index=[7, 3])
    after = audit.annotate(before)
    assert after["flags"].tolist() == [["saturated_tanh"], ["rises_with_epsilon"]]
    assert before["flags"].tolist()[0] == ["saturated_tanh", "bad_gradients"]


def test_notes():
    fgsm, noise = row("fgsm", 12 / 255, survivors(0, 20)), row("noise", 12 / 255, survivors(0, 40))
    assert audit.notes(pd.DataFrame([fgsm, noise])) == []
    assert audit.notes(pd.DataFrame([fgsm, noise | {"norm": "l2"}])) == ["no_noise_control"]
    assert audit.notes(pd.DataFrame([fgsm, noise | {"level": "angles"}])) == ["no_noise_control"]
    assert audit.notes(pd.DataFrame([fgsm | {"weights": "random"}, noise])) == ["random_weights"]
    assert audit.notes(pd.DataFrame([row("clean", 0.0, CLEAN)])) == []


def test_every_flag_says_what_to_do():
    assert all(text.endswith(".") and len(text.split()) > 10 for text in (audit.FLAGS | audit.NOTES).values())


def test_every_flag_is_said_in_short():
    assert set(SHORT) == set(audit.FLAGS)
    assert all(len(text) < 75 and not text.endswith(".") for text in SHORT.values())


def test_the_page_of_flags_says_the_same():
    page = (Path(__file__).parents[2] / "docs" / "flags.md").read_text()
    for name, said in (audit.FLAGS | audit.NOTES).items():
        assert f"| `{name}` | {said[0].upper()}{said[1:]} |" in page


def test_audit_needs_neither_torch_nor_ray():
    code = "import sys, hqc_ray.evaluation.audit, hqc_ray.report; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_notes_of_grey_levels():
    def noted(**more):
        return audit.notes(
            pd.DataFrame([row("fgsm", 0.05, survivors(0, 20)) | {"epsilon": 4 / 255, "robust_accuracy": 0.5} | more])
        )

    assert "between_grey_levels" not in noted()
    assert "between_grey_levels" in noted(epsilon=0.05)  # 12.75 levels
    for other in ({"norm": "l2"}, {"level": "features"}, {"attack_kind": "none"}, {"status": "failed"}):
        assert "between_grey_levels" not in noted(epsilon=0.05, **other)
    assert "lost_in_rounding" in noted(robust_accuracy_8bit=0.56)
    for same in (0.54, 0.4, None, float("nan")):
        assert "lost_in_rounding" not in noted(robust_accuracy_8bit=same)
