"""Charts: data in, a plotly figure out. Nothing here shows, saves or computes a result.

One theme: Okabe and Ito's colours, which people with any colour vision can tell apart, one
colour per role everywhere, and a unit on every axis.
"""

import numpy as np
import plotly.graph_objects as go

from v2mlib.checks import InputError, check_shape

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5f6b7a")
ROLES = {
    "predicted": "#0072b2",
    "model": "#0072b2",
    "reference": "#009e73",
    "ceiling": "#009e73",
    "mean_face": "#5f6b7a",
    "sex_mean_face": "#e69f00",
    "ridge": "#cc79a7",
    "pretrained": "#56b4e9",
    "one_utterance": "#56b4e9",
    "another_voice": "#d55e00",
}
_INK, _GRID = "#1b2230", "#dfe4ea"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"


def template():
    """Build the theme of every figure.

    Returns
    -------
    plotly.graph_objects.layout.Template
        Fonts, colours, margins and grid; not registered anywhere.
    """
    axis = {"gridcolor": _GRID, "linecolor": _INK, "zerolinecolor": "#9aa5b1", "ticks": "outside"}
    return go.layout.Template(
        layout={
            "font": {"family": _FONT, "size": 13, "color": _INK},
            "colorway": PALETTE,
            "paper_bgcolor": "#ffffff",
            "plot_bgcolor": "#ffffff",
            "xaxis": axis | {"automargin": True},
            "yaxis": axis | {"automargin": True},
            "margin": {"l": 60, "r": 20, "t": 44, "b": 48},
            "title": {"font": {"size": 15}, "x": 0.01, "xanchor": "left"},
            "legend": {
                "orientation": "h",
                "y": 1.02,
                "x": 1,
                "xanchor": "right",
                "yanchor": "bottom",
            },
        }
    )


def colour_of(name, index=0):
    """Colour of a role or method, the same in every figure.

    Parameters
    ----------
    name : str
        As in tables (``mean_face``) or in words (``Mean face``).
    index : int
        Place in the palette for a name without a role.

    Returns
    -------
    str
        Hexadecimal colour.

    Examples
    --------
    >>> colour_of("Mean face") == ROLES["mean_face"]
    True
    """
    key = str(name).lower().replace(" ", "_").replace("-", "_")
    return ROLES.get(key, PALETTE[index % len(PALETTE)])


