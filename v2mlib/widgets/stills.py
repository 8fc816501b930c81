"""Still pictures with the same marks as the live viewer: for stored notebooks and paper."""

import base64
import functools
import importlib.util
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from v2mlib.faces import rendering
from v2mlib.widgets.packing import as_array

# As in the viewer: background, ink and the halo behind letters.
THEMES = {
    "light": ((0.925, 0.937, 0.953), (27, 34, 48), (246, 248, 250)),
    "dark": ((0.125, 0.141, 0.169), (238, 241, 246), (20, 23, 28)),
}
_HIGHLIGHT, _FADED = np.array([0.0, 0.447, 0.698]), np.full(3, 0.745)
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
    highlight=(),
    wireframe=False,
    theme="light",
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
    highlight : sequence of int
        Vertices of a region: tinted blue, or left alone by the fading of all others where
        ``scalars`` colour the face.
    wireframe : bool
        Draw the triangles' edges where the camera sees them.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    PIL.Image.Image
        The picture; letters and marks grow with it.
    """
    vertices = np.asarray(vertices, float)
    camera = rendering.frame(vertices, camera, size=size)
    ground, *_ = THEMES[theme]
    painted = scalars.colours() if scalars is not None else colours
    if len(highlight):
        painted = np.array(np.broadcast_to(rendering.SKIN if painted is None else painted,
                                           vertices.shape))  # fmt: skip
        # A region is tinted; where colours are numbers, everything else is faded instead.
        inside = np.isin(np.arange(len(vertices)), highlight)
        mixed, tint = (inside, _HIGHLIGHT) if scalars is None else (~inside, _FADED)
        painted[mixed] = 0.45 * painted[mixed] + 0.55 * tint
    # Small pictures wait in front of a reader: half as many rays as the default, still smooth.
    small = max(size) <= 600
    drawn = tuple(round(1.5 * side) for side in size) if small else size
    picture = rendering.render(
        vertices,
        triangles,
        colours=painted,
        camera=camera,
        size=drawn,
        background=ground,
        occlusion=occlusion,
        # A highlight would hide the colour that stands for a number.
        gloss=gloss if scalars is None else np.zeros(len(vertices)),
        supersample=1 if small else 2,
    )
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    image = image.resize(size[::-1], Image.BICUBIC) if small else image
    sheet = _Sheet(ImageDraw.Draw(image, "RGBA"), camera, size, theme, max(1.0, min(size) / 420))
    marked = wireframe or len(landmarks)
    seen = rendering.visible(vertices, triangles, camera) if marked else None
    if wireframe:
        _mark_edges(sheet, vertices, np.asarray(triangles), seen)
    _mark_points(sheet, vertices, list(landmarks), seen)
    _mark_lines(sheet, vertices, lines or {})
    if scalars is not None:
        _mark_scale(sheet, scalars)
    if title:
        sheet.write((12, 10), title, 14)
    return image


class _Sheet(NamedTuple):
    """Where marks are drawn; offsets and sizes are those of a picture of 420 pixels."""

    paper: ImageDraw.ImageDraw
    camera: object
    size: tuple
    theme: str
    grown: float

    def pixels(self, vertices):
        return rendering.project(vertices, self.camera, self.size)

    def write(self, at, text, points=12, anchor="la"):
        """Write ``text``; negative places count from the right or lower edge."""
        column, row = (v * self.grown + (v < 0) * full for v, full in
                       zip(at, self.size[::-1], strict=True))  # fmt: skip
        self.label((column, row), text, points, anchor)

    def label(self, pixel, text, points=12, anchor="la"):
        write_on(self.paper, pixel, text, points * self.grown, anchor, self.theme)


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
        From 0 (enclosed) to 1 (open); 1 everywhere for a mesh of more than 125,000 vertices.
    """
    return _occlusion(vertices, triangles) if model is None else _occlusion_of_mean(model)


