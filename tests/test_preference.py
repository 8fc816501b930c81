"""Exact binomial tests of a user study: against exact integers, scipy, statsmodels and tables."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from v2mlib.checks import InputError
from v2mlib.stats.preference import (
    implied_count,
    preference_power,
    preference_table,
    preference_test,
    smallest_rejecting_count,
)


def exact_tail(chosen, trials):
    """P(X >= chosen) of fair coins, in integers."""
    return Fraction(sum(math.comb(trials, k) for k in range(chosen, trials + 1)), 2**trials)


@pytest.mark.parametrize(
    ("chosen", "trials"), [(0, 1), (1, 1), (7, 10), (832, 1540), (931, 1540), (1400, 1540)]
)
def test_p_values_are_those_of_exact_integers(chosen, trials):
    exact = exact_tail(chosen, trials)
    test = preference_test(chosen, trials)
    assert test.p_value == pytest.approx(float(exact), rel=1e-12)
    log10 = math.log10(exact.numerator) - math.log10(exact.denominator)
    assert test.log10_p == pytest.approx(log10, rel=1e-11, abs=1e-12)


def test_the_logarithm_goes_on_where_the_p_value_underflows():
    test = preference_test(4600, 4620)
    exact = exact_tail(4600, 4620)
    assert test.p_value == 0
    assert test.log10_p == pytest.approx(
        math.log10(exact.numerator) - math.log10(exact.denominator), rel=1e-11
    )
    assert test.log10_p < -1300


def test_the_papers_threshold():
    assert scipy_stats.binom.isf(0.001, 1540, 0.5) == 831
    test = preference_test(832, 1540)
    assert test.threshold == 832
    assert test.rejected
    assert round(test.p_value, 5) == 0.00086
    below = preference_test(831, 1540)
    assert not below.rejected
    assert round(below.p_value, 5) == 0.00102


@pytest.mark.parametrize("trials", [1, 2, 5, 9, 10, 64, 300])
@pytest.mark.parametrize("level", [0.5, 0.05, 0.001, 2.0**-10, 2.0**-5])
def test_the_threshold_is_the_smallest_count_that_rejects(trials, level):
    counts = range(trials + 1)
    rejecting = [k for k in counts if exact_tail(k, trials) <= Fraction(level)]
    assert smallest_rejecting_count(trials, level) == (rejecting[0] if rejecting else trials + 1)


def test_intervals_agree_with_statsmodels_and_tables():
    test = preference_test(60, 100)
    assert (test.ci_low, test.ci_high) == pytest.approx(
        proportion_confint(60, 100, method="beta"), rel=1e-12
    )
    assert (test.wilson_low, test.wilson_high) == pytest.approx(
        proportion_confint(60, 100, method="wilson"), rel=1e-12
    )
    # Clopper and Pearson (1934): 0 of 10 gives an upper limit of 1 - .025 ** .1.
    none = preference_test(0, 10)
    assert none.ci_low == 0
    assert none.ci_high == pytest.approx(1 - 0.025**0.1, rel=1e-12)
    assert preference_test(10, 10).ci_high == 1


def test_two_sided_p_and_effect_size():
    test = preference_test(40, 100)
    assert test.p_value_two_sided == pytest.approx(2 * float(exact_tail(60, 100)), rel=1e-12)
    assert test.p_value > 0.97
    assert test.effect_size == pytest.approx(2 * math.asin(math.sqrt(0.4)) - math.pi / 2, rel=1e-12)


def test_sections_with_holms_correction_and_the_sum():
    table = preference_table({"images": (931, 1540), "meshes": (920, 1540), "both": (795, 1540)})
    assert table["section"].tolist() == ["images", "meshes", "both", "overall"]
    p = table["p_value"].to_numpy()[:3]
    by_hand = np.maximum.accumulate(np.sort(p) * [3, 2, 1])
    assert np.sort(table["p_value_holm"][:3]) == pytest.approx(by_hand, rel=1e-12)
    assert table["chosen"].iloc[-1] == 931 + 920 + 795
    assert table["trials"].iloc[-1] == 4620
    assert table["rejected_holm"].tolist() == [True, True, False, True]


def test_published_p_values_imply_these_counts():
    implied = [implied_count(p, 1540) for p in (1e-16, 1e-14, 1e-10)]
    assert implied == [931, 920, 895]
    together = preference_test(sum(implied), 3 * 1540)
    assert together.p_value == pytest.approx(4.16e-38, rel=0.01)
    # The floor of 1 - cdf in doubles, where the published overall figure stands.
    assert 1 - scipy_stats.binom.cdf(sum(implied) - 1, 3 * 1540, 0.5) in (0.0, 2**-53, 2**-52)


def test_power_is_the_rejection_rate():
    counts = np.random.default_rng(0).binomial(200, 0.6, size=20_000)
    rate = np.mean(counts >= smallest_rejecting_count(200, 0.05))
    expected = float(preference_power(200, 0.6, 0.05))
    assert rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000))
    assert float(preference_power(200, 0.5, 0.05)) <= 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 10), "chosen is -1"),
        ((1.5, 10), "chosen is 1.5"),
        ((True, 10), "chosen is True"),
        ((math.nan, 10), "chosen is nan"),
        ((11, 10), "chosen and trials are 11 and 10"),
        ((0, 0), "are 0 and 0"),
        ((5, 10, 0), "level is 0"),
        ((5, 10, 1.0), "level is 1.0"),
    ],
)
def test_counts_that_are_none_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        preference_test(*arguments)


def test_other_refusals():
    with pytest.raises(InputError, match="sections are empty"):
        preference_table({})
    with pytest.raises(InputError, match="overall"):
        preference_table({"overall": (1, 2)})
    with pytest.raises(InputError, match="p_value is 0"):
        implied_count(0, 10)
