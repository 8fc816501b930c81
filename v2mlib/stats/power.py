"""Power: how many identities a link of a given strength needs to be seen, in closed form."""

import numpy as np
from scipy.special import log_ndtr, roots_legendre
from scipy.stats import chi2, ncf, nct, norm
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from v2mlib.checks import InputError

_MOST = 10_000_000  # identities that are looked for


def power_correlation(r, n_identities, *, level=0.05, n_given=0, exact=False):
    """Probability that a two-sided test of a correlation rejects.

    Parameters
    ----------
    r : array_like, in (-1, 1)
        True correlation (partial, where `n_given` variables are taken out).
    n_identities : array_like
        Sample size.
    level : float
        Of the test.
    n_given : int
        Variables taken out (1 for the sex).
    exact : bool
        Fisher's approximation by default. True: both measures normal, Student's t test; given
        the predictor its statistic is a noncentral t, averaged here over the predictor.

    Returns
    -------
    ndarray
        Power, both tails counted.

    Raises
    ------
    InputError
        If a correlation is 1 in size, the level not in (0, 1), or there are too few identities.

    References
    ----------
    Fisher, "On the probable error of a coefficient of correlation", 1921; Cohen, "A power
    primer", Psychological Bulletin 112, 1992 (783, 85 and 28 people for r = .1, .3 and .5).

    Examples
    --------
    >>> round(float(power_correlation(0.16, 301, n_given=1)), 2)
    0.79
    >>> round(float(power_correlation(0.3, 84, exact=True)), 3)  # G*Power: 84 people for 80 %
    0.8
    """
    r, n_identities = np.broadcast_arrays(np.asarray(r, float), np.asarray(n_identities, float))
    if not (np.abs(r) < 1).all():
        raise InputError("r", "reaches 1", "give correlations between -1 and 1")
    _require_share("level", level)
    if (n_identities - n_given <= 3).any():
        raise InputError("n_identities", f"is {n_identities.min():g}", "give more identities")
    if exact:
        flat = [_exact(a, b - n_given, level) for a, b in zip(r.flat, n_identities.flat)]  # noqa: B905
        return np.reshape(flat, r.shape)
    shift = np.arctanh(r) * np.sqrt(n_identities - n_given - 3)
    bound = norm.isf(level / 2)
    return np.exp(log_ndtr(shift - bound)) + np.exp(log_ndtr(-shift - bound))


def _exact(r, n, level):
    """Noncentral t given the predictor's sum of squares, which is chi-squared, averaged."""
    nodes, weights = _quadrature()
    squares = chi2.ppf(nodes, n - 1)
    shift = abs(r) / np.sqrt(1 - r**2) * np.sqrt(squares)
    bound = student_t.isf(level / 2, n - 2)
    # Of a large shift scipy's far tail is NaN; it is 0 to more digits than there are.
    other = np.nan_to_num(nct.cdf(-bound, n - 2, shift))
    return float(weights @ (nct.sf(bound, n - 2, shift) + other))


def _quadrature(n_nodes=64):
    nodes, weights = roots_legendre(n_nodes)
    return (nodes + 1) / 2, weights / 2


def power_paired(effect, n_identities, *, level=0.05):
    """Probability that a two-sided paired t-test rejects: one method's errors beside another's.

    Parameters
    ----------
    effect : array_like
        Mean difference over the standard deviation of the differences.
    n_identities : array_like
        Pairs.
    level : float
        Of the test.

    Returns
    -------
    ndarray
        Power, from the noncentral t distribution, both tails counted.

    Raises
    ------
    InputError
        If the level is not in (0, 1) or there are fewer than 2 identities.

    Examples
    --------
    >>> round(float(power_paired(0.5, 34)), 3)  # G*Power: 34 pairs for 80 %
    0.808
    """
    effect, n = np.broadcast_arrays(np.asarray(effect, float), np.asarray(n_identities, float))
    _require_share("level", level)
    if (n < 2).any():
        raise InputError("n_identities", f"is {n.min():g}", "give 2 or more")
    shift, bound = np.abs(effect) * np.sqrt(n), student_t.isf(level / 2, n - 1)
    return nct.sf(bound, n - 1, shift) + np.nan_to_num(nct.cdf(-bound, n - 1, shift))


