"""Nulls for whole evaluations: one tidy row per method and measure, corrected within families.

Two questions, two nulls. *Is a prediction about its own person?* Deal the pairings anew
(`pairing_table`; it needs what was predicted and what is true). *Is one method's error smaller
than another's?* Swap the two methods' errors person by person (`difference_table`; the table of
`v2mlib.metrics.evaluate` is enough).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats.multiplicity import adjust
from v2mlib.stats.permutation import family_p_values, pairing_test

_KEYS = ["method", "measure", "definition"]


def pairing_table(
    predictions, reference, strata=None, *, statistic="correlation", family=None, names=None,
    n_permutations=5000, seed=0,
):  # fmt: skip
    """Permutation tests of several methods on several measures, on the same deals.

    Parameters
    ----------
    predictions : mapping of str to array_like or DataFrame, (identity, measure)
        By method: the predicted measures (ratios or lengths of lines, coefficients ...).
    reference : array_like or DataFrame, (identity, measure)
        The true measures, identities in the same order.
    strata : array_like, (identity,), optional
        Pairings are dealt within each stratum only; with sex, what is tested is more than sex.
    statistic : {"correlation", "error"}
        As in `v2mlib.stats.permutation.pairing_test`.
    family : {"method", "measure"}, optional
        What is corrected together: a method's measures, a measure's methods, or (None) all.
    names : list of str, optional
        Of the measures; the columns of a DataFrame, or numbers, by default.
    n_permutations : int
        Deals.
    seed : int
        Of the deals.

    Returns
    -------
    DataFrame
        A row per method and measure: `method`, `measure`, `statistic`, `observed`, `null_mean`,
        `null_sd`, `null_low` and `null_high` (its central 95 %), `z`, `p_value` (one-sided),
        `p_value_max`, `p_value_holm`, `p_value_bh`, `p_value_by`, `n_exchangeable`.

    Raises
    ------
    ShapeError
        If a method's array is not of the reference's shape.
    InputError
        If identities differ in order, there is no method, or as `pairing_test` says.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, noise = rng.normal(size=(2, 60, 2))
    >>> found = pairing_table({"a listener": truth + noise, "noise": noise[::-1]}, truth,
    ...                       n_permutations=999)
    >>> (found["p_value_max"] < 0.05).tolist()
    [True, True, False, False]
    """
    if not isinstance(predictions, Mapping) or not predictions:
        raise InputError("predictions", "hold no method", 'give {"method": measures, ...}')
    truth, names = _measures(reference, names)
    stacked = []
    for method, values in predictions.items():
        _require_same_identities(method, values, reference)
        array = np.asarray(values, dtype=float)
        if array.shape != truth.shape:
            raise ShapeError(
                f"predictions of {method} have shape {array.shape}, reference {truth.shape}, "
                "expected the same (identity, measure)"
            )
        stacked.append(array)
    rows = pd.DataFrame(
        [(method, name) for method in predictions for name in names], columns=_KEYS[:2]
    )
    test = pairing_test(
        np.hstack(stacked), np.tile(truth, len(stacked)), strata, statistic=statistic,
        families=_families(rows, family), n_permutations=n_permutations, seed=seed,
    )  # fmt: skip
    low, high = np.quantile(test.null, [0.025, 0.975], axis=0)
    found = rows.assign(
        statistic=statistic, observed=test.observed, null_mean=test.null.mean(0),
        null_sd=test.null.std(0), null_low=low, null_high=high, z=test.z, p_value=test.p_value,
        p_value_max=test.p_value_max,
    )  # fmt: skip
    found = adjust(found, family)
    return found.assign(n_exchangeable=test.n_exchangeable)


def difference_table(
    table, baseline, *, methods=None, column="error", family=None, n_permutations=5000, seed=0
):
    """Test every method's error against a baseline's, from a table of errors alone.

    Under the null hypothesis a person's two errors could as well be swapped: the sign of each
    difference is drawn anew. With the sex-mean face as the baseline, what is tested is whether
    the method is closer than the speaker's sex alone; whether it carries *any* information is
    the question of `pairing_table` (a method may know something and still spoil it by
    over-confidence).

    Parameters
    ----------
    table : DataFrame
        From `v2mlib.metrics.evaluate`: `identity`, `method`, `measure`, `definition`, `error`.
    baseline : str
        The method that the others are compared with.
    methods : sequence of str, optional
        Which; all others by default.
    column : {"error", "error_per_utterance"}
        Which error.
    family : str or list of str, optional
        Columns whose values name the families; all tests are one by default.
    n_permutations : int
        Draws of signs, the same for all methods and measures.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        A row per method, measure and definition: `difference` (method less baseline; negative
        is better), `t` (over its standard error), `p_value` (two-sided), `p_value_max`,
        `p_value_holm`, `p_value_bh`, `p_value_by`, `n_identities`. Where no error differs, t is
        0 and p is 1.

    Raises
    ------
    InputError
        If columns or methods are missing, or a method lacks an identity's error.

    References
    ----------
    Janssen, "Studentized permutation tests for non-i.i.d. hypotheses", Statistics and
    Probability Letters 36, 1997: dividing by the standard error keeps the level, for many
    identities, where errors are skew.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = [(i, name, "are_ear", "corrected", e - (name == "model") * rng.random())
    ...         for i, e in enumerate(rng.random(30)) for name in ("mean_face", "model")]
    >>> table = pd.DataFrame(rows, columns=["identity", *_KEYS, "error"])
    >>> bool(difference_table(table, "mean_face")["p_value"].item() < 0.001)
    True
    """
    columns = ["identity", *_KEYS, column]
    if missing := [name for name in columns if name not in table]:
        raise InputError("table", f"lacks the columns {missing}", "give what evaluate returned")
    known = list(table["method"].unique())
    methods = [name for name in known if name != baseline] if methods is None else list(methods)
    if missing := [name for name in [baseline, *methods] if name not in known]:
        raise InputError("table", f"lacks the methods {missing}", f"it has {known}")
    if not methods or baseline in methods:
        raise InputError("methods", f"are {methods}", f"give others than {baseline!r}")
    if n_permutations < 1:
        raise InputError("n_permutations", f"is {n_permutations}", "draw at least once")
    wide = table.pivot(index="identity", columns=_KEYS, values=column)
    rows = pd.DataFrame([key for key in wide if key[0] in methods], columns=_KEYS)
    rows = rows.sort_values("method", key=lambda names: names.map(methods.index), kind="stable")
    rows = rows.reset_index(drop=True)
    differences = np.column_stack(
        [_difference(wide, tuple(key), baseline) for key in rows.itertuples(index=False)]
    )
    if len(differences) < 2:
        raise InputError("table", f"holds {len(differences)} identities", "give 2 or more")
    scores = _t_of_signs(differences, n_permutations, seed)
    extreme = np.abs(scores)
    beaten = (extreme[1:] >= extreme[0] - 1e-9).sum(0)
    found = rows.assign(
        difference=differences.mean(0), t=scores[0], p_value=(beaten + 1) / len(scores),
        p_value_max=family_p_values(extreme, _families(rows, family)),
    )  # fmt: skip
    return adjust(found, family).assign(n_identities=len(differences))


def _difference(wide, key, baseline):
    rival = (baseline, *key[1:])
    if rival not in wide:
        raise InputError(
            "table", f"has no {key[1]} ({key[2]}) of {baseline}", "evaluate all methods alike"
        )
    found = (wide[key] - wide[rival]).to_numpy(dtype=float)
    if not np.isfinite(found).all():
        raise InputError(
            "table",
            f"has no finite {key[1]} for {int((~np.isfinite(found)).sum())} identities of {key[0]}",
            "evaluate every method on the same identities",
        )
    return found


def _t_of_signs(differences, n_permutations, seed):
    """T statistics (1 + permutation, test): as observed, then with signs drawn anew."""
    n = len(differences)
    signs = np.random.default_rng(seed).integers(0, 2, (n_permutations, n), dtype=np.int8)
    means = np.vstack([differences.mean(0), (2.0 * signs - 1) @ differences / n])
    squares = (differences**2).mean(0)  # no sign changes it
    variance = np.maximum(squares - means**2, 1e-24 * squares) / (n - 1)
    return np.divide(means, np.sqrt(variance), out=np.zeros_like(means), where=variance > 0)


def _families(rows, family):
    return None if family is None else rows.groupby(family, sort=False).ngroup().to_numpy()


def _measures(reference, names):
    truth = np.asarray(reference, dtype=float)
    if truth.ndim != 2:
        raise ShapeError(f"reference has shape {truth.shape}, expected (identity, measure)")
    if names is None:
        has_names = isinstance(reference, pd.DataFrame)
        names = list(reference.columns) if has_names else list(range(truth.shape[1]))
    if len(names) != truth.shape[1]:
        raise ShapeError(f"there are {len(names)} names for {truth.shape[1]} measures")
    return truth, list(names)


def _require_same_identities(method, values, reference):
    both = isinstance(values, pd.DataFrame) and isinstance(reference, pd.DataFrame)
    if both and not (values.index.equals(reference.index) and list(values) == list(reference)):
        raise InputError(
            f"predictions of {method}",
            "have other identities or measures than the reference, or in another order",
            "reindex them like the reference",
        )
