"""Pictures of fitted truth: faces over their photographs, residuals, reliability, error."""

import itertools

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from v2mlib.checks import InputError
from v2mlib.faces.cameras import Camera
from v2mlib.faces.rendering import render
from v2mlib.plots import PALETTE, ROLES, template

_INK = "#1b2230"
#: What lines of landmarks are drawn: numbers of iBUG's 68 points.
_STROKES = (
    range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36), [*range(36, 42), 36],
    [*range(42, 48), 42], [*range(48, 60), 48], [*range(60, 68), 60],
)  # fmt: skip


def over_photo(image, vertices, triangles, *, rotation, scale, translation, inverse_distance,
               colours=None, found=None, fitted=None, height=300):  # fmt: skip
    """A photograph, its landmarks, and the fitted face laid over it, side by side.

    Parameters
    ----------
    image : PIL.Image.Image
        The photograph.
    vertices : array_like, (vertex, xyz=3), mm
        The fitted face with its expression.
    triangles : array_like of int, (triangle, 3)
        Its triangles.
    rotation : array_like, (3, 3)
        From the face's axes to the picture's: right, up, backward.
    scale : float, pixels per mm
        At the depth of the face's origin.
    translation : array_like, (2,), pixels
        Where the origin appears, y up.
    inverse_distance : float, 1/mm
        Of the camera from the origin.
    colours : array_like, (vertex, rgb=3), optional
        sRGB albedo from 0 to 1.
    found, fitted : array_like, (landmark=68, 2), pixels, optional
        Landmarks given (orange) and those of the fitted face (blue); column and row.
    height : int, pixels
        Of the picture.

    Returns
    -------
    PIL.Image.Image
        Photograph, landmarks, fitted face.
    """
    zoom = height / image.height
    size = (height, round(image.width * zoom))
    photo = image.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC)
    marked = photo.copy()
    for points, colour in ((found, PALETTE[4]), (fitted, PALETTE[0])):
        if points is not None:
            _draw_landmarks(marked, (np.asarray(points, float) + 0.5) * zoom - 0.5, colour)
    # The camera looks at the origin, so the face is drawn on a larger sheet and moved.
    shift = (np.asarray(translation) * [1, -1] + 0.5) * zoom - (np.array(size[::-1])) / 2
    turned = np.asarray(vertices, float) @ np.asarray(rotation).T
    sheet = 2 * height
    camera = Camera(
        distance=1 / max(float(inverse_distance), 1e-5), field=sheet / (scale * zoom),
        target=(0.0, 0.0, 0.0),
    )  # fmt: skip
    face = render(turned, np.asarray(triangles), colours=colours, camera=camera,
                  size=(sheet, sheet), background=None)  # fmt: skip
    overlay = photo.copy()
    face = Image.fromarray(face)
    place = np.round(np.array(size[::-1]) / 2 - sheet / 2 + shift).astype(int)
    overlay.paste(face.convert("RGB"), tuple(place.tolist()), face.getchannel("A"))
    return _beside([photo, marked, Image.blend(photo, overlay, 0.8)])


def _draw_landmarks(image, points, colour):
    pencil = ImageDraw.Draw(image)
    for stroke in _STROKES:
        line = [tuple(points[k]) for k in stroke if np.isfinite(points[k]).all()]
        pencil.line(line, fill=colour, width=1)
    for x, y in points[np.isfinite(points).all(1)]:
        pencil.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def _beside(pictures, gap=6):
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    row = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + gap
    return row


