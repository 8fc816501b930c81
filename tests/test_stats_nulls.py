"""Permutation, partial correlation, corrections: against brute force and other libraries."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.metrics import evaluate
from v2mlib.stats.correlation import partial_correlation
from v2mlib.stats.dealing import age_bands, combined_strata, deal, stratum_numbers
from v2mlib.stats.multiplicity import adjust
from v2mlib.stats.null_tables import difference_table, pairing_table
from v2mlib.stats.permutation import (
    pairing_test,
    pairwise_distance,
    pairwise_error,
    pairwise_product,
    permutation_test,
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
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")):
        for members in (p[:4], p[4:]):
            expected = multipletests(members, method=theirs)[1]
            got = found.loc[found["p_value"].isin(members), f"p_value_{ours}"]
            assert got.to_numpy() == pytest.approx(expected)
    assert found["p_value_holm"].to_numpy()[:4] == pytest.approx([0.004, 0.06, 0.06, 0.5])
    assert "p_value_bh" not in table
    rng = np.random.default_rng(0)
    many = rng.random(200) ** 3
    found = adjust(pd.DataFrame({"p_value": many}))
    assert found["p_value_holm"].to_numpy() == pytest.approx(multipletests(many, method="holm")[1])


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


def test_pairing_test_is_the_permutation_test_on_all_pairings(linked):
    predicted, truth, sex = linked
    for statistic, pairwise in (
        ("error", pairwise_error(predicted, truth)),
        ("correlation", pairwise_product(predicted, truth, sex)),
    ):
        fast = pairing_test(predicted, truth, sex, statistic=statistic, n_permutations=200, seed=3)
        slow = permutation_test(
            pairwise, sex, larger_is_better=statistic == "correlation", n_permutations=200, seed=3
        )
        assert fast.null == pytest.approx(slow.null, rel=1e-12)
        assert fast.observed == pytest.approx(slow.observed, rel=1e-12)
        assert fast.p_value.tolist() == slow.p_value.tolist()
        assert fast.p_value_max.tolist() == slow.p_value_max.tolist()
        deals = deal(stratum_numbers(sex, 60), 200, seed=3)
        by_hand = [pairwise[np.arange(60), order].mean(0) for order in deals]
        assert slow.null == pytest.approx(np.array(by_hand), rel=1e-12)


def test_any_error_of_a_face_can_be_dealt():
    """All pairings' landmark errors: the own ones are what `evaluate` gives."""
    model = load_face_model("phantom")
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(12, model.n_shape)).astype(np.float32)
    predicted = 0.5 * truth + 0.3 * rng.normal(size=truth.shape).astype(np.float32)
    vertices = [model.decode(torch.tensor(faces)).double() for faces in (predicted, truth)]
    marks = [faces[:, model.landmarks].numpy() for faces in vertices]
    extent = np.ptp(vertices[1].numpy()[..., :2], axis=1)
    pairwise = pairwise_distance(*marks, np.sqrt(extent.prod(1)))
    table = evaluate(predicted, truth, model, measures="nme")
    own = table[table["definition"] == "mean"].sort_values("identity")["error"].to_numpy()
    assert np.diag(pairwise[..., 0]) == pytest.approx(own, rel=1e-4)
    assert permutation_test(pairwise, n_permutations=499).p_value[0] == 0.002
    with pytest.raises(ShapeError, match="coordinate"):
        pairwise_distance(marks[0][:3], marks[1])


def test_permutation_p_values_are_scipys():
    rng = np.random.default_rng(5)
    truth, noise = rng.normal(size=(2, 25))
    predicted = 0.4 * truth + noise

    def correlation(x, y, axis):
        return (x * y).mean(axis) - x.mean(axis) * y.mean(axis)

    theirs = scipy_stats.permutation_test(
        (truth, predicted), correlation, permutation_type="pairings", alternative="greater",
        n_resamples=20_000, vectorized=True, rng=np.random.default_rng(0),
    )  # fmt: skip
    ours = pairing_test(
        predicted[:, None], truth[:, None], statistic="correlation", n_permutations=20_000
    )
    assert ours.p_value[0] == pytest.approx(theirs.pvalue, abs=0.01)


def test_the_maximum_is_taken_within_families(linked):
    predicted, truth, sex = linked
    both = pairing_test(predicted, truth, sex, families=["a", "a", "b"], n_permutations=300)
    first = pairing_test(predicted[:, :2], truth[:, :2], sex, n_permutations=300)
    last = pairing_test(predicted[:, 2:], truth[:, 2:], sex, n_permutations=300)
    assert both.p_value_max.tolist() == [*first.p_value_max, *last.p_value_max]
    assert last.p_value_max.tolist() == last.p_value.tolist()  # a family of one


def test_age_and_sex_together_make_strata():
    """What an age tells is taken out by dealing within its band; the sex alone is not enough."""
    rng = np.random.default_rng(2)
    n = 400
    sex, years = rng.choice(["m", "f"], n), rng.uniform(20, 80, n)
    aged = (years - 50) / 10 + 2 * (sex == "m")
    truth, predicted = (aged[:, None] + rng.normal(size=(n, 1)) for _ in "ab")
    bands = combined_strata(sex=sex, age=age_bands(years, width_years=5))
    p = [
        pairing_test(predicted, truth, s, statistic="correlation", n_permutations=499).p_value[0]
        for s in (None, sex, bands)
    ]
    assert p[0] == p[1] == 0.002
    assert p[2] > 0.02
    years[:100] = np.nan
    some = combined_strata(sex=sex, age=age_bands(years))
    unknown = np.flatnonzero(np.isnan(years))
    dealt = deal(stratum_numbers(some, n), 20)
    assert np.isin(dealt[:, unknown], unknown).all()
    assert (sex[dealt] == sex).all()


