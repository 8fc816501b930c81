"""Charts of preference studies: who is preferred, question by question, and how sure that is."""

import numpy as np
import plotly.graph_objects as go

from v2mlib.checks import InputError
from v2mlib.plot_tables import forest
from v2mlib.plots import PALETTE, template

_INK, _SOFT = "#1b2230", "#5f6b7a"


def section_bars(table, *, title=None):
    """Share of answers for our method by section, with the test's threshold.

    Parameters
    ----------
    table : DataFrame
        From `v2mlib.stats.preference_table`; sections must have the same number of answers
        for the one threshold to be theirs.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Bars with exact intervals; a dotted line at the smallest share that rejects.
    """
    _require(table, ["section", "chosen", "trials", "proportion", "ci_low", "ci_high", "threshold"])
    labels = [
        f"{row.section}: {row.chosen:,} of {row.trials:,}"
        for row in table[["section", "chosen", "trials"]].itertuples()
    ]
    reach = [table["ci_high"] - table["proportion"], table["proportion"] - table["ci_low"]]
    figure = go.Figure(
        go.Bar(
            x=100 * table["proportion"], y=labels, orientation="h", name="preferred ours",
            marker={"color": [PALETTE[0]] * len(table)},
            error_x={
                "type": "data", "symmetric": False, "color": _INK, "thickness": 1.4, "width": 4,
                "array": (100 * reach[0]).to_numpy(), "arrayminus": (100 * reach[1]).to_numpy(),
            },
        )
    )  # fmt: skip
    sizes = table["trials"].to_numpy()
    share = 100 * table["threshold"].to_numpy()[sizes == sizes.min()][0] / sizes.min()
    _line(figure, share, f"needed to reject in one section: {share:.1f} %")
    figure.update_yaxes(autorange="reversed", type="category")
    return _finish(figure, title, "answers for our method (%)", 130 + 34 * len(table))


def forest_of_tests(table, *, truth=None, title=None):
    """Preferences as several tests see them, with intervals.

    Parameters
    ----------
    table : DataFrame
        ``section``, ``test``, ``proportion``, ``proportion_ci_low``, ``proportion_ci_high``,
        from `v2mlib.study.analysing.compare_tests`.
    truth : dict of str to float, optional
        Known true proportions in words.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A row per section, a colour per test.
    """
    shown = table.copy()
    for name in ("proportion", "proportion_ci_low", "proportion_ci_high"):
        shown[name] = 100 * shown[name]
    lines = {name: 100 * share for name, share in (truth or {}).items()}
    return forest(
        shown, value="proportion", label="section", series="test", zero=50.0, title=title,
        axis="preference for our method (%), 95 % interval", lines=lines,
    )  # fmt: skip


def question_dots(items, *, title=None, expected=None):
    """Preference question by question, from the least to the most favourable.

    Parameters
    ----------
    items : DataFrame
        From ``v2mlib.stats.breakdown(answers, "item")``.
    title : str, optional
        Heading.
    expected : float, optional
        Share of all answers: a line.

    Returns
    -------
    plotly.graph_objects.Figure
        A row per question, a colour per section, exact intervals.
    """
    _require(items, ["section", "item", "proportion", "ci_low", "ci_high"])
    ordered = items.sort_values("proportion", kind="stable").reset_index(drop=True)
    figure = go.Figure()
    for index, section in enumerate(dict.fromkeys(items["section"])):
        rows = ordered[ordered["section"] == section]
        colour = PALETTE[index % len(PALETTE)]
        reach = [rows["ci_high"] - rows["proportion"], rows["proportion"] - rows["ci_low"]]
        figure.add_scatter(
            x=(100 * rows["proportion"]).to_numpy(), y=rows.index.to_numpy(), mode="markers",
            name=str(section), marker={"color": colour, "size": 7},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.4, "width": 0,
                "color": colour, "array": (100 * reach[0]).to_numpy(),
                "arrayminus": (100 * reach[1]).to_numpy(),
            },
        )  # fmt: skip
    _line(figure, 50.0, "chance" if expected is None else "")
    if expected is not None:
        _line(figure, 100 * expected, f"all answers: {100 * expected:.0f} %")
    labels = [f"{row.section} {row.item + 1}" for row in ordered.itertuples()]
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, showgrid=False, title=None
    )
    axis = "answers for our method (%), 95 % interval"
    return _finish(figure, title, axis, 140 + 15 * len(labels), legend=True)


def people_bars(subjects, *, title=None):
    """How many people chose our method how often, beside what coins would give.

    Parameters
    ----------
    subjects : DataFrame
        From ``v2mlib.stats.breakdown(answers, "subject")``, all with the same trials.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Two bars per count.

    Raises
    ------
    InputError
        If people answered different numbers of questions.
    """
    from scipy.stats import binom

    _require(subjects, ["chosen", "trials"])
    if subjects["trials"].nunique() != 1:
        raise InputError("subjects", "answered different numbers of questions", "keep the finished")
    trials = int(subjects["trials"].iloc[0])
    counts = np.bincount(subjects["chosen"], minlength=trials + 1)
    coins = len(subjects) * binom.pmf(
        np.arange(trials + 1), trials, subjects["chosen"].sum() / subjects["trials"].sum()
    )
    kept = np.flatnonzero((counts > 0) | (coins > 0.05))
    places = np.arange(kept.min(), kept.max() + 1)
    figure = go.Figure()
    for name, heights, colour in (
        ("people", counts, PALETTE[0]), ("if all answers were coins of one kind", coins, _SOFT),
    ):  # fmt: skip
        figure.add_bar(
            x=[str(k) for k in places], y=np.round(heights[places], 3), name=name,
            marker={"color": colour},
        )  # fmt: skip
    figure.update_layout(barmode="group")
    figure.update_yaxes(title={"text": "people (count)"})
    axis = f"answers for our method (of {trials})"
    return _finish(figure, title, axis, 340, legend=True)


def error_rates(table, *, level, title=None):
    """How often tests reject although nothing is preferred.

    Parameters
    ----------
    table : DataFrame
        ``world``, ``test``, ``rate``, ``rate_ci_low``, ``rate_ci_high``.
    level : float
        The rate that the tests promise.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A row per world, a colour per test.
    """
    shown = table.copy()
    for name in ("rate", "rate_ci_low", "rate_ci_high"):
        shown[name] = 100 * shown[name]
    return forest(
        shown, value="rate", label="world", series="test", zero=100 * level, title=title,
        axis="studies that reject though nothing is preferred (%), 95 % interval",
        lines={f"promised: {100 * level:g} %": 100 * level},
    )  # fmt: skip


def _line(figure, at, text):
    figure.add_vline(x=at, line={"color": _INK, "width": 1.4, "dash": "dot"})
    if text:
        figure.add_annotation(
            x=at, y=1, yref="paper", text=text, showarrow=False, yanchor="bottom",
            font={"size": 11},
        )  # fmt: skip


def _finish(figure, title, axis, height, *, legend=False):
    figure.update_xaxes(title={"text": axis})
    # Below, where it cannot run into a title.
    place = {"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"}
    figure.update_layout(template=template(), height=height, showlegend=legend, legend=place)
    if title:
        figure.update_layout(title={"text": title})
    return figure


def _require(table, columns):
    if missing := [name for name in columns if name not in table]:
        raise InputError("table", f"lacks {', '.join(missing)}", "give what the tests returned")
