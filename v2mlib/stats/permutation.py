"""Permutation tests: is a prediction closer to its own person's face than to other people's?

The voice-face pairing is dealt anew, freely or within strata (a sex, an age band). Everything a
stratum shares survives a deal within it, so what the test then rejects is not the stratum.
"""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, ShapeError, check_shape

_CHUNK_BYTES = 64_000_000  # of gathered costs at a time


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
        The same against the best measure of each deal: corrected for looking at all of them.
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
    deviations = []
    for name, values in (("predicted", predicted), ("reference", reference)):
        centred = values - _stratum_means(values, groups)[groups]
        size = np.sqrt((centred**2).mean(0))
        flat = np.flatnonzero(size <= 1e-12 * np.abs(values).max(0))
        if len(flat):
            raise InputError(
                f"{name} measures", f"{flat.tolist()} do not vary", "leave out what is constant"
            )
        deviations.append(centred / size)
    return deviations[1][:, None] * deviations[0][None]


def permutation_test(pairwise, strata=None, *, larger_is_better=False, n_permutations=5000, seed=0):
    """Test whether own pairings are better than dealt ones.

    Parameters
    ----------
    pairwise : array_like, (reference identity, predicted identity, measure)
        What `pairwise_error` or `pairwise_product` gives, or any cost of a pairing.
    strata : array_like, (identity,), optional
        Pairings are dealt within each stratum only.
    larger_is_better : bool
        True for products, False for errors.
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
    if not np.isfinite(pairwise).all():
        raise InputError("pairwise", "holds NaN or infinity", "leave out identities without a face")
    if n_permutations < 1:
        raise InputError("n_permutations", f"is {n_permutations}", "deal at least once")
    groups = stratum_numbers(strata, n)
    sizes = np.bincount(groups)
    exchangeable = int(sizes[sizes > 1].sum())
    if exchangeable == 0:
        raise InputError("strata", "hold one identity each", "use broader strata")
    deals = deal(groups, n_permutations, seed)
    observed = pairwise[np.arange(n), np.arange(n)].mean(0)
    null = _means_of_deals(pairwise, deals)
    sign = 1 if larger_is_better else -1
    # The observed pairing is one of the B + 1 deals; standardising by all of them keeps them
    # exchangeable, which makes the maximum's p-value exact.
    every = sign * np.vstack([observed, null])
    spread = every.std(0)
    scores = (every - every.mean(0)) / np.where(spread > 0, spread, 1)
    slack = 1e-9  # a tie in exact arithmetic counts as a tie
    single = (scores[1:] >= scores[0] - slack).sum(0)
    best = scores[1:].max(1, keepdims=True)
    family = (best >= scores[0] - slack).sum(0)
    return PermutationTest(
        observed=observed,
        null=null,
        z=scores[0],
        p_value=(single + 1) / (n_permutations + 1),
        p_value_max=(family + 1) / (n_permutations + 1),
        n_exchangeable=exchangeable,
    )


def deal(groups, n_permutations, seed=0):
    """Deal identities anew within groups.

    Parameters
    ----------
    groups : ndarray of int, (identity,)
        Stratum of each, from `stratum_numbers`.
    n_permutations : int
        How often.
    seed : int
        Of the deals.

    Returns
    -------
    ndarray of int, (permutation, identity)
        Whose prediction each reference gets.
    """
    generator = np.random.default_rng(seed)
    deals = np.empty((n_permutations, len(groups)), dtype=np.int64)
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups == group)
        deals[:, members] = generator.permuted(np.tile(members, (n_permutations, 1)), axis=1)
    return deals


def stratum_numbers(strata, n_identities):
    """Number strata from 0.

    Parameters
    ----------
    strata : array_like, (identity,) or None
        Labels; None puts everybody into one stratum.
    n_identities : int
        How many are expected.

    Returns
    -------
    ndarray of int, (identity,)
        Stratum of each identity.

    Raises
    ------
    ShapeError
        If there is not one label for each identity.
    """
    if strata is None:
        return np.zeros(n_identities, dtype=np.int64)
    labels = np.asarray(strata)
    check_shape(labels, {"identity": n_identities}, "strata")
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def _means_of_deals(pairwise, deals):
    """Mean cost of each deal; chunks keep the gathered costs small."""
    n, _, n_measures = pairwise.shape
    flat = pairwise.reshape(n * n, n_measures)
    index = deals + n * np.arange(n)
    step = max(1, _CHUNK_BYTES // (8 * n * n_measures))
    parts = [flat[index[i : i + step]].mean(1) for i in range(0, len(index), step)]
    return np.concatenate(parts)


def _stratum_means(values, groups):
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums / np.bincount(groups)[:, None]


def _same_shape(predicted, reference):
    predicted, reference = (np.asarray(a, dtype=float) for a in (predicted, reference))
    check_shape(reference, {"identity": None, "measure": None}, "reference")
    if predicted.shape != reference.shape:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (identity, measure)"
        )
    return predicted, reference
