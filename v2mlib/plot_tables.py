"""Charts of error tables: which measure improves, by how much, and how surely."""

import numpy as np
import plotly.graph_objects as go

from v2mlib.checks import InputError
from v2mlib.faces.named import REGIONS
from v2mlib.plots import PALETTE, ROLES, bars, template

_INK = "#1b2230"
COLOURS = ROLES | {
    "supervised": ROLES["model"],
    "unsupervised": "#9467bd",
    "unsupervised_drawn": "#c5b0d5",
    "cascade": ROLES["another_voice"],
    "cascade_shrunk": "#f0a868",
    "shuffled": "#b8bec7",
    "shuffled_within_sex": _INK,
}
"""One colour per method in every table's chart."""

WORDS = {
    "are_ear": "ear ratio",
    "are_forehead": "forehead ratio",
    "are_midline": "midline ratio",
    "are_cheek": "cheek ratio",
    "are_mean": "mean of the four ratios",
    "nme": "68 landmarks (NME)",
    "vertex_rmse_mm": "vertices (RMSE)",
    "rmse_whole_mm": "whole face (to planes)",
} | {f"rmse_{region}_mm": f"{region.replace('_', ' ')} (to planes)" for region in REGIONS}
"""Measures in words; the others keep their names, without the unit."""


def forest(table, *, value, axis, label="measure", series="method", zero=0.0, words=None,
           title=None, lines=None):  # fmt: skip
    """Estimates with intervals, one row each: points left or right of a line.

    Parameters
    ----------
    table : DataFrame
        Columns `label`, `series`, `value`, ``<value>_ci_low`` and ``<value>_ci_high``, as
        `v2mlib.metrics.summarise` has them.
    value : str
        Which figure (``change_percent``, ``within_sex_skill`` ...).
    axis : str
        Its name and unit.
    label : str
        Column that names the rows.
    series : str
        Column that names the points of a row, each in its colour.
    zero : float
        Where there is no difference.
    words : dict of str to str, optional
        Labels and series in words.
    title : str, optional
        Heading.
    lines : dict of str to float, optional
        Further vertical lines: a ceiling, say.

    Returns
    -------
    plotly.graph_objects.Figure
        First row on top; rows without a finite value are left out.

    Raises
    ------
    InputError
        If a column is missing or nothing is left to draw.
    """
    wanted = [label, series, value, f"{value}_ci_low", f"{value}_ci_high"]
    if missing := [name for name in wanted if name not in table]:
        raise InputError("table", f"lacks {', '.join(missing)}", "give what summarise returned")
    shown = table[np.isfinite(table[value].to_numpy(dtype=float))]
    if shown.empty:
        raise InputError("table", f"has no finite {value}", "choose other rows or another figure")
    words = {**WORDS, **(words or {})}
    rows = list(dict.fromkeys(shown[label]))
    names = list(dict.fromkeys(shown[series]))
    colours = colours_of(names)
    figure = go.Figure()
    for index, name in enumerate(names):
        part = shown[shown[series] == name]
        shift = 0.62 * ((index + 0.5) / len(names) - 0.5)
        place = np.array([rows.index(row) for row in part[label]]) + shift
        reach = [part[f"{value}_ci_high"] - part[value], part[value] - part[f"{value}_ci_low"]]
        colour = colours[index]
        figure.add_scatter(
            x=part[value].to_numpy(), y=place, mode="markers", name=_words(name, words),
            marker={"color": colour, "size": 8},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.6, "width": 0,
                "color": colour, "array": reach[0].fillna(0).to_numpy(),
                "arrayminus": reach[1].fillna(0).to_numpy(),
            },
        )  # fmt: skip
    for name, at in {"": zero, **(lines or {})}.items():
        figure.add_vline(x=at, line={"color": _INK, "width": 1.4, "dash": "dot"})
        if name:
            figure.add_annotation(x=at, y=1, yref="paper", text=name, showarrow=False,
                                  yanchor="bottom", font={"size": 11})  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[_words(row, words) for row in rows],
        autorange="reversed", showgrid=False, zeroline=False, title=None,
    )  # fmt: skip
    figure.update_xaxes(title={"text": axis})
    height = 160 + len(rows) * max(26, 13 * len(names))
    legend = {"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"}
    figure.update_layout(
        template=template(), height=height, showlegend=len(names) > 1, legend=legend,
        margin={"b": 90},
    )  # fmt: skip
    if title:
        figure.update_layout(title={"text": title})
    return figure


def errors(table, *, axis, title=None, references=None):
    """Mean error of each method as bars with intervals; shorter is better.

    Parameters
    ----------
    table : DataFrame
        A row per method, as `v2mlib.metrics.summarise` has them: ``method``, ``error``,
        ``error_ci_low``, ``error_ci_high``.
    axis : str
        Name and unit of the error.
    title : str, optional
        Heading.
    references : dict of str to float, optional
        Vertical lines.

    Returns
    -------
    plotly.graph_objects.Figure
        First row on top.

    Raises
    ------
    InputError
        If a column is missing.
    """
    shown = table.rename(columns={"error_ci_low": "ci_low", "error_ci_high": "ci_high"})
    return bars(
        shown, value="error", label="method", axis=axis, title=title, references=references,
        colours=colours_of(shown["method"]),
    )  # fmt: skip


def colours_of(names):
    """Colours of methods, all different as far as the palette reaches.

    Parameters
    ----------
    names : sequence of str
        Methods.

    Returns
    -------
    list of str
        A known method's own colour; for another one that no method here has.

    Examples
    --------
    >>> colours_of(["ceiling", "mine"]) == [COLOURS["ceiling"], PALETTE[0]]
    True
    """
    taken = {COLOURS[name] for name in names if name in COLOURS}
    free = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    others = [name for name in names if name not in COLOURS]
    return [
        COLOURS[name] if name in COLOURS else free[others.index(name) % len(free)] for name in names
    ]


def _words(name, words):
    return words.get(name, str(name).removesuffix("_mm").replace("_", " "))
