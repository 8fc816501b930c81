"""A contact sheet: many photographs at a glance, with their landmarks, residuals, rejections."""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from v2mlib.checks import InputError, check_shape
from v2mlib.photos.landmarks import LANDMARK_PARTS, Landmarks, box_of_points
from v2mlib.photos.reading import as_photo

PART_COLOURS = {  # Okabe and Ito's, light enough for skin of any tone
    "jaw": "#56b4e9",
    "right_brow": "#e69f00",
    "left_brow": "#e69f00",
    "nose": "#f0e442",
    "right_eye": "#00e0a0",
    "left_eye": "#00e0a0",
    "outer_lips": "#ff6ab0",
    "inner_lips": "#ffb3d6",
}
"""Colour of each part of the 68 landmarks."""

_LEGEND = {"jaw": "jaw", "right_brow": "brows", "nose": "nose", "right_eye": "eyes",
           "outer_lips": "lips"}  # fmt: skip
_CLOSED = ("right_eye", "left_eye", "outer_lips", "inner_lips")
_PAPER, _INK, _FAINT, _REJECTED = "#ffffff", "#1b2230", "#5f6b7a", "#c0392b"
_BEYOND = "#e3e7ec"  # what no photograph covers
_RING = "#3a4252"  # around each landmark
_FINER = 2  # everything is drawn this many times larger and reduced: smooth lines
_GAP, _FONT_SIZE = 10, 12  # pixels
_NAME, _TEXT = 20, 50  # pixels below a photo: for its name, for its name and a reason
_LEGEND_HEIGHT = 26  # pixels
_VIEW = 1.5  # side of what is shown over that of the face


