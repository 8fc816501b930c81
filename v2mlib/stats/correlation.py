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
        (two-sided, Student's t), `r_squared`, `n_identities`, `df` (identities less groups
        less 1).

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
    predicted, reference = (np.asarray(a, dtype=float) for a in (predicted, reference))
    if predicted.shape != reference.shape or predicted.ndim != 2:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (identity, measure)"
        )
    n, n_measures = predicted.shape
    groups = stratum_numbers(given, n)
    df = n - (groups.max() + 1 if n else 0) - 1
    if df < 2:
        raise InputError(
            "predicted", f"has {n} identities in {groups.max() + 1} groups", "give more identities"
        )
    centred = []
    for name, values in (("predicted", predicted), ("reference", reference)):
        means = pd.DataFrame(values).groupby(groups).transform("mean").to_numpy()
        left = values - means
        if (np.abs(left).max(0) <= 1e-12 * np.abs(values).max(0)).any():
            raise InputError(f"{name} measures", "do not vary", "leave out what is constant")
        centred.append(left)
    x, y = centred
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
            "n_identities": n,
            "df": df,
        }
    )
