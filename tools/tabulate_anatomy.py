"""Find the anatomical points of each face topology and write data/face_anatomy.csv.

Needs the real faces (V2M_REAL_DATA): the means of BFM, ICT-FaceKit and Surrey. Points of the
nose, chin and cheekbone are found on each mean face by a geometric rule; the ends of the lines of
the published evaluation, which exist as vertex numbers of BFM only, are carried to the other faces
by a thin-plate warp of the shared landmarks and the nearest vertex there. Corrected points come in
pairs: the left one is the vertex nearest to the mirror image of the right one.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.interpolate import RBFInterpolator

from v2mlib.faces.anatomy import EAR_SUBSTITUTE_BFM, PUBLISHED_BFM, TABLE_COLUMNS
from v2mlib.faces.geometry import vertex_normals, wind_outward
from v2mlib.files import atomic

ROOT = Path(__file__).resolve().parents[1]
MIDLINE_MM = 1.0
# A warped point further than this from the surface would be on no face at all.
REACH_MM = 6.0
WITHOUT_EARS = ("surrey-3448",)
# Landmarks 0-7 and 9-16 follow the silhouette differently in each model; the rest correspond.
SHARED_LANDMARKS = np.array([8, *range(17, 68)])


class Face(NamedTuple):
    """A mean face, mm; ``allowed`` vertices may become points; missing landmarks are -1."""

    vertices: np.ndarray
    normals: np.ndarray
    landmarks: np.ndarray
    allowed: np.ndarray

    def landmark(self, number):
        """Position of a landmark, (3,), mm."""
        return self.vertices[self.landmarks[number]]

    def nearest(self, position, axes=(0, 1, 2), where=None):
        """Allowed vertex nearest to a position along some axes, and how far it is in mm."""
        chosen = np.flatnonzero(self.allowed if where is None else self.allowed & where)
        offset = self.vertices[chosen][:, list(axes)] - np.asarray(position)[list(axes)]
        distance = np.linalg.norm(offset, axis=1)
        return int(chosen[distance.argmin()]), float(distance.min())

    def mirrored(self, vertex):
        """Allowed vertex nearest to the mirror image of a vertex."""
        return self.nearest(self.vertices[vertex] * (-1, 1, 1))[0]


def face(vertices, triangles, landmarks, allowed=None):
    vertices = np.asarray(vertices, dtype=np.float64)
    normals = vertex_normals(vertices, wind_outward(vertices, triangles))
    allowed = np.ones(len(vertices), bool) if allowed is None else allowed
    return Face(vertices, normals, landmarks, allowed)


def midline_extreme(mean, sign, low, high):
    """Front vertex of the midline, between two heights, where ``sign * z`` is largest."""
    x, y, z = mean.vertices.T
    front = (abs(x) < MIDLINE_MM) & (y > low) & (y < high) & (mean.normals[:, 2] > 0)
    chosen = np.flatnonzero(front & mean.allowed)
    return int(chosen[(sign * z[chosen] - abs(x[chosen])).argmax()])


def points_by_rule(mean):
    """Points that a geometric rule finds on any mean face."""
    x, y, z = mean.vertices.T
    brow = (mean.landmark(21) + mean.landmark(22))[1] / 2
    bridge, tip, subnasale = (mean.landmark(number)[1] for number in (28, 30, 33))
    lip, chin = mean.landmark(57)[1], mean.landmark(8)[1]
    exocanthion = mean.landmark(36)
    facing_right = mean.normals[:, 0] < -0.3
    wing = (mean.normals[:, 0] < -0.8) & (abs(x) < 26) & (y > subnasale - 4) & (y < tip + 8)
    wing &= (z > mean.landmark(33)[2] - 14) & mean.allowed
    right = {
        "alare": int(np.flatnonzero(wing)[abs(x[wing]).argmax()]),
        "zygion": mean.nearest(exocanthion - (0, 15, 35), (1, 2), facing_right & (x < -40))[0],
        "gonion": mean.nearest(exocanthion - (0, 80, 50), (1, 2), facing_right & (x < -40))[0],
    }
    points = {
        "sellion": midline_extreme(mean, -1, bridge, brow),
        "pronasale": midline_extreme(mean, +1, subnasale, bridge),
        "sublabiale": midline_extreme(mean, -1, (2 * lip + chin) / 3, lip - 3),
    }
    return {**points, **pairs(mean, right)}


def pairs(mean, right):
    """Right-hand points and their mirror images by name."""
    return {
        f"{name}_{side}": vertex
        for name, end in right.items()
        for side, vertex in (("right", end), ("left", mean.mirrored(end)))
    }


def anchors(mean, numbers):
    """Points that correspond between faces: shared landmarks and points found by rule, (n, 3)."""
    found = points_by_rule(mean)
    return mean.vertices[[*mean.landmarks[numbers], *(found[name] for name in sorted(found))]]


def warp(source, target):
    """Thin-plate spline from one face to another, the same on both sides of the face."""
    numbers = SHARED_LANDMARKS[target.landmarks[SHARED_LANDMARKS] >= 0]
    ends = [anchors(mean, numbers) for mean in (source, target)]
    both_sides = [np.concatenate([points, points * (-1, 1, 1)]) for points in ends]
    return RBFInterpolator(*both_sides, kernel="thin_plate_spline", smoothing=10.0)


def carried(source, target, has_ears):
    """Ends of the published lines on another face; None where the surface is too far."""
    transform = warp(source, target)

    def carry(vertex):
        found, distance = target.nearest(transform(source.vertices[[vertex]])[0])
        return found if distance <= REACH_MM else None

    ends = {name: [carry(vertex) for vertex in pair] for name, pair in PUBLISHED_BFM.items()}
    if not has_ears:
        ends["ear"] = [None, None]
    published = {
        f"published_{name}_{side}": vertex
        for name, pair in ends.items()
        for side, vertex in zip(("right", "left"), pair, strict=True)
    }
    right = {name: pair[0] for name, pair in ends.items() if name != "outer_interocular"}
    return {**pairs(target, {k: v for k, v in right.items() if v is not None}), **published}


def tabulate(folder):
    """The table from a folder with the real faces: one row per point, one column per topology."""
    bfm = np.load(folder / "bfm_derived_noncommercial" / "bfm_mean_topology.npz")
    neckless = np.zeros(len(bfm["mean_53215"]), bool)
    neckless[bfm["noneck_vertices"]] = True
    source = face(
        bfm["mean_53215"] / 1000,
        bfm["triangles_53215"],
        bfm["keypoint_vertices_53215"],
        neckless,
    )
    ict = np.load(folder / "ict_facekit" / "ict_face_f32.npz")
    surrey = np.load(folder / "surrey_sfm_noncommercial" / "sfm_3448.npz")
    faces = {
        "bfm-53215": source,
        "ict": face(ict["neutral"] * 10.0, ict["triangles"], ict["landmarks68"]),
        "surrey-3448": face(surrey["mean"], surrey["triangles"], surrey["landmarks68"]),
    }
    table = {}
    for topology, mean in faces.items():
        table[topology] = {
            **points_by_rule(mean),
            **carried(source, mean, topology not in WITHOUT_EARS),
        }
        # Exact by definition, not by nearest vertex (34153 is outside the allowed ones).
        if mean is source:
            for name, pair in PUBLISHED_BFM.items():
                for side, vertex in zip(("right", "left"), pair, strict=True):
                    table[topology][f"published_{name}_{side}"] = vertex
    small = {old: new for new, old in enumerate(bfm["noneck_vertices"].tolist())}
    table["bfm-38365"] = {name: small.get(v) for name, v in table["bfm-53215"].items()}
    table["bfm-38365"]["substitute_ear_left"] = small[EAR_SUBSTITUTE_BFM]
    frame = pd.DataFrame(table, columns=list(TABLE_COLUMNS)).astype("Int64")
    frame.index.name = "point"
    return frame.sort_index()


if __name__ == "__main__":
    real_data = Path(os.environ.get("V2M_REAL_DATA", ROOT.parent / "shared" / "data"))
    anatomy = tabulate(real_data)
    with atomic(ROOT / "data" / "face_anatomy.csv") as partial:
        anatomy.to_csv(partial)
    print(anatomy.to_string(), file=sys.stderr)
