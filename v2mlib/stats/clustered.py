"""Preferences when answers come in clusters: bootstrap, breakdowns, checks of the answers."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from v2mlib.checks import InputError
from v2mlib.stats.preference import OVERALL, preference_test
from v2mlib.stats.studies import require_answers


def cluster_bootstrap(answers, *, n_resamples=4000, confidence=0.95, seed=0):
    """Proportion of favourable answers, with subjects and questions both drawn anew.

    Subjects and items are resampled independently of one another; an answer counts as often as
    its subject and its item were drawn. The interval therefore speaks of other people *and*
    other faces, which the binomial test's does not.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`; only questions count.
    n_resamples : int
        Draws.
    confidence : float
        Of the interval.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        A row per section and one "overall": `section`, `proportion`, `ci_low`, `ci_high`
        (percentiles), `standard_error`, `design_effect` (its square over the variance of
        independent answers), `p_value` (one-sided, of a proportion of 0.5 or less, from the
        draws' normal approximation on the logit scale), `n_subjects`, `n_items`, `n_answers`.

    Raises
    ------
    InputError
        If the answers are no table of answers, or have fewer than 2 subjects or items.

    References
    ----------
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007: its variance is
    never too small for crossed effects, at most slightly too large.
    """
    questions = require_answers(answers)
    parts = dict(list(questions.groupby("section", sort=False)))
    if len(parts) > 1:
        parts[OVERALL] = questions
    rows = [
        {"section": name} | _pigeonhole(part, n_resamples, confidence, seed)
        for name, part in parts.items()
    ]
    return pd.DataFrame(rows)


def _pigeonhole(questions, n_resamples, confidence, seed):
    item = questions.groupby(["section", "item"]).ngroup().to_numpy()
    subject = questions.groupby("subject").ngroup().to_numpy()
    sizes = subject.max() + 1, item.max() + 1
    if min(sizes) < 2:
        raise InputError(
            "answers", f"come from {sizes[0]} subjects and {sizes[1]} items", "2 of each are needed"
        )
    asked, favourable = np.zeros(sizes), np.zeros(sizes)
    asked[subject, item] = 1
    favourable[subject, item] = questions["chosen"]
    rng = np.random.default_rng(seed)
    people, faces = (rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in sizes)
    counts = [((people @ table) * faces).sum(1) for table in (favourable, asked)]
    counts = [each[counts[1] > 0] for each in counts]  # of few answers, a draw may hold none
    # Half an answer for and against keeps a draw off 0 and 1, where a logit has no value.
    logits = np.log(counts[0] + 0.5) - np.log(counts[1] - counts[0] + 0.5)
    draws = counts[0] / counts[1]
    p, n = float(questions["chosen"].mean()), len(questions)
    centre = np.log(p * n + 0.5) - np.log(n - p * n + 0.5)
    low, high = np.quantile(draws, [0.5 - confidence / 2, 0.5 + confidence / 2])
    error = float(draws.std(ddof=1))
    return {
        "proportion": p,
        "ci_low": float(low),
        "ci_high": float(high),
        "standard_error": error,
        "design_effect": error**2 / (p * (1 - p) / n) if 0 < p < 1 else np.nan,
        "p_value": float(norm.sf(centre / logits.std(ddof=1))),
        "n_subjects": int(sizes[0]),
        "n_items": int(sizes[1]),
        "n_answers": n,
    }


def breakdown(answers, by):
    """Preferences person by person, or question by question.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`; only questions count.
    by : {"subject", "item"}
        Whose answers are counted together; items are numbered within sections.

    Returns
    -------
    DataFrame
        `subject`, or `section` and `item`; `chosen`, `trials`, `proportion`, `ci_low`,
        `ci_high` (Clopper-Pearson, 95 %).

    Raises
    ------
    InputError
        If the answers are no table of answers or `by` is unknown.
    """
    keys = {"subject": ["subject"], "item": ["section", "item"]}
    if by not in keys:
        raise InputError("by", f"is {by!r}", "choose 'subject' or 'item'")
    counts = require_answers(answers).groupby(keys[by], sort=False)["chosen"]
    table = counts.agg(chosen="sum", trials="size").reset_index()
    tests = [preference_test(row.chosen, row.trials) for row in table.itertuples()]
    fields = ("proportion", "ci_low", "ci_high")
    return table.assign(**{name: [getattr(test, name) for test in tests] for name in fields})


def order_bias(answers):
    """Whether the face shown first is chosen more or less often than half the time.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`; only questions count.

    Returns
    -------
    PreferenceTest
        Of the first face; read `p_value_two_sided`. Answers are taken as independent, so a
        small p-value is a hint and a large one a comfort.

    Raises
    ------
    InputError
        If the answers are no table of answers.
    """
    questions = require_answers(answers)
    first = questions["chosen"] == questions["shown_first"]
    return preference_test(int(first.sum()), len(first))


def attention(answers):
    """Who passed the attention checks.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`.

    Returns
    -------
    DataFrame
        `subject`, `passed`, `checks`: empty if the study had none.

    Raises
    ------
    InputError
        If the answers are no table of answers.
    """
    require_answers(answers)
    checks = answers[answers["kind"] == "attention"].astype({"chosen": bool})
    counts = checks.groupby("subject")["chosen"].agg(passed="sum", checks="size")
    return counts.reset_index()
