"""Nulls and bootstraps beside SciPy, statsmodels and the plain loop that one would write.

The evaluation that the tests are made for: 301 identities, 12 lines, 3 methods. SciPy's
permutation test cannot deal within a sex, so that row deals freely on both sides.
"""

import numpy as np
import statsmodels.api as sm
from harness import Row
from scipy import stats as scipy_stats

from v2mlib import stats

N_IDENTITIES, N_LINES, N_METHODS, N_DEALS = 301, 12, 3, 5000


def rows():
    """One row per engine."""
    rng = np.random.default_rng(0)
    columns = N_LINES * N_METHODS
    predicted, reference = rng.normal(size=(2, N_IDENTITIES, columns))
    sex = np.arange(N_IDENTITIES) % 2
    groups = [np.flatnonzero(sex == s) for s in (0, 1)]
    measured = f"{N_METHODS} x {N_LINES} lines, {N_IDENTITIES} people"

    def loop():
        generator, order = np.random.default_rng(0), np.arange(N_IDENTITIES)
        null = np.empty((N_DEALS, columns))
        for b in range(N_DEALS):
            for members in groups:
                order[members] = generator.permutation(members)
            null[b] = np.abs(reference - predicted[order]).mean(0)
        observed = np.abs(reference - predicted).mean(0)
        return ((null <= observed).sum(0) + 1) / (N_DEALS + 1)

    def mean_error(x, y, axis):
        return np.abs(x - y).mean(axis)

    def scipys():
        return scipy_stats.permutation_test(
            (predicted.T, reference.T), mean_error, permutation_type="pairings", axis=1,
            n_resamples=500, vectorized=True, alternative="less", batch=50,
            rng=np.random.default_rng(0),
        ).pvalue  # fmt: skip

    design = np.column_stack([np.ones(N_IDENTITIES), sex])

    def regressions():
        return [
            sm.OLS(reference[:, k], np.column_stack([predicted[:, k], design])).fit().pvalues[0]
            for k in range(columns)
        ]

    people = np.repeat(np.arange(N_IDENTITIES), 3)
    errors = rng.normal(size=(len(people), N_LINES))

    def nested_loop(n_resamples=200):
        generator, by_person = np.random.default_rng(0), errors.reshape(N_IDENTITIES, 3, N_LINES)
        means = np.empty((n_resamples, N_LINES))
        for b in range(n_resamples):
            drawn = generator.integers(N_IDENTITIES, size=N_IDENTITIES)
            which = generator.integers(3, size=(N_IDENTITIES, 3))
            means[b] = by_person[drawn[:, None], which].mean((0, 1))
        return np.quantile(means, [0.025, 0.975], axis=0)

    return [
        Row(
            f"permutation within sex, {measured}",
            lambda: stats.pairing_test(predicted, reference, sex, n_permutations=N_DEALS),
            loop, "a loop over numpy", N_DEALS, "deal",
        ),
        Row(
            f"permutation, {measured}",
            lambda: stats.pairing_test(predicted, reference, n_permutations=500),
            scipys, "scipy permutation_test", 500, "deal",
        ),
        Row(
            f"partial correlation given sex, {measured}",
            lambda: stats.partial_correlation(predicted, reference, sex),
            regressions, "statsmodels OLS", columns, "test",
        ),
        Row(
            f"hierarchical bootstrap, {N_LINES} lines, {N_IDENTITIES} x 3 utterances",
            lambda: stats.hierarchical_bootstrap(errors, people, n_resamples=200),
            nested_loop, "a loop over numpy", 200, "resample",
        ),
    ]  # fmt: skip
