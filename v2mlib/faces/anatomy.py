"""Anatomy by name: which vertices of each topology are the ends of the measured lines.

A line joins two anatomical points. A point is a landmark where the 68 have it, else a row of
``data/face_anatomy.csv`` (made by ``tools/tabulate_anatomy.py``). Two definitions stand side by
side:

*corrected*
    Ends are near-mirror pairs, or midline points; the divisor joins the outer canthi.
*published*
    The vertex pairs of the released evaluation. Its divisor ends on the left cheek, 16 mm below
    the outer canthus, and its "midline" is a slanted width. On other topologies the pairs are the
    vertices at the same places, faults included.
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.faces.model import MISSING_LANDMARK
from v2mlib.paths import shipped

LINES = {
    "outer_interocular": ("exocanthion_right", "exocanthion_left"),
    "ear": ("ear_right", "ear_left"),
    "forehead": ("forehead_right", "forehead_left"),
    "midline": ("midline_right", "midline_left"),
    "cheek": ("cheek_right", "cheek_left"),
    "menton_sellion": ("sellion", "menton"),
    "nose_length": ("sellion", "subnasale"),
    "nose_width": ("alare_right", "alare_left"),
    "nose_projection": ("subnasale", "pronasale"),
    "mouth_width": ("cheilion_right", "cheilion_left"),
    "chin_height": ("sublabiale", "menton"),
    "jaw_width": ("gonion_right", "gonion_left"),
    "bizygomatic": ("zygion_right", "zygion_left"),
}
"""The points that each line joins.

The ear line joins the lower attachments of the ears, the forehead line the outer ends of the
brows, the midline and cheek lines are widths of the face at the level of the nose tip and of the
mouth (all four names are the published ones). The rest are standard: sellion to menton, sellion to
subnasale, alare to alare, subnasale to pronasale, cheilion to cheilion, sublabiale to menton,
gonion to gonion, zygion to zygion.
"""

LANDMARK_POINTS = {
    "exocanthion_right": 36,
    "exocanthion_left": 45,
    "menton": 8,
    "subnasale": 33,
    "cheilion_right": 48,
    "cheilion_left": 54,
}
"""Anatomical points that are landmarks (iBUG order, from 0)."""

PUBLISHED_BFM = {
    "outer_interocular": (2217, 14607),
    "ear": (20636, 34153),
    "forehead": (1678, 42117),
    "midline": (2130, 15003),
    "cheek": (2294, 13635),
}
"""Vertex pairs of the released evaluation in the 53,215-vertex mesh, right end first."""

EAR_SUBSTITUTE_BFM = 34154
"""Neighbour, 0.34 mm away, of vertex 34153, which the 38,365-vertex mesh lacks."""

TABLE_COLUMNS = ("bfm-53215", "bfm-38365", "ict", "surrey-3448")
"""Columns of the table; both ICT topologies share their first 9,409 vertices."""

_NO_EARS = (
    "its mesh ends in front of the ears; measure the other lines by name, or take a face with "
    "ears (ICT-FaceKit, the 53,215-vertex BFM, the phantom)"
)
_CUT_EAR = (
    "vertex 34153 of the 53,215-vertex mesh was cut away with the neck; "
    "definition='published_substitute' takes its neighbour 34154, 0.34 mm away"
)
_REASONS = {
    ("surrey-3448", "corrected ear"): _NO_EARS,
    ("surrey-3448", "published ear"): _NO_EARS,
    ("bfm-38365", "published ear"): _CUT_EAR,
}


class Anatomy(NamedTuple):
    """Lines of one topology; the fields are those of `MorphableModel`."""

    lines: dict
    published_lines: dict
    substitute_lines: dict
    absences: dict


def anatomy(topology, landmarks):
    """Measured lines of a topology.

    Parameters
    ----------
    topology : str
        Name of the mesh.
    landmarks : array_like of int, (68,)
        Its landmark vertices; `MISSING_LANDMARK` where there is none.

    Returns
    -------
    Anatomy
        Vertex pairs by line name and definition, and why a line is absent.
    """
    points = named_points(topology, landmarks)
    pairs = {
        "corrected": LINES,
        "published": {
            name: (f"published_{name}_right", f"published_{name}_left") for name in PUBLISHED_BFM
        },
        "published_substitute": {"ear": ("published_ear_right", "substitute_ear_left")},
    }
    found, absences = {}, {}
    for definition, lines in pairs.items():
        found[definition] = {
            name: (points[a], points[b])
            for name, (a, b) in lines.items()
            if a in points and b in points
        }
        if definition != "published_substitute":  # falls back on the published lines
            for name in [name for name in lines if name not in found[definition]]:
                absences[f"{definition} {name}"] = _reason(topology, f"{definition} {name}")
    return Anatomy(found["corrected"], found["published"], found["published_substitute"], absences)


def _reason(topology, line):
    unknown = f"its ends are not among the points known for topology {topology!r}"
    return _REASONS.get((topology, line), unknown)


def named_points(topology, landmarks):
    """Vertices of the anatomical points of a topology.

    Parameters
    ----------
    topology : str
        Name of the mesh.
    landmarks : array_like of int, (68,)
        Its landmark vertices; `MISSING_LANDMARK` where there is none.

    Returns
    -------
    dict of str to int
        Vertex by point name; points that the face lacks are left out.
    """
    landmarks = np.asarray(landmarks)
    column = "ict" if topology.startswith("ict-") else topology
    points = {}
    if column in TABLE_COLUMNS:
        points = _table()[column].dropna().astype(int).to_dict()
    for point, landmark in LANDMARK_POINTS.items():
        if landmarks[landmark] != MISSING_LANDMARK:
            points[point] = int(landmarks[landmark])
    return points


@functools.cache
def _table():
    return pd.read_csv(shipped("face_anatomy.csv"), index_col="point").astype("Int64")