def _occlusion(vertices, triangles):
    """A fifth of a second: fewer rays for large meshes, none for very large ones."""
    rays = min(64, 400_000 // max(len(vertices), 1))
    if len(vertices) > 125_000:
        return np.ones(len(vertices))
    if rays >= 32:
        return rendering.ambient_occlusion(vertices, triangles, rays=rays)
    # Few rays are coarse steps of light: neighbours smooth them.
    sky = rendering.ambient_occlusion(vertices, triangles, rays=max(rays, 8))
    corners, of_triangle = triangles.ravel(), np.repeat(sky[triangles].mean(1), 3)
    count = np.bincount(corners, minlength=len(sky))
    smooth = np.bincount(corners, of_triangle, len(sky)) / np.maximum(count, 1)
    return np.where(count > 0, smooth, sky)


@functools.lru_cache(maxsize=8)
def _occlusion_of_mean(model):
    known = (getattr(model, "extras", None) or {}).get("occlusion")
    if known is not None:
        return as_array(known)
    return _occlusion(as_array(model.mean), as_array(model.triangles))


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
    # A quarter of the pixels, unmixed, gives the same palette sooner.
    quarter = image.resize((-(-image.width // 2), -(-image.height // 2)), Image.NEAREST)
    palette = quarter.quantize(256, kmeans=3)
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


def write_on(paper, at, text, points=12, anchor="la", theme="light"):
    """Write a line of text on a picture, readable on any ground.

    Parameters
    ----------
    paper : PIL.ImageDraw.ImageDraw
        Of the picture.
    at : (float, float), pixels
        Column and row.
    text : str
        The line.
    points : float
        Size of the letters.
    anchor : str
        Which point of the text lies there, as Pillow has it.
    theme : str
        ``light`` or ``dark``.
    """
    _, ink, halo = THEMES[theme]
    paper.text(
        at, text, fill=ink, font=_font(round(points)), anchor=anchor,
        stroke_width=max(2, round(points / 7)), stroke_fill=halo,
    )  # fmt: skip


@functools.cache
def _font(points):
    # The font that matplotlib brings looks the same on every machine; matplotlib itself, which
    # takes its time, stays out.
    (folder,) = importlib.util.find_spec("matplotlib").submodule_search_locations
    return ImageFont.truetype(f"{folder}/mpl-data/fonts/ttf/DejaVuSans.ttf", points)


def _mark_edges(sheet, vertices, triangles, seen):
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges = np.unique(edges, axis=0)
    pixels = sheet.pixels(vertices)
    for ends in pixels[edges[seen[edges].all(1)]].reshape(-1, 4).tolist():
        sheet.paper.line(ends, fill=(20, 25, 41, 100), width=round(sheet.grown))


def _mark_points(sheet, vertices, numbers, seen):
    _, ink, halo = THEMES[sheet.theme]
    radius = 3 * sheet.grown
    for number, (x, y) in zip(numbers, sheet.pixels(vertices[numbers]), strict=True):
        strength = 255 if seen[number] else 60  # behind the face: faint, as in the viewer
        sheet.paper.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            fill=(*ink, strength), outline=(*halo, strength),
        )  # fmt: skip


def _mark_lines(sheet, vertices, lines):
    _, _, halo = THEMES[sheet.theme]
    grown = sheet.grown
    for index, (name, ends) in enumerate(lines.items()):
        pair = vertices[list(ends)]
        (ax, ay), (bx, by) = sheet.pixels(pair).tolist()
        colour = _LINE_COLOURS[index % len(_LINE_COLOURS)]
        sheet.paper.line((ax, ay, bx, by), fill=halo, width=round(5 * grown))
        sheet.paper.line((ax, ay, bx, by), fill=colour, width=round(3 * grown))
        length = float(np.linalg.norm(pair[0] - pair[1]))
        label = f"{name.replace('_', ' ')} {length:.1f} mm"
        if abs(ay - by) > abs(ax - bx):
            low = (ax, ay) if ay > by else (bx, by)
            sheet.label((low[0] + 8 * grown, low[1] + 4 * grown), label)
        else:
            sheet.label(((ax + bx) / 2, (ay + by) / 2 - 6 * grown), label, anchor="mb")


def _mark_scale(sheet, scalars):
    (height, width), grown = sheet.size, sheet.grown
    tall, top, left = int(0.27 * height), 34 * grown, width - 26 * grown
    ramp = scalars.colours(np.linspace(scalars.high, scalars.low, tall))
    for row, colour in enumerate(np.round(ramp * 255).astype(int).tolist()):
        ends = (left, top + row, left + 12 * grown, top + row)
        sheet.paper.line(ends, fill=tuple(colour))
    span = scalars.high - scalars.low
    digits = 2 if span < 1 else 1 if span < 20 else 0
    for share in (0.0, 0.5, 1.0):
        text = f"{scalars.low + share * span:.{digits}f}"
        sheet.label((left - 5 * grown, top + (1 - share) * tall), text, anchor="rm")
    unit = f" ({scalars.unit})" if scalars.unit else ""
    sheet.write((-12, 16), f"{scalars.name}{unit}", anchor="rm")