def waveform(samples, sample_rate=16000, *, speech=None, title=None):
    """Sound pressure over time.

    Parameters
    ----------
    samples : array_like, (sample,)
        Audio in [-1, 1].
    sample_rate : int, Hz
        Samples per second.
    speech : array_like of bool (sample,), optional
        Where a voice was found; the rest is drawn in grey.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Relative to full scale: the lowest and highest sample of at most 700 slots, so that
        nothing is lost to thinning.
    """
    samples = check_shape(np.asarray(samples, float), {"sample": None}, "samples")
    size = -(-len(samples) // 700)
    edges = np.arange(0, len(samples), size)
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    value = np.stack([low, high], 1).ravel()
    figure = go.Figure()
    if speech is None:
        parts = {"audio": np.ones(len(value), bool)}
    else:
        voiced = np.repeat(np.asarray(speech, bool)[edges], 2)
        parts = {"speech": voiced, "silence": ~voiced}
    for name, keep in parts.items():
        y = np.where(keep, value, np.nan).astype(np.float32)
        style = {"color": "#9aa5b1" if name == "silence" else PALETTE[0], "width": 1}
        figure.add_scatter(
            x0=0, dx=size / sample_rate / 2, y=y, name=name, mode="lines", line=style
        )
    return _finish(
        figure,
        title,
        "time (s)",
        "amplitude (relative)",
        legend=speech is not None,
        height=260,
    )


def log_mel(matrix, *, hop_s=0.010, frequencies_hz=None, title=None, unit="sd of each band"):
    """Log-mel spectrogram.

    Parameters
    ----------
    matrix : array_like, (frame, mel)
        From `v2mlib.voices.log_mel`.
    hop_s : float, s
        Between frames.
    frequencies_hz : array_like (mel,), Hz, optional
        Centre of each band, for the labels.
    title : str, optional
        Heading.
    unit : str
        Of the numbers: standard deviations after normalisation, else natural-log power.

    Returns
    -------
    plotly.graph_objects.Figure
        Bands upwards, time to the right.
    """
    matrix = check_shape(np.asarray(matrix, np.float32), {"frame": None, "mel": None}, "matrix")
    n_mels = matrix.shape[1]
    low, high = np.percentile(matrix, [1, 99])
    bytes_ = np.round((np.clip(matrix, low, high) - low) / ((high - low) or 1) * 255).astype(
        np.uint8
    )
    marks = np.linspace(0, 255, 3)
    figure = go.Figure(
        go.Heatmap(
            z=bytes_.T, x0=0, dx=hop_s, colorscale="Cividis", hoverinfo="skip",
            colorbar={
                "title": {"text": unit, "side": "right"}, "thickness": 12, "tickvals": marks,
                "ticktext": [f"{low + (high - low) * mark / 255:+.1f}" for mark in marks],
            },
        )
    )  # fmt: skip
    label = "mel band"
    if frequencies_hz is not None:
        rows = np.linspace(0, n_mels - 1, 6).round().astype(int)
        figure.update_yaxes(tickvals=rows, ticktext=[f"{frequencies_hz[row]:.0f}" for row in rows])
        label = "frequency (Hz)"
    return _finish(figure, title, "time (s)", label, height=260)


def bars(table, *, value, label, axis, references=None, title=None, colours=None):
    """Horizontal bars with intervals, one per row.

    Parameters
    ----------
    table : DataFrame
        Columns `label`, `value` and, where there are intervals, ``ci_low`` and ``ci_high``.
    value, label : str
        Column names.
    axis : str
        Name and unit of the numbers.
    references : dict of str to float, optional
        Vertical lines: a baseline, a ceiling, a published value.
    title : str, optional
        Heading.
    colours : list of str, optional
        One per row; by role otherwise.

    Returns
    -------
    plotly.graph_objects.Figure
        First row on top.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, [value, label])
    colours = colours or [colour_of(name, index) for index, name in enumerate(table[label])]
    figure = go.Figure(
        go.Bar(
            x=table[value], y=[_words(name) for name in table[label]], orientation="h",
            marker={"color": colours}, error_x=_interval(table, value), name=axis,
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category")
    for name, number in (references or {}).items():
        figure.add_vline(
            x=number, line={"color": _INK, "dash": "dot", "width": 1.5},
            annotation={"text": _words(name), "yanchor": "bottom", "y": 1.0, "font": {"size": 11}},
        )  # fmt: skip
    return _finish(figure, title, axis, None, legend=False, height=130 + 30 * len(table))


def errors(table, *, references=None, title=None, axis="mean absolute ratio error (ratio)"):
    """Error of each method; shorter is better.

    Parameters
    ----------
    table : DataFrame
        Columns ``method``, ``error`` and, where there are intervals, ``ci_low``, ``ci_high``.
    references : dict of str to float, optional
        Vertical lines, such as the ceiling.
    title : str, optional
        Heading.
    axis : str
        Name and unit of the error.

    Returns
    -------
    plotly.graph_objects.Figure
        Horizontal bars.
    """
    return bars(table, value="error", label="method", axis=axis, references=references, title=title)


def skills(table, *, title=None, axis="skill (0 = baseline, 1 = ceiling)", colours=None):
    """Skill of each method between a baseline (0) and the ceiling (1).

    Parameters
    ----------
    table : DataFrame
        Columns ``method``, ``skill`` and, where there are intervals, ``ci_low``, ``ci_high``.
    title : str, optional
        Heading.
    axis : str
        What 0 and 1 stand for.
    colours : list of str, optional
        One per row; by role otherwise.

    Returns
    -------
    plotly.graph_objects.Figure
        Horizontal bars between two reference lines.
    """
    return bars(
        table, value="skill", label="method", axis=axis, title=title, colours=colours,
        references={"baseline": 0.0, "ceiling": 1.0},
    )  # fmt: skip


def errors_by_line(table, *, title=None, axis="absolute ratio error (ratio)"):
    """Error of each method on each measured line.

    Parameters
    ----------
    table : DataFrame
        Columns ``line``, ``method``, ``error`` and, where there are intervals, ``ci_low`` and
        ``ci_high``.
    title : str, optional
        Heading.
    axis : str
        Name and unit of the error.

    Returns
    -------
    plotly.graph_objects.Figure
        Groups of bars, one group per line.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ["line", "method", "error"])
    figure = go.Figure()
    for index, (method, rows) in enumerate(table.groupby("method", sort=False)):
        figure.add_bar(
            x=[_words(line) for line in rows["line"]], y=rows["error"], name=_words(method),
            marker={"color": colour_of(method, index)}, error_y=_interval(rows, "error"),
        )  # fmt: skip
    figure.update_layout(barmode="group")
    return _finish(figure, title, "line", axis, height=320)


