"""The six regions of a face, drawn on the mean face seen from the front.

A region is what lies, in frontal projection, within a margin of the convex hull of named points,
on the front of the surface and not behind all of them. The regions are disjoint: eyes, nose and
mouth are cut out of the cheeks. Each eye region holds the brow.
"""

import numpy as np
from scipy.spatial import ConvexHull

from v2mlib.faces.geometry import vertex_normals
from v2mlib.faces.model import MISSING_LANDMARK

_SIDES = {
    "right": {"eye": (*range(17, 22), *range(36, 42))},
    "left": {"eye": (*range(22, 27), *range(42, 48))},
}
_NOSE, _MOUTH = tuple(range(27, 36)), tuple(range(48, 60))
_MARGIN_MM = {"eye": 4.0, "nose": 3.0, "mouth": 6.0, "cheek": 0.0}


def face_regions(mean, triangles, landmarks, points, *, candidates=None):
    """Vertices of the six regions.

    Parameters
    ----------
    mean : ndarray, (vertex, xyz=3), mm
        The mean face; x to the subject's left, y up, z out.
    triangles : ndarray of int, (triangle, 3)
        Wound outwards.
    landmarks : ndarray of int, (68,)
        Landmark vertices; those of the jaw (0-16) and inner lips are not used.
    points : dict of str to int
        Vertices of the named points `alare`, `zygion`, `gonion` (``_right`` and ``_left``).
    candidates : ndarray of int, optional
        Vertices that may belong to a region (skin, not teeth); by default all.

    Returns
    -------
    dict of str to ndarray of int
        Sorted vertices by region name; empty if the face lacks one of the points.
    """
    landmarks = np.asarray(landmarks)
    needed = [f"{name}_{side}" for name in ("alare", "zygion", "gonion") for side in _SIDES]
    used = [*_NOSE, *_MOUTH, *_SIDES["right"]["eye"], *_SIDES["left"]["eye"]]
    if (landmarks[used] == MISSING_LANDMARK).any() or not points.keys() >= set(needed):
        return {}
    free = np.zeros(len(mean), dtype=bool)
    free[slice(None) if candidates is None else candidates] = True
    free &= vertex_normals(mean, triangles)[:, 2] > 0

    regions = {}

    def take(name, corners, kind):
        margin = _MARGIN_MM[kind]
        inside = free & _within(mean[:, :2], mean[corners, :2], margin)
        inside &= mean[:, 2] > mean[corners, 2].min() - margin  # ears and neck behind a cheek
        free[inside] = False
        regions[name] = np.flatnonzero(inside)

    for side, numbers in _SIDES.items():
        take(f"{side}_eye", landmarks[list(numbers["eye"])], "eye")
    wings = [points["alare_right"], points["alare_left"]]
    take("nose", [*landmarks[list(_NOSE)], *wings], "nose")
    take("mouth", landmarks[list(_MOUTH)], "mouth")
    for side, (canthus, lid, lip) in {"right": (36, 40, 48), "left": (45, 47, 54)}.items():
        named = [points[f"{name}_{side}"] for name in ("alare", "zygion", "gonion")]
        take(f"{side}_cheek", [*landmarks[[canthus, lid, lip]], *named], "cheek")
    return regions


def _within(positions, corners, margin):
    """Whether positions (n, 2) lie within a margin of the convex hull of some corners."""
    equations = ConvexHull(corners).equations  # outward unit normal and offset of each edge
    return (positions @ equations[:, :2].T + equations[:, 2] <= margin).all(1)
