"""Preferences with subjects and questions as random effects: a mixed logistic regression."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_ndtr
from scipy.stats import norm

from v2mlib.checks import InputError
from v2mlib.stats.preference import OVERALL
from v2mlib.stats.studies import require_answers

_SMALLEST_SD = 1e-3  # logits; below it a spread has no effect that could be seen
_LARGEST_SD = 20.0
_SURE = 15.0  # logits; a preference beyond it is all answers alike


class MixedPreference(NamedTuple):
    """A fitted mixed logistic regression.

    Attributes
    ----------
    proportion : float
        Probability that a typical person prefers our face in a typical question.
    ci_low, ci_high : float
        Its interval by profile likelihood.
    p_value : float
        One-sided, of a proportion of 0.5 or less: signed root of the likelihood ratio.
    log10_p : float
        Its decimal logarithm.
    order_bias : float, logits
        In favour of the face shown first.
    subject_sd, item_sd : float, logits
        Spread of persons' and of questions' preferences.
    log_likelihood : float
        Laplace's approximation, as in lme4's glmer.
    n_subjects, n_items, n_answers : int
        How many.
    """

    proportion: float
    ci_low: float
    ci_high: float
    p_value: float
    log10_p: float
    order_bias: float
    subject_sd: float
    item_sd: float
    log_likelihood: float
    n_subjects: int
    n_items: int
    n_answers: int


def mixed_preference(answers, *, confidence=0.95):
    """Fit a preference with crossed random effects of subjects and questions.

    ``logit P(chosen) = b + o (shown first ? 1 : -1) + u_subject + w_item``, `u` and `w` normal
    with spreads of their own. The likelihood is GPBoost's (Laplace's approximation), the test
    and the interval are of likelihood ratios, because Wald's are too sure with as few
    questions as studies have.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`; only questions count. Items are numbered
        within sections; all sections share one preference.
    confidence : float
        Of the interval.

    Returns
    -------
    MixedPreference
        Estimates, interval, test.

    Raises
    ------
    InputError
        If the answers are no table of answers, are all alike, come from one subject or item, or
        GPBoost is not installed.

    References
    ----------
    Jaeger, "Categorical data analysis: away from ANOVAs and towards logit mixed models", 2008;
    Sigrist, "Gaussian process boosting", JMLR 2022.
    """
    questions = require_answers(answers)
    if questions["chosen"].nunique() == 1:
        raise InputError("answers", "are all alike", "the exact interval of the counts says it all")
    likelihood = _Likelihood(questions)
    best = likelihood.maximise()
    bias, preference = best.x[0], best.x[1]
    null = likelihood.maximise(preference=0.0)
    root = math.copysign(math.sqrt(max(0.0, 2 * (null.fun - best.fun))), preference)
    low, high = _profile_interval(likelihood, best, confidence)
    log_p = float(log_ndtr(-root))
    return MixedPreference(
        proportion=float(expit(preference)),
        ci_low=low,
        ci_high=high,
        p_value=math.exp(log_p),
        log10_p=log_p / math.log(10),
        order_bias=float(bias),
        subject_sd=float(np.exp(best.x[2])),
        item_sd=float(np.exp(best.x[3])),
        log_likelihood=-float(best.fun),
        n_subjects=likelihood.sizes[0],
        n_items=likelihood.sizes[1],
        n_answers=len(questions),
    )


def mixed_preference_table(answers, *, confidence=0.95):
    """Fit each section of a study, and all together.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`.
    confidence : float
        Of the intervals.

    Returns
    -------
    DataFrame
        A row per section and one "overall": `section` and the fields of `MixedPreference`.

    Raises
    ------
    InputError
        As `mixed_preference`.
    """
    parts = dict(list(require_answers(answers).groupby("section", sort=False)))
    if len(parts) > 1:
        parts[OVERALL] = answers
    fits = [mixed_preference(part, confidence=confidence) for part in parts.values()]
    table = pd.DataFrame(fits)
    table.insert(0, "section", list(parts))
    return table


class _Likelihood:
    """Negative log-likelihood in (order bias, preference, log subject sd, log item sd)."""

    def __init__(self, questions):
        gpboost = _gpboost()
        groups = np.column_stack(
            [
                questions.groupby("subject").ngroup().to_numpy(),
                questions.groupby(["section", "item"]).ngroup().to_numpy(),
            ]
        )
        self.sizes = tuple(int(size) for size in groups.max(0) + 1)
        if min(self.sizes) < 2:
            raise InputError(
                "answers",
                f"come from {self.sizes[0]} subjects and {self.sizes[1]} items",
                "2 of each are needed",
            )
        self._chosen = questions["chosen"].to_numpy(dtype=float)
        self._first = np.where(questions["shown_first"], 1.0, -1.0)
        self._model = gpboost.GPModel(
            group_data=groups,
            likelihood="bernoulli_logit",
            matrix_inversion_method="cholesky",  # its default estimates the determinant at random
            num_parallel_threads=1,
        )

    def __call__(self, parameters):
        bias, preference, *log_sds = parameters
        return self._model.neg_log_likelihood(
            cov_pars=np.exp(2 * np.asarray(log_sds)),
            y=self._chosen,
            fixed_effects=preference + bias * self._first,
        )

    def maximise(self, preference=None, start=(0.0, 0.0, -0.7, -0.7)):
        """Maximise over what is free; a given preference is held."""
        sds = (math.log(_SMALLEST_SD), math.log(_LARGEST_SD))
        bounds = [(-_SURE, _SURE), (-_SURE, _SURE), sds, sds]
        start = np.array(start, dtype=float)
        if preference is not None:
            start[1], bounds[1] = preference, (preference, preference)
        options = {"ftol": 1e-12, "gtol": 1e-7, "maxiter": 500}
        return minimize(self, start, method="L-BFGS-B", bounds=bounds, options=options)


def _profile_interval(likelihood, best, confidence):
    """Preferences whose likelihood ratio stays below the chi-squared quantile."""
    drop = norm.isf((1 - confidence) / 2) ** 2 / 2

    def excess(preference):
        return likelihood.maximise(preference, start=best.x).fun - best.fun - drop

    ends = []
    for direction in (-1, 1):
        step, inner = 0.25, best.x[1]
        while (outer := best.x[1] + direction * step) and abs(outer) < _SURE and excess(outer) < 0:
            inner, step = outer, 2 * step
        if abs(outer) >= _SURE:
            ends.append(float(direction > 0))
        else:
            ends.append(float(expit(brentq(excess, inner, outer, xtol=1e-4))))
    return ends


def _gpboost():
    try:
        import gpboost
    except ImportError:
        raise InputError(
            "mixed logistic regression", "needs GPBoost", "pip install 'v2mlib[study]'"
        ) from None
    return gpboost
