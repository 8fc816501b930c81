"""Small slices of the Basel face model, as ``.npz``: 68 landmarks, a surface grid, mean faces.

They carry the real basis where a whole one may not be passed on.
"""

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.readers.assembly import assemble
from v2mlib.faces.readers.statistics import find_statistics
from v2mlib.faces.storage import read_npz

MICROMETRE = 1e-3  # mm


def read_slice(path, *, statistics=None, topology=None):
    """Read a slice of the Basel face model.

    Parameters
    ----------
    path : path
        An ``.npz`` with ``u_base`` (68 landmarks: topology ``bfm-landmarks-68``, no triangles),
        ``w_shp`` (64 x 64 points of the surface: ``bfm-grid-4096``) or ``mean_53215`` (the mean
        face without modes).
    statistics : path, optional
        Means and standard deviations of the parameters; by default looked for beside the slice.
    topology : {"bfm-53215", "bfm-38365"}, optional
        Which mesh of the mean faces; the former by default.

    Returns
    -------
    MorphableModel
        The grid has no named points, and no expressions: its expression basis is an earlier one,
        in units whose statistics are not passed on. The mean faces are those of raw coefficients
        0, the Basel model's own mean.

    Raises
    ------
    InputError
        If the file is absent, damaged or another kind of file.
    """
    stored = read_npz(path)
    try:
        if "mean_53215" in stored:
            return _mean_face(path, stored, topology or "bfm-53215")
        if "u_base" in stored:
            return _landmarks(path, stored, find_statistics(path, statistics))
        if "w_shp" in stored:
            return _grid(path, stored, find_statistics(path, statistics))
    except KeyError as error:
        raise InputError(path, f"lacks {error}", "copy the slice again") from None
    raise InputError(path, "is not a slice of BFM", "expected u_base, w_shp or mean_53215")


def _landmarks(path, stored, known):
    return assemble(
        path,
        topology="bfm-landmarks-68",
        name="Basel face model 2009, 68 landmarks",
        neutral=stored["u_base"],
        shape_basis=stored["w_shp_base"],
        shape_std=known.shape_std,
        shape_raw_mean=known.shape_mean,
        expression_basis=stored["w_exp_base"],
        expression_std=known.expression_std,
        expression_raw_mean=known.expression_mean,
        triangles=np.empty((0, 3)),
        landmarks=np.arange(68),
        unit_mm=MICROMETRE,
        extras={"source_vertices": stored["keypoint_vertices_53215"].astype(np.int64)},
    )


def _grid(path, stored, known):
    return assemble(
        path,
        topology="bfm-grid-4096",
        name="Basel face model 2009, surface grid",
        neutral=stored["u"],
        shape_basis=stored["w_shp"],
        shape_std=known.shape_std,
        shape_raw_mean=known.shape_mean,
        triangles=stored["triangles"],
        landmarks=np.full(68, -1),
        unit_mm=MICROMETRE,
    )


def _mean_face(path, stored, topology):
    if topology == "bfm-53215":
        kept, suffix, keypoints = slice(None), "53215", stored["keypoint_vertices_53215"]
        extras = {}
    elif topology == "bfm-38365":
        kept, suffix, keypoints = (
            stored["noneck_vertices"],
            "noneck",
            stored["keypoint_vertices_noneck"],
        )
        extras = {"source_vertices": kept.astype(np.int64)}
    else:
        raise InputError(f"topology {topology!r}", "is not in the slice", "bfm-53215 or bfm-38365")
    neutral = stored["mean_53215"][kept]
    return assemble(
        path,
        topology=topology,
        name="Basel face model 2009, mean face",
        neutral=neutral,
        shape_basis=np.empty((*neutral.shape, 0)),
        shape_std=np.empty(0),
        triangles=stored[f"triangles_{suffix}"],
        landmarks=keypoints,
        unit_mm=MICROMETRE,
        extras=extras,
    )
