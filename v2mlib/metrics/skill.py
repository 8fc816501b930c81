"""How much of the attainable gain a method reaches, with intervals over identities.

Four errors on the same identities frame every result: the mean face (knows nothing), the
sex-mean face (knows the sex only), the method, and the ceiling (the best predictor the law
allows, given the voice). The unit of analysis is the identity.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError

#: Skills whose denominator is zero *by law* in a world: there the quotient means nothing,
#: whatever the two noisy estimates of the same error happen to be.
UNDEFINED_SKILLS = {
    "default": frozenset(),
    "sex_only": frozenset({"within_sex_skill"}),
    "null": frozenset({"skill", "within_sex_skill"}),
}

#: The four figures of a method, in the order of the tables.
SKILLS = ("skill", "within_sex_skill", "gain_vs_mean", "gain_vs_sex_mean")


class Estimate(NamedTuple):
    """A figure and its bootstrap interval; ``nan`` where the figure is undefined."""

    value: float
    ci_low: float
    ci_high: float


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


def resampled_means(errors, n_resamples, seed):
    """Means over identities drawn with replacement; one draw serves every column: paired.

    Parameters
    ----------
    errors : ndarray, (identity, column)
        Errors.
    n_resamples : int
        How often to draw as many identities as there are.
    seed : int
        Of the drawing: equal seeds draw equal identities, whatever the columns.

    Returns
    -------
    ndarray, (resample, column)
        Mean errors.
    """
    n_identities = errors.shape[0]
    counts = np.random.default_rng(seed).multinomial(
        n_identities, np.full(n_identities, 1 / n_identities), size=n_resamples
    )
    return counts @ errors / n_identities  # (resample, column)


def intervals(samples, level):
    """Percentile interval of a resampled figure.

    Parameters
    ----------
    samples : array_like, (resample,)
        The figure in each resample; nan where it is undefined.
    level : float
        Coverage.

    Returns
    -------
    low, high : float
        Ends; nan where so many resamples are undefined that an end is unbounded.
    """
    tail = (1 - level) / 2
    if np.mean(~np.isfinite(samples)) > tail:
        return np.nan, np.nan  # the interval would be unbounded
    low, high = np.quantile(samples[np.isfinite(samples)], [tail, 1 - tail])
    return float(low), float(high)


def skill_figures(mean, sex_mean, model, ceiling):
    """The four figures from mean errors; nan where a denominator is not positive.

    Parameters
    ----------
    mean, sex_mean, model, ceiling : float or ndarray, (resample,)
        Mean errors of the mean face, the sex-mean face, the method and the ceiling.

    Returns
    -------
    dict of str to float or ndarray, (resample,)
        By the names in `SKILLS`.
    """

    def ratio(gain, room):
        room = np.where(room > 0, room, np.nan)
        return gain / room

    return {
        "skill": ratio(mean - model, mean - ceiling),
        "within_sex_skill": ratio(sex_mean - model, sex_mean - ceiling),
        "gain_vs_mean": ratio(mean - model, mean),
        "gain_vs_sex_mean": ratio(sex_mean - model, sex_mean),
    }


def _checked(errors):
    columns = {name: np.asarray(column, dtype=float) for name, column in dict(errors).items()}
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise ShapeError(f"errors have shapes {lengths}, expected the same (identity,) for each")
    for name, column in columns.items():
        if column.size == 0:
            raise InputError(f"errors of {name}", "are empty", "score at least one identity")
        if not np.isfinite(column).all():
            raise InputError(
                f"errors of {name}",
                f"hold {np.sum(~np.isfinite(column))} values that are not finite",
                "look for identities without a prediction",
            )
    return columns


def skills(errors, *, method="model", world="default", n_resamples=4000, seed=0, level=0.95):
    """The four figures of one method beside the mean face, the sex-mean face and the ceiling.

    ``skill = (E_mean - E_method) / (E_mean - E_ceiling)``, ``within_sex_skill`` the same with
    the sex-mean face in the place of the mean face, ``gain_vs_mean = 1 - E_method / E_mean``,
    ``gain_vs_sex_mean`` likewise. Intervals are percentile intervals of a paired bootstrap:
    each resample draws identities and takes every error on the same draw.

    Parameters
    ----------
    errors : mapping of str to array_like, (identity,)
        Error of each identity under ``"mean_face"``, ``"sex_mean_face"``, ``"ceiling"`` and the
        method, identities in the same order.
    method : str
        Which of the errors is judged.
    world : {"default", "sex_only", "null"}
        The law that made the identities. In the sex-only world the ceiling *is* the sex-mean
        face, in the null world it *is* the mean face: the skills that would divide by this
        zero are undefined there, whatever the estimates are.
    n_resamples : int
        Bootstrap resamples.
    seed : int
        Of the resampling.
    level : float
        Coverage of the intervals.

    Returns
    -------
    dict of str to Estimate
        By the names in `SKILLS`; an undefined skill is ``nan`` throughout. An interval alone
        is ``nan`` where so few identities leave it unbounded (the denominator changes sign).

    Raises
    ------
    InputError
        If a reference is missing, an error is not finite, or the world is unknown.
    ShapeError
        If the errors differ in length.

    Examples
    --------
    >>> errors = {"mean_face": [4.0, 4.0], "sex_mean_face": [3.0, 3.0],
    ...           "model": [2.5, 2.5], "ceiling": [2.0, 2.0]}
    >>> found = skills(errors)
    >>> found["skill"].value, found["within_sex_skill"].value, found["gain_vs_mean"].value
    (0.75, 0.5, 0.375)
    >>> skills(errors, world="sex_only")["within_sex_skill"].value
    nan
    """
    if world not in UNDEFINED_SKILLS:
        raise InputError(
            f"world {world!r}", "is unknown", f"choose from {', '.join(UNDEFINED_SKILLS)}"
        )
    columns = ("mean_face", "sex_mean_face", method, "ceiling")
    missing = [name for name in columns if name not in errors]
    if missing:
        raise InputError("errors", f"lack {', '.join(missing)}", "score these methods too")
    checked = _checked({name: errors[name] for name in columns})
    table = np.column_stack([checked[name] for name in columns])  # a reference may be the method
    point = skill_figures(*table.mean(axis=0))
    spread = skill_figures(*resampled_means(table, n_resamples, seed).T)
    return {
        name: UNDEFINED
        if name in UNDEFINED_SKILLS[world]
        else Estimate(float(point[name]), *intervals(spread[name], level))
        for name in SKILLS
    }


def mean_with_interval(errors, *, n_resamples=4000, seed=0, level=0.95):
    """Mean error over identities with its bootstrap interval.

    Parameters
    ----------
    errors : array_like, (identity,)
        One error per identity.
    n_resamples : int
        Bootstrap resamples.
    seed : int
        Of the resampling.
    level : float
        Coverage of the interval.

    Returns
    -------
    Estimate
        In the unit of the errors.

    Examples
    --------
    >>> mean_with_interval([2.0, 2.0, 2.0])
    Estimate(value=2.0, ci_low=2.0, ci_high=2.0)
    """
    (column,) = _checked({"the method": errors}).values()
    resampled = resampled_means(column[:, None], n_resamples, seed)[:, 0]
    return Estimate(float(column.mean()), *intervals(resampled, level))


def skill_table(scores, *, world="default", column="error", **resampling):
    """Error and skills of every method on every measure, one row each.

    Parameters
    ----------
    scores : DataFrame
        A row per identity, method and measure, as `score_methods` returns it.
    world : {"default", "sex_only", "null"}
        The law that made the identities (see `skills`).
    column : {"error", "error_per_utterance"}
        The headline error (coefficients averaged over an identity's utterances) or the mean
        of its utterances' errors.
    **resampling
        ``n_resamples``, ``seed`` and ``level`` as in `skills`.

    Returns
    -------
    DataFrame
        ``measure``, ``method``, ``n_identities``, ``error`` with ``error_ci_low`` and
        ``error_ci_high``, and for each name in `SKILLS` the figure, ``<name>_ci_low`` and
        ``<name>_ci_high``.

    Raises
    ------
    InputError
        If the reference methods are missing or an identity lacks a score.
    """
    rows = []
    for measure, block in scores.groupby("measure", sort=False, observed=True):
        wide = block.pivot(index="identity", columns="method", values=column)
        for method in block["method"].unique():
            row = {"measure": measure, "method": method, "n_identities": len(wide)}
            figures = {"error": mean_with_interval(wide[method], **resampling)}
            figures |= skills(wide, method=method, world=world, **resampling)
            for name, (value, low, high) in figures.items():
                row |= {name: value, f"{name}_ci_low": low, f"{name}_ci_high": high}
            rows.append(row)
    return pd.DataFrame(rows)
