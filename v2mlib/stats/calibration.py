"""Calibration: do tests reject, and intervals cover, as often as they say?

Both are proportions over simulated worlds whose truth is known, so both come with the band in
which a right method's proportion falls by chance.
"""

import numpy as np
import pandas as pd
from scipy.stats import binom

from v2mlib.checks import InputError, check_shape


def binomial_band(share, n_worlds, *, confidence=0.99):
    """Where the observed share of a right method falls by chance.

    Parameters
    ----------
    share : float, in (0, 1)
        Nominal: 0.05 for a test's level, 0.95 for an interval's coverage.
    n_worlds : int
        Simulated.
    confidence : float
        Of the band, two-sided.

    Returns
    -------
    low, high : float
        Quantiles of Binomial(n_worlds, share), divided by `n_worlds`; both ends included.

    Raises
    ------
    InputError
        If a share is not in (0, 1) or there are no worlds.

    Examples
    --------
    >>> binomial_band(0.05, 1000)
    (0.033, 0.069)
    """
    for name, value in (("share", share), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(name, f"is {value}", "give a number between 0 and 1")
    if n_worlds < 1:
        raise InputError("n_worlds", f"is {n_worlds}", "simulate at least one")
    tail = (1 - confidence) / 2
    low, high = (float(binom.ppf(q, n_worlds, share)) / n_worlds for q in (tail, 1 - tail))
    return low, high


def rejection_rates(p_values, *, levels=(0.05, 0.01, 0.001), confidence=0.99):
    """How often p-values fall to each level, beside the band of a right test.

    Parameters
    ----------
    p_values : mapping of str to array_like, (world,)
        By test: one p-value per simulated world in which the null hypothesis holds.
    levels : sequence of float
        Nominal levels.
    confidence : float
        Of the band.

    Returns
    -------
    DataFrame
        A row per test and level: `test`, `level`, `n_worlds`, `rate`, `band_low`, `band_high`,
        `verdict`: "holds", "too few" or "too many" (rejections).

    Raises
    ------
    ShapeError
        If the p-values are not (world,).
    InputError
        If one is no probability.

    Examples
    --------
    >>> uniform = (np.arange(2000) + 0.5) / 2000
    >>> rejection_rates({"right": uniform, "blind": uniform**2})["verdict"].tolist()
    ['holds', 'holds', 'holds', 'too many', 'too many', 'too many']
    """
    rows = []
    for test, values in dict(p_values).items():
        values = np.asarray(values, dtype=float)
        check_shape(values, {"world": None}, f"p_values of {test}")
        if not ((values >= 0) & (values <= 1)).all():
            raise InputError(f"p_values of {test}", "hold what is no probability", "leave NaN out")
        for level in levels:
            # A p-value of (b+1)/(B+1) may equal the level but for a rounding in its last place.
            hits = int((values <= level * (1 + 1e-12)).sum())
            rows.append(
                {"test": test, "level": level} | _judged(hits, len(values), level, confidence)
            )
    return pd.DataFrame(rows).rename(columns={"share": "rate"})


def coverage_rates(intervals, *, level=0.95, confidence=0.99):
    """How often intervals hold the truth, beside the band of a right one.

    Parameters
    ----------
    intervals : mapping of str to (low, high, truth), each array_like, (world,)
        By interval: its ends in every simulated world, and what they should hold.
    level : float
        Nominal coverage.
    confidence : float
        Of the band.

    Returns
    -------
    DataFrame
        A row per interval: `interval`, `level`, `n_worlds`, `coverage`, `missed_below` and
        `missed_above` (shares of worlds whose truth lies below or above the interval),
        `band_low`, `band_high`, `verdict`: "holds", "too few" (truths inside: too narrow) or
        "too many" (too wide).

    Raises
    ------
    ShapeError
        If the ends differ in length.
    InputError
        If an end is NaN.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=2000)
    >>> found = coverage_rates({"mean": (z - 1.96, z + 1.96, 0.0), "narrow": (z - 1, z + 1, 0.0)})
    >>> found["verdict"].tolist()
    ['holds', 'too few']
    """
    rows = []
    for name, (low, high, truth) in dict(intervals).items():
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        check_shape(low, {"world": None}, f"lower ends of {name}")
        check_shape(high, {"world": len(low)}, f"upper ends of {name}")
        truth = np.broadcast_to(np.asarray(truth, dtype=float), low.shape)
        if np.isnan([low, high, truth]).any():
            raise InputError(f"intervals of {name}", "hold NaN", "leave worlds without one out")
        below, above = truth < low, truth > high
        inside = int((~below & ~above).sum())
        row = {"interval": name, "level": level} | _judged(inside, len(low), level, confidence)
        rows.append(row | {"missed_below": below.mean(), "missed_above": above.mean()})
    columns = ["interval", "level", "n_worlds", "share", "missed_below", "missed_above"]
    table = pd.DataFrame(rows)
    rest = [name for name in table if name not in columns]
    return table[columns + rest].rename(columns={"share": "coverage"})


def _judged(hits, n_worlds, nominal, confidence):
    low, high = binomial_band(nominal, n_worlds, confidence=confidence)
    share = hits / n_worlds
    verdict = "too few" if share < low else "too many" if share > high else "holds"
    return {
        "n_worlds": n_worlds, "share": share, "band_low": low, "band_high": high,
        "verdict": verdict,
    }  # fmt: skip
