"""Many tests at once: p-values corrected within families."""

import numpy as np
from scipy.stats import false_discovery_control

from v2mlib.checks import InputError


def adjust(table, family=None, *, p_value="p_value", methods=("holm", "bh", "by")):
    """Add corrected p-values to a table of tests.

    Parameters
    ----------
    table : DataFrame
        A row per test.
    family : str or list of str, optional
        Columns whose values name the families; the whole table is one by default.
    p_value : str
        Column of the p-values.
    methods : sequence of {"holm", "bh", "by"}
        Holm (no false claim at all), Benjamini-Hochberg (share of false claims, tests
        independent or positively dependent) and Benjamini-Yekutieli (any dependence).

    Returns
    -------
    DataFrame
        A copy with a column ``<p_value>_<method>`` for each method.

    Raises
    ------
    InputError
        If a column is absent, a method unknown, or a p-value outside [0, 1].

    Examples
    --------
    >>> import pandas as pd
    >>> tests = pd.DataFrame({"line": list("abc"), "p_value": [0.01, 0.02, 0.5]})
    >>> adjust(tests)["p_value_bh"].round(3).tolist()
    [0.03, 0.03, 0.5]
    """
    columns = [p_value, *([family] if isinstance(family, str) else family or [])]
    absent = [name for name in columns if name not in table]
    if absent:
        raise InputError("table", f"lacks the columns {absent}", f"it has {list(table)}")
    unknown = [name for name in methods if name not in _METHODS]
    if unknown:
        raise InputError("methods", f"hold {unknown}", f"choose among {list(_METHODS)}")
    p = table[p_value].to_numpy(dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError(p_value, "holds what is no probability", "leave out tests without one")
    families = table.groupby(columns[1:]).ngroup().to_numpy() if family else np.zeros(len(p), int)
    found = table.copy()
    for method in methods:
        corrected = np.empty_like(p)
        for number in np.unique(families):
            members = families == number
            corrected[members] = _METHODS[method](p[members])
        found[f"{p_value}_{method}"] = corrected
    return found


def _holm(p):
    """Holm's step-down p-values."""
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1)
    return corrected


# Not statsmodels' multipletests: it collects garbage at every call, 0.3 s in a large process.
_METHODS = {
    "holm": _holm,
    "bh": lambda p: false_discovery_control(p, method="bh"),
    "by": lambda p: false_discovery_control(p, method="by"),
}
