"""Ear patch: seven rings of twelve, from the root over helix, scapha and antihelix to the concha.

Ring order: 0 front above, 1 top of the front, 2 top, 3-6 back downwards, 7 lobe, 8 lobe at the
cheek, 9 below the tragus, 10 tragus, 11 above the tragus. Tables hold (back, up, out) in the
ear's own plane; ear length 62, breadth 34, protrusion 22 mm, axis tilted backwards by 12 degrees.
"""

import itertools

import numpy as np

from v2mlib.faces.phantom.skull import name

ORIGIN, TILT_DEG, FLARE = np.array([69.4, -15.5, 2.0]), 14.0, 0.62
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
    (-5.6, 22, 1.4),
    (4.2, 28.2, 3.8),
    (16, 28.5, -1),
    (24, 21, -5),
    (26.5, 10, -8),
    (24, -3, -7.2),
    (17, -16, -5),
    (10.5, -26, -1.2),
    (1.8, -25.5, 0.2),
    (-1.1, -18, 0.2),
    (-2.6, -4, 0.2),
    (-3.8, 9, 0.2),
]
HELIX = [
    (-2.2, 22.0, 3.0),
    (4.6, 32.8, 5.6),
    (16.0, 35.5, 3),
    (27.5, 28.5, 1),
    (32.0, 13.5, 0),
    (29.6, -3, 0),
    (22.0, -18, 0),
    (12.5, -31.5, 0.7),
    (5.2, -30.5, 1.0),
    (1.2, -19, 0.5),
    (0.0, -4, 0.8),
    (-1.2, 9, 0.7),
]
RIM = [
    (2.2, 20.5, 4.4),
    (7.2, 29, 7.0),
    (16, 31.5, 5),
    (24.3, 25, 3.6),
    (28.2, 12.2, 2.8),
    (26.0, -2.5, 2.6),
    (19.3, -16, 2.2),
    (12.2, -27.5, 3.0),
    (7.2, -27.2, 2.4),
    (3.6, -18, 1.2),
    (2.8, -4.0, 3.0),
    (1.8, 9, 1.6),
]
SCAPHA = [
    (5.0, 17.5, 1.2),
    (9, 24.5, 1.4),
    (15.5, 26.6, 0.2),
    (22.0, 21.4, -1.4),
    (25.0, 11, -2.0),
    (23.0, -1.5, -1.8),
    (17.4, -13.3, -0.8),
    (12.0, -21.5, 2.4),
    (7.6, -23, 2.4),
    (6.0, -15.5, 1.2),
    (6.2, -4.5, 5.2),
    (5.0, 7.5, 1.8),
]
ANTIHELIX = [
    (7.8, 13.8, 0.4),
    (10.8, 19, 2.0),
    (14.5, 20.3, 2.8),
    (18.6, 16.4, 3.0),
    (20.8, 8.2, 3.0),
    (19.0, -1.5, 3.2),
    (15.4, -10.4, 3.4),
    (12.0, -15.8, 4.2),
    (9.2, -17.2, 1.4),
    (7.8, -13.0, -2.0),
    (7.4, -5.0, 0.5),
    (7.8, 5.0, 1.0),
]
CONCHA = [
    (10.0, 10.6, -4.0),
    (11.8, 13.2, -4.0),
    (14.2, 13.6, -4.0),
    (16.6, 10.6, -4.4),
    (17.4, 4.8, -4.8),
    (16.2, -2.2, -4.8),
    (13.8, -8.2, -4.4),
    (11.8, -11.5, -4.2),
    (10.4, -12.2, -4.6),
    (9.2, -9.4, -5.4),
    (8.4, -3.4, -5.8),
    (9.4, 3.4, -4.0),
]
FLOOR = [(12.4, 6.6, -6.8), (11.8, -0.5, -7.8), (10.8, -6.8, -7.2)]


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
    for outer, inner in itertools.pairwise(rings):
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
    x = out + FLARE * max(back - 2, 0.0) + (0.03 if up > 0 else 0.07) * up
    return tuple(ORIGIN + np.array([x, y, z]))
