"""Still pictures of the package's charts, without a browser: for papers and stored notebooks.

Plotly draws in a browser. What `v2mlib.plots` makes is simple enough (bars, lines, squares) to
be drawn again by matplotlib, so that pictures can be made anywhere.
"""

import base64
import contextlib
import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from v2mlib.checks import InputError
from v2mlib.files import atomic

_DPI = 96
_LETTERS = {"pdf.fonttype": 42, "svg.fonttype": "none"}  # letters stay letters, to be edited


def draw(figure, *, width=760, scale=1.0):
    """Draw a chart of `v2mlib.plots` with matplotlib.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Made of bars, lines and squares.
    width : int, pixels
        Of the picture; the height is the figure's own.
    scale : float
        Pixels per pixel: 3 for paper.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; `savefig` writes it.

    Raises
    ------
    InputError
        If the figure holds a kind of trace that is not drawn here.
    """
    height = figure.layout.height or 300
    sheet = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI * scale, layout="constrained")
    axes = sheet.add_subplot()
    kinds = {"bar": _bars, "scatter": _line, "heatmap": _squares}
    groups = [trace for trace in figure.data if trace.type == "bar"]
    for trace in figure.data:
        if trace.type not in kinds:
            known = ", ".join(kinds)
            raise InputError(f"a {trace.type} trace", "cannot be drawn here", f"known: {known}")
        place = (groups.index(trace), len(groups)) if trace.type == "bar" else None
        kinds[trace.type](axes, figure, trace, place)
    _dress(axes, figure)
    return sheet


def png_bytes(figure, **options):
    """Draw a chart of `v2mlib.plots` as a PNG file's content.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        Made of bars, lines and squares.
    **options : dict
        As for `draw`: width, scale.

    Returns
    -------
    bytes
        PNG.
    """
    stream = io.BytesIO()
    draw(figure, **options).savefig(stream, format="png")
    return stream.getvalue()


