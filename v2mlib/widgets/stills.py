"""Still pictures with the same marks as the live viewer: for stored notebooks and paper."""

import base64
import functools
import io

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from v2mlib.faces import rendering
from v2mlib.widgets.packing import as_array

BACKGROUND = (0.925, 0.937, 0.953)  # the light theme of the viewer
_INK = (27, 34, 48)
_LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def still(
    vertices,
    triangles,
    *,
    colours=None,
    scalars=None,
    landmarks=(),
    lines=None,
    camera="three_quarter",
    size=(420, 420),
    title="",
    occlusion=None,
    gloss=None,
):
    """Draw one face with its marks.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        The face.
    triangles : array_like of int, (triangle, 3)
        Its triangles.
    colours : array_like (vertex, 3), optional
        sRGB from 0 to 1.
    scalars : ScalarMap, optional
        Numbers that colour the face, with a scale bar.
    landmarks : sequence of int
        Vertices drawn as dots.
    lines : dict of str to (int, int), optional
        Lines drawn with their lengths.
    camera : str or Camera
        Preset or camera.
    size : tuple of int, (height, width)
        Pixels.
    title : str
        Written at the top left.
    occlusion : array_like (vertex,), optional
        Share of the sky each vertex sees.
    gloss : array_like (vertex,), optional
        Strength of the highlights from 0 to 1.

    Returns
    -------
    PIL.Image.Image
        The picture.
    """
    vertices = np.asarray(vertices, float)
    camera = rendering.frame(vertices, camera, size=size)
    picture = rendering.render(
        vertices,
        triangles,
        colours=scalars.colours() if scalars is not None else colours,
        camera=camera,
        size=size,
        background=BACKGROUND,
        occlusion=occlusion,
        # A highlight would hide the colour that stands for a number.
        gloss=gloss if scalars is None else np.zeros(len(vertices)),
    )
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    paper = ImageDraw.Draw(image)
    _mark_points(paper, rendering.project(vertices[list(landmarks)], camera, size))
    _mark_lines(paper, vertices, lines or {}, camera, size)
    if scalars is not None:
        _mark_scale(paper, scalars, size)
    if title:
        write_on(paper, (12, 10), title, 14)
    return image


def occlusion_of(model, vertices, triangles):
    """Share of the sky each vertex sees, from the model where one is at hand.

    Parameters
    ----------
    model : MorphableModel or None
        Its mean face is near enough to every face of the topology.
    vertices : ndarray, (vertex, xyz=3), mm
        The face, for want of a model.
    triangles : ndarray of int, (triangle, 3)
        Its triangles.

    Returns
    -------
    ndarray, (vertex,)
        From 0 (enclosed) to 1 (open).
    """
    if model is None:
        return rendering.ambient_occlusion(vertices, triangles)
    return _occlusion_of_mean(model)


@functools.lru_cache(maxsize=8)
def _occlusion_of_mean(model):
    known = (getattr(model, "extras", None) or {}).get("occlusion")
    if known is not None:
        return as_array(known)
    return rendering.ambient_occlusion(as_array(model.mean), as_array(model.triangles))


def data_address(image, kind="jpeg"):
    """Write a picture as a ``data:`` address.

    Parameters
    ----------
    image : PIL.Image.Image
        The picture.
    kind : str
        ``jpeg`` (small) or ``png``.

    Returns
    -------
    str
        For the ``src`` of an ``img``.
    """
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 88} if kind == "jpeg" else {"optimize": True}))
    return f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode()


def png_text(image):
    """Encode a picture as the base64 PNG of a notebook output.

    Parameters
    ----------
    image : PIL.Image.Image
        Dithered to 256 colours, which halves the file and cannot be seen on a shaded face.

    Returns
    -------
    str
        Base64.
    """
    image = image.convert("RGB")
    # Pillow dithers only towards a palette that it is given.
    palette = image.quantize(256, kmeans=3)
    stream = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
        stream, "png", optimize=True
    )
    return base64.b64encode(stream.getvalue()).decode()


def with_picture(bundled, image):
    """Add a still picture to what a widget displays.

    Parameters
    ----------
    bundled : dict or (dict, dict)
        What ``_repr_mimebundle_`` gave: data, or data and metadata.
    image : PIL.Image.Image
        For readers without a kernel.

    Returns
    -------
    dict or (dict, dict)
        Of the same kind.
    """
    data, *metadata = bundled if isinstance(bundled, tuple) else (bundled,)
    data = {**data, "image/png": png_text(image), "text/plain": "a face (run the cell to turn it)"}
    return (data, *metadata) if metadata else data


def beside(images, gap=6):
    """Pictures of one height side by side.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        The pictures.
    gap : int, pixels
        Between neighbours.

    Returns
    -------
    PIL.Image.Image
        One picture on white.
    """
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    sheet = Image.new("RGB", (width, max(image.height for image in images)), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + gap
    return sheet


def write_on(paper, at, text, points=12, anchor="la"):
    """Write a line of text on a picture, readable on any ground.

    Parameters
    ----------
    paper : PIL.ImageDraw.ImageDraw
        Of the picture.
    at : (float, float), pixels
        Column and row.
    text : str
        The line.
    points : int
        Size of the letters.
    anchor : str
        Which point of the text lies there, as Pillow has it.
    """
    paper.text(
        at, text, fill=_INK, font=_font(points), anchor=anchor,
        stroke_width=2, stroke_fill=(246, 248, 250),
    )  # fmt: skip


@functools.cache
def _font(points):
    # The font that matplotlib brings looks the same on every machine.
    path = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, points)


def _mark_points(paper, pixels):
    for x, y in pixels:
        paper.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_INK, outline=(246, 248, 250))


def _mark_lines(paper, vertices, lines, camera, size):
    for index, (name, ends) in enumerate(lines.items()):
        pair = vertices[list(ends)]
        (ax, ay), (bx, by) = rendering.project(pair, camera, size).tolist()
        paper.line((ax, ay, bx, by), fill=(246, 248, 250), width=5)
        paper.line((ax, ay, bx, by), fill=_LINE_COLOURS[index % len(_LINE_COLOURS)], width=3)
        length = float(np.linalg.norm(pair[0] - pair[1]))
        label = f"{name.replace('_', ' ')} {length:.1f} mm"
        if abs(ay - by) > abs(ax - bx):
            low = (ax, ay) if ay > by else (bx, by)
            write_on(paper, (low[0] + 8, low[1] + 4), label)
        else:
            write_on(paper, ((ax + bx) / 2, (ay + by) / 2 - 6), label, anchor="mb")


def _mark_scale(paper, scalars, size):
    height, width = size
    tall, top, left = int(0.27 * height), 34, width - 26
    ramp = scalars.colours(np.linspace(scalars.high, scalars.low, tall))
    for row, colour in enumerate(np.round(ramp * 255).astype(int).tolist()):
        paper.line((left, top + row, left + 12, top + row), fill=tuple(colour))
    span = scalars.high - scalars.low
    digits = 2 if span < 1 else 1 if span < 20 else 0
    for share in (0.0, 0.5, 1.0):
        text = f"{scalars.low + share * span:.{digits}f}"
        write_on(paper, (left - 5, top + (1 - share) * tall), text, anchor="rm")
    unit = f" ({scalars.unit})" if scalars.unit else ""
    write_on(paper, (width - 12, 16), f"{scalars.name}{unit}", anchor="rm")
