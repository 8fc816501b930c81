"""The published figures beside ours, each labelled with its data and its definition."""

import functools

import pandas as pd

from v2mlib.checks import InputError
from v2mlib.paths import shipped

COMPARED = ("data", "definition", "method")
"""What labels a column of figures: none of them may be left out."""


def published(table=None):
    """Figures printed in the paper, as printed.

    Parameters
    ----------
    table : int or sequence of int, optional
        Numbers of the tables, 1 to 5; all by default.

    Returns
    -------
    DataFrame
        A row per figure: ``table``, ``measure`` (as in `evaluate`, without a unit), ``method``
        ("baseline" is the pretrained cascade), ``definition`` ("published": the rule of the
        released code; "not stated" where there is none), ``unit``, ``value``,
        ``change_percent`` (the printed one; nan where none is), ``data``, ``note`` (slips of
        the paper and what it leaves open; empty otherwise).

    Raises
    ------
    InputError
        If there is no such table.

    References
    ----------
    Wu et al., "Voice2Mesh", Tables 1-5; figures only, from
    ``data/published_results.csv``.

    Examples
    --------
    >>> found = published(1).set_index(["measure", "method"])["value"]
    >>> [float(found["are_mean", name]) for name in ("baseline", "supervised")]
    [0.0302, 0.0245]
    """
    figures = _read()
    if table is None:
        return figures.copy()
    wanted = [table] if isinstance(table, int) else list(table)
    known = set(figures["table"])
    if unknown := [number for number in wanted if number not in known]:
        raise InputError(f"table {unknown[0]}", "has no figures", f"choose from {sorted(known)}")
    return figures[figures["table"].isin(wanted)].reset_index(drop=True)


@functools.cache
def _read():
    return pd.read_csv(shipped("published_results.csv"), keep_default_na=False, na_values={
        "change_percent": [""]
    })  # fmt: skip


def compare_with_published(summary, *, data, table=(1, 2, 3), methods=None):
    """Our figures and the published ones in one long table, every one labelled.

    Figures of different data or definitions do not compare, whatever their size: the labels
    say when that is so.

    Parameters
    ----------
    summary : DataFrame
        From `summarise`; its rows of group "all" are taken. For the paper's way of averaging
        summarise the column ``error_per_utterance``.
    data : str
        What our figures were computed on, in words.
    table : int or sequence of int
        Which of the published tables.
    methods : sequence of str, optional
        Which of our methods; all by default.

    Returns
    -------
    DataFrame
        ``table``, ``measure``, ``source`` ("published" or "ours"), ``data``, ``definition``,
        ``method``, ``value``, ``ci_low``, ``ci_high`` (95 % intervals over identities, or of
        the summary's level; the paper prints none), ``change_percent`` (against the paper's
        baseline, or the summary's), ``note``.

    Raises
    ------
    InputError
        If `data` is empty, or the summary has nothing that the tables have.

    Examples
    --------
    >>> ours = pd.DataFrame({"group": ["all"], "method": ["supervised"], "measure": ["nme"],
    ...     "definition": ["mean"], "error": [0.02], "error_ci_low": [0.01],
    ...     "error_ci_high": [0.03]})
    >>> both = compare_with_published(ours, data="made up", table=2)
    >>> both["source"].tolist()
    ['published', 'published', 'published', 'ours']
    """
    if not str(data).strip():
        raise InputError("data", "is empty", "say what the figures were computed on")
    printed = published(table)
    ours = summary[summary["group"] == "all"]
    if methods is not None:
        ours = ours[ours["method"].isin(methods)]
    # The paper states no unit for its RMSE; ours is mm.
    ours = ours.assign(measure=ours["measure"].str.removesuffix("_mm"))
    order = printed[["table", "measure"]].drop_duplicates()
    ours = order.merge(ours, on="measure")
    if ours.empty:
        raise InputError(
            "summary",
            f"has none of the measures {', '.join(order['measure'])}",
            "evaluate the measures of these tables",
        )
    ours = ours.rename(
        columns={"error": "value", "error_ci_low": "ci_low", "error_ci_high": "ci_high"}
    ).assign(source="ours", data=data, note="")
    columns = ["table", "measure", "source", *COMPARED, "value", "ci_low", "ci_high"]
    columns += ["change_percent", "note"]
    both = [part.reindex(columns=columns) for part in (printed.assign(source="published"), ours)]
    both = pd.concat([part.dropna(axis=1, how="all") for part in both], ignore_index=True)
    both = both.reindex(columns=columns)
    place = {measure: number for number, measure in enumerate(order["measure"])}
    return both.sort_values("measure", key=lambda m: m.map(place), kind="stable", ignore_index=True)


def lay_out(comparison, *, digits=4):
    """Lay a comparison out as the paper does: a row per measure, a column per method.

    Parameters
    ----------
    comparison : DataFrame
        From `compare_with_published`.
    digits : int
        After the decimal point.

    Returns
    -------
    DataFrame of str
        Rows ``table`` and ``measure``; columns ``data``, ``definition`` and ``method``, so that
        no figure stands without them. In brackets intervals, and changes against the baseline
        of the same data, where there are any.
    """

    def words(row):
        text = f"{row['value']:.{digits}f}"
        if pd.notna(row["ci_low"]):
            text += f" [{row['ci_low']:.{digits}f}, {row['ci_high']:.{digits}f}]"
        if row["change_percent"] == row["change_percent"] != 0:
            text += f" ({row['change_percent']:+.1f} %)"
        return text

    shown = comparison.assign(value=comparison.apply(words, axis=1))
    wide = shown.pivot(index=["table", "measure"], columns=list(COMPARED), values="value")
    rows = shown[["table", "measure"]].drop_duplicates()
    columns = shown[list(COMPARED)].drop_duplicates()
    return wide.reindex(
        index=pd.MultiIndex.from_frame(rows), columns=pd.MultiIndex.from_frame(columns)
    ).fillna("")
