"""How photographs show faces: expression, pose, scale and distance, and landmarks' derivatives.

Perspective matters: a camera at one metre enlarges the nose by a tenth, which a fit under weak
perspective takes for a face's own shape, in every photograph alike.
"""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.faces.model import MISSING_LANDMARK

#: Prior of a camera's inverse distance, 1/mm: two thirds of all photographs between 0.9 m and 4 m.
INVERSE_DISTANCE = 1 / 1500, 1 / 2400


class Bases(NamedTuple):
    """A face model at its 68 landmarks, mm per standard deviation; NaN where it lacks one.

    All arrays may have a leading axis of photographs, where jaw landmarks stand for the outline
    and so for other vertices in each.
    """

    mean: np.ndarray  # ([photo,] landmark, xyz)
    shape: np.ndarray  # ([photo,] landmark, xyz, shape)
    expression: np.ndarray  # ([photo,] landmark, xyz, expression)


class Views(NamedTuple):
    """What differs from photograph to photograph.

    Attributes
    ----------
    expression : ndarray, (photo, expression)
        Standardised.
    rotation : ndarray, (photo, 3, 3)
        From the model's axes to the picture's: right, up, backward.
    scale : ndarray, (photo,), pixels per mm
        At the depth of the model's origin.
    translation : ndarray, (photo, 2 or 3), pixels
        Picture position of the model's origin, y up.
    inverse_distance : ndarray, (photo,), 1/mm
        Of the camera from the model's origin; 0 far away.
    """

    expression: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    inverse_distance: np.ndarray


def landmark_bases(model, contour_vertices=None, offsets=0.0):
    """Read a face model at its landmarks.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    contour_vertices : array_like of int, (photo, 17), optional
        Vertices that the jaw landmarks stand for in each photograph.
    offsets : array_like, (landmark=68, xyz=3), mm, optional
        Where a detector sees each landmark, relative to its vertex.

    Returns
    -------
    Bases
        In float64.
    """
    vertices = model.landmarks.cpu().numpy()
    if contour_vertices is not None:
        jaw = np.asarray(contour_vertices)
        vertices = np.tile(vertices, (len(jaw), 1))
        vertices[:, : jaw.shape[1]] = jaw
    missing = vertices == MISSING_LANDMARK
    rows = torch.as_tensor(np.where(missing, 0, vertices), device=model.mean.device)

    def read(basis, std):
        return (basis[rows] * std).double().cpu().numpy()

    mean = read(model.mean, 1.0)
    mean[missing] = np.nan
    return Bases(
        mean + offsets,
        read(model.shape_basis, model.shape_std),
        read(model.expression_basis, model.expression_std),
    )


def start_views(points, rotation, expression, coefficients, bases):
    """Complete rotations and expressions by closed-form scale and translation.

    Parameters
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        y up; NaN where there is none.
    rotation : ndarray, (photo, 3, 3)
        From a fit.
    expression : ndarray, (photo, expression)
        From a fit.
    coefficients : ndarray, (photo, shape)
        From a fit.
    bases : Bases
        The face model.

    Returns
    -------
    Views
        At the prior's inverse distance (0 for three-dimensional landmarks).
    """
    start = INVERSE_DISTANCE[0] if points.shape[-1] == 2 else 0.0
    n_photos = len(points)
    views = Views(
        expression, rotation, np.ones(n_photos), np.zeros((n_photos, points.shape[-1])),
        np.full(n_photos, start),
    )  # fmt: skip
    return place(points, views, coefficients, bases)


def place(points, views, coefficients, bases):
    """Set scale and translation to their least-squares values.

    Parameters
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        y up; NaN where there is none.
    views : Views
        The rest.
    coefficients : ndarray, (photo, shape)
        The faces.
    bases : Bases
        The face model.

    Returns
    -------
    Views
        The same but for scale and translation.
    """
    seen = _turned(views, coefficients, bases)
    flat = seen[..., : points.shape[-1]] * _magnification(seen, views)[..., None]
    gaps = np.isnan(points + flat)
    model_side, picture = (np.where(gaps, np.nan, a) for a in (flat, points))
    centres = [np.nanmean(a, axis=1, keepdims=True) for a in (model_side, picture)]
    model_side, picture = model_side - centres[0], picture - centres[1]
    scale = np.nansum(model_side * picture, (1, 2)) / np.nansum(model_side**2, (1, 2))
    shift = centres[1][:, 0] - scale[:, None] * centres[0][:, 0]
    return views._replace(scale=scale, translation=shift)