def coefficients(values, *, title=None):
    """Standardised coefficients of one or more faces.

    Parameters
    ----------
    values : dict of str to array_like (mode,), standard deviations
        Role (``predicted``, ``reference``) to coefficients.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Groups of bars, one group per mode.

    Raises
    ------
    InputError
        If there are none.
    """
    if not values:
        raise InputError("values", "is empty", 'give {"predicted": coefficients, ...}')
    figure = go.Figure()
    for index, (name, numbers) in enumerate(values.items()):
        numbers = np.asarray(numbers, float).round(4)
        modes = np.arange(1, len(numbers) + 1)
        figure.add_bar(
            x=modes, y=numbers, name=_words(name), marker={"color": colour_of(name, index)}
        )
    figure.update_layout(barmode="group")
    return _finish(figure, title, "shape mode", "coefficient (sd)", height=280)


def grid(table, *, axis, title=None, across="mode", signed=True):
    """Numbers of a table as coloured squares, such as what each mode does to each line.

    Parameters
    ----------
    table : DataFrame
        Rows and columns as shown; numbers only.
    axis : str
        Name and unit of the numbers.
    title : str, optional
        Heading.
    across : str
        What the columns are.
    signed : bool
        Colours symmetric about 0.

    Returns
    -------
    plotly.graph_objects.Figure
        First row on top.
    """
    numbers = np.asarray(table, float)
    top = float(np.nanmax(np.abs(numbers))) or 1.0
    figure = go.Figure(
        go.Heatmap(
            z=numbers.round(4), x=[str(name) for name in table.columns],
            y=[_words(name) for name in table.index],
            colorscale="RdBu_r" if signed else "Viridis", zmin=-top if signed else 0, zmax=top,
            colorbar={"title": {"text": axis, "side": "right"}, "thickness": 12}, xgap=1, ygap=1,
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(type="category")
    return _finish(figure, title, across, None, height=140 + 24 * len(table))


def _finish(figure, title, x, y, *, legend=True, height=300):
    figure.update_layout(
        template=template(), height=height, showlegend=legend and len(figure.data) > 1
    )
    if title:
        figure.update_layout(title={"text": title})
    figure.update_xaxes(title={"text": x})
    figure.update_yaxes(title={"text": y} if y else None)
    return figure


def _words(name):
    return str(name).replace("_", " ")


def _require(table, columns):
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(
            "table", f"lacks {', '.join(missing)}", f"it has {', '.join(map(str, table.columns))}"
        )


def _interval(table, value):
    if "ci_low" not in table or "ci_high" not in table:
        return None
    return {
        "type": "data", "symmetric": False, "color": _INK, "thickness": 1.2, "width": 3,
        "array": (table["ci_high"] - table[value]).to_numpy(),
        "arrayminus": (table[value] - table["ci_low"]).to_numpy(),
    }  # fmt: skip
