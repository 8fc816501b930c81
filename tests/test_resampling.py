"""Bootstraps and calibration tables: against scipy, plain loops, variances and known coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from v2mlib import phantom, stats
from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.stats.calibration import binomial_band, coverage_rates, rejection_rates
from v2mlib.stats.correlation import explained_share, partial_correlation
from v2mlib.stats.resampling import bootstrap_means, hierarchical_bootstrap


@pytest.fixture
def skewed():
    return np.random.default_rng(0).gamma(1.0, 1.0, (25, 2))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_mean_are_scipys(skewed, method):
    ours = bootstrap_means(skewed, method=method, n_resamples=20_000)
    for k in range(2):
        theirs = scipy_stats.bootstrap(
            (skewed[:, k],), np.mean, method=method, n_resamples=20_000,
            rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        width = theirs.high - theirs.low
        assert ours.ci_low[k] == pytest.approx(theirs.low, abs=0.03 * width)
        assert ours.ci_high[k] == pytest.approx(theirs.high, abs=0.03 * width)
        assert ours.standard_error[k] == pytest.approx(scipy_stats.sem(skewed[:, k]))


def test_studentised_interval_of_a_quotient_is_that_of_a_plain_loop(skewed):
    def quotient(means):
        return means[..., 0] / means[..., 1]

    ours = bootstrap_means(skewed + 1, quotient, n_resamples=4000).iloc[0]
    values, n = skewed + 1, len(skewed)

    def estimate_and_error(rows):
        x, y = rows.T
        ratio = x.mean() / y.mean()
        return ratio, (x - ratio * y).std(ddof=1) / y.mean() / np.sqrt(len(rows))

    ratio, error = estimate_and_error(values)
    assert (ours.value, ours.standard_error) == pytest.approx((ratio, error), rel=1e-6)
    rng, t = np.random.default_rng(2), []
    for _ in range(4000):
        drawn, spread = estimate_and_error(values[rng.integers(0, n, n)])
        t.append((drawn - ratio) / spread)
    low, high = ratio - error * np.quantile(t, [0.975, 0.025])
    assert ours.ci_low == pytest.approx(low, abs=0.06 * (high - low))
    assert ours.ci_high == pytest.approx(high, abs=0.06 * (high - low))


def test_studentised_covers_where_percentiles_are_too_narrow():
    """Ten skew errors, 1,500 worlds: the plain interval misses far more often than it says."""
    values = np.random.default_rng(3).gamma(1.0, 1.0, (10, 1500))
    shares = {}
    for method in ("percentile", "studentised"):
        table = bootstrap_means(values, method=method, n_resamples=1000)
        shares[method] = ((table.ci_low < 1) & (table.ci_high > 1)).mean()
    assert shares["percentile"] < 0.89
    assert 0.925 < shares["studentised"] < 0.975


def test_two_levels_have_the_variances_of_theory():
    rng = np.random.default_rng(4)
    n, u, within = 40, 3, 2.0
    identity = np.repeat(np.arange(n), u)
    values = rng.normal(size=n)[identity] + within * rng.normal(size=n * u)
    own = values.reshape(n, u)
    one = hierarchical_bootstrap(values, identity, utterances=False, n_resamples=20_000)
    two = hierarchical_bootstrap(values, identity, n_resamples=20_000)
    people = own.mean(1).var() / n
    assert one.standard_error[0] ** 2 == pytest.approx(people, rel=0.04)
    assert two.standard_error[0] ** 2 == pytest.approx(
        people + own.var(1).mean() / u / n, rel=0.04
    )  # drawing utterances counts their spread a second time
    assert one.value[0] == two.value[0] == pytest.approx(values.mean())


def test_unequal_numbers_of_utterances_count_people_equally():
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 6, 30)
    identity = np.repeat([f"id{i}" for i in range(30)], counts)
    values = pd.DataFrame({"ear": rng.normal(size=len(identity)), "chin": 1.0})
    order = rng.permutation(len(identity))
    table = hierarchical_bootstrap(values.iloc[order], identity[order], n_resamples=300)
    assert table["measure"].tolist() == ["ear", "chin"]
    assert table.value[0] == pytest.approx(values["ear"].groupby(identity).mean().mean())
    assert table.loc[1, ["ci_low", "value", "ci_high"]].tolist() == pytest.approx([1, 1, 1])
    assert table.n_utterances[0] == counts.sum()
    # Resamples of one person per stratum by hand, from the same recipe.
    single = hierarchical_bootstrap(values["ear"], identity, n_resamples=300, seed=1)
    again = hierarchical_bootstrap(values["ear"], identity, n_resamples=300, seed=1)
    assert single.equals(again)


def test_the_band_is_that_of_the_binomial():
    low, high = binomial_band(0.05, 1000, confidence=0.95)
    hits = np.random.default_rng(0).binomial(1000, 0.05, 200_000) / 1000
    assert np.mean((low <= hits) & (hits <= high)) >= 0.95
    assert np.mean((low < hits) & (hits < high)) < 0.955
    table = rejection_rates({"half": [0.05] * 10 + [0.5] * 10}, levels=[0.05])
    assert table.loc[0, ["rate", "verdict"]].tolist() == [0.5, "too many"]
    covered = coverage_rates({"x": (np.zeros(100), np.ones(100), np.linspace(-0.5, 1, 100))})
    assert covered.missed_below[0] == pytest.approx(0.33, abs=0.01)
    assert covered.missed_above[0] == 0
    assert covered.verdict[0] == "too few"


def test_explained_share_is_r2_score_within_groups():
    rng = np.random.default_rng(6)
    sex = np.repeat([0, 1], 50)
    truth = rng.normal(size=(100, 2)) + 3 * sex[:, None]
    predicted = truth + rng.normal(0, 0.5, (100, 2)) + [0.0, 1.0]
    found = explained_share(predicted, truth, sex, names=["a", "b"])
    for k in range(2):
        centred = truth[:, k] - np.where(sex, truth[50:, k].mean(), truth[:50, k].mean())
        by_hand = 1 - ((truth - predicted)[:, k] ** 2).sum() / 100 / ((centred**2).sum() / 98)
        assert found.r_squared[k] == pytest.approx(by_hand)
        assert found.ci_low[k] < by_hand < found.ci_high[k]
    assert found.r_squared[1] < 0.2 < 0.6 < found.r_squared[0]  # a wrong offset is not forgiven
    squared = partial_correlation(predicted, truth, sex)
    assert squared.r_squared[1] > 0.6  # by the correlation it is
    nothing = partial_correlation(rng.normal(size=(100, 1)), truth[:, :1], sex).iloc[0]
    assert nothing.r_squared_ci_low == 0
    assert nothing.r_squared_ci_high > nothing.r_squared
    below = partial_correlation(-predicted, truth, sex).iloc[0]
    assert below.r_squared_ci_low == pytest.approx(below.ci_high**2)


def test_calibration_in_miniature():
    """What `tools/prove_calibration.py` does at length: a sex-only world, and both nulls."""
    law = phantom.build_law(load_face_model("phantom"), world="sex_only")
    p = {"plain": [], "within sex": []}
    for seed in range(60):
        train, test = (
            phantom.draw_sample(law, 120, seed=s) for s in np.random.SeedSequence(seed).spawn(2)
        )
        known, truth = (phantom.measured_lines(law, s.coefficients) for s in (train, test))
        predicted = phantom.fit_listener(train.features, known)(test.features)
        for name, strata in (("plain", None), ("within sex", test.sex)):
            found = stats.pairing_test(predicted, truth, strata, n_permutations=99, seed=seed)
            p[name].append(found.p_value_max.min())
    rates = rejection_rates(p, levels=[0.05], confidence=0.999).set_index("test")
    assert rates.loc["plain", "rate"] == 1.0  # it answers another question
    assert rates.loc["within sex", "verdict"] == "holds"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bootstrap_means(np.ones(5)), ShapeError, "values"),
        (lambda: bootstrap_means(np.ones((2, 1))), InputError, "3 or more"),
        (lambda: bootstrap_means(np.full((4, 1), np.nan)), InputError, "NaN"),
        (lambda: bootstrap_means(np.ones((4, 1)), method="best"), InputError, "choose from"),
        (lambda: bootstrap_means(np.ones((4, 1)), level=1), InputError, "level"),
        (lambda: hierarchical_bootstrap(np.ones(4), list("abc")), ShapeError, "identity has"),
        (lambda: hierarchical_bootstrap(np.ones(4), list("aabb")), InputError, "2 people"),
        (lambda: hierarchical_bootstrap([1, np.nan], ["a", "b"]), InputError, "NaN"),
        (lambda: binomial_band(0.0, 10), InputError, "share"),
        (lambda: binomial_band(0.05, 0), InputError, "n_worlds"),
        (lambda: rejection_rates({"x": [1.1]}), InputError, "no probability"),
        (lambda: rejection_rates({"x": [[0.1]]}), ShapeError, "p_values of x"),
        (lambda: coverage_rates({"x": ([np.nan], [1.0], 0.0)}), InputError, "NaN"),
        (lambda: explained_share(np.eye(3), np.eye(3)), InputError, "3 identities"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
