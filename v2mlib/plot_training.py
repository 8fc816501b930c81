"""Charts of trainings: losses and skill step by step, and what an embedding holds."""

import pandas as pd
import plotly.graph_objects as go

from v2mlib.plots import PALETTE, template

WORDS = {
    "sex": "sex",
    "pitch_hz": "pitch",
    "vocal_tract_length_mm": "vocal tract length",
    "speaking_rate_hz": "speaking rate",
    "breathiness_db": "breathiness",
    "stature_mm": "stature",
}
"""What may be heard, in words."""

FIFTHS = ("#fde725", "#5ec962", "#21918c", "#3b528b", "#440154")
"""Colours of five equal groups of people, from the least to the most of something."""


def losses(table, *, title=None):
    """Losses of training and of validation people, step by step.

    Parameters
    ----------
    table : DataFrame
        `step`, `loss` and `validation_loss`.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A line each.
    """
    figure = go.Figure()
    for name, (words, colour) in {
        "loss": ("training people", PALETTE[4]),
        "validation_loss": ("validation people", PALETTE[0]),
    }.items():
        _line(figure, table, name, words, colour)
    figure.update_yaxes(title="squared error (1: mean face)")
    return _finished(figure, title, "step (updates)", 280)


def skills(table, *, title=None):
    """Skill and skill within a sex, step by step.

    Parameters
    ----------
    table : DataFrame
        `step`, and `skill` and `within_sex_skill`, each with ``_ci_low`` and ``_ci_high``.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Lines; dotted ones are the ends of the intervals.
    """
    figure = go.Figure()
    for name, (words, colour) in {
        "skill": ("skill", PALETTE[2]),
        "within_sex_skill": ("within sex", PALETTE[1]),
    }.items():
        _line(figure, table, name, words, colour)
        for end in ("_ci_low", "_ci_high"):
            style = {"color": colour, "dash": "dot", "width": 1}
            figure.add_scatter(x=table["step"], y=table[name + end], line=style, mode="lines",
                               showlegend=False)  # fmt: skip
    figure.update_yaxes(title="share of the attainable gain", range=[-0.4, 1.0])
    return _finished(figure, title, "step (updates)", 320)


def _line(figure, table, name, words, colour):
    style = {"color": colour, "width": 2}
    figure.add_scatter(x=table["step"], y=table[name], name=words, line=style, mode="lines")


def probes(table, *, title=None):
    """How much of each quantity can be read from embeddings, beside the shuffled null.

    Parameters
    ----------
    table : DataFrame
        Columns `encoder`, `quantity`, `explained`, `ci_low`, `ci_high` and `null_high`.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A point with its interval per encoder and quantity; black ticks are the null.
    """
    figure = go.Figure()
    encoders = table["encoder"].unique()
    for number, encoder in enumerate(encoders):
        part = table[table["encoder"] == encoder]
        place = [n + 0.22 * (number - (len(encoders) - 1) / 2) for n in range(len(part))]
        style = {"color": PALETTE[number], "size": 9}
        error = {
            "type": "data", "array": part["ci_high"] - part["explained"],
            "arrayminus": part["explained"] - part["ci_low"],
        }  # fmt: skip
        figure.add_scatter(x=part["explained"], y=place, error_x=error, mode="markers",
                           marker=style, name=encoder.replace("_", " "))  # fmt: skip
        if number == len(encoders) - 1:
            null = {"color": "#1b2230", "size": 6}
            figure.add_scatter(x=part["null_high"], y=place, mode="markers", marker=null,
                               name="shuffled (95 % stay below)")  # fmt: skip
    quantities = part["quantity"].map(lambda name: WORDS.get(name, name))
    places = list(range(len(part)))
    figure.update_yaxes(tickvals=places, ticktext=list(quantities), autorange="reversed")
    return _finished(figure, title, "share of variance explained (left-out people)", 420)


def embedding_map(table, *, colour, unit, title=None):
    """People as points in the plane in which their embeddings differ most.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y` and the colour's.
    colour : str
        Column that colours the points, by fifths.
    unit : str
        Its unit.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A colour per fifth of the people.
    """
    figure = go.Figure()
    fifths = pd.qcut(table[colour], len(FIFTHS))
    for shade, (fifth, part) in zip(FIFTHS, table.groupby(fifths, observed=True), strict=True):
        name = f"{fifth.left:.0f} to {fifth.right:.0f} {unit}"
        marker = {"size": 6, "color": shade}
        figure.add_scatter(x=part["x"], y=part["y"], mode="markers", marker=marker, name=name)
    figure.update_yaxes(title="second component (a.u.)")
    return _finished(figure, title, "first component (a.u.)", 420)


def _finished(figure, title, axis, height):
    figure.update_layout(template=template(), title=title, height=height, showlegend=True)
    figure.update_layout(legend={"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0,
                                 "xanchor": "left"}, margin={"b": 90})  # fmt: skip
    figure.update_xaxes(title=axis)
    return figure
