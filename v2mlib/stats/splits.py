"""Differences over repeated train-test splits, whose training sets overlap."""

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

from v2mlib.checks import InputError, check_shape


class ResampledTTest(NamedTuple):
    """Outcome of the corrected resampled t-test.

    Attributes
    ----------
    mean : float
        Mean difference over splits.
    standard_error : float
        Corrected for the overlap.
    t : float
        Their quotient.
    df : int
        Splits less 1.
    p_value : float
        Two-sided.
    ci_low, ci_high : float
        Interval of the mean.
    """

    mean: float
    standard_error: float
    t: float
    df: int
    p_value: float
    ci_low: float
    ci_high: float


def corrected_resampled_t_test(differences, n_train, n_test, *, confidence=0.95):
    """Test a difference measured on several random splits of one data set.

    The splits share training identities, so the plain t-test is far too sure of itself: the
    variance of the mean is taken as ``(1/J + n_test/n_train) s^2`` instead of ``s^2 / J``.

    Parameters
    ----------
    differences : array_like, (split,)
        Score of one method less the other's on the same split.
    n_train, n_test : int
        Identities on both sides of each split.
    confidence : float
        Of the interval.

    Returns
    -------
    ResampledTTest
        Test and interval.

    Raises
    ------
    InputError
        If there are fewer than 2 splits, no spread at all, or a count is not positive.

    References
    ----------
    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003.

    Examples
    --------
    >>> test = corrected_resampled_t_test([0.01, 0.02, 0.03], n_train=90, n_test=10)
    >>> round(test.standard_error, 5)  # .01 * sqrt(1/3 + 1/9)
    0.00667
    """
    differences = np.asarray(differences, dtype=float)
    check_shape(differences, {"split": None}, "differences")
    if len(differences) < 2:
        raise InputError("differences", f"come from {len(differences)} splits", "use 2 or more")
    if not np.isfinite(differences).all():
        raise InputError("differences", "hold NaN or infinity", "leave out splits that failed")
    if n_train < 1 or n_test < 1:
        raise InputError("n_train and n_test", f"are {n_train}, {n_test}", "count the identities")
    spread = float(differences.std(ddof=1))
    if spread == 0:
        raise InputError("differences", "are all the same", "use splits that differ")
    mean, df = float(differences.mean()), len(differences) - 1
    error = spread * (1 / len(differences) + n_test / n_train) ** 0.5
    half = float(student_t.ppf(0.5 + confidence / 2, df)) * error
    p_value = 2 * float(student_t.sf(abs(mean / error), df))
    return ResampledTTest(mean, error, mean / error, df, p_value, mean - half, mean + half)