def contact_sheet(
    photos,
    landmarks=None,
    *,
    names=None,
    residuals=None,
    reasons=None,
    unit="px",
    columns=6,
    cell=168,
    whole=False,
):
    """Draw photographs with their landmarks on one sheet.

    Parameters
    ----------
    photos : sequence of path or ndarray of uint8, (row, column, rgb=3)
        The photographs. A path that cannot be read becomes an empty cell that says why.
    landmarks : sequence of Landmarks, array_like (landmark=68, xy or xyz), pixels, or None
        One entry per photograph; None where there is no face, NaN for unknown points.
    names : sequence of str, optional
        Written below; the files' names by default.
    residuals : array_like, (photo,), optional
        Numbers written below the names; NaN writes none.
    reasons : sequence of str or None, optional
        Why a photograph was rejected: it is framed in red, greyed, and says so; None or an
        empty text for those that are used.
    unit : str
        Of the residuals.
    columns : int
        Photographs per row.
    cell : int, pixels
        Side of a photograph on the sheet.
    whole : bool
        Whether to show whole photographs instead of the surroundings of the face.

    Returns
    -------
    PIL.Image.Image
        RGB; saving it is up to the caller.

    Raises
    ------
    InputError
        If there are no photographs, the lists differ in length, or the sizes are impossible.
    ShapeError
        If landmarks are not 68 points.

    Examples
    --------
    >>> sheet = contact_sheet([np.zeros((64, 64, 3), np.uint8)], names=["dark"])
    >>> sheet.mode
    'RGB'
    """
    photos = list(photos)
    if not photos or columns < 1 or not 48 <= cell <= 1024:
        raise InputError(
            "contact sheet",
            f"cannot show {len(photos)} photos in {columns} columns of {cell} pixels",
            "give at least one photo and column, and 48 to 1024 pixels",
        )
    texts = _texts(photos, names, residuals, reasons, unit)
    landmarks = _points(landmarks, len(photos))
    columns, rows = min(columns, len(photos)), -(-len(photos) // columns)
    cells = [
        _cell(photo, points, text, cell, whole)
        for photo, points, text in zip(photos, landmarks, texts, strict=True)
    ]
    below = _TEXT if any(rejected for _, rejected in cells) else _NAME
    width, step = columns * (cell + _GAP) + _GAP, cell + below + _GAP
    sheet = Image.new("RGB", (width, rows * step + _GAP + _LEGEND_HEIGHT), _PAPER)
    for number, (picture, _) in enumerate(cells):
        row, column = divmod(number, columns)
        picture = picture.crop((0, 0, cell, cell + below))
        sheet.paste(picture, (_GAP + column * (cell + _GAP), _GAP + row * step))
    sheet.paste(_legend(width), (0, sheet.height - _LEGEND_HEIGHT))
    return sheet


def _texts(photos, names, residuals, reasons, unit):
    """Name, residual and reason of each photograph, as they will be written."""
    if names is None:
        names = [Path(p).stem if isinstance(p, (str, Path)) else "" for p in photos]
    residuals = np.full(len(photos), np.nan) if residuals is None else np.asarray(residuals, float)
    reasons = [None] * len(photos) if reasons is None else list(reasons)
    for what, given in (("names", names), ("residuals", residuals), ("reasons", reasons)):
        if len(given) != len(photos):
            raise InputError(what, f"are {len(given)} for {len(photos)} photos", "give one each")
    return [
        (str(name), _amount(residual, unit), str(reason or ""))
        for name, residual, reason in zip(names, residuals, reasons, strict=True)
    ]


def _amount(residual, unit):
    if np.isnan(residual):
        return ""
    return f"{residual:.1f} {unit}" if abs(residual) >= 1 else f"{residual:.2g} {unit}"


def _points(landmarks, n_photos):
    landmarks = [None] * n_photos if landmarks is None else list(landmarks)
    if len(landmarks) != n_photos:
        raise InputError(
            "landmarks", f"are {len(landmarks)} for {n_photos} photos", "give one entry each"
        )
    found = []
    for points in landmarks:
        points = points.points if isinstance(points, Landmarks) else points
        if points is not None:
            points = np.asarray(points, dtype=float)
            check_shape(points, {"landmark": 68, "xy or xyz": None}, "landmarks of a photo")
            points = points[:, :2] if np.isfinite(points[:, :2]).any() else None
        found.append(points)
    return found


def _cell(photo, points, text, cell, whole):
    """One photograph with what is written below it, and whether that is a rejection."""
    name, residual, reason = text
    size = cell * _FINER
    picture = Image.new("RGB", (size, size + _TEXT * _FINER), _PAPER)
    try:
        image = Image.fromarray(as_photo(photo))
    except InputError as error:
        image, reason = None, reason or error.problem
    if image is None:
        ImageDraw.Draw(picture).rectangle((0, 0, size - 1, size - 1), fill=_BEYOND)
    else:
        view = _view(image.size, points, whole)
        small, part = _reduced(image, view, size)
        bicubic = Image.Resampling.BICUBIC
        shown = small.transform(
            (size, size), Image.Transform.EXTENT, part, bicubic, fillcolor=_BEYOND
        )
        if reason:
            shown = Image.blend(shown, shown.convert("L").convert("RGB"), 0.8)
        picture.paste(shown, (0, 0))
        if points is not None:
            # The view's edges are edges of pixels, whose centres are at whole numbers.
            scale = size / (view[2] - view[0])
            placed = (points + 0.5 - np.array(view[:2])) * scale
            layer = picture.crop((0, 0, size, size))
            _draw_landmarks(ImageDraw.Draw(layer), placed, size / 105)
            picture.paste(layer, (0, 0))
    draw = ImageDraw.Draw(picture)
    if reason:
        draw.rectangle((0, 0, size - 1, size - 1), outline=_REJECTED, width=3 * _FINER)
    _write(draw, name, residual, reason, size)
    return picture.reduce(_FINER), bool(reason)


def _reduced(image, view, size):
    """Bring a large photograph near the size at which it is shown: sampling does not smooth."""
    factor = int((view[2] - view[0]) // size)
    if factor < 2:
        return image, view
    return image.reduce(factor), tuple(edge / factor for edge in view)


def _view(image_size, points, whole):
    """Square of the photograph to show, in pixels from its upper left edge."""
    width, height = image_size
    if whole or points is None:
        centre, side = (width / 2, height / 2), max(width, height)
    else:
        box = box_of_points(points)
        centre, side = (box[:2] + box[2:]) / 2, _VIEW * max((box[2:] - box[:2]).max(), 1.0)
    x, y = (float(value) for value in centre)
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def _draw_landmarks(draw, points, radius):
    for part, where in LANDMARK_PARTS.items():
        chain = [tuple(p) for p in points[where].tolist()]
        ends = [*chain[1:], *(chain[:1] if part in _CLOSED else [])]
        for line in zip(chain, ends, strict=False):
            if np.isfinite(line).all():
                draw.line(line, fill=PART_COLOURS[part], width=max(round(0.5 * radius), 1))
    for part, where in LANDMARK_PARTS.items():
        for x, y in points[where][np.isfinite(points[where]).all(1)].tolist():
            ring = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(ring, fill=PART_COLOURS[part], outline=_RING)


def _write(draw, name, residual, reason, size):
    font = ImageFont.load_default(_FONT_SIZE * _FINER)
    top, line = size + 3 * _FINER, (_FONT_SIZE + 2) * _FINER
    right = draw.textlength(residual, font)
    if residual:
        draw.text((size - right, top), residual, fill=_FAINT, font=font)
    room = size - right - (8 * _FINER if residual else 0)
    draw.text((0, top), _shortened(draw, name, room, font), fill=_INK, font=font)
    for number, words in enumerate(_wrapped(draw, reason, size, font, 2)):
        draw.text((0, top + (number + 1) * line), words, fill=_REJECTED, font=font)


def _shortened(draw, text, room, font):
    if draw.textlength(text, font) <= room:
        return text
    kept = itertools.takewhile(
        lambda n: draw.textlength(text[:n] + "…", font) <= room, range(1, len(text))
    )
    return text[: max(kept, default=0)] + "…"


def _wrapped(draw, text, room, font, most):
    """Break a text into lines; what is too long ends in an ellipsis."""
    lines = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (draw.textlength(longer, font) <= room or len(lines) == most):
            lines[-1] = longer
        else:
            lines.append(word)
    return [_shortened(draw, line, room, font) for line in lines]


def _legend(width):
    legend = Image.new("RGB", (width * _FINER, _LEGEND_HEIGHT * _FINER), _PAPER)
    draw, font = ImageDraw.Draw(legend), ImageFont.load_default(_FONT_SIZE * _FINER)
    x, middle, radius = _GAP * _FINER, 9 * _FINER, 4 * _FINER
    for part, word in _LEGEND.items():
        dot = (x, middle - radius, x + 2 * radius, middle + radius)
        draw.ellipse(dot, fill=PART_COLOURS[part], outline=_FAINT)
        draw.text((x + 3 * radius, middle), word, fill=_FAINT, font=font, anchor="lm")
        x += 3 * radius + int(draw.textlength(word, font)) + 12 * _FINER
    return legend.reduce(_FINER)
