"""What the answers say: the published test, and what remains when answers are not coins."""

from typing import NamedTuple

import pandas as pd

from v2mlib.checks import InputError
from v2mlib.stats.clustered import attention, breakdown, cluster_bootstrap, order_bias
from v2mlib.stats.mixed import mixed_preference_table
from v2mlib.stats.preference import PreferenceTest, preference_table
from v2mlib.stats.studies import require_answers


class Analysis(NamedTuple):
    """Everything the answers say.

    Attributes
    ----------
    naive : DataFrame
        From `preference_table`: each answer an independent coin, as published.
    clustered : DataFrame or None
        From `cluster_bootstrap`: other people, other faces.
    mixed : DataFrame or None
        From `mixed_preference_table`: the typical person and question.
    items, subjects : DataFrame
        From `breakdown`: question by question and person by person.
    order : PreferenceTest
        Of the face shown first.
    attention : DataFrame
        ``subject``, ``passed``, ``checks``.
    left_out : list
        Subjects left out for failing attention checks.
    remarks : list of str
        Why a table is None, and what else a reader should know.
    """

    naive: pd.DataFrame
    clustered: pd.DataFrame | None
    mixed: pd.DataFrame | None
    items: pd.DataFrame
    subjects: pd.DataFrame
    order: PreferenceTest
    attention: pd.DataFrame
    left_out: list
    remarks: list


def section_counts(answers):
    """Count favourable answers by section.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`; only questions count.

    Returns
    -------
    dict of str to (int, int)
        ``(chosen, trials)`` by section, for `preference_table`.

    Raises
    ------
    InputError
        If the answers are no table of answers.
    """
    counts = require_answers(answers).groupby("section", sort=False)["chosen"].agg(["sum", "size"])
    return {name: (int(row["sum"]), int(row["size"])) for name, row in counts.iterrows()}


def analyse_answers(answers, *, level=0.001, attention_share=0.0, mixed=True):
    """Analyse a study's answers in every way this package knows.

    Parameters
    ----------
    answers : DataFrame
        Columns as in `v2mlib.stats.studies.COLUMNS`.
    level : float
        Of the exact test; the published study's by default.
    attention_share : float, in [0, 1]
        Subjects who pass a smaller share of their attention checks are left out. Choose it
        before looking at the answers.
    mixed : bool
        Whether to fit the mixed model, which takes seconds and needs the extra "study".

    Returns
    -------
    Analysis
        All tables.

    Raises
    ------
    InputError
        If the answers are no table of answers, or nobody is left.
    """
    if not 0 <= attention_share <= 1:
        raise InputError("attention_share", f"is {attention_share}", "give a share within 0 to 1")
    checks = attention(answers)
    failed = checks.loc[checks["passed"] < attention_share * checks["checks"], "subject"]
    kept = answers[~answers["subject"].isin(failed)]
    if kept.empty:
        raise InputError("answers", "are left from nobody", "ask for less attention")
    remarks = []
    if len(failed):
        remarks.append(f"left out {len(failed)} subjects who failed attention checks")
    n_each = require_answers(kept).groupby("subject").size()
    if n_each.nunique() > 1:
        remarks.append(f"{int((n_each < n_each.max()).sum())} subjects have not finished")
    return Analysis(
        naive=preference_table(section_counts(kept), level),
        clustered=_or_remark(cluster_bootstrap, kept, "cluster bootstrap", remarks),
        mixed=_or_remark(mixed_preference_table, kept, "mixed model", remarks) if mixed else None,
        items=breakdown(kept, "item"),
        subjects=breakdown(kept, "subject"),
        order=order_bias(kept),
        attention=checks,
        left_out=failed.tolist(),
        remarks=remarks,
    )


def compare_tests(analysis):
    """Put the tests of an analysis side by side.

    Parameters
    ----------
    analysis : Analysis
        From `analyse_answers`.

    Returns
    -------
    DataFrame
        A row per section and test: ``section``, ``test``, ``proportion``,
        ``proportion_ci_low``, ``proportion_ci_high``, ``p_value`` (one-sided).
    """
    tables = {
        "independent answers": analysis.naive,
        "cluster bootstrap": analysis.clustered,
        "mixed model": analysis.mixed,
    }
    columns = {
        "section": "section", "proportion": "proportion", "ci_low": "proportion_ci_low",
        "ci_high": "proportion_ci_high", "p_value": "p_value",
    }  # fmt: skip
    parts = [
        table[list(columns)].rename(columns=columns).assign(test=name)
        for name, table in tables.items()
        if table is not None
    ]
    sections = {name: place for place, name in enumerate(analysis.naive["section"])}
    both = pd.concat(parts, ignore_index=True)
    both = both.sort_values("section", key=lambda names: names.map(sections), kind="stable")
    return both[["section", "test", *list(columns.values())[1:]]].reset_index(drop=True)


def _or_remark(test, answers, name, remarks):
    try:
        return test(answers)
    except InputError as error:
        remarks.append(f"no {name}: {error}")
        return None
