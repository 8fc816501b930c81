"""Faces fitted to photographs as 300W-LP and AFLW2000 store them: one ``.mat`` beside each photo.

Three frames meet in these files. The face model has y up. The pose puts it into the photograph
turned upside down, still y up, its lowest row 1. The landmarks stand in the photograph, y down.
MATLAB counts pixels from 1; here the centre of the top left pixel is ``(0, 0)``.
"""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.readers.arrays import read_mat
from v2mlib.faces.readers.parameters import check_parameters

IMAGE_SIZE = 450
"""Rows and columns of every photograph of 300W-LP and AFLW2000."""

_REQUIRED = ("Shape_Para", "Exp_Para", "Pose_Para")
_OPTIONAL = ("Color_Para", "Illum_Para", "pt3d_68", "pt2d", "roi")
_PER_MM = 1e3  # the poses' scale is in pixels per micrometre


class FittedFace(NamedTuple):
    """A face fitted to a photograph.

    Attributes
    ----------
    shape : ndarray of float64, (shape=199,), raw units
        On the modes of BFM 2009; `v2mlib.faces.readers.standardised` converts.
    expression : ndarray of float64, (expression=29,), raw units
        On the modes of 300W-LP.
    pose : ndarray of float64, (7,)
        Pitch, yaw and roll (radians), translation (pixels, of the photograph turned upside down)
        and scale (pixels per micrometre); see `rotation` and `project`.
    landmarks_3d : ndarray of float64, (landmark=68, 3), pixels, or None
        Column, row and depth (towards the viewer); AFLW2000 only.
    landmarks_2d : ndarray of float64, (point, 2), pixels, or None
        Column and row of the points that people marked, NaN where one is hidden: 21 in AFLW2000
        (AFLW's), 68 in 300W-LP.
    colour : ndarray of float64, (7,), or None
        Gain and offset of the camera's red, green and blue, and contrast.
    """

    shape: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    landmarks_3d: np.ndarray | None
    landmarks_2d: np.ndarray | None
    colour: np.ndarray | None


def read_fitted_face(path):
    """Read a ``.mat`` of 300W-LP or AFLW2000.

    Parameters
    ----------
    path : path
        The file, named as its photograph.

    Returns
    -------
    FittedFace
        Pixels as everywhere in this package: y down, the top left pixel's centre at ``(0, 0)``.

    Raises
    ------
    InputError
        If the file is absent or damaged, or holds something else.

    References
    ----------
    Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016.
    """
    stored = read_mat(path, (), optional=(*_REQUIRED, *_OPTIONAL))
    lacking = [name for name in _REQUIRED if name not in stored]
    if lacking:
        raise InputError(
            path, f"lacks {', '.join(lacking)}", "expected a face of 300W-LP or AFLW2000"
        )
    shape, expression = check_parameters(path, stored["Shape_Para"], stored["Exp_Para"])
    pose = _numbers(path, stored, "Pose_Para", (7,))
    if pose[6] <= 0:
        raise InputError(path, f"has a pose of scale {pose[6]:.3g}", "leave the face out")
    landmarks_3d, landmarks_2d, colour = None, None, None
    if "pt3d_68" in stored:
        landmarks_3d = _numbers(path, stored, "pt3d_68", (3, 68)).T - [1.0, 1.0, 0.0]
    if "pt2d" in stored:
        points = _numbers(path, stored, "pt2d", (2, None)).T
        hidden = (points == -1).all(axis=1, keepdims=True)
        landmarks_2d = np.where(hidden, np.nan, points - 1.0)
    if "Color_Para" in stored:
        colour = _numbers(path, stored, "Color_Para", (7,))
    return FittedFace(shape, expression, pose, landmarks_3d, landmarks_2d, colour)


def rotation(pose):
    """Rotation of a face by its pose.

    Parameters
    ----------
    pose : array_like, (..., pose=7 or angles=3), radians
        Pitch (positive: the nose rises), yaw (positive: it turns to the subject's right), roll
        (positive: the head tilts to its left shoulder).

    Returns
    -------
    ndarray, (..., 3, 3)
        ``R_pitch @ R_yaw @ R_roll``, which turns column vectors ``(x, y, z)`` of the model.

    Examples
    --------
    >>> rotation([0.0, np.pi / 2, 0.0]).round(3)[:, 2] + 0.0  # where the nose points
    array([-1.,  0.,  0.])
    """
    angles = np.asarray(pose, dtype=np.float64)[..., :3]
    (s_p, s_y, s_r), (c_p, c_y, c_r) = (
        np.moveaxis(function(angles), -1, 0) for function in (np.sin, np.cos)
    )
    zero, one = np.zeros_like(s_p), np.ones_like(s_p)

    def matrix(*rows):
        return np.stack([np.stack(row, -1) for row in rows], -2)

    pitch = matrix((one, zero, zero), (zero, c_p, s_p), (zero, -s_p, c_p))
    yaw = matrix((c_y, zero, -s_y), (zero, one, zero), (s_y, zero, c_y))
    roll = matrix((c_r, s_r, zero), (-s_r, c_r, zero), (zero, zero, one))
    return pitch @ yaw @ roll


def project(vertices, pose, *, height=IMAGE_SIZE):
    """Place a face in its photograph.

    ``scale * R @ vertex + translation`` in the photograph turned upside down, then
    ``row = height - y`` (in pixels from 0).

    Parameters
    ----------
    vertices : array_like, (..., vertex, xyz=3), mm
        A face of a Basel model; x to the subject's left, y up, z out.
    pose : array_like, (..., pose=7)
        As `FittedFace.pose`.
    height : int
        Rows of the photograph.

    Returns
    -------
    ndarray, (..., vertex, 3), pixels
        Column, row and depth, to compare with `FittedFace.landmarks_3d`.

    Raises
    ------
    ShapeError
        If the arrays have other axes.
    """
    vertices, pose = (np.asarray(given, dtype=np.float64) for given in (vertices, pose))
    if vertices.shape[-1:] != (3,) or pose.shape[-1:] != (7,):
        raise ShapeError(
            f"vertices and pose have shapes {vertices.shape} and {pose.shape}, "
            "expected (..., vertex, xyz=3) and (..., pose=7)"
        )
    scale = pose[..., 6, None, None] * _PER_MM
    placed = scale * (vertices @ np.swapaxes(rotation(pose), -1, -2)) + pose[..., None, 3:6]
    column, y, depth = np.moveaxis(placed, -1, 0)
    return np.stack([column - 1.0, height - y, depth], -1)


def _numbers(path, stored, name, shape):
    """Finite numbers of a variable, without axes of length 1 if the wanted shape has one axis."""
    numbers = np.asarray(stored[name], dtype=np.float64)
    numbers = numbers.ravel() if len(shape) == 1 else numbers
    fits = numbers.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, numbers.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join(str(want or "n") for want in shape)
        raise InputError(
            path, f"holds {name} of shape {stored[name].shape}", f"expected {wanted} numbers"
        )
    if not np.isfinite(numbers).all():
        raise InputError(path, f"holds NaN or infinity in {name}", "leave the face out")
    return numbers
