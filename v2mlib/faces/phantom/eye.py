"""Eye patch: seven rings of twelve round the lid opening, and the eyeball.

Ring order: 0 inner canthus, 1-5 upper lid outwards, 6 outer canthus, 7-11 lower lid inwards.
Interpupillary 63 mm, canthi 32.5 and 89 mm apart, opening 10 mm high; the upper lid covers the
top 1.5 mm of the iris, the lower lid touches it.
"""

import itertools

import numpy as np

from v2mlib.faces.phantom.skull import name

BALL_CENTRE, BALL_RADIUS = np.array([31.5, 0.0, 72.3]), 11.9

ORBIT = [
    (9.2, 0.8, 86.6),
    (12.5, 17.0, 94.2),
    (22.0, 21.5, 94.2),
    (32.5, 24.0, 91.3),
    (43.0, 23.0, 85.6),
    (53.0, 16.5, 75.0),
    (57.0, 1.0, 64.5),
    (54.5, -13.0, 68.5),
    (46.0, -20.0, 76.3),
    (34.0, -21.5, 81.8),
    (22.5, -19.0, 83.3),
    (12.4, -12.5, 86.4),
]
FOLD = [
    (11.2, -0.8, 82.8),
    (15.0, 9.5, 86.0),
    (22.5, 13.6, 87.8),
    (31.5, 15.0, 87.6),
    (40.3, 13.2, 84.2),
    (47.5, 8.8, 78.0),
    (51.5, 0.3, 71.4),
    (49.3, -8.5, 74.2),
    (42.5, -14.0, 78.6),
    (33.5, -15.6, 82.0),
    (24.2, -14.0, 82.4),
    (16.8, -9.2, 82.4),
]
CREASE = [
    (13.2, -1.5, 80.4),
    (17.0, 5.8, 82.4),
    (23.2, 9.6, 83.6),
    (31.0, 11.0, 83.6),
    (38.8, 9.8, 81.2),
    (45.0, 6.0, 76.9),
    (48.3, 0.2, 73.7),
    (46.0, -5.4, 76.6),
    (40.3, -9.8, 80.4),
    (33.2, -11.5, 82.6),
    (25.0, -10.3, 82.2),
    (18.6, -6.7, 81.0),
]
LID = [
    (14.9, -1.6, 79.2),
    (18.7, 3.5, 81.0),
    (23.9, 6.7, 82.6),
    (30.7, 7.8, 84.3),
    (37.6, 7.0, 82.7),
    (43.1, 4.3, 78.4),
    (46.3, 0.4, 75.4),
    (43.8, -3.8, 78.2),
    (39.0, -7.2, 81.7),
    (32.8, -8.5, 83.8),
    (25.7, -7.6, 82.8),
    (19.9, -5.0, 80.8),
]
MARGIN = [
    (16.4, -1.8, 78.3),
    (20.2, 1.1, 80.2),
    (25.0, 3.2, 83.8),
    (30.5, 4.1, 85.3),
    (36.3, 3.8, 84.2),
    (41.2, 2.5, 80.6),
    (44.6, 0.7, 76.7),
    (41.8, -2.3, 79.8),
    (37.5, -4.6, 83.0),
    (32.5, -5.8, 84.8),
    (26.5, -5.3, 83.6),
    (21.0, -3.6, 80.6),
]
CARUNCLE = [(17.6, -1.8, 78.2), (19.2, -1.6, 77.6)]
OUTER_CORNER = [(44.2, 0.6, 76.2), (43.8, 0.5, 75.8)]


