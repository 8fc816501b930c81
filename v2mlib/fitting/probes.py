"""What an embedding holds, asked by linear regression beside a shuffled null."""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, check_shape

#: Penalties tried, as shares of the mean square of the embedding's components.
_PENALTIES = np.logspace(-3, 2, 11)


class Probe(NamedTuple):
    """How well a quantity can be read from embeddings by a straight line.

    Attributes
    ----------
    explained : float
        Share of the variance explained, of people left out one at a time; at best 1, below 0
        if the mean would have been better.
    ci_low, ci_high : float
        95 % interval, over people.
    null_high : float
        What 95 % of probes of shuffled quantities stay below.
    predicted : ndarray, (identity,)
        What the probe says of each person when left out.
    """

    explained: float
    ci_low: float
    ci_high: float
    null_high: float
    predicted: np.ndarray


def linear_probe(embeddings, values, *, groups=None, n_shuffles=400, n_resamples=2000, seed=0):
    """Read a quantity from embeddings by ridge regression.

    Every person is predicted from all others, in closed form. The penalty is the one that does
    best, for each shuffle anew.

    Parameters
    ----------
    embeddings : array_like, (identity, embedding)
        A row per person.
    values : array_like, (identity,)
        What to read.
    groups : array_like, (identity,), optional
        Means of these groups are taken off first, and shuffles stay within them: what is left
        says nothing about the group.
    n_shuffles, n_resamples : int
        For the null and for the interval.
    seed : int
        Of both.

    Returns
    -------
    Probe
        With its null.

    Raises
    ------
    InputError
        If the values do not vary.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> embeddings = rng.standard_normal((200, 8))
    >>> heard = linear_probe(embeddings, embeddings[:, 0] + 0.1 * rng.standard_normal(200))
    >>> heard.explained > 0.95 > 0.1 > heard.null_high
    True
    """
    embeddings = check_shape(
        np.asarray(embeddings, float), {"identity": None, "embedding": None}, "embeddings"
    )
    values = check_shape(np.asarray(values, float), {"identity": len(embeddings)}, "values")
    groups = np.zeros(len(values)) if groups is None else np.asarray(groups)
    embeddings, values = _centred(embeddings, groups), _centred(values[:, None], groups)[:, 0]
    if not values.std() > 1e-9 * max(np.abs(values).max(), 1e-30):
        raise InputError("values to be read", "do not vary", "choose another quantity")
    rng = np.random.default_rng(seed)
    shuffled = np.stack([_dealt(values, groups, rng) for _ in range(n_shuffles)], 1)
    columns = np.column_stack([values, shuffled])
    left_out = _left_out(embeddings, columns, len(np.unique(groups)))
    explained = 1 - ((columns - left_out) ** 2).sum(0) / (columns**2).sum(0)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), n_resamples)
    rest = counts @ (values - left_out[:, 0]) ** 2
    spread = counts @ values**2 - (counts @ values) ** 2 / len(values)
    low, high = np.quantile(1 - rest / spread, [0.025, 0.975])
    null_high = np.quantile(explained[1:], 0.95)
    return Probe(float(explained[0]), float(low), float(high), float(null_high), left_out[:, 0])


def _left_out(embeddings, columns, n_groups):
    """Predict each person from the others, each column with the penalty that does best."""
    left, strengths, _ = np.linalg.svd(embeddings, full_matrices=False)
    seen = left.T @ columns
    best, found = np.full(columns.shape[1], np.inf), np.zeros_like(columns)
    for share in _PENALTIES:
        shrink = strengths**2 / (strengths**2 + share * (strengths**2).mean())
        leverage = (left**2) @ shrink + n_groups / len(columns)  # the means' own
        rest = (columns - left @ (shrink[:, None] * seen)) / (1 - leverage)[:, None]
        is_better = (rest**2).sum(0) < best
        best = np.where(is_better, (rest**2).sum(0), best)
        found = np.where(is_better, columns - rest, found)
    return found


def _centred(rows, groups):
    centred = rows.copy()
    for group in np.unique(groups):
        centred[groups == group] -= rows[groups == group].mean(0)
    return centred


def _dealt(values, groups, rng):
    dealt = values.copy()
    for group in np.unique(groups):
        dealt[groups == group] = rng.permutation(values[groups == group])
    return dealt
