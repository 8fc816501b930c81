"""Charts of coherence: how far a speaker's predicted faces lie apart, beside other speakers'."""

import numpy as np
import plotly.graph_objects as go

from v2mlib.checks import InputError
from v2mlib.plots import PALETTE, ROLES, template

_INK, _SOFT = "#1b2230", "#9aa5b1"
_POINTS = (
    ("same_speaker", "two utterances of one speaker", ROLES["predicted"]),
    ("same_sex", "two speakers of one sex", PALETTE[1]),
    ("anybody", "any two speakers", _INK),
)


def distances(table, *, title=None):
    """How far apart two predicted faces lie, method by method.

    Parameters
    ----------
    table : DataFrame
        ``method``, and ``same_speaker``, ``same_sex``, ``anybody`` (mm), each with ``_ci_low``
        and ``_ci_high``.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A row per method, three points each with intervals, joined by a line.
    """
    columns = [name + end for name, _, _ in _POINTS for end in ("", "_ci_low", "_ci_high")]
    _require(table, ["method", *columns])
    rows, figure = np.arange(len(table)), go.Figure()
    ends = table[[name for name, _, _ in _POINTS]].to_numpy(dtype=float)
    for row in rows:
        figure.add_scatter(
            x=[np.nanmin(ends[row]), np.nanmax(ends[row])], y=[row, row], mode="lines",
            line={"color": _SOFT, "width": 2}, showlegend=False,
        )  # fmt: skip
    for name, words, colour in _POINTS:
        value = table[name].to_numpy(dtype=float)
        figure.add_scatter(
            x=value, y=rows, mode="markers", name=words, marker={"color": colour, "size": 9},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.6, "width": 0, "color": colour,
                "array": table[f"{name}_ci_high"].to_numpy(float) - value,
                "arrayminus": value - table[f"{name}_ci_low"].to_numpy(float),
            },
        )  # fmt: skip
    _name_rows(figure, table["method"])
    axis = "distance of two faces (mm, root mean square over vertices), 95 % interval"
    return _finish(figure, axis, title, 150 + 30 * len(table))


def utterances(table, *, axis, title=None, references=None):
    """What each utterance of some speakers gives, speaker by speaker.

    Parameters
    ----------
    table : DataFrame
        ``speaker``, ``value`` (an utterance's), ``truth`` (the speaker's).
    axis : str
        Name and unit of the value.
    title : str, optional
        Heading.
    references : dict of str to float, optional
        Vertical lines.

    Returns
    -------
    plotly.graph_objects.Figure
        A row per speaker: a point per utterance and one for the truth.
    """
    _require(table, ["speaker", "value", "truth"])
    speakers = list(dict.fromkeys(table["speaker"]))
    row = np.array([speakers.index(name) for name in table["speaker"]], dtype=float)
    figure = go.Figure()
    for number, name in enumerate(speakers):
        values = table.loc[table["speaker"] == name, "value"]
        figure.add_scatter(
            x=[values.min(), values.max()], y=[number, number], mode="lines",
            line={"color": _SOFT, "width": 2}, showlegend=False,
        )  # fmt: skip
    first = table.drop_duplicates("speaker")
    for x, y, name, colour, size in (
        (table["value"], row, "predicted, an utterance each", ROLES["predicted"], 8),
        (first["truth"], np.arange(len(first)), "truth", ROLES["reference"], 10),
    ):
        figure.add_scatter(
            x=np.asarray(x, float), y=y, mode="markers", name=name,
            marker={"color": colour, "size": size},
        )  # fmt: skip
    for text, at in (references or {}).items():
        figure.add_vline(x=at, line={"color": _INK, "width": 1.4, "dash": "dot"})
        figure.add_annotation(
            x=at, y=1, yref="paper", text=text, showarrow=False, yanchor="bottom",
            font={"size": 11},
        )  # fmt: skip
    _name_rows(figure, speakers)
    return _finish(figure, axis, title, 140 + 22 * len(speakers))


def _name_rows(figure, names):
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[str(n).replace("_", " ") for n in names],
        autorange="reversed", showgrid=False, zeroline=False, title=None,
    )  # fmt: skip


def _finish(figure, axis, title, height):
    figure.update_xaxes(title={"text": axis})
    legend = {"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"}
    figure.update_layout(
        template=template(), height=height, showlegend=True, legend=legend, margin={"b": 90}
    )
    if title:
        figure.update_layout(title={"text": title})
    return figure


def _require(table, columns):
    if missing := [name for name in columns if name not in table]:
        raise InputError("table", f"lacks {', '.join(missing)}", "give what the docstring names")
