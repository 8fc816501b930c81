"""Do people prefer one of two faces more often than chance? Exact tests of counts."""

import math
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import binom, binomtest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize

from v2mlib.checks import InputError

#: What the overall row of a table is called.
OVERALL = "overall"


class PreferenceTest(NamedTuple):
    """Outcome of an exact binomial test.

    Attributes
    ----------
    chosen, trials : int
        How often the method was chosen, of how many answers.
    proportion : float
        ``chosen / trials``.
    p_value : float
        One-sided: the probability of so many or more under chance.
    log10_p : float
        Its decimal logarithm, also where `p_value` underflows to 0.
    p_value_two_sided : float
        Of a count as improbable as this one or more, in either direction.
    level : float
        Of the test.
    threshold : int
        Smallest count that rejects at this level; ``trials + 1`` if none does.
    rejected : bool
        ``chosen >= threshold``.
    ci_low, ci_high : float
        Clopper-Pearson interval of the proportion, two-sided.
    wilson_low, wilson_high : float
        Wilson's interval, narrower and only nearly exact.
    effect_size : float
        Cohen's h against chance: ``2 asin(sqrt(proportion)) - 2 asin(sqrt(chance))``.
    """

    chosen: int
    trials: int
    proportion: float
    p_value: float
    log10_p: float
    p_value_two_sided: float
    level: float
    threshold: int
    rejected: bool
    ci_low: float
    ci_high: float
    wilson_low: float
    wilson_high: float
    effect_size: float


def preference_test(chosen, trials, level=0.001, *, chance=0.5, confidence=0.95):
    """Test by counting whether a method is chosen more often than chance.

    Each answer is taken as an independent coin. Answers of one person, or to one question, are
    not: use this for the published design's own test, and a model with subjects and items for
    the claim.

    Parameters
    ----------
    chosen : int
        Answers in favour of the method.
    trials : int
        All answers.
    level : float
        The null hypothesis is rejected where the one-sided p-value is at most this.
    chance : float
        Proportion under the null hypothesis.
    confidence : float
        Of the two intervals.

    Returns
    -------
    PreferenceTest
        p-values, threshold, intervals and effect size.

    Raises
    ------
    InputError
        If the counts are no counts, or a probability is outside (0, 1).

    References
    ----------
    Wu et al., "Voice2Mesh", supplement G: the null hypothesis is rejected when the count exceeds
    the quantile 831 of Binomial(1540, 0.5) at level 0.001, so from 832 on.

    Examples
    --------
    >>> test = preference_test(832, 1540)
    >>> test.rejected, test.threshold, round(test.p_value, 5)
    (True, 832, 0.00086)
    >>> preference_test(831, 1540).rejected
    False
    """
    chosen, trials = _checked_counts(chosen, trials)
    for name, value in (("level", level), ("chance", chance), ("confidence", confidence)):
        _check_probability(name, value)
    exact = binomtest(chosen, trials, chance, alternative="greater")
    both = binomtest(chosen, trials, chance)
    log10_p = _log10_tail(chosen, trials, chance, float(exact.pvalue))
    threshold = smallest_rejecting_count(trials, level, chance=chance)
    clopper_pearson = both.proportion_ci(confidence, method="exact")
    wilson = both.proportion_ci(confidence, method="wilson")
    return PreferenceTest(
        chosen=chosen,
        trials=trials,
        proportion=chosen / trials,
        p_value=float(exact.pvalue),
        log10_p=log10_p,
        p_value_two_sided=float(both.pvalue),
        level=float(level),
        threshold=threshold,
        rejected=chosen >= threshold,
        ci_low=float(clopper_pearson.low),
        ci_high=float(clopper_pearson.high),
        wilson_low=float(wilson.low),
        wilson_high=float(wilson.high),
        effect_size=float(proportion_effectsize(chosen / trials, chance)),
    )


