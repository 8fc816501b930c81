"""Dealing pairings anew: strata, deals, and the compiled means over a deal.

A deal says whose prediction each reference gets. Five thousand deals of three methods' twelve
measures of 301 people are 54 million comparisons: compiled, they take a fraction of a second,
because the two small tables stay in the processor's cache.
"""

import functools

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError, check_shape
from v2mlib.compiling import compiled


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
    return pd.factorize(labels, use_na_sentinel=False)[0].astype(np.int64)


def combined_strata(**labels):
    """Strata of people who share everything named: sex and age band, say.

    Parameters
    ----------
    **labels : array_like, (identity,)
        One array per attribute (``sex=..., age=age_bands(years)``). What is missing (None, NaN)
        is a label of its own: people of unknown age are exchanged among themselves.

    Returns
    -------
    ndarray of str, (identity,)
        ``"sex=m, age=20 to 30"``.

    Raises
    ------
    InputError
        If nothing is given.
    ShapeError
        If the arrays differ in length.

    Examples
    --------
    >>> combined_strata(sex=["m", "f"], age=["20 to 30", None]).tolist()
    ['sex=m, age=20 to 30', 'sex=f, age=unknown']
    """
    if not labels:
        raise InputError("strata", "are of nothing", "give sex=..., age=...")
    columns = {name: np.asarray(values, dtype=object) for name, values in labels.items()}
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ShapeError(f"strata have shapes {shapes}, expected the same (identity,) for each")
    words = [
        [f"{name}={'unknown' if pd.isna(value) else value}" for value in values]
        for name, values in columns.items()
    ]
    return np.array([", ".join(parts) for parts in zip(*words, strict=True)])


def age_bands(years, *, width_years=10):
    """Bands of age, for strata.

    Parameters
    ----------
    years : array_like, (identity,), years
        Ages; NaN where unknown.
    width_years : float
        Of a band. Narrow bands remove more of what an age tells, and leave fewer people to be
        exchanged.

    Returns
    -------
    ndarray of object, (identity,)
        ``"20 to 30"`` (30 excluded), None where the age is unknown.

    Raises
    ------
    InputError
        If the width is not positive or an age negative or infinite.

    Examples
    --------
    >>> age_bands([29.9, 30, np.nan]).tolist()
    ['20 to 30', '30 to 40', None]
    """
    years = np.asarray(years, dtype=float)
    if not width_years > 0:
        raise InputError(f"width_years={width_years}", "is no width", "give a positive number")
    if (years < 0).any() or np.isinf(years).any():
        raise InputError("years", "hold what is no age", "NaN stands for unknown")
    low = np.floor(years / width_years) * width_years
    return np.array(
        [None if np.isnan(a) else f"{a:g} to {a + width_years:g}" for a in low], dtype=object
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


def means_of_deals(predicted, reference, deals, kind):
    """Mean over identities of each deal's errors or products.

    Parameters
    ----------
    predicted, reference : ndarray, (identity, measure)
        Standardised already, where products are to be correlations.
    deals : ndarray of int, (permutation, identity)
        From `deal`.
    kind : {"error", "product"}
        Absolute differences, or products.

    Returns
    -------
    ndarray, (permutation, measure)
        Means.
    """
    arrays = (np.ascontiguousarray(a, dtype=np.float64) for a in (predicted, reference))
    return _compiled()[kind](*arrays, deals)


def means_of_costs(pairwise, deals):
    """Mean over identities of each deal's costs.

    Parameters
    ----------
    pairwise : ndarray, (reference identity, predicted identity, measure)
        Costs of all pairings.
    deals : ndarray of int, (permutation, identity)
        From `deal`.

    Returns
    -------
    ndarray, (permutation, measure)
        Means.
    """
    return _compiled()["cost"](np.ascontiguousarray(pairwise, dtype=np.float64), deals)


@functools.cache
def _compiled():
    """Compile when first needed, not on import; kept on disk where that is possible."""
    # "contract" lets a product and a sum be one instruction; the order stays as written.
    kept = functools.partial(compiled, fastmath={"contract"})
    return {"error": kept(_errors), "product": kept(_products), "cost": kept(_costs)}


def _errors(predicted, reference, deals):
    n, n_measures = reference.shape
    means = np.zeros((len(deals), n_measures))
    for b in range(len(deals)):
        for j in range(n):
            i = deals[b, j]
            for m in range(n_measures):
                means[b, m] += abs(reference[j, m] - predicted[i, m])
    return means / n


def _products(predicted, reference, deals):
    n, n_measures = reference.shape
    means = np.zeros((len(deals), n_measures))
    for b in range(len(deals)):
        for j in range(n):
            i = deals[b, j]
            for m in range(n_measures):
                means[b, m] += reference[j, m] * predicted[i, m]
    return means / n


def _costs(pairwise, deals):
    n, _, n_measures = pairwise.shape
    means = np.zeros((len(deals), n_measures))
    for j in range(n):  # references outside: the costs of one stay in the cache for all deals
        for b in range(len(deals)):
            i = deals[b, j]
            for m in range(n_measures):
                means[b, m] += pairwise[j, i, m]
    return means / n
