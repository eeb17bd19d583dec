"""Paired differences against closed forms, scipy, and a bootstrap that draws every image."""

import numpy as np
import pytest
from scipy import stats

from hqc_ray.evaluation.paired import RESAMPLES, holm, paired


def outcomes(both, first, second, neither):
    """Outcomes of two models: so many images that both, only one, or none of them gets right."""
    a = np.repeat([True, True, False, False], [both, first, second, neither])
    b = np.repeat([True, False, True, False], [both, first, second, neither])
    return a, b


def over_seeds(*tables):
    return zip(*(outcomes(*table) for table in tables), strict=True)


def test_one_seed_is_mcnemar_s_test_and_a_binomial_interval():
    first, second = over_seeds((60, 20, 5, 115))
    found = paired(first, second)
    assert found.difference == 15 / 200
    exact = stats.binomtest(20, 25, 0.5).pvalue
    assert found.per_seed == (pytest.approx(exact, rel=1e-12),)
    assert found.p == found.per_seed[0]
    # the difference of two counts of one multinomial: variance (p1 + p2 - (p1 - p2)^2) / n
    half = 1.96 * np.sqrt((25 / 200 - 0.075**2) / 200)
    assert found.interval == pytest.approx((0.075 - half, 0.075 + half), abs=0.006)


def test_the_interval_is_that_of_drawing_seeds_and_then_their_images():
    tables = [(60, 20, 5, 115), (50, 9, 11, 80), (70, 30, 2, 98)]
    first, second = over_seeds(*tables)
    rng, differences = np.random.default_rng(7), [a.astype(int) - b for a, b in zip(first, second, strict=True)]
    brute = []
    for _ in range(4000):
        seeds = rng.integers(3, size=3)
        brute.append(np.mean([rng.choice(differences[s], len(differences[s])).mean() for s in seeds]))
    found = paired(first, second)
    assert found.difference == pytest.approx(np.mean([15 / 200, -2 / 150, 28 / 200]))
    assert found.interval == pytest.approx(tuple(np.quantile(brute, [0.025, 0.975])), abs=0.006)
    assert len(found.per_seed) == 3


def test_seeds_that_disagree_are_no_difference_however_many_images_there_are():
    """McNemar over all images sees 600 against 200; one seed of four made that."""
    first, second = over_seeds((1000, 540, 0, 460), *[(1000, 20, 200 // 3, 900)] * 3)
    found = paired(first, second)
    pooled = stats.binomtest(600, 600 + 3 * (200 // 3), 0.5).pvalue
    assert pooled < 1e-20
    assert found.p > 0.2
    assert found.interval.low < 0 < found.interval.high


def test_few_differing_images_are_no_difference_however_far_the_bootstrap_is_from_0():
    found = paired(*over_seeds((50, 2, 0, 48), (50, 2, 0, 48)))
    assert found.p == pytest.approx(stats.binomtest(4, 4, 0.5).pvalue)  # 1/8
    assert (found.difference, found.interval.low) == (0.02, pytest.approx(0.0, abs=0.0051))


def test_a_difference_in_every_seed_is_one():
    found = paired(*over_seeds(*[(50, 30, 3, 117)] * 5))
    assert found.p == pytest.approx(2 / (RESAMPLES + 1))
    assert found.interval.low > 0.05
    mirrored = paired(*reversed(list(over_seeds(*[(50, 30, 3, 117)] * 5))))
    assert mirrored.difference == -found.difference
    assert mirrored.interval.high < -0.05


def test_equal_models_do_not_differ():
    found = paired(*over_seeds((50, 0, 0, 50), (40, 0, 0, 60)))
    assert (found.difference, found.interval, found.p, found.per_seed) == (0.0, (0.0, 0.0), 1.0, (1.0, 1.0))


def test_the_same_outcomes_give_the_same_interval():
    tables = [(60, 20, 5, 115), (50, 9, 11, 80)]
    assert paired(*over_seeds(*tables)) == paired(*over_seeds(*tables))


@pytest.mark.parametrize(("first", "second"), [([], []), ([np.ones(3, bool)], []), ([np.ones(3, bool)], [np.ones(4, bool)])])
def test_other_images_cannot_be_paired(first, second):
    with pytest.raises(ValueError, match=r"paired|different images"):
        paired(first, second)


def test_holm():
    """By hand, and as statsmodels' multipletests(method="holm") gives it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
