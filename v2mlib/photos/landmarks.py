"""The 68 landmarks of a photographed face: what an engine returns, and how far it is off."""

from typing import NamedTuple

import numpy as np

from v2mlib.checks import check_shape

LANDMARK_PARTS = {
    "jaw": slice(0, 17),
    "right_brow": slice(17, 22),
    "left_brow": slice(22, 27),
    "nose": slice(27, 36),
    "right_eye": slice(36, 42),
    "left_eye": slice(42, 48),
    "outer_lips": slice(48, 60),
    "inner_lips": slice(60, 68),
}
"""Parts of the iBUG scheme; right and left are the subject's."""


class Landmarks(NamedTuple):
    """One face in one photograph.

    Attributes
    ----------
    points : ndarray of float32, (landmark=68, xy or xyz), pixels
        x right, y down, the centre of the top left pixel at (0, 0). Where an engine tells depth,
        z grows towards the camera in the same scale, from an arbitrary zero. NaN marks a point
        that is not known.
    box : ndarray of float32, (x_low, y_low, x_high, y_high), pixels
        The face: the detector's box or, where there was none, that of the points.
    score : float
        The detector's confidence from 0 to 1; NaN where the engine has none.
    """

    points: np.ndarray
    box: np.ndarray
    score: float


def box_of_points(points):
    """Smallest upright box around points.

    Parameters
    ----------
    points : array_like, (..., point, xy or xyz), pixels
        NaN marks unknown points.

    Returns
    -------
    ndarray, (..., 4), pixels
        ``x_low, y_low, x_high, y_high``.

    Examples
    --------
    >>> box_of_points([[3.0, 1.0], [5.0, 4.0]]).tolist()
    [3.0, 1.0, 5.0, 4.0]
    """
    points = np.asarray(points, dtype=float)[..., :2]
    return np.concatenate([np.nanmin(points, axis=-2), np.nanmax(points, axis=-2)], axis=-1)


def landmark_error(found, reference):
    """Normalised mean error of landmarks in a photograph.

    The mean distance of the points, in x and y, over the face's size in the picture: the square
    root of the area of the reference landmarks' box, the custom on AFLW2000-3D. For faces in
    mm there is `v2mlib.metrics.normalised_mean_error`.

    Parameters
    ----------
    found, reference : array_like, (..., landmark=68, xy or xyz), pixels
        Pairs in which one is NaN are left out.

    Returns
    -------
    ndarray or float, (...,)
        Share of the face's size.

    Raises
    ------
    ShapeError
        If either is not 68 points.

    References
    ----------
    Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016.

    Examples
    --------
    >>> face = np.random.default_rng(0).uniform(0, 100, (68, 2))
    >>> face[0], face[1] = (0, 0), (100, 100)
    >>> round(float(landmark_error(face + [3.0, 4.0], face)), 12)
    0.05
    """
    found, reference = np.asarray(found, dtype=float), np.asarray(reference, dtype=float)
    for name, points in (("found", found), ("reference", reference)):
        check_shape(points, {"...": None, "landmark": 68, "xy or xyz": None}, name)
    distance = np.linalg.norm(found[..., :2] - reference[..., :2], axis=-1)
    box = box_of_points(reference)
    size = np.sqrt((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]))
    return np.nanmean(distance, axis=-1) / size
