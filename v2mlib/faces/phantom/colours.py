"""Albedo and gloss of the phantom face: skin, lips, eyes, brows, teeth."""

import numpy as np
from scipy.interpolate import PchipInterpolator

SKIN = np.array([0.84, 0.66, 0.56])
LIPS = np.array([0.76, 0.47, 0.44])
BROW = np.array([0.26, 0.18, 0.13])
HAIR = np.array([0.30, 0.22, 0.17])
_EYE = {"pupil": (0.03, 0.03, 0.03), "iris": (0.36, 0.27, 0.19), "limbus": (0.20, 0.15, 0.12),
        "sclera": (0.90, 0.88, 0.86)}  # fmt: skip
# Azimuth from the front (degrees) and height of the hairline (mm).
_HAIRLINE = ((0, 70), (16, 70), (28, 65), (38, 56), (48, 46), (60, 33), (72, 17), (80, 7), (92, 7),
             (104, 4), (116, -14), (130, -36), (148, -50), (180, -56))  # fmt: skip


def colours(head):
    """Albedo of every vertex.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray, (vertex, rgb=3)
        sRGB from 0 to 1.
    """
    cage = np.tile(SKIN, (len(head.names), 1))
    for number, name in enumerate(head.names):
        cage[number] = _cage_colour(name.rstrip("'"))
    paint = np.clip(head.matrix @ cage, 0, 1)
    vertices = head.vertices
    x, y, z = np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]
    skin = head.matrix @ np.array([_is_skin(name) for name in head.names], float)
    blush = 0.55 * _bell(vertices, (40, -34, 80), (17, 14, 25))
    blush += 0.5 * _bell(vertices, (0, -37, 118), (11, 9, 12))
    blush += 0.35 * _bell(vertices, (0, -103, 98), (18, 10, 20))
    blush += 0.5 * (head.matrix @ np.array([n.startswith("ear") for n in head.names], float))
    paint *= 1 + (skin * np.clip(blush, 0, 1))[:, None] * np.array([0.01, -0.11, -0.10])
    socket = _bell(vertices, (31.5, 2, 84), (17, 12, 20)) * skin
    paint *= 1 - socket[:, None] * np.array([0.05, 0.09, 0.08])
    # On the cage, so that the border is as smooth as the surface.
    count = len(head.names)
    hair = head.matrix @ _hair(x[:count], y[:count], z[:count])
    crop = (0.70 * _step(hair, 0.12, 0.85) * skin)[:, None]
    paint = paint * (1 - crop) + HAIR * crop
    strength = (_brows(head, x, y, z) * skin)[:, None]
    return np.clip(paint * (1 - strength) + BROW * strength, 0, 1)


def gloss(head):
    """Strength of the highlight of every vertex.

    Parameters
    ----------
    head : Head
        The mean head.

    Returns
    -------
    ndarray, (vertex,)
        From 0 (dull) to 1 (wet).
    """

    def of(name):
        if name.startswith(("ball", "eye.rim")):
            return 1.0
        if name.startswith(("mouth.crest", "mouth.contact", "teeth")):
            return 0.45
        return 0.2

    return head.matrix @ np.array([of(name) for name in head.names])


def _cage_colour(name):
    if name.startswith("ball"):
        return _EYE[name.split(".")[1]]
    if name.startswith("teeth"):
        return (0.90, 0.87, 0.80)
    if name.startswith(("nostril.inside",)):
        return 0.45 * SKIN
    if name.startswith(("nostril.deep", "mouth.back")):
        return (0.16, 0.06, 0.06)
    if name.startswith(("mouth.deep",)):
        return (0.42, 0.17, 0.17)
    if name.startswith(("mouth.inside", "mouth.contact")):
        return 0.75 * LIPS
    if name.startswith("mouth.crest"):
        return LIPS
    if name.startswith("mouth.vermilion"):
        return 0.75 * LIPS + 0.25 * SKIN
    if name.startswith("eye.rim"):
        return (0.80, 0.55, 0.50)
    if name.startswith("eye.inside"):
        return (0.70, 0.40, 0.38)
    if name.startswith("eye.margin"):
        return (0.55, 0.38, 0.32) if int(name.split(".")[2]) in range(1, 6) else 0.88 * SKIN
    return SKIN


def _is_skin(name):
    return not name.startswith(("ball", "teeth", "mouth.inside", "mouth.deep", "mouth.back"))


def _bell(vertices, centre, widths):
    offset = np.stack([np.abs(vertices[:, 0]), vertices[:, 1], vertices[:, 2]], 1) - centre
    return np.exp(-0.5 * ((offset / widths) ** 2).sum(1))


def _brows(head, x, y, z):
    """Hair density along an arc over the five brow landmarks."""
    points = np.array([head.vertices[head.index(n)] for n in
                       ("ET.c2", "ET.c3", "ET.c4", "ET.c5", "ET.c6")])  # fmt: skip
    t = np.clip((x - points[0, 0] + 1) / (points[4, 0] - points[0, 0] + 1), 0, 1)
    arc = np.interp(x, points[:, 0], points[:, 1] + np.array([0.6, 0.2, 0.0, 0.2, 0.4]))
    half_height = 3.6 * (1 - t) ** 0.4 * (0.72 + 0.28 * np.clip(t / 0.15, 0, 1)) + 0.4
    density = np.exp(-1.3 * ((y - arc) / half_height) ** 2)
    ends = _step(x, points[0, 0] - 4, points[0, 0] + 5) * _step(
        -x, -points[4, 0] - 1, 4 - points[4, 0]
    )
    return 0.75 * density * ends * (z > 60)


def _hair(x, y, z):
    """Cropped hair: above a hairline that runs over forehead, temple, ear and nape."""
    azimuth = np.degrees(np.arctan2(x, z + 20.0))
    line = PchipInterpolator(*np.array(_HAIRLINE).T)(azimuth)
    return _step(y, line - 5, line + 7)


def _step(value, low, high):
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
