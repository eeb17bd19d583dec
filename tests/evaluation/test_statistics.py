"""Intervals against published values, paired tests against scipy, and the packing of outcomes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hqc_ray.evaluation.statistics import difference, mcnemar, pack, sign_test, total_gradients, unpack, wilson, worst_case


@pytest.mark.parametrize(("correct", "n"), [(0, 7), (7, 7), (93, 200), (1, 3), (1999, 2000)])
def test_wilson_is_scipys(correct, n):
    theirs = stats.binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert wilson(correct, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_the_published_value():
    # Newcombe 1998 (Statistics in Medicine 17, 857), table I: 81 of 263, 15 of 148, 0 of 20
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_wilson_covers_what_it_says():
    n, p = 40, 0.1
    held = [wilson(k, n).low <= p <= wilson(k, n).high for k in range(n + 1)]
    assert stats.binom.pmf(np.arange(n + 1), n, p)[held].sum() == pytest.approx(0.95, abs=0.03)
    wide, narrow = wilson(12, n, 0.99), wilson(12, n, 0.5)
    assert wide.low < narrow.low < 12 / n < narrow.high < wide.high


def test_wilson_without_images_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("correct", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (2, 5, 1.0)])
def test_wilson_refuses_impossible_counts(correct, n, level):
    with pytest.raises(ValueError, match="no interval"):
        wilson(correct, n, level)


def test_difference_is_the_published_value():
    # Newcombe 1998 (Statistics in Medicine 17, 873), table II: 56/70 - 48/80 and 10/10 - 0/20
    assert difference(56, 48, 70, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(10, 0, 10, 20) == pytest.approx((0.6791, 1.0), abs=5e-5)
    with pytest.raises(ValueError, match="both sides"):
        difference(0, 1, 0, 2)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 203])
def test_outcomes_survive_packing(n):
    bits = np.random.default_rng(n).random(n) < 0.4
    text = pack(bits)
    assert len(text) == 2 * math.ceil(n / 8)
    back = unpack(text, n)
    assert back.dtype == bool
    np.testing.assert_array_equal(back, bits)


def test_first_image_is_the_highest_bit():
    assert pack([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]) == "8040"


@pytest.mark.parametrize(("text", "n"), [("80", 9), ("8000", 8), ("81", 7), ("zz", 8)])
def test_unpack_refuses_another_number_of_images(text, n):
    with pytest.raises(ValueError, match=r"images|beyond|hexadecimal"):
        unpack(text, n)


def _pair(wins, losses, both=11):
    first = np.r_[np.ones(wins + both), np.zeros(losses)].astype(bool)
    second = np.r_[np.zeros(wins), np.ones(both + losses)].astype(bool)
    return first, second


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (0, 4), (5, 0), (9, 2), (2, 9), (60, 41)])
def test_paired_tests_are_scipys(wins, losses):
    first, second = _pair(wins, losses)
    if wins + losses:
        assert sign_test(first, second) == pytest.approx(stats.binomtest(wins, wins + losses, alternative="greater").pvalue)
        assert mcnemar(first, second) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    else:
        assert sign_test(first, second) == mcnemar(first, second) == 1.0


def test_sign_test_has_a_direction():
    first, second = _pair(9, 1)
    assert sign_test(first, second) < 0.02 < 0.9 < sign_test(second, first)


def test_paired_test_refuses_other_images():
    with pytest.raises(ValueError, match="different images"):
        sign_test([1, 0, 1], [1, 0])


def test_worst_case_counts_smaller_epsilons_and_no_larger():
    fgsm = [
        (0.05, [1, 1, 0, 1, 0]),
        (0.15, [1, 0, 1, 1, 0]),
    ]  # the third image is right again at 0.15: it was fooled all the same
    pgd = [(0.05, [1, 1, 1, 1, 0]), (0.25, [0, 0, 0, 0, 0])]
    np.testing.assert_array_equal(worst_case(fgsm + pgd, 0.15), [True, False, False, True, False])
    np.testing.assert_array_equal(worst_case(fgsm + pgd, 0.05), [True, True, False, True, False])
    assert not worst_case(fgsm + pgd, 0.25).any()
    with pytest.raises(ValueError, match="within"):
        worst_case(fgsm, 0.01)


def _searched(key, epsilon, gradients, one_search=False):
    return {"search_key": key, "epsilon": epsilon, "gradients": gradients, "one_search": one_search}


def test_gradients_of_a_search_are_counted_once():
    apart = [_searched("pgd", 0.05, 100), _searched("pgd", 0.15, 120)]
    assert total_gradients(pd.DataFrame(apart)) == 220  # each epsilon is searched on its own
    judged = [*apart, *apart, _searched("another pgd", 0.05, 7)]  # three judges' rows of the same numbers are no more work
    assert total_gradients(pd.DataFrame(judged)) == 227
    shared = [_searched("fgsm", e, g, one_search=True) for e, g in ((0.05, 10), (0.15, 12), (0.25, 12))]
    assert total_gradients(pd.DataFrame(shared)) == 12
    assert total_gradients(pd.DataFrame(apart + shared)) == 232


def test_failed_rows_took_no_gradients_that_are_known():
    rows = pd.DataFrame([_searched("pgd", 0.05, None), _searched("pgd", 0.15, 120), _searched("lost", 0.15, None)])
    assert total_gradients(rows) == 120
    assert total_gradients(rows[rows["search_key"] == "lost"]) == 0
