"""Permutation, partial correlation, corrections: against brute force and other libraries."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats.correlation import partial_correlation
from v2mlib.stats.multiplicity import adjust
from v2mlib.stats.permutation import (
    deal,
    pairwise_error,
    pairwise_product,
    permutation_test,
    stratum_numbers,
)
from v2mlib.stats.splits import corrected_resampled_t_test


@pytest.fixture
def linked():
    """Lines of 60 people of two sexes; the second is told within a sex, the first by sex only."""
    rng = np.random.default_rng(1)
    sex = np.repeat([0.0, 1.0], 30)
    truth = rng.normal(size=(60, 3)) + 2 * sex[:, None]
    predicted = rng.normal(size=(60, 3)) + 2 * sex[:, None]
    predicted[:, 1] = truth[:, 1] + rng.normal(size=60)
    return predicted, truth, sex


def test_the_exact_null_of_few_people():
    rng = np.random.default_rng(0)
    pairwise = rng.random((5, 5, 2))
    test = permutation_test(pairwise, n_permutations=20_000)
    means = [
        np.mean([pairwise[j, i] for j, i in enumerate(order)], axis=0)
        for order in itertools.permutations(range(5))
    ]
    exact = np.mean(np.array(means) <= test.observed + 1e-12, axis=0)
    assert test.p_value == pytest.approx(exact, abs=0.015)
    scores = -(np.array(means) - np.mean(means, 0)) / np.std(means, 0)
    own = scores[0]
    exact_max = np.mean(scores.max(1)[:, None] >= own - 1e-9, axis=0)
    assert test.p_value_max == pytest.approx(exact_max, abs=0.02)


def test_deals_stay_within_strata_and_are_fair():
    groups = stratum_numbers(["m", "f", "m", "m", "f"], 5)
    deals = deal(groups, 6000, seed=3)
    assert (np.sort(deals, axis=1) == np.arange(5)).all()
    assert (groups[deals] == groups).all()
    men = np.flatnonzero(groups == groups[0])
    orders, counts = np.unique(deals[:, men], axis=0, return_counts=True)
    assert len(orders) == 6
    assert scipy_stats.chisquare(counts).pvalue > 1e-4


def test_strata_take_out_what_the_sex_tells(linked):
    predicted, truth, sex = linked
    plain = permutation_test(pairwise_error(predicted, truth), n_permutations=999)
    within = permutation_test(pairwise_error(predicted, truth), sex, n_permutations=999)
    assert (plain.p_value < 0.01).all()
    assert within.p_value[1] < 0.01
    assert (within.p_value[[0, 2]] > 0.05).all()
    assert (within.p_value_max >= within.p_value).all()
    assert within.n_exchangeable == 60


def test_products_are_correlations(linked):
    predicted, truth, sex = linked
    by_hand = [scipy_stats.pearsonr(predicted[:, k], truth[:, k]).statistic for k in range(3)]
    test = permutation_test(
        pairwise_product(predicted, truth), larger_is_better=True, n_permutations=9
    )
    assert test.observed == pytest.approx(by_hand, rel=1e-12)
    within = permutation_test(
        pairwise_product(predicted, truth, sex), sex, larger_is_better=True, n_permutations=2000
    )
    table = partial_correlation(predicted, truth, sex)
    assert within.observed == pytest.approx(table["r"].to_numpy(), rel=1e-12)
    assert within.p_value == pytest.approx(
        np.where(table.r > 0, table.p_value / 2, 1 - table.p_value / 2), abs=0.03
    )


def test_p_values_never_reach_zero_and_depend_on_the_seed_only(linked):
    predicted, truth, _ = linked
    perfect = permutation_test(pairwise_error(truth, truth), n_permutations=99)
    assert (perfect.p_value == 0.01).all()
    again = [
        permutation_test(pairwise_error(predicted, truth), seed=4, n_permutations=50) for _ in "ab"
    ]
    assert (again[0].null == again[1].null).all()
    other = permutation_test(pairwise_error(predicted, truth), seed=5, n_permutations=50)
    assert (other.null != again[0].null).any()


def test_partial_correlation_is_that_of_a_regression(linked):
    predicted, truth, sex = linked
    table = partial_correlation(predicted, truth, sex, names=["ear", "cheek", "chin"])
    for k, row in enumerate(table.itertuples()):
        fit = sm.OLS(truth[:, k], np.column_stack([predicted[:, k], sex, np.ones(60)])).fit()
        assert row.p_value == pytest.approx(fit.pvalues[0], rel=1e-9)
        assert row.df == fit.df_resid
    plain = scipy_stats.pearsonr(predicted[:, 0], truth[:, 0])
    ours = partial_correlation(predicted, truth).iloc[0]
    assert (ours.r, ours.p_value) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-9)
    low, high = plain.confidence_interval()
    assert (ours.ci_low, ours.ci_high) == pytest.approx((low, high), rel=1e-9)


def test_adjustment_by_family():
    p = np.array([0.001, 0.02, 0.03, 0.5, 0.01, 0.9])
    table = pd.DataFrame({"p_value": p, "sex": list("aaaabb")})
    found = adjust(table, "sex")
    assert found["p_value_bh"].to_numpy()[:4] == pytest.approx(
        scipy_stats.false_discovery_control(p[:4], method="bh")
    )
    assert found["p_value_by"].to_numpy()[4:] == pytest.approx(
        scipy_stats.false_discovery_control(p[4:], method="by")
    )
    assert found["p_value_holm"].to_numpy()[:4] == pytest.approx([0.004, 0.06, 0.06, 0.5])
    assert "p_value_bh" not in table


def test_overlapping_splits_are_not_independent():
    """The plain test's false alarms exceed its level; the corrected one's do not."""
    rng = np.random.default_rng(0)
    n, n_test, n_splits, plain, corrected = 60, 15, 20, 0, 0
    for _ in range(300):
        values = rng.normal(size=n)
        means = [rng.permutation(values)[:n_test].mean() for _ in range(n_splits)]
        plain += scipy_stats.ttest_1samp(means, 0).pvalue < 0.05
        corrected += corrected_resampled_t_test(means, n - n_test, n_test).p_value < 0.05
    assert plain > 75
    assert corrected < 30


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: permutation_test(np.zeros((3, 4, 1))), ShapeError, "pairwise has shape"),
        (lambda: permutation_test(np.full((3, 3, 1), np.nan)), InputError, "NaN"),
        (
            lambda: permutation_test(np.zeros((2, 2, 1)), ["m", "f"]),
            InputError,
            "one identity each",
        ),
        (lambda: permutation_test(np.zeros((2, 2, 1)), ["m"]), ShapeError, "strata has shape"),
        (lambda: pairwise_error(np.zeros((2, 1)), np.zeros((3, 1))), ShapeError, "the same"),
        (lambda: pairwise_product(np.zeros((3, 1)), np.eye(3)[:, :1]), InputError, "do not vary"),
        (lambda: partial_correlation(np.eye(3), np.eye(3)), InputError, "3 identities"),
        (lambda: adjust(pd.DataFrame({"p": [1]})), InputError, "lacks the columns"),
        (lambda: adjust(pd.DataFrame({"p_value": [2.0]})), InputError, "no probability"),
        (lambda: corrected_resampled_t_test([1.0], 9, 1), InputError, "1 splits"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