def preference_table(sections, level=0.001, *, chance=0.5, confidence=0.95):
    """Test several sections of a study and all of them together.

    Parameters
    ----------
    sections : mapping of str to (int, int)
        ``(chosen, trials)`` by section.
    level, chance, confidence : float
        As for `preference_test`.

    Returns
    -------
    DataFrame
        A row per section and one named "overall" with the summed counts; the fields of
        `PreferenceTest`, and ``p_value_holm`` and ``rejected_holm`` with Holm's correction over
        the sections (the overall test is one question, asked once: it is not corrected).

    Raises
    ------
    InputError
        If there is no section, one is named "overall", or a count is no count.

    Examples
    --------
    >>> table = preference_table({"images": (65, 100), "meshes": (48, 100)}, level=0.05)
    >>> table[["section", "chosen", "rejected_holm"]].to_numpy().tolist()
    [['images', 65, True], ['meshes', 48, False], ['overall', 113, True]]
    """
    if not sections:
        raise InputError("sections", "are empty", "give (chosen, trials) by section")
    if OVERALL in sections:
        raise InputError("sections", f"name one {OVERALL!r}", "it is summed here: leave it out")
    options = {"chance": chance, "confidence": confidence}
    tests = {name: preference_test(*counts, level, **options) for name, counts in sections.items()}
    total = (sum(t.chosen for t in tests.values()), sum(t.trials for t in tests.values()))
    rejected, adjusted, *_ = multipletests(
        [test.p_value for test in tests.values()], alpha=level, method="holm"
    )
    overall = preference_test(*total, level, **options)
    table = pd.DataFrame([*tests.values(), overall])
    table.insert(0, "section", [*tests, OVERALL])
    return table.assign(
        p_value_holm=[*adjusted, overall.p_value], rejected_holm=[*rejected, overall.rejected]
    )


def smallest_rejecting_count(trials, level=0.001, *, chance=0.5):
    """Smallest count at which the one-sided exact test rejects.

    Parameters
    ----------
    trials : int
        Answers.
    level : float
        Of the test.
    chance : float
        Proportion under the null hypothesis.

    Returns
    -------
    int
        Smallest ``k`` with ``P(X >= k) <= level``; ``trials + 1`` if no count rejects.

    Examples
    --------
    >>> smallest_rejecting_count(1540)
    832
    """
    # The upper quantile q is the smallest count with P(X > q) <= level: rejecting starts above it.
    count = int(binom.isf(level, trials, chance)) + 1
    # Right at a step of the distribution, round-off in the inverse can be one off.
    while count > 0 and binom.sf(count - 2, trials, chance) <= level:
        count -= 1
    while count <= trials and binom.sf(count - 1, trials, chance) > level:
        count += 1
    return count


def implied_count(p_value, trials, *, chance=0.5):
    """Count whose one-sided p-value is nearest to a published one.

    Parameters
    ----------
    p_value : float
        As published.
    trials : int
        Answers.
    chance : float
        Proportion under the null hypothesis.

    Returns
    -------
    int
        The count with the nearest ``log p``.

    Raises
    ------
    InputError
        If the p-value is not within (0, 1], or `trials` is no count.

    Examples
    --------
    The three sections of the published study:

    >>> [implied_count(p, 1540) for p in (1e-16, 1e-14, 1e-10)]
    [931, 920, 895]
    """
    _, trials = _checked_counts(0, trials)
    if not 0 < p_value <= 1:
        raise InputError("p_value", f"is {p_value}", "give a number above 0 and at most 1")
    log_tails = np.logaddexp.accumulate(binom.logpmf(np.arange(trials, -1, -1), trials, chance))
    return trials - int(np.abs(log_tails - math.log(p_value)).argmin())


def preference_power(trials, proportion, level=0.001, *, chance=0.5):
    """Probability that the one-sided exact test rejects.

    Parameters
    ----------
    trials : int
        Answers.
    proportion : array_like
        True probability of a favourable answer.
    level : float
        Of the test.
    chance : float
        Proportion under the null hypothesis.

    Returns
    -------
    ndarray
        Power, of the shape of `proportion`.

    Examples
    --------
    >>> round(float(preference_power(1540, 0.55)), 3)
    0.786
    """
    threshold = smallest_rejecting_count(trials, level, chance=chance)
    return binom.sf(threshold - 1, trials, np.asarray(proportion, dtype=float))


def _log10_tail(chosen, trials, chance, p_value):
    """Sum of the tail in logarithms: no floor at the smallest double, no 1 - cdf."""
    if p_value > 1e-290:  # far from underflow it has more digits
        return math.log10(p_value)
    tail = logsumexp(binom.logpmf(np.arange(chosen, trials + 1), trials, chance))
    return min(float(tail) / math.log(10), 0.0)


def _checked_counts(chosen, trials):
    for name, value in (("chosen", chosen), ("trials", trials)):
        whole = isinstance(value, Integral) or (
            isinstance(value, Real) and float(value).is_integer()
        )
        if isinstance(value, bool) or not whole or value < 0:
            raise InputError(name, f"is {value!r}", "give a whole number, 0 or more")
    if trials == 0 or chosen > trials:
        raise InputError(
            "chosen and trials", f"are {chosen} and {trials}", "chosen counts answers among trials"
        )
    return int(chosen), int(trials)


def _check_probability(name, value):
    if not 0 < value < 1:
        raise InputError(name, f"is {value}", "give a number between 0 and 1")