def residuals(points, views, coefficients, bases):
    """Measured minus predicted landmarks.

    Parameters
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        y up; NaN where there is none.
    views : Views
        Poses, expressions.
    coefficients : ndarray, (photo, shape)
        The faces.
    bases : Bases
        The face model.

    Returns
    -------
    ndarray, (photo, landmark, 2 or 3), pixels
        NaN where a landmark is missing.
    """
    seen = _turned(views, coefficients, bases)
    flat = seen[..., : points.shape[-1]] * _magnification(seen, views)[..., None]
    return points - views.scale[:, None, None] * flat - views.translation[:, None]


def project_views(vertices, views):
    """Pixels at which photographs show faces.

    Parameters
    ----------
    vertices : array_like, (photo, vertex, xyz=3), mm
        The faces with their expressions.
    views : Views
        Of the photographs, from two-dimensional landmarks.

    Returns
    -------
    ndarray, (photo, vertex, 2), pixels
        Column and row, y down; the centre of the top left pixel is (0, 0).
    """
    seen = np.asarray(vertices, dtype=float) @ views.rotation.transpose(0, 2, 1)
    flat = seen[..., :2] * _magnification(seen, views)[..., None]
    flat = flat * views.scale[:, None, None] + views.translation[:, None]
    return flat * [1.0, -1.0]


def jacobians(points, views, coefficients, bases):
    """Derivatives of the landmarks' pixels.

    Parameters
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        Only their number of axes counts.
    views : Views
        Poses, expressions.
    coefficients : ndarray, (photo, shape)
        The faces.
    bases : Bases
        The face model.

    Returns
    -------
    tuple of ndarray, (photo, landmark, xy, parameter)
        By the shape, by the nuisances, and by each landmark's own place on the face.
    """
    seen, axes = _turned(views, coefficients, bases), points.shape[-1]
    near = _magnification(seen, views)[..., None]
    along = np.zeros((*seen.shape[:2], axes, 3))  # by the turned point
    along[..., range(axes), range(axes)] = near
    flat = seen[..., :axes] * near
    if axes == 2:
        along[..., 2] += flat * near * views.inverse_distance[:, None, None]
    along = along * views.scale[:, None, None, None]
    outer = along @ views.rotation[:, None]
    zero = np.zeros_like(seen[..., 0])
    x, y, z = np.moveaxis(seen, -1, 0)
    spin = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(*seen.shape, 3)
    parts = [
        _by_landmark(outer, bases.expression),
        along @ spin,
        flat[..., None],
        np.broadcast_to(np.eye(axes), (*seen.shape[:2], axes, axes)),
    ]
    if axes == 2:
        parts.append((views.scale[:, None, None] * flat * near * seen[..., 2:])[..., None])
    shape_side = _by_landmark(outer, bases.shape)
    return shape_side, np.concatenate(parts, -1), outer


def _turned(views, coefficients, bases):
    """The faces' landmarks in the picture's axes, (photo, landmark, xyz), mm."""
    both = np.concatenate([bases.shape, bases.expression], -1)
    moved = (
        np.concatenate([coefficients, views.expression], -1) @ both.reshape(-1, both.shape[-1]).T
    )
    faces = bases.mean + moved.reshape(-1, *bases.mean.shape)
    return faces @ views.rotation.transpose(0, 2, 1)


def _magnification(seen, views):
    """How much nearer points appear larger."""
    return 1 / (1 - views.inverse_distance[:, None] * seen[..., 2])


def _by_landmark(outer, basis):
    """Multiply (photo, landmark, xy, xyz) by a basis ([photo,] landmark, xyz, parameter)."""
    if basis.ndim == 4:
        return outer @ basis
    n_photos, n_landmarks, axes, _ = outer.shape
    tall = outer.transpose(1, 0, 2, 3).reshape(n_landmarks, -1, 3)  # few large products
    product = (tall @ basis).reshape(n_landmarks, n_photos, axes, -1)
    return product.transpose(1, 0, 2, 3)
