"""Charts of trainings: losses and skill step by step, and what an embedding holds."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from v2mlib.plots import PALETTE, colour_of, template

WORDS = {
    "sex": "sex",
    "pitch_hz": "pitch",
    "vocal_tract_length_mm": "vocal tract length",
    "speaking_rate_hz": "speaking rate",
    "breathiness_db": "breathiness",
    "stature_mm": "stature",
}
"""What may be heard, in words."""


def learning_curves(table, *, title=None):
    """Losses of training and validation people, and skill on test people, by step.

    Parameters
    ----------
    table : DataFrame
        Rows of one training: `step`, `loss`, `validation_loss`, and `skill` and
        `within_sex_skill`, each with ``_ci_low`` and ``_ci_high``.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Two charts side by side; bands are the intervals.
    """
    figure = make_subplots(1, 2, subplot_titles=("loss", "skill on test people"))
    losses = {"loss": ("training", PALETTE[4]), "validation_loss": ("validation", PALETTE[0])}
    for name, (words, colour) in losses.items():
        figure.add_scatter(
            x=table["step"], y=table[name], name=f"{words} loss", line={"color": colour}, row=1,
            col=1,
        )  # fmt: skip
    skills = {"skill": ("skill", PALETTE[2]), "within_sex_skill": ("within sex", PALETTE[1])}
    for name, (words, colour) in skills.items():
        _band(figure, table, name, words, colour)
    figure.add_hline(y=1.0, line={"dash": "dot", "color": colour_of("ceiling")}, row=1, col=2)
    figure.add_hline(y=0.0, line={"dash": "dot", "color": "#5f6b7a"}, row=1, col=2)
    figure.update_xaxes(title="step (updates)")
    figure.update_yaxes(title="squared error (1 = mean face)", row=1, col=1)
    figure.update_yaxes(title="share of attainable gain", row=1, col=2, range=[-0.75, 1.1])
    return _finished(figure, title, 360)


def _band(figure, table, name, words, colour):
    step = table["step"]
    figure.add_scatter(
        x=[*step, *step[::-1]],
        y=[*table[f"{name}_ci_high"], *table[f"{name}_ci_low"][::-1]],
        fill="toself", fillcolor=colour, opacity=0.18, line={"width": 0}, showlegend=False,
        hoverinfo="skip", row=1, col=2,
    )  # fmt: skip
    figure.add_scatter(x=step, y=table[name], name=words, line={"color": colour}, row=1, col=2)


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
        tick = {"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": "#1b2230"}}
        figure.add_scatter(x=part["null_high"], y=place, mode="markers", marker=tick,
                           name="shuffled, 95 %", showlegend=number == 0)  # fmt: skip
    quantities = part["quantity"].map(lambda name: WORDS.get(name, name))
    figure.update_yaxes(tickvals=list(range(len(part))), ticktext=quantities, autorange="reversed")
    figure.update_xaxes(title="share of variance explained (left-out people)", range=[-0.1, 1.05])
    return _finished(figure, title, 420)


def embedding_map(table, *, colour, unit, title=None):
    """People as points in the plane in which their embeddings differ most.

    Parameters
    ----------
    table : DataFrame
        Columns `x`, `y`, `sex` and the colour's.
    colour : str
        Column that colours the points.
    unit : str
        What it is, with its unit.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Circles are women's voices, diamonds men's.
    """
    figure = go.Figure()
    names = {"f": ("women's voices", "circle"), "m": ("men's voices", "diamond")}
    for sex, (words, symbol) in names.items():
        part = table[table["sex"] == sex]
        marker = {
            "symbol": symbol, "size": 8, "color": part[colour], "coloraxis": "coloraxis",
            "line": {"width": 0.5, "color": "#ffffff"},
        }  # fmt: skip
        figure.add_scatter(x=part["x"], y=part["y"], mode="markers", marker=marker, name=words)
    figure.update_xaxes(title="first component (a.u.)")
    figure.update_yaxes(title="second component (a.u.)", scaleanchor="x")
    figure.update_coloraxes(colorscale="Cividis", colorbar={"title": unit})
    return _finished(figure, title, 420)


def _finished(figure, title, height):
    figure.update_layout(template=template(), title=title, height=height)
    if title:
        figure.update_layout(margin={"t": 90})
    return figure
