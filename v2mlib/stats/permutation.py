"""Permutation tests: is a prediction closer to its own person's face than to other people's?

The voice-face pairing is dealt anew, freely or within strata (a sex, an age band). Everything a
stratum shares survives a deal within it, so what the test then rejects is not the stratum.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from v2mlib.checks import InputError, ShapeError, check_shape
from v2mlib.stats.dealing import deal, means_of_costs, means_of_deals, stratum_numbers

STATISTICS = ("error", "correlation")
"""What `pairing_test` compares: mean absolute differences, or correlations within strata."""

_SLACK = 1e-9  # a tie in exact arithmetic counts as a tie


class PermutationTest(NamedTuple):
    """Outcome of a permutation test, measure by measure.

    Attributes
    ----------
    observed : ndarray, (measure,)
        Mean over identities, each prediction held against its own reference.
    null : ndarray, (permutation, measure)
        The same means under dealt pairings.
    z : ndarray, (measure,)
        Observed minus the null's mean, in its standard deviations; positive is good.
    p_value : ndarray, (measure,)
        ``(b + 1) / (B + 1)``, with `b` the deals at least as good as the observed pairing.
    p_value_max : ndarray, (measure,)
        The same against the best measure of each deal's family: corrected for looking at all.
    n_exchangeable : int
        Identities with somebody to be exchanged with.
    """

    observed: np.ndarray
    null: np.ndarray
    z: np.ndarray
    p_value: np.ndarray
    p_value_max: np.ndarray
    n_exchangeable: int


def pairwise_error(predicted, reference):
    """Hold every prediction against every reference.

    Parameters
    ----------
    predicted, reference : array_like, (identity, measure)
        The same measures of both faces, for instance ratios of lines.

    Returns
    -------
    ndarray, (reference identity, predicted identity, measure)
        Absolute differences.

    Raises
    ------
    ShapeError
        If the two differ in shape.

    Examples
    --------
    >>> pairwise_error([[1.0], [2.0]], [[1.0], [4.0]])[..., 0]
    array([[0., 1.],
           [3., 2.]])
    """
    predicted, reference = _same_shape(predicted, reference)
    return np.abs(reference[:, None] - predicted[None])


def pairwise_product(predicted, reference, strata=None):
    """Products whose mean over identities is a correlation.

    Parameters
    ----------
    predicted, reference : array_like, (identity, measure)
        The same measures of both faces.
    strata : array_like, (identity,), optional
        Both are centred within each stratum: the mean is then the correlation within strata
        (with sex as the stratum: the partial correlation given sex).

    Returns
    -------
    ndarray, (reference identity, predicted identity, measure)
        Products of standardised deviations.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    InputError
        If a measure does not vary.
    """
    predicted, reference = _same_shape(predicted, reference)
    groups = stratum_numbers(strata, len(predicted))
    return (
        standardised(reference, groups, "reference")[:, None]
        * standardised(predicted, groups, "predicted")[None]
    )


def pairwise_distance(predicted, reference, size=None):
    """Hold the points of every predicted face against those of every reference.

    Landmarks with the size of the reference face give the normalised mean error of all
    pairings; one "point" of many coordinates gives a distance between whole faces.

    Parameters
    ----------
    predicted, reference : array_like, (identity, point, coordinate)
        The same points of both faces, for instance 68 landmarks in mm.
    size : array_like, (identity,), optional
        Of each reference face; distances are divided by it.

    Returns
    -------
    ndarray, (reference identity, predicted identity, measure=1)
        Mean distance over points, for `permutation_test`.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.

    Examples
    --------
    >>> corner = np.zeros((1, 2, 3))
    >>> pairwise_distance(np.vstack([corner, corner + [3, 4, 0]]), np.zeros((2, 2, 3)))[..., 0]
    array([[0., 5.],
           [0., 5.]])
    """
    predicted, reference = (np.asarray(a, dtype=float) for a in (predicted, reference))
    check_shape(reference, {"identity": None, "point": None, "coordinate": None}, "reference")
    if predicted.shape != reference.shape:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (identity, point, coordinate)"
        )
    total = np.zeros((len(reference), len(predicted)))
    for point in range(reference.shape[1]):
        total += cdist(reference[:, point], predicted[:, point])
    if size is not None:
        check_shape(np.asarray(size), {"identity": len(reference)}, "size")
        total /= np.asarray(size, dtype=float)[:, None]
    return (total / reference.shape[1])[:, :, None]


def permutation_test(
    pairwise, strata=None, *, larger_is_better=False, families=None, n_permutations=5000, seed=0
):
    """Test whether own pairings are better than dealt ones, for any cost of a pairing.

    Parameters
    ----------
    pairwise : array_like, (reference identity, predicted identity, measure)
        What `pairwise_error` or `pairwise_product` gives, or any cost of a pairing.
    strata : array_like, (identity,), optional
        Pairings are dealt within each stratum only.
    larger_is_better : bool
        True for products, False for errors.
    families : array_like, (measure,), optional
        Which measures are looked at together, for `p_value_max`; all by default.
    n_permutations : int
        Deals.
    seed : int
        Of the deals.

    Returns
    -------
    PermutationTest
        One-sided p-values, plain and corrected over measures.

    Raises
    ------
    ShapeError
        If `pairwise` is not square in identities.
    InputError
        If nobody can be exchanged, or a number is not finite.

    References
    ----------
    Phipson and Smyth, "Permutation p-values should never be zero", 2010; Westfall and Young,
    "Resampling-based multiple testing", 1993 (the maximum over measures, standardised here).

    Examples
    --------
    Predictions that are exactly right, six people of two sexes:

    >>> truth = np.arange(6.0)[:, None]
    >>> test = permutation_test(pairwise_error(truth, truth), list("mmmfff"), n_permutations=999)
    >>> 0.01 < float(test.p_value[0]) < 0.05  # 1 of 3! x 3! deals is as good
    True
    """
    pairwise = np.ascontiguousarray(pairwise, dtype=float)
    n = len(pairwise)
    check_shape(
        pairwise, {"reference identity": n, "predicted identity": n, "measure": None}, "pairwise"
    )
    _require_finite(pairwise, "pairwise")
    deals, exchangeable = _deals(strata, n, n_permutations, seed)
    observed = pairwise[np.arange(n), np.arange(n)].mean(0)
    null = means_of_costs(pairwise, deals)
    return _outcome(observed, null, larger_is_better, families, exchangeable)


def pairing_test(
    predicted, reference, strata=None, *, statistic="error", families=None, n_permutations=5000,
    seed=0,
):  # fmt: skip
    """Test whether measures are predicted better for their own person than for others.

    The same as `permutation_test` on `pairwise_error` or `pairwise_product`, without holding
    all pairings in memory: many methods and measures at once, on the same deals.

    Parameters
    ----------
    predicted, reference : array_like, (identity, measure)
        The same measures of both faces, for instance ratios of lines.
    strata : array_like, (identity,), optional
        Pairings are dealt within each stratum only (see `combined_strata`).
    statistic : {"error", "correlation"}
        Mean absolute difference (smaller is better), or correlation within strata (larger is
        better: with sex as the stratum the partial correlation given sex).
    families : array_like, (measure,), optional
        Which measures are looked at together, for `p_value_max`; all by default.
    n_permutations : int
        Deals.
    seed : int
        Of the deals.

    Returns
    -------
    PermutationTest
        One-sided p-values, plain and corrected over measures.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    InputError
        If nobody can be exchanged, a number is not finite, or a measure does not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, noise = rng.normal(size=(2, 40, 2))
    >>> test = pairing_test(truth * [1, 0] + noise, truth, statistic="correlation")
    >>> bool(test.p_value[0] < 0.01), bool(test.p_value[1] < 0.01)
    (True, False)
    """
    if statistic not in STATISTICS:
        raise InputError(f"statistic {statistic!r}", "is unknown", f"choose from {STATISTICS}")
    predicted, reference = _same_shape(predicted, reference)
    _require_finite(predicted, "predicted")
    _require_finite(reference, "reference")
    n = len(predicted)
    deals, exchangeable = _deals(strata, n, n_permutations, seed)
    kind = "error"
    if statistic == "correlation":
        kind, groups = "product", stratum_numbers(strata, n)
        predicted = standardised(predicted, groups, "predicted")
        reference = standardised(reference, groups, "reference")
    observed = means_of_deals(predicted, reference, np.arange(n)[None], kind)[0]
    null = means_of_deals(predicted, reference, deals, kind)
    return _outcome(observed, null, kind == "product", families, exchangeable)


def standardised(values, groups, name):
    """Centre within groups and scale to a mean square of 1.

    Parameters
    ----------
    values : ndarray, (identity, measure)
        Measures.
    groups : ndarray of int, (identity,)
        From `v2mlib.stats.dealing.stratum_numbers`.
    name : str
        What the values are called in a message.

    Returns
    -------
    ndarray, (identity, measure)
        Standardised deviations.

    Raises
    ------
    InputError
        If a measure does not vary.
    """
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    centred = values - (sums / np.bincount(groups)[:, None])[groups]
    size = np.sqrt((centred**2).mean(0))
    flat = np.flatnonzero(size <= 1e-12 * np.abs(values).max(0))
    if len(flat):
        raise InputError(
            f"{name} measures", f"{flat.tolist()} do not vary", "leave out what is constant"
        )
    return centred / size


def _outcome(observed, null, larger_is_better, families, exchangeable):
    sign = 1 if larger_is_better else -1
    # The observed pairing is one of the B + 1 deals; standardising by all of them keeps them
    # exchangeable, which makes the maximum's p-value exact.
    every = sign * np.vstack([observed, null])
    spread = every.std(0)
    scores = (every - every.mean(0)) / np.where(spread > 0, spread, 1)
    single = (scores[1:] >= scores[0] - _SLACK).sum(0)
    return PermutationTest(
        observed=observed,
        null=null,
        z=scores[0],
        p_value=(single + 1) / (len(null) + 1),
        p_value_max=family_p_values(scores, families),
        n_exchangeable=exchangeable,
    )


def family_p_values(scores, families=None):
    """P-values against the largest score of each family: corrected for looking at all of it.

    Parameters
    ----------
    scores : ndarray, (1 + permutation, measure)
        The observed scores first; larger is more extreme, all on one scale.
    families : array_like, (measure,), optional
        Which measures belong together; all by default.

    Returns
    -------
    ndarray, (measure,)
        ``(b + 1) / (B + 1)``.

    Raises
    ------
    ShapeError
        If there is not one family for each measure.
    """
    n_measures = scores.shape[1]
    groups = np.zeros(n_measures, dtype=int)
    if families is not None:
        check_shape(np.asarray(families), {"measure": n_measures}, "families")
        groups = stratum_numbers(families, n_measures)
    p_values = np.empty(n_measures)
    for group in range(groups.max(initial=-1) + 1):
        members = groups == group
        best = scores[1:, members].max(1, keepdims=True)
        beaten = (best >= scores[0, members] - _SLACK).sum(0)
        p_values[members] = (beaten + 1) / len(scores)
    return p_values


def _deals(strata, n, n_permutations, seed):
    if n_permutations < 1:
        raise InputError("n_permutations", f"is {n_permutations}", "deal at least once")
    groups = stratum_numbers(strata, n)
    sizes = np.bincount(groups)
    exchangeable = int(sizes[sizes > 1].sum())
    if exchangeable == 0:
        raise InputError("strata", "hold one identity each", "use broader strata")
    return deal(groups, n_permutations, seed), exchangeable


def _require_finite(values, name):
    if not np.isfinite(values).all():
        raise InputError(name, "holds NaN or infinity", "leave out identities without a face")


def _same_shape(predicted, reference):
    predicted, reference = (np.asarray(a, dtype=float) for a in (predicted, reference))
    check_shape(reference, {"identity": None, "measure": None}, "reference")
    if predicted.shape != reference.shape:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (identity, measure)"
        )
    return predicted, reference
