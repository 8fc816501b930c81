"""The summary of a table of errors: means, intervals, paired differences, skills.

The unit of analysis is the identity. A bootstrap resample draws identities with replacement, and
each brings all its utterances with it (they are not independent, so they are never drawn on
their own). One draw serves all methods and measures: differences, percentages and skills are
paired.
"""

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.metrics.face_rows import some
from v2mlib.metrics.skill import UNDEFINED_SKILLS, intervals, resampled_means, skill_figures

GROUPS = ("all", "m", "f")
"""Whose errors a row of the summary is about: everybody, men, women."""

_KEYS = ["method", "measure", "definition"]


def summarise(
    table,
    *,
    baseline=None,
    ceiling=None,
    by=GROUPS,
    column="error",
    world="default",
    n_resamples=4000,
    seed=0,
    level=0.95,
):
    r"""Mean errors with bootstrap intervals over identities, paired with a baseline and a ceiling.

    With the mean error :math:`E` of a method over identities,
    ``difference`` :math:`= E - E_\text{baseline}`, ``change_percent`` :math:`= 100\,(E /
    E_\text{baseline} - 1)` (the paper's column: negative is better), ``skill`` and
    ``within_sex_skill`` as in `v2mlib.metrics.skill.skills`.

    Parameters
    ----------
    table : DataFrame
        From `evaluate`.
    baseline : str, optional
        The method that the others are compared with, identity by identity.
    ceiling : str, optional
        The method that is the best attainable, where that is known. Skills then also need the
        methods ``mean_face`` and ``sex_mean_face``.
    by : sequence of {"all", "m", "f"}
        Groups of identities, each resampled on its own.
    column : {"error", "error_per_utterance"}
        The headline error (faces averaged over an identity's utterances), or the mean of its
        utterances' errors, as the paper has it.
    world : {"default", "sex_only", "null"}
        The law that made the identities: skills that would divide by a zero of the law are
        undefined.
    n_resamples : int
        Bootstrap resamples.
    seed : int
        Of the resampling.
    level : float
        Coverage of the percentile intervals. In simulated phantom worlds 95 % intervals held the
        truth in 93 to 95 % with 120 identities and in 94 to 96 % with 480; with 30 skills are
        often undefined, and `v2mlib.stats.bootstrap_means` has an interval made for few.

    Returns
    -------
    DataFrame
        A row per ``group``, ``method``, ``measure`` and ``definition``: ``n_identities``,
        ``error``; with a baseline ``difference`` and ``change_percent``; with a ceiling
        ``skill`` and ``within_sex_skill``; each with ``_ci_low`` and ``_ci_high``. What is
        undefined is nan.

    Raises
    ------
    InputError
        If a method is missing, an identity lacks an error, a group is empty, or an option is
        out of range.

    Examples
    --------
    >>> rows = [("id1", "m", "ours", 1.0), ("id2", "m", "ours", 3.0),
    ...         ("id1", "m", "mean_face", 2.0), ("id2", "m", "mean_face", 6.0)]
    >>> table = pd.DataFrame(rows, columns=["identity", "sex", "method", "error"])
    >>> table = table.assign(measure="nme", definition="mean")
    >>> found = summarise(table, baseline="mean_face", by=["all"]).set_index("method")
    >>> found.loc["ours", ["error", "difference", "change_percent"]].tolist()
    [2.0, -2.0, -50.0]
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    _check(table, baseline, ceiling, column, world)
    _check_resampling(n_resamples, level)
    methods = list(table["method"].unique())
    found = []
    for group in by:
        rows = table if group == "all" else table[table["sex"] == group]
        if rows.empty:
            raise InputError(
                f"group {group!r}",
                f"has none of {table['identity'].nunique()} identities",
                'give evaluate their sex, or summarise by=["all"]',
            )
        wide = _wide(rows, column)
        means = wide.mean()
        resampled = pd.DataFrame(
            resampled_means(wide.to_numpy(dtype=float), n_resamples, seed), columns=wide.columns
        )
        for measure, definition in rows[_KEYS[1:]].drop_duplicates().itertuples(index=False):
            both = [part.xs((measure, definition), level=[1, 2], axis=part.ndim - 1)
                    for part in (means, resampled)]  # fmt: skip
            for method in [name for name in methods if name in both[0]]:
                figures = [_figures(m, method, baseline, ceiling, world) for m in both]
                row = {"group": group, "method": method, "measure": measure}
                row |= {"definition": definition, "n_identities": len(wide)}
                for name, value in figures[0].items():
                    low, high = intervals(figures[1][name], level)
                    row |= {name: float(value), f"{name}_ci_low": low, f"{name}_ci_high": high}
                found.append(row)
    return pd.DataFrame(found)


def _check(table, baseline, ceiling, column, world):
    columns = ["identity", "sex", *_KEYS, column]
    if missing := [name for name in columns if name not in table]:
        raise InputError("table", f"lacks the columns {missing}", "give what evaluate returned")
    if world not in UNDEFINED_SKILLS:
        raise InputError(
            f"world {world!r}", "is unknown", f"choose from {', '.join(UNDEFINED_SKILLS)}"
        )
    wanted = [baseline, ceiling] + (["mean_face", "sex_mean_face"] if ceiling else [])
    methods = set(table["method"])
    if missing := [name for name in wanted if name is not None and name not in methods]:
        raise InputError(
            "table", f"lacks the methods {missing}", f"evaluate them too; it has {sorted(methods)}"
        )


def _check_resampling(n_resamples, level):
    if n_resamples < 1:
        raise InputError(f"n_resamples {n_resamples}", "is not positive", "4000 is the default")
    if not 0 < level < 1:
        raise InputError(f"level {level}", "is not in (0, 1)", "0.95 for intervals of 95 %")


def _wide(rows, column):
    """Errors (identity, key), refusing gaps and doubles."""
    keys = ["identity", *_KEYS]
    if rows.duplicated(keys).any():
        twice = rows.loc[rows.duplicated(keys), "identity"]
        raise InputError(
            "table", f"has several errors of one kind for {some(twice)}", "evaluate once"
        )
    wide = rows.pivot(index="identity", columns=_KEYS, values=column)
    lacking = ~np.isfinite(wide.to_numpy(dtype=float))
    if lacking.any():
        where = wide.columns[lacking.any(0)][0]
        raise InputError(
            "table",
            f"has no finite error for {int(lacking.any(1).sum())} of {len(wide)} identities "
            f"({some(wide.index[lacking.any(1)])}; {', '.join(where)})",
            "evaluate every method on the same identities",
        )
    return wide


def _figures(means, method, baseline, ceiling, world):
    """Figures of a method from mean errors by method, each a number or (resample,)."""
    error = means[method]
    found = {"error": error}
    if baseline is not None:
        found |= _against(error, means[baseline])
    if ceiling is not None:
        skills = skill_figures(means["mean_face"], means["sex_mean_face"], error, means[ceiling])
        for name in ("skill", "within_sex_skill"):
            undefined = name in UNDEFINED_SKILLS[world]
            found[name] = skills[name] * np.nan if undefined else skills[name]
    return found


def _against(error, baseline):
    room = np.where(np.asarray(baseline) > 0, baseline, np.nan)
    return {"difference": error - baseline, "change_percent": 100 * (error / room - 1)}