def build(cage):
    """Place the eye patch; its outer ring belongs to the head grid.

    Parameters
    ----------
    cage : HalfCage
        Receives vertices and polygons.
    """
    places = [("EM", 2), *(("ET", c) for c in range(2, 7)), ("EM", 6)]
    places += [("EB", c) for c in range(6, 1, -1)]
    orbit = [cage.add(name(*place), point) for place, point in zip(places, ORBIT, strict=True)]
    fold = cage.ring("eye.fold", FOLD)
    crease = cage.ring("eye.crease", CREASE, "lid")
    lid = cage.ring("eye.lid", [_on_ball(p, 14.4, blend=True) for p in LID], "lid")
    margin = cage.ring("eye.margin", [_on_ball(p, 13.6, blend=True) for p in MARGIN], "lid")
    rim = [_rim(p) for p in MARGIN]
    inside = [_inside(p) for p in MARGIN]
    # The caruncle and the outer corner close the gap that the round eyeball leaves.
    rim[0], rim[6] = CARUNCLE[0], OUTER_CORNER[0]
    inside[0], inside[6] = CARUNCLE[1], OUTER_CORNER[1]
    rim = cage.ring("eye.rim", rim, "lid")
    inside = cage.ring("eye.inside", inside, "lid")
    rings = [orbit, fold, crease, lid, margin, rim, inside]
    for outer, inner in itertools.pairwise(rings):
        cage.strip(outer, inner, closed=True)


def eyeball(rings=12):
    """Unmirrored left eyeball: a cage of rings round the optical axis.

    Parameters
    ----------
    rings : int
        Vertices per ring.

    Returns
    -------
    points : list of tuple, mm
        Positions, ring by ring from the pupil outwards; the first is the pupil's centre.
    polygons : list of tuple of int
        Triangles and quads.
    kind : list of str
        ``pupil``, ``iris``, ``limbus`` or ``sclera`` for each point.
    """
    radii = [(1.1, "pupil"), (1.75, "pupil"), (2.15, "iris"), (3.8, "iris"), (5.2, "iris"),
             (5.9, "limbus"), (6.5, "sclera"), (9.3, "sclera"), (11.3, "sclera"),
             (11.9, "sclera")]  # fmt: skip
    points, kind = [tuple(BALL_CENTRE + np.array([0, 0, BALL_RADIUS]))], ["pupil"]
    for radius, what in radii:
        height = np.sqrt(max(BALL_RADIUS**2 - radius**2, 0))
        for k in range(rings):
            angle = 2 * np.pi * k / rings
            offset = (radius * np.cos(angle), radius * np.sin(angle), height)
            points.append(tuple(BALL_CENTRE + offset))
            kind.append(what)
    polygons = [(0, 1 + k, 1 + (k + 1) % rings) for k in range(rings)]
    for ring in range(len(radii) - 1):
        a, b = 1 + ring * rings, 1 + (ring + 1) * rings
        for k in range(rings):
            n = (k + 1) % rings
            polygons.append((a + k, b + k, b + n, a + n))
    return points, polygons, kind


def _on_ball(point, radius, *, blend=False):
    """Depth on a sphere about the eyeball; near the canthi the tabulated depth."""
    offset = np.array(point[:2]) - BALL_CENTRE[:2]
    beyond = np.hypot(*offset) / radius
    if beyond >= 0.98:
        return point
    depth = BALL_CENTRE[2] + np.sqrt(radius**2 - offset @ offset)
    weight = np.clip((0.98 - beyond) / 0.2, 0, 1) if blend else 1.0
    return (*point[:2], weight * depth + (1 - weight) * point[2])


def _rim(point):
    """Inner edge of the lid margin: close to the eyeball, a little into the opening."""
    x, y, z = _on_ball(point, 13.6, blend=True)
    moved = (BALL_CENTRE[0] + (x - BALL_CENTRE[0]) * 0.98, y * 0.95, z - 1.0)
    return _on_ball(moved, 12.9, blend=True)


def _inside(point):
    """Behind the lid, between it and the eyeball."""
    x, y, z = point
    moved = (BALL_CENTRE[0] + (x - BALL_CENTRE[0]) * 1.02, y * 1.6, z - 3.0)
    return _on_ball(moved, 12.95, blend=True)