def power_regression(r_squared, n_identities, *, n_predictors, level=0.05, n_given=0):
    """Probability that the F test of several voice measures together rejects.

    Parameters
    ----------
    r_squared : array_like, in [0, 1)
        Share of what is left of the line (given the sex) that the voice measures explain.
    n_identities : array_like
        Sample size.
    n_predictors : int
        Voice measures tested together.
    level : float
        Of the test.
    n_given : int
        Variables in both models (1 for the sex).

    Returns
    -------
    ndarray
        Power, from the noncentral F distribution with noncentrality ``n R^2 / (1 - R^2)``
        (predictors taken as fixed, as Cohen and G*Power do).

    Raises
    ------
    InputError
        If a share is out of range or there are too few identities.

    References
    ----------
    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 9.

    Examples
    --------
    G*Power's manual: 95 people, 5 predictors, f^2 = 1/9 (R^2 = .1) have power .674:

    >>> round(float(power_regression(0.1, 95, n_predictors=5)), 3)
    0.674
    """
    share, n = np.broadcast_arrays(np.asarray(r_squared, float), np.asarray(n_identities, float))
    _require_share("level", level)
    if not ((share >= 0) & (share < 1)).all():
        raise InputError("r_squared", "holds what is no share", "give numbers from 0 to below 1")
    df = n - n_predictors - n_given - 1
    if n_predictors < 1 or (df < 1).any():
        raise InputError(
            "n_identities", f"is {n.min():g} for {n_predictors} predictors", "give more identities"
        )
    bound = f_distribution.isf(level, n_predictors, df)
    shift = n * share / (1 - share)
    # scipy's noncentral F is NaN at a noncentrality of 0, where it is the central one.
    power = ncf.sf(bound, n_predictors, df, np.where(shift > 0, shift, 1.0))
    return np.where(shift > 0, power, level)


def detectable_correlation(n_identities, *, power=0.8, level=0.05, n_given=0):
    """Smallest correlation that a two-sided test detects.

    Parameters
    ----------
    n_identities : int
        Sample size.
    power : float
        Probability of detecting it.
    level : float
        Of the test.
    n_given : int
        Variables taken out (1 for the sex).

    Returns
    -------
    float
        ``tanh((z_level + z_power) / sqrt(n - n_given - 3))``, Fisher's approximation.

    Raises
    ------
    InputError
        If there are too few identities, or a probability is outside (0, 1).

    Examples
    --------
    >>> round(detectable_correlation(301, n_given=1), 2)
    0.16
    """
    if n_identities - n_given <= 3:
        raise InputError("n_identities", f"is {n_identities}", "give more identities")
    _require_share("power", power)
    _require_share("level", level)
    z = norm.isf(level / 2) + norm.ppf(power)
    return float(np.tanh(max(z, 0) / np.sqrt(n_identities - n_given - 3)))


def identities_for_correlation(r, *, power=0.8, level=0.05, n_given=0, exact=False):
    """Identities that a correlation needs to be detected.

    Parameters
    ----------
    r : float, in (-1, 1), not 0
        True correlation.
    power : float
        Probability of detecting it.
    level : float
        Of the two-sided test.
    n_given : int
        Variables taken out (1 for the sex).
    exact : bool
        As in `power_correlation`.

    Returns
    -------
    int
        The smallest number whose power is at least `power`.

    Raises
    ------
    InputError
        If the correlation is 0, or so small that more than ten million are needed.

    Examples
    --------
    >>> [identities_for_correlation(r) for r in (0.1, 0.3, 0.5)]
    [783, 85, 30]
    >>> identities_for_correlation(0.05, n_given=1)
    3139
    """
    _require_share("power", power)
    low, high = n_given + 4, n_given + 8

    def enough(n):
        return power_correlation(r, n, level=level, n_given=n_given, exact=exact) >= power

    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST:
            raise InputError(f"r={r}", "is too small to be detected", "no study is so large")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return low if enough(low) else high


def _require_share(name, value):
    if not 0 < value < 1:
        raise InputError(name, f"is {value}", "give a number between 0 and 1")