def residuals(photos, *, n_bins=18, title=None):
    """How far landmarks lie from the fitted faces, by what became of the photographs.

    Parameters
    ----------
    photos : DataFrame
        Columns ``residual_relative`` and ``rule`` (empty where used).
    n_bins : int
        Bars; logarithmic steps.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        Counts.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(photos, ("residual_relative", "rule"))
    found = photos[photos["residual_relative"].notna()]
    values, rules = found["residual_relative"].astype(float), found["rule"].fillna("")
    edges = np.geomspace(values.min() * 0.98, values.max() * 1.02, n_bins + 1)
    middles = [f"{100 * np.sqrt(a * b):.2g}" for a, b in itertools.pairwise(edges)]
    figure = go.Figure()
    for index, rule in enumerate(sorted(set(rules), key=str)):
        counts = np.histogram(values[rules == rule], edges)[0]
        colour = ROLES["reference"] if rule == "" else PALETTE[(1, 3, 4, 5, 6)[index % 5]]
        name = "used" if rule == "" else f"rejected: {rule}"
        figure.add_bar(x=middles, y=counts, name=name, marker={"color": colour})
    figure.update_layout(barmode="group")
    figure.update_xaxes(type="category")
    return _finish(
        figure, title, "landmarks off the fit (% of the face's size)", "photographs", 280
    )


def error_by_photos(table, *, value="error", references=None, axis="mean error (mm)", title=None):
    """How much truth improves with the number of photographs.

    Parameters
    ----------
    table : DataFrame
        Columns ``line``, ``n_photos`` and `value`.
    value : str
        What is drawn.
    references : dict of str to float, optional
        Horizontal lines.
    axis : str
        Name and unit of the numbers.
    title : str, optional
        Heading.

    Returns
    -------
    plotly.graph_objects.Figure
        A line per measure.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ("line", "n_photos", value))
    numbers = sorted(table["n_photos"].unique())
    words = [str(number) for number in numbers]
    figure = go.Figure()
    for index, (line, rows) in enumerate(table.groupby("line", sort=False)):
        rows = rows.set_index("n_photos").loc[numbers]
        figure.add_scatter(
            x=words, y=rows[value], name=str(line).replace("_", " "),
            mode="lines", line={"color": PALETTE[index % len(PALETTE)], "width": 2.5},
        )  # fmt: skip
    for name, height in (references or {}).items():
        figure.add_scatter(
            x=words, y=[height] * len(words), name=name, mode="lines",
            line={"color": _INK, "dash": "dot", "width": 1.5},
        )  # fmt: skip
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero")
    return _finish(figure, title, "photographs per person", axis, 320)


def agreement(table, *, title=None, axis="share of the differences between people"):
    """Reliability beside validity: two points per line, with intervals.

    Parameters
    ----------
    table : DataFrame
        Columns ``line``, ``kind`` (as the legend names it), ``value`` and, where there are
        intervals, ``ci_low`` and ``ci_high``.
    title : str, optional
        Heading.
    axis : str
        Name of the numbers.

    Returns
    -------
    plotly.graph_objects.Figure
        First line on top.

    Raises
    ------
    InputError
        If a column is missing.
    """
    _require(table, ("line", "kind", "value"))
    lines = list(dict.fromkeys(table["line"]))
    kinds = list(dict.fromkeys(table["kind"]))
    figure = go.Figure()
    for index, kind in enumerate(kinds):
        rows = table[table["kind"] == kind].set_index("line").reindex(lines)
        offset = 0.22 * (index - (len(kinds) - 1) / 2)
        low, high = (
            rows.get(name, rows["value"]).fillna(rows["value"]) for name in ("ci_low", "ci_high")
        )
        figure.add_scatter(
            x=rows["value"], y=np.arange(len(lines)) + offset, name=kind, mode="markers",
            marker={"color": PALETTE[(0, 2, 4, 3)[index]], "size": 8},
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.4, "width": 0,
                "array": (high - rows["value"]).to_numpy(),
                "arrayminus": (rows["value"] - low).to_numpy(),
            },
        )  # fmt: skip
    words = [str(line).replace("_", " ") for line in lines]
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(lines))), ticktext=words)
    figure.update_xaxes(range=[0, 1.02])
    return _finish(figure, title, axis, None, 150 + 26 * len(lines))


def _finish(figure, title, x, y, height):
    figure.update_layout(template=template(), height=height, showlegend=len(figure.data) > 1)
    if title:
        figure.update_layout(title={"text": title})
    figure.update_xaxes(title={"text": x})
    figure.update_yaxes(title={"text": y})
    return figure


def _require(table, columns):
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(
            "table", f"lacks {', '.join(missing)}", f"it has {', '.join(map(str, table.columns))}"
        )