def save_figure(figure, path, *, width_mm=170.0, dpi=300):
    """Write a chart or a face for a paper.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure, MeshView or Comparison
        A chart of `v2mlib.plots`, or a widget with a ``picture``.
    path : path_like
        Ends in ``.png``, ``.pdf`` or ``.svg``. Charts stay lines and letters in the last two;
        a face is a picture in any of them.
    width_mm : float, mm
        On paper; a column of a journal has about 85, a page about 170.
    dpi : int
        Dots per inch of what is a picture.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If the ending is another, a size is not positive, or the chart holds a kind of trace
        that is not drawn here.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "pdf", "svg"):
        raise InputError(path.name, "is no picture's name", "end it in .png, .pdf or .svg")
    if not (width_mm > 0 and dpi > 0):
        raise InputError("width_mm and dpi", f"are {width_mm} and {dpi}", "give positive numbers")
    inches = width_mm / 25.4
    if hasattr(figure, "picture"):
        sheet = _picture_sheet(figure, inches, dpi)
    else:
        # Drawn at its size on paper, so that letters are as large there as they are meant to be.
        sheet = draw(figure, width=inches * _DPI)
    with atomic(path) as partial, matplotlib.rc_context(_LETTERS):
        sheet.savefig(partial, format=kind, dpi=dpi)
    return path


def _picture_sheet(face, inches, dpi):
    """A page that is one picture, with as many dots as it needs."""
    small = face.picture((60, 60))
    side = round(inches * dpi * small.height / small.width)
    picture = face.picture((side, side))
    sheet = Figure(figsize=(inches, inches * picture.height / picture.width))
    axes = sheet.add_axes((0, 0, 1, 1))
    axes.imshow(np.asarray(picture), interpolation="none", aspect="auto")
    axes.axis("off")
    return sheet


def in_notebooks():
    """Keep plotly figures in notebooks small, and seen where nothing runs.

    Plotly's own default writes its whole library (4 MB) into the notebook; JupyterLab and VS
    Code bring it themselves. Each chart leaves a picture beside it, for export and for viewers
    without plotly.
    """
    import plotly.io as pio
    from plotly.io.base_renderers import PlotlyRenderer

    class WithPicture(PlotlyRenderer):
        def to_mimebundle(self, figure):
            data = super().to_mimebundle(figure)
            (spec,) = data.values()
            with contextlib.suppress(InputError):  # a kind of chart that is not ours
                data["image/png"] = picture_of_output(spec)
            return data

    pio.renderers["v2mlib"] = WithPicture()
    pio.renderers.default = "v2mlib"


def picture_of_output(spec):
    """Draw the plotly output of a stored notebook, for viewers without plotly.

    Parameters
    ----------
    spec : dict
        What stands under ``application/vnd.plotly.v1+json``.

    Returns
    -------
    str
        Base64 of a PNG, for ``image/png``.
    """
    return base64.b64encode(png_bytes(figure_of_output(spec))).decode()


def figure_of_output(spec):
    """Read the plotly output of a stored notebook.

    Parameters
    ----------
    spec : dict
        What stands under ``application/vnd.plotly.v1+json``.

    Returns
    -------
    plotly.graph_objects.Figure
        The chart, with its numbers as arrays again.
    """
    import plotly.graph_objects as go

    return go.Figure({name: _unpacked(spec[name]) for name in ("data", "layout")})


def _unpacked(spec):
    """Arrays that plotly has packed for the browser, as arrays again."""
    if isinstance(spec, dict) and "bdata" in spec:
        array = np.frombuffer(base64.b64decode(spec["bdata"]), spec["dtype"])
        shape = spec.get("shape")
        return array.reshape([int(n) for n in str(shape).split(",")]) if shape else array
    if isinstance(spec, dict):
        return {name: _unpacked(value) for name, value in spec.items()}
    if isinstance(spec, (list, tuple)):
        return [_unpacked(value) for value in spec]
    return spec


def _bars(axes, figure, trace, place):
    flat = trace.orientation == "h"
    names, values = (trace.y, trace.x) if flat else (trace.x, trace.y)
    index, count = place
    thick = 0.8 / count
    at = np.arange(len(names)) + (index - (count - 1) / 2) * thick
    draw_bars = axes.barh if flat else axes.bar
    draw_bars(at, values, thick * 0.94, color=_colours(trace.marker.color), label=trace.name)
    error = trace.error_x if flat else trace.error_y
    if error.array is not None:
        reach = [np.asarray(error.arrayminus, float), np.asarray(error.array, float)]
        points = (values, at) if flat else (at, values)
        options = {"xerr" if flat else "yerr": np.clip(reach, 0, None)}
        axes.errorbar(*points, fmt="none", ecolor="#1b2230", elinewidth=1.2, capsize=2, **options)
    ticks = axes.set_yticks if flat else axes.set_xticks
    step = max(1, len(names) // 20) if not flat else 1
    ticks(np.arange(len(names))[::step], [str(name) for name in names][::step])


def _line(axes, figure, trace, place):
    y = np.asarray(trace.y, float)
    x = np.arange(len(y)) * trace.dx + trace.x0 if trace.x is None else trace.x
    if trace.mode == "markers":
        colour, size = _hex(trace.marker.color), trace.marker.size
        style = {"fmt": "o", "color": colour, "markersize": size * 0.75, "elinewidth": 1.6}
        reach = None
        if trace.error_x.array is not None:
            reach = [np.asarray(trace.error_x.arrayminus, float), np.asarray(trace.error_x.array)]
        axes.errorbar(np.asarray(x, float), y, xerr=reach, label=trace.name, **style)
        return
    style = ":" if trace.line.dash == "dot" else "-"
    axes.plot(x, y, style, color=trace.line.color, lw=trace.line.width or 1.5, label=trace.name)
    axes.margins(x=0.01)


def _squares(axes, figure, trace, place):
    table = np.asarray(trace.z, float)
    rows, columns = table.shape
    step = trace.dx or 1
    plain = trace.x is None
    extent = (
        (0, columns * step, -0.5, rows - 0.5) if plain else (-0.5, columns - 0.5, -0.5, rows - 0.5)
    )
    image = axes.imshow(
        table, origin="lower", aspect="auto", extent=extent, vmin=trace.zmin, vmax=trace.zmax,
        cmap=_colour_map(trace), interpolation="nearest",
    )  # fmt: skip
    if not plain:
        every = max(1, columns // 20)
        axes.set_xticks(range(0, columns, every), list(trace.x)[::every])
        axes.set_yticks(range(rows), list(trace.y))
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label(trace.colorbar.title.text)
    if trace.colorbar.tickvals is not None:
        bar.set_ticks(trace.colorbar.tickvals, labels=trace.colorbar.ticktext)


def _colour_map(trace):
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(place, _hex(colour)) for place, colour in trace.colorscale]
    return LinearSegmentedColormap.from_list("plotly", stops)


def _colours(given):
    return [_hex(colour) for colour in given] if isinstance(given, (list, tuple)) else _hex(given)


def _hex(colour):
    if colour.startswith("rgb("):
        return "#" + "".join(f"{int(float(part)):02x}" for part in colour[4:-1].split(","))
    return colour


def _dress(axes, figure):
    layout = figure.layout
    axes.spines[["top", "right"]].set_visible(False)
    for shape in layout.shapes:
        if shape.type == "line" and shape.x0 == shape.x1:
            axes.axvline(shape.x0, color="#1b2230", ls=":", lw=1.4)
    top = axes.get_xaxis_transform()
    for note in layout.annotations:
        axes.text(note.x, 1.01, note.text, ha="center", va="bottom", fontsize=9, transform=top)
    if layout.yaxis.autorange == "reversed":
        axes.invert_yaxis()
    if layout.yaxis.rangemode == "tozero":
        axes.set_ylim(bottom=0)
    if layout.yaxis.tickvals is not None:
        axes.set_yticks(layout.yaxis.tickvals, layout.yaxis.ticktext)
    axes.set_xlabel(layout.xaxis.title.text or "")
    axes.set_ylabel(layout.yaxis.title.text or "")
    if layout.title.text:
        raised = 20 if layout.annotations else 8
        axes.set_title(layout.title.text, loc="left", fontsize=12, pad=raised)
    if layout.showlegend and layout.legend.yref == "container":  # below, where the title is long
        axes.figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    elif layout.showlegend:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=4, frameon=False, fontsize=9)
