"""Sheets of pictures and charts of how images and faces form. Data in, a picture or figure out."""

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from v2mlib.checks import InputError
from v2mlib.plots import PALETTE, template
from v2mlib.widgets.packing import as_array, gloss_of
from v2mlib.widgets.stills import occlusion_of, still, write_on

_GAP, _HEAD, _SIDE = 5, 24, 96


def picture_grid(columns, *, rows=None, size=96, colours=256):
    """Lay pictures out in labelled rows and columns.

    Parameters
    ----------
    columns : dict of str to sequence of picture
        By heading, a picture per row: an image (rgb=3, row, column) in [-1, 1] as a generator
        draws it, an array of uint8 (row, column, rgb=3), or a PIL image.
    rows : sequence of str, optional
        Written before each row; with line breaks where two lines are wanted.
    size : int, pixels
        Rows and columns of each picture on the sheet.
    colours : int
        Of the sheet, which is dithered to a palette: a third of the bytes in a notebook.

    Returns
    -------
    PIL.Image.Image
        In palette mode.

    Raises
    ------
    InputError
        If there is nothing to show, or columns differ in length.
    """
    lengths = {heading: len(pictures) for heading, pictures in columns.items()}
    n_rows = max(lengths.values(), default=0)
    if not n_rows or set(lengths.values()) != {n_rows} or len(rows or range(n_rows)) != n_rows:
        labels = f" and {len(rows)} labels" if rows is not None else ""
        raise InputError(
            "columns", f"hold {lengths or 'no'} pictures{labels}", "give as many for each row"
        )
    side = _SIDE if rows else 0
    step = size + _GAP
    sheet = Image.new("RGB", (side + len(columns) * step, _HEAD + n_rows * step), "white")
    paper = ImageDraw.Draw(sheet)
    for column, (heading, pictures) in enumerate(columns.items()):
        left = side + column * step
        write_on(paper, (left + size / 2, _HEAD / 2 - 1), heading, 11, anchor="mm")
        for row, picture in enumerate(pictures):
            sheet.paste(as_picture(picture, size), (left, _HEAD + row * step))
    for row, label in enumerate(rows or ()):
        middle = _HEAD + row * step + size / 2
        lines = str(label).split("\n")
        for number, line in enumerate(lines):
            at = (side - 8, middle + 16 * (number - (len(lines) - 1) / 2))
            write_on(paper, at, line, 11, anchor="rm")
    palette = sheet.quantize(colours, kmeans=3)
    return sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def as_picture(picture, size):
    """Bring a picture of any kind to one size.

    Parameters
    ----------
    picture : tensor, ndarray or PIL.Image.Image
        As for `picture_grid`.
    size : int, pixels
        Rows and columns of the result.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    InputError
        If an array has no axis of three colours where one belongs.
    """
    if not isinstance(picture, Image.Image):
        array = as_array(picture)
        if array.dtype != np.uint8:
            array = np.round(np.clip(127.5 * (array + 1), 0, 255)).astype(np.uint8)
            array = np.moveaxis(array, 0, -1)
        if array.ndim != 3 or array.shape[-1] != 3:
            raise InputError(
                f"a picture of shape {as_array(picture).shape}",
                "is none that can be drawn",
                "give floats (rgb=3, row, column) in [-1, 1] or bytes (row, column, rgb=3)",
            )
        picture = Image.fromarray(array)
    return picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)


def face_pictures(shape, model, *, camera="front", size=96, scalars=None):
    """Draw faces from their shape coefficients.

    Parameters
    ----------
    shape : array_like, (face, shape), standard deviations
        Shape coefficients.
    model : MorphableModel
        The face model.
    camera : str
        From where.
    size : int, pixels
        Rows and columns of each picture; drawn at twice that and averaged.
    scalars : sequence of ScalarMap, optional
        Numbers that colour each face.

    Returns
    -------
    list of PIL.Image.Image
        One per face.
    """
    shape = np.atleast_2d(np.asarray(as_array(shape), dtype=np.float32))
    vertices, triangles = as_array(model.decode(shape)), as_array(model.triangles).astype(int)
    occlusion = occlusion_of(model, as_array(model.mean), triangles)
    colours = None if model.colours is None else as_array(model.colours)
    pictures = []
    for number, face in enumerate(vertices):
        picture = still(
            face, triangles, camera=camera, size=(2 * size, 2 * size), occlusion=occlusion,
            colours=colours, gloss=gloss_of(model),
            scalars=None if scalars is None else scalars[number],
        )  # fmt: skip
        pictures.append(picture.resize((size, size), Image.Resampling.BOX))
    return pictures


def forming(images, faces, steps, *, truth=None, voices=None, size=96):
    """Images and faces as they form: a column per step, two rows per voice.

    Parameters
    ----------
    images : sequence of sequence of picture, (step, voice)
        What is drawn for each voice after each step; as for `picture_grid`.
    faces : sequence of sequence of picture, (step, voice)
        The faces seen in them, as from `face_pictures`.
    steps : sequence of str
        Headings.
    truth : tuple of two sequences of picture, (voice,), optional
        A photograph and the true face of each, for a last column.
    voices : sequence of str, optional
        Written before the rows.
    size : int, pixels
        Rows and columns of each picture.

    Returns
    -------
    PIL.Image.Image
        The sheet.

    Raises
    ------
    InputError
        If the lengths differ.
    """
    columns = {
        str(step): [picture for pair in zip(drawn, seen, strict=True) for picture in pair]
        for step, drawn, seen in zip(steps, images, faces, strict=True)
    }
    if truth is not None:
        columns["truth"] = [picture for pair in zip(*truth, strict=True) for picture in pair]
    n_voices = len(images[0])
    names = voices or [f"voice {number + 1}" for number in range(n_voices)]
    rows = [label for name in names for label in (f"{name}\nimage", "face in it")]
    return picture_grid(columns, rows=rows, size=size)


def curves(table, names, *, x="step", axis, title=None, words=None, references=None):
    """Lines over training steps.

    Parameters
    ----------
    table : DataFrame
        A run's history: a row per look.
    names : sequence of str
        Columns to draw.
    x : str
        Column of the steps.
    axis : str
        Name and unit of the figures.
    title : str, optional
        Heading.
    words : dict of str to str, optional
        Columns in words.
    references : dict of str to float, optional
        Dotted horizontal lines, by what they are.

    Returns
    -------
    plotly.graph_objects.Figure
        A line per column.

    Raises
    ------
    InputError
        If the table lacks a column.
    """
    if missing := [name for name in (x, *names) if name not in table]:
        raise InputError("the history", f"lacks {', '.join(missing)}", "choose other columns")
    figure = go.Figure()
    steps = table[x].to_numpy()
    for number, name in enumerate(names):
        label = (words or {}).get(name, name.replace("validation_", "").replace("_", " "))
        figure.add_scatter(
            x=steps, y=table[name].to_numpy(dtype=float), mode="lines", name=label,
            line={"color": PALETTE[number % len(PALETTE)], "width": 2},
        )  # fmt: skip
    ends = [float(steps[0]), float(steps[-1])]
    for name, value in (references or {}).items():
        figure.add_scatter(
            x=ends, y=[value, value], mode="lines", name=name,
            line={"color": "#5f6b7a", "width": 1.5, "dash": "dot"},
        )  # fmt: skip
    below = {"yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"}
    figure.update_layout(
        template=template(), height=330, showlegend=True, legend=below, margin={"b": 90}
    )
    figure.update_xaxes(title={"text": "step"})
    figure.update_yaxes(title={"text": axis})
    if title:
        figure.update_layout(title={"text": title})
    return figure
