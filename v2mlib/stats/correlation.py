"""Correlation of predicted and true measures, given what else the voice tells (the sex)."""

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student_t

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats.dealing import stratum_numbers


def partial_correlation(predicted, reference, given=None, *, confidence=0.95, names=None):
    """Correlate predicted and true measures, with group means taken out.

    Parameters
    ----------
    predicted, reference : array_like, (identity, measure)
        The same measures of both faces, for instance ratios of lines.
    given : array_like, (identity,), optional
        Groups, for instance sexes, whose means are taken out of both.
    confidence : float
        Of Fisher's interval.
    names : list of str, optional
        Of the measures; numbers by default.

    Returns
    -------
    DataFrame
        A row per measure: `measure`, `r`, `ci_low`, `ci_high` (Fisher's z), `p_value`
        (two-sided, Student's t), `r_squared` with `r_squared_ci_low` and `r_squared_ci_high`
        (the squares that the interval of `r` holds), `n_identities`, `df` (identities less
        groups less 1).

    Raises
    ------
    ShapeError
        If the two differ in shape.
    InputError
        If there are too few identities, or a measure does not vary.

    References
    ----------
    Fisher, "The distribution of the partial correlation coefficient", 1924: with `k` variables
    taken out, as the plain one with `k` fewer observations.

    Examples
    --------
    Men and women differ in both, but within a sex nothing is told:

    >>> sex = ["m"] * 4 + ["f"] * 4
    >>> predicted = [[1], [-1], [1], [-1], [11], [9], [11], [9]]
    >>> truth = [[1], [1], [-1], [-1], [11], [11], [9], [9]]
    >>> table = partial_correlation(predicted, truth, sex)
    >>> round(abs(float(table.r[0])), 6), int(table.df[0])
    (0.0, 5)
    >>> round(float(partial_correlation(predicted, truth).r[0]), 2)
    0.96
    """
    predicted, reference = _pair(predicted, reference)
    n, n_measures = predicted.shape
    groups, df = _freedom(n, given)
    x, y = _centred("predicted", predicted, groups), _centred("reference", reference, groups)
    r = (x * y).sum(0) / np.sqrt((x**2).sum(0) * (y**2).sum(0))
    r = r.clip(-1, 1)
    with np.errstate(divide="ignore"):
        t = r * np.sqrt(df / (1 - r**2))
        half = norm.ppf(0.5 + confidence / 2) / np.sqrt(df - 1)
        low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return pd.DataFrame(
        {
            "measure": list(names) if names is not None else range(n_measures),
            "r": r,
            "ci_low": low,
            "ci_high": high,
            "p_value": 2 * student_t.sf(np.abs(t), df),
            "r_squared": r**2,
            "r_squared_ci_low": np.where(low * high > 0, np.minimum(low**2, high**2), 0.0),
            "r_squared_ci_high": np.maximum(low**2, high**2),
            "n_identities": n,
            "df": df,
        }
    )


def explained_share(predicted, reference, given=None, *, confidence=0.95, names=None):
    """Share of the variance within groups that predictions explain *as they stand*.

    ``R^2 = 1 - mean (reference - predicted)^2 / mean (reference - group mean)^2``: unlike the
    squared correlation, which forgives wrong offsets and scales, over-confidence lowers it, and
    it is negative where the group's mean would have been the better guess.

    Parameters
    ----------
    predicted, reference : array_like, (identity, measure)
        The same measures of both faces.
    given : array_like, (identity,), optional
        Groups, for instance sexes, whose own means are the rival.
    confidence : float
        Of the interval; in simulated phantom worlds 95 % intervals held the truth in 93 % with
        30 identities and 94 to 96 % with 120 and more.
    names : list of str, optional
        Of the measures; numbers by default.

    Returns
    -------
    DataFrame
        A row per measure: `measure`, `r_squared`, `ci_low`, `ci_high` (Student's t on
        ``log(1 - R^2)``, by the delta method, paired by identity), `n_identities`, `df`.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    InputError
        If there are too few identities, or a measure does not vary.

    Examples
    --------
    >>> truth = np.array([[-1.0], [1.0], [-3.0], [3.0]])
    >>> float(explained_share(truth / 2, truth).r_squared[0])  # 1 - 5/4 / (20/3)
    0.8125
    """
    predicted, reference = _pair(predicted, reference)
    n, n_measures = predicted.shape
    groups, df = _freedom(n, given)
    own = (reference - predicted) ** 2
    # The rival's means are these very people's: dividing by n less groups takes that back.
    rival = _centred("reference", reference, groups) ** 2 * n / (df + 1)
    log_quotient = np.log(np.maximum(own.mean(0), 1e-300) / rival.mean(0))
    influence = own / np.maximum(own.mean(0), 1e-300) - rival / rival.mean(0)
    half = student_t.ppf(0.5 + confidence / 2, df) * influence.std(0, ddof=1) / np.sqrt(n)
    return pd.DataFrame(
        {
            "measure": list(names) if names is not None else range(n_measures),
            "r_squared": 1 - np.exp(log_quotient),
            "ci_low": 1 - np.exp(log_quotient + half),
            "ci_high": 1 - np.exp(log_quotient - half),
            "n_identities": n,
            "df": df,
        }
    )


def _pair(predicted, reference):
    predicted, reference = (np.asarray(a, dtype=float) for a in (predicted, reference))
    if predicted.shape != reference.shape or predicted.ndim != 2:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (identity, measure)"
        )
    return predicted, reference


def _freedom(n, given):
    groups = stratum_numbers(given, n)
    df = n - (groups.max() + 1 if n else 0) - 1
    if df < 2:
        raise InputError(
            "predicted", f"has {n} identities in {groups.max() + 1} groups", "give more identities"
        )
    return groups, df


def _centred(name, values, groups):
    means = pd.DataFrame(values).groupby(groups).transform("mean").to_numpy()
    left = values - means
    if (np.abs(left).max(0) <= 1e-12 * np.abs(values).max(0)).any():
        raise InputError(f"{name} measures", "do not vary", "leave out what is constant")
    return left