def test_pairing_table_has_a_row_per_method_and_measure(linked):
    predicted, truth, sex = linked
    lines = ["ear", "cheek", "chin"]
    people = [f"id{i}" for i in range(60)]
    frames = {"a": predicted, "b": predicted[::-1].copy()}
    frames = {k: pd.DataFrame(v, people, lines) for k, v in frames.items()}
    reference = pd.DataFrame(truth, people, lines)
    table = pairing_table(frames, reference, sex, family="method", n_permutations=500)
    assert table["method"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["measure"].tolist() == lines * 2
    alone = pairing_test(predicted, truth, sex, statistic="correlation", n_permutations=500)
    assert table["p_value"].to_numpy()[:3].tolist() == alone.p_value.tolist()
    assert table["p_value_max"].to_numpy()[:3].tolist() == alone.p_value_max.tolist()
    assert table["observed"].to_numpy()[:3] == pytest.approx(
        partial_correlation(predicted, truth, sex)["r"].to_numpy()
    )
    expected = scipy_stats.false_discovery_control(alone.p_value, method="by")
    assert table["p_value_by"].to_numpy()[:3] == pytest.approx(expected)
    with pytest.raises(InputError, match="another order"):
        pairing_table({"a": frames["a"][::-1]}, reference, sex)


@pytest.fixture
def errors():
    """A table of errors as `metrics.evaluate` gives it; `better` is, `same` is not."""
    rng = np.random.default_rng(4)
    people = [f"id{i}" for i in range(80)]
    rows = []
    for measure in ("are_ear", "nme"):
        base = rng.gamma(2, 1, 80)
        for method, gain in (("sex_mean_face", 0.0), ("better", 0.4), ("same", 0.0)):
            values = base - gain + rng.normal(0, 0.5, 80)
            rows.append(
                pd.DataFrame(
                    {"identity": people, "method": method, "measure": measure,
                     "definition": "corrected", "error": values}
                )
            )  # fmt: skip
    return pd.concat(rows)


def test_differences_against_a_baseline_from_the_table_alone(errors):
    table = difference_table(errors, "sex_mean_face", n_permutations=4000)
    assert table["method"].tolist() == ["better", "better", "same", "same"]
    wide = errors.pivot(index="identity", columns=["method", "measure"], values="error")
    for row in table.itertuples():
        difference = wide[row.method, row.measure] - wide["sex_mean_face", row.measure]
        theirs = scipy_stats.ttest_1samp(difference, 0)
        assert row.t == pytest.approx(theirs.statistic, rel=1e-9)
        assert row.difference == pytest.approx(difference.mean())
        assert row.p_value == pytest.approx(theirs.pvalue, abs=0.03)
    assert (table["p_value_max"] >= table["p_value"]).all()
    assert (table["p_value_max"].to_numpy() < 0.01).tolist() == [True, True, False, False]
    few = errors[errors["identity"].isin([f"id{i}" for i in range(6)])]
    exact = difference_table(few, "sex_mean_face", methods=["better"], n_permutations=40_000)
    wide = few.pivot(index="identity", columns=["method", "measure"], values="error")
    gap = (wide["better", "nme"] - wide["sex_mean_face", "nme"]).to_numpy()
    sums = [abs(np.dot(signs, gap)) for signs in itertools.product([-1, 1], repeat=6)]
    expected = np.mean(np.array(sums) >= abs(gap.sum()) - 1e-9)
    assert exact.set_index("measure").loc["nme", "p_value"] == pytest.approx(expected, abs=0.01)


def test_a_method_that_is_the_baseline_differs_in_nothing(errors):
    copy = errors[errors["method"] == "sex_mean_face"].assign(method="copy")
    table = difference_table(pd.concat([errors, copy]), "sex_mean_face", n_permutations=99)
    same = table[table["method"] == "copy"]
    assert (same[["difference", "t"]] == 0).all(axis=None)
    assert (same["p_value"] == 1).all()


def test_refusals_of_tables(errors):
    with pytest.raises(InputError, match="lacks the methods"):
        difference_table(errors, "nobody")
    with pytest.raises(InputError, match="lacks the columns"):
        difference_table(errors.drop(columns="definition"), "same")
    with pytest.raises(InputError, match="no finite"):
        difference_table(errors[:-1], "sex_mean_face")
    with pytest.raises(InputError, match="no method"):
        pairing_table({}, np.zeros((3, 1)))
    with pytest.raises(InputError, match="statistic"):
        pairing_test(np.eye(3), np.eye(3), statistic="r")
    with pytest.raises(ShapeError, match="families"):
        pairing_test(np.eye(3), np.eye(3), families=["a"])
    with pytest.raises(InputError, match="no width"):
        age_bands([1.0], width_years=0)
    with pytest.raises(InputError, match="no age"):
        age_bands([-1.0])
    with pytest.raises(ShapeError, match="the same"):
        combined_strata(sex=["m"], age=["a", "b"])
