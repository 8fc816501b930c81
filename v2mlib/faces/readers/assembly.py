"""From the arrays of a source to a `MorphableModel`: checks, units, winding, anatomy."""

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.anatomy import anatomy, named_points
from v2mlib.faces.geometry import wind_outward
from v2mlib.faces.model import MISSING_LANDMARK, MorphableModel
from v2mlib.faces.regions import face_regions

_FACE_HEIGHT_MM = (60.0, 700.0)  # from a bare face area to a head with shoulders


def assemble(
    source,
    *,
    topology,
    name,
    neutral,
    shape_basis,
    shape_std,
    triangles,
    landmarks,
    expression_basis=None,
    expression_std=None,
    shape_raw_mean=None,
    expression_raw_mean=None,
    unit_mm=1.0,
    skin=None,
    **fields,
):
    """Build a face model from a source's arrays, in the source's unit.

    Parameters
    ----------
    source : path
        Named in errors.
    topology : str
        Name of the mesh.
    name : str
        Name of the model.
    neutral : array_like, (vertex, xyz=3)
        The face at raw coefficients 0; x to the subject's left, y up, z out.
    shape_basis : array_like, (vertex, xyz=3, shape)
        Displacement by one raw unit.
    shape_std : array_like, (shape,)
        Standard deviations of the raw coefficients.
    triangles : array_like of int, (triangle, 3)
        Vertex indices from 0, wound either way.
    landmarks : array_like of int, (68,)
        Vertex indices; negative where there is none.
    expression_basis : array_like, (vertex, xyz=3, expression), optional
        Displacement by one raw unit; no expressions by default.
    expression_std : array_like, (expression,), optional
        Standard deviations of the raw coefficients; 1 by default.
    shape_raw_mean, expression_raw_mean : array_like, optional
        Population means of the raw coefficients; 0 by default.
    unit_mm : float
        The source's unit, in mm.
    skin : ndarray of int, optional
        Vertices that may belong to a region; all by default.
    **fields
        Further fields of `MorphableModel`; ``regions`` are added to the six.

    Returns
    -------
    MorphableModel
        In mm; its mean is the population's.

    Raises
    ------
    InputError
        If the arrays do not fit together or do not look like a face in that frame and unit.
    """
    vertex = len(neutral)
    if expression_basis is None:
        expression_basis = np.zeros((vertex, 3, 0), dtype=np.float32)
    if expression_std is None:
        expression_std = np.ones(np.shape(expression_basis)[-1], dtype=np.float32)
    landmarks = np.array(landmarks, dtype=np.int64)
    landmarks[landmarks < 0] = MISSING_LANDMARK
    try:
        mean = np.asarray(neutral, dtype=np.float64)
        for basis, raw in (
            (shape_basis, shape_raw_mean),
            (expression_basis, expression_raw_mean),
        ):
            if raw is not None:
                mean = mean + np.asarray(basis, dtype=np.float64) @ np.asarray(raw, np.float64)
        mean = mean * unit_mm
        _check_frame(source, mean, landmarks)
        triangles = wind_outward(mean, triangles)
        lines = anatomy(topology, landmarks)
        points = named_points(topology, landmarks)
        regions = face_regions(mean, triangles, landmarks, points, candidates=skin)
        return MorphableModel(
            mean=mean,
            shape_basis=np.asarray(shape_basis, dtype=np.float32) * np.float32(unit_mm),
            expression_basis=np.asarray(expression_basis, dtype=np.float32) * np.float32(unit_mm),
            shape_std=shape_std,
            expression_std=expression_std,
            shape_raw_mean=shape_raw_mean,
            expression_raw_mean=expression_raw_mean,
            triangles=triangles,
            landmarks=landmarks,
            regions={**regions, **fields.pop("regions", {})},
            topology=topology,
            name=name,
            **lines._asdict(),
            **fields,
        )
    except (ValueError, IndexError) as error:
        if getattr(error, "what", None) == str(source):
            raise
        raise InputError(
            source,
            f"holds arrays that do not fit together ({error})",
            "download it again; do not mix files of different versions",
        ) from error


def _check_frame(source, mean, landmarks):
    """Refuse what cannot be a face in mm, x to the subject's left, y up, z out."""
    if not np.isfinite(mean).all():
        raise InputError(source, "holds NaN or infinity", "download or convert it again")
    height = float(np.ptp(mean[:, 1]))
    if not _FACE_HEIGHT_MM[0] < height < _FACE_HEIGHT_MM[1]:
        raise InputError(
            source, f"gives a face {height:.4g} mm high", "its unit is not the expected one"
        )
    right_eye, left_eye, tip, chin = landmarks[[36, 45, 30, 8]]
    if min(right_eye, left_eye, tip, chin) < 0:
        return
    across, up = mean[left_eye] - mean[right_eye], mean[right_eye] - mean[chin]
    out = mean[tip] - (mean[left_eye] + mean[right_eye]) / 2
    if across[0] < 20 or up[1] < 20 or out[2] < 5:
        raise InputError(
            source,
            "has landmarks that do not lie like a face with x left, y up, z out",
            "check that keypoints and mesh belong together",
        )


def zero_based(triangles, n_vertices):
    """Triangles counted from 0, whichever way they were counted and laid out.

    Parameters
    ----------
    triangles : array_like of int, (triangle, 3) or (3, triangle)
        Vertex indices from 0, or from 1 as MATLAB does.
    n_vertices : int
        Vertices of the mesh.

    Returns
    -------
    ndarray of int64, (triangle, 3)
        Counted from 0.

    Examples
    --------
    >>> zero_based([[1, 2], [2, 3], [3, 4]], 4).tolist()
    [[0, 1, 2], [1, 2, 3]]
    """
    triangles = np.asarray(triangles).astype(np.int64)
    if triangles.ndim == 2 and triangles.shape[0] == 3 and triangles.shape[1] != 3:
        triangles = triangles.T
    from_one = triangles.size and triangles.min() >= 1 and triangles.max() == n_vertices
    return triangles - 1 if from_one else triangles
