"""Ear patch: seven rings of twelve, from the root over helix, scapha and antihelix to the concha.

Ring order: 0 front above, 1 top of the front, 2 top, 3-6 back downwards, 7 lobe, 8 lobe at the
cheek, 9 below the tragus, 10 tragus, 11 above the tragus. Tables hold (back, up, out) in the
ear's own plane; ear length 62, breadth 34, protrusion 22 mm, axis tilted backwards by 12 degrees.
"""

import numpy as np

from v2mlib.faces.phantom.skull import name

ORIGIN, TILT_DEG, FLARE = np.array([70.2, -15.0, 3.0]), 12.0, 0.50
ROOT = [
    ("EM", 9),
    ("EM", 10),
    ("EM", 11),
    ("EB", 11),
    ("R1", 11),
    ("R2", 11),
    ("R3", 11),
    ("R3", 10),
    ("R3", 9),
    ("R2", 9),
    ("R1", 9),
    ("EB", 9),
]
BACK = [
    (-3.5, 20, 0.8),
    (6, 27, 1.5),
    (17, 27, -1),
    (24, 20, -6),
    (26, 9, -8),
    (24, -3, -7),
    (17, -15, -5),
    (9, -26, -1.0),
    (0, -28, 0.2),
    (-4.5, -17, 0.2),
    (-5.5, -3, 0.2),
    (-5, 9, 0.3),
]
HELIX = [
    (-1.5, 20, 3.0),
    (5.5, 29.5, 4.5),
    (16.5, 32, 3),
    (27, 25.5, 1),
    (31.5, 12, 0),
    (29, -3, 0),
    (21, -17, 0),
    (11.5, -29, 2.0),
    (2.5, -28.5, 2.0),
    (-2.5, -17.5, 1.2),
    (-2.5, -3, 2.0),
    (-2.0, 9, 1.6),
]
RIM = [
    (2, 18.5, 4.2),
    (7.5, 26.5, 6),
    (16, 28.5, 5),
    (24, 22.5, 3.6),
    (27.8, 11, 2.8),
    (25.4, -2.5, 2.6),
    (18.2, -15, 2.2),
    (11, -25, 3.6),
    (4.5, -25, 3.2),
    (0.5, -16.5, 2.0),
    (1.5, -3, 4.6),
    (1.5, 9, 2.8),
]
SCAPHA = [
    (4.5, 15.5, 1.5),
    (9, 22.5, 1.6),
    (15.5, 24, 0.4),
    (21.6, 19, -1.0),
    (24.6, 10, -1.4),
    (22.4, -1.5, -1.2),
    (16.5, -12.5, -0.5),
    (11.0, -19.5, 2.6),
    (6.0, -20.5, 2.6),
    (3.2, -14.5, 1.5),
    (4.8, -4, 5.0),
    (4.5, 7.0, 2.6),
]
ANTIHELIX = [
    (7.5, 12.5, 0.6),
    (10.8, 17.5, 1.6),
    (14.5, 18.5, 2.2),
    (18.4, 14.8, 2.2),
    (20.6, 7.5, 2.2),
    (18.8, -1.5, 2.4),
    (14.6, -9.8, 2.8),
    (10.8, -14.5, 3.8),
    (7.6, -15.6, 1.4),
    (5.6, -12.0, -2.0),
    (6.4, -4.5, 0.5),
    (7.8, 4.6, 1.4),
]
CONCHA = [
    (9.6, 9.6, -4.5),
    (11.8, 12.2, -4.5),
    (14.2, 12.6, -4.5),
    (16.6, 9.6, -5.0),
    (17.4, 4.4, -5.5),
    (16.0, -2.0, -5.5),
    (13.2, -7.6, -5.0),
    (10.8, -10.5, -4.5),
    (9.0, -11.0, -5.0),
    (7.6, -8.6, -6.0),
    (7.6, -3.0, -6.5),
    (9.0, 3.0, -4.0),
]
FLOOR = [(12.4, 6.2, -8.0), (11.8, -0.5, -9.5), (10.6, -6.2, -8.5)]


def build(cage):
    """Place the ear; its root ring belongs to the head grid.

    Parameters
    ----------
    cage : HalfCage
        Receives vertices and polygons.
    """
    rings = [[name(*place) for place in ROOT]]
    for label, table in (("back", BACK), ("helix", HELIX), ("rim", RIM), ("scapha", SCAPHA),
                         ("antihelix", ANTIHELIX), ("concha", CONCHA)):  # fmt: skip
        rings.append(cage.ring(f"ear.{label}", [place(p) for p in table], "ear"))
    for outer, inner in zip(rings[:-1], rings[1:], strict=True):
        cage.strip(outer, inner, closed=True)
    floor = cage.ring("ear.floor", [place(p) for p in FLOOR], "ear")
    c = rings[-1]
    cage.grid([
        [c[0], c[1], c[2]], [c[11], floor[0], c[3]], [c[10], floor[1], c[4]],
        [c[9], floor[2], c[5]], [c[8], c[7], c[6]],
    ])  # fmt: skip


def place(point):
    """Head coordinates of a point of the ear.

    Parameters
    ----------
    point : tuple of float, (back, up, out), mm
        In the ear's plane.

    Returns
    -------
    tuple of float, (xyz=3), mm
        In the head.
    """
    back, up, out = point
    tilt = np.radians(TILT_DEG)
    z = -(back * np.cos(tilt) + up * np.sin(tilt))
    y = up * np.cos(tilt) - back * np.sin(tilt)
    # The back edge stands away from the head.
    x = out + FLARE * max(back, 0.0) + 0.04 * up
    return tuple(ORIGIN + [x, y, z])
