"""What one photograph's landmarks say about a shape, as a Gaussian: precision and score.

Landmarks are linearised in the shape ``c`` and in what differs from photograph to photograph:
expression, rotation, scale, translation and the camera's inverse distance. These nuisances are
integrated out (a Schur complement), which leaves ``exp(-c' L c / 2 + h' c)`` per photograph.
Photographs of one person then simply add, and with the population's prior N(0, 1) the posterior
has precision ``P = 1 + sum L`` and mean ``inv(P) sum h``.

Perspective matters: a camera at one metre enlarges the nose by a tenth, which a fit under weak
perspective takes for a face's own shape, in every photograph alike.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

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


class Information(NamedTuple):
    """Photographs' Gaussian messages about shapes, and the way back to the nuisances.

    Attributes
    ----------
    precision : ndarray, (photo, shape, shape)
        ``L``.
    score : ndarray, (photo, shape)
        ``h``.
    gain : ndarray, (photo, nuisance, shape)
        Nuisances are ``offset - gain @ c``.
    offset : ndarray, (photo, nuisance)
        Expression, then steps of rotation, scale, translation, then inverse distance.
    variance : ndarray, (photo, nuisance)
        Of the nuisances, were the shape known.
    prior : ndarray, (nuisance,)
        Precision of the nuisances' priors.
    squares : ndarray, (photo,), pixels²
        Sum of squared residuals at the point of linearisation.
    """

    precision: np.ndarray
    score: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    variance: np.ndarray
    prior: np.ndarray
    squares: np.ndarray

    @property
    def n_effective(self):
        """Parameters that each photograph settles on its own, (photo,); the rest is prior."""
        spread = np.linalg.inv(np.eye(self.score.shape[1]) + self.precision)
        of_nuisances = self.variance + ((self.gain @ spread) * self.gain).sum(-1)
        n_parameters = self.score.shape[1] + len(self.prior)
        return n_parameters - np.trace(spread, axis1=1, axis2=2) - of_nuisances @ self.prior


def landmark_bases(model, contour_vertices=None):
    """Read a face model at its landmarks.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    contour_vertices : array_like of int, (photo, 17), optional
        Vertices that the jaw landmarks stand for in each photograph.

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
        mean,
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


def linearise(points, views, coefficients, bases, noise):
    """Integrate the nuisances out of the linearised landmarks.

    Parameters
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        y up; NaN where there is none.
    views : Views
        Where to linearise.
    coefficients : ndarray, (photo, shape)
        Where to linearise.
    bases : Bases
        The face model.
    noise : ndarray, (photo,), pixels
        Standard deviation of a landmark's coordinate.

    Returns
    -------
    Information
        One message per photograph.
    """
    gaps = residuals(points, views, coefficients, bases)
    shape_side, nuisance = _jacobians(points, views, coefficients, bases)
    kept = ~np.isnan(gaps)
    n_photos, n_expression = len(points), views.expression.shape[1]
    weight = (kept / noise[:, None, None]).reshape(n_photos, -1, 1)
    flat = (n_photos, kept[0].size, -1)
    a, n = (np.nan_to_num(side).reshape(flat) * weight for side in (shape_side, nuisance))
    # Landmarks as they would be at c = 0 and at the nuisances' prior means.
    target = (np.nan_to_num(gaps).reshape(flat) * weight)[..., 0]
    target = target + _times(a, coefficients) + _times(n[..., :n_expression], views.expression)
    prior = np.zeros(n.shape[2])
    prior[:n_expression] = 1.0
    if points.shape[-1] == 2:
        mean, sd = INVERSE_DISTANCE
        target = target + n[..., -1] * (views.inverse_distance - mean)[:, None]
        prior[-1] = sd**-2
    turned = n.transpose(0, 2, 1)
    cross, own = turned @ a, a.transpose(0, 2, 1) @ a
    inverse = np.linalg.inv(turned @ n + np.diag(prior))
    gain, offset = inverse @ cross, _times(inverse, _times(turned, target))
    back = cross.transpose(0, 2, 1)
    precision = own - back @ gain
    return Information(
        0.5 * (precision + precision.transpose(0, 2, 1)),
        _times(a.transpose(0, 2, 1), target) - _times(back, offset),
        gain, offset, np.diagonal(inverse, axis1=1, axis2=2), prior,
        np.nansum(gaps**2, (1, 2)),
    )  # fmt: skip


def move(views, information, coefficients):
    """Set the nuisances to their best values given the shapes.

    Parameters
    ----------
    views : Views
        Where the landmarks were linearised.
    information : Information
        Of the same photographs.
    coefficients : ndarray, (photo, shape)
        The faces.

    Returns
    -------
    Views
        With expression, rotation and inverse distance moved; scale and translation follow by
        `place`.
    """
    best = information.offset - _times(information.gain, coefficients)
    n = views.expression.shape[1]
    turn = Rotation.from_rotvec(best[:, n : n + 3]).as_matrix()
    inverse = views.inverse_distance
    if views.translation.shape[1] == 2:
        inverse = np.clip(INVERSE_DISTANCE[0] + best[:, -1], 0.0, 1 / 300)
    return views._replace(
        expression=best[:, :n], rotation=turn @ views.rotation, inverse_distance=inverse
    )


def _turned(views, coefficients, bases):
    """The faces' landmarks in the picture's axes, (photo, landmark, xyz), mm."""
    both = np.concatenate([bases.shape, bases.expression], -1)
    moved = (
        np.concatenate([coefficients, views.expression], -1) @ both.reshape(-1, both.shape[-1]).T
    )
    faces = bases.mean + moved.reshape(-1, *bases.mean.shape)
    return faces @ views.rotation.transpose(0, 2, 1)


def _times(matrices, vectors):
    return (matrices @ vectors[..., None])[..., 0]


def _magnification(seen, views):
    """How much nearer points appear larger."""
    return 1 / (1 - views.inverse_distance[:, None] * seen[..., 2])


def _jacobians(points, views, coefficients, bases):
    """Derivatives (photo, landmark, xy, parameter) by the shape and by the nuisances."""
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
    return shape_side, np.concatenate(parts, -1)


def _by_landmark(outer, basis):
    """Multiply (photo, landmark, xy, xyz) by a basis ([photo,] landmark, xyz, parameter)."""
    if basis.ndim == 4:
        return outer @ basis
    n_photos, n_landmarks, axes, _ = outer.shape
    tall = outer.transpose(1, 0, 2, 3).reshape(n_landmarks, -1, 3)  # few large products
    product = (tall @ basis).reshape(n_landmarks, n_photos, axes, -1)
    return product.transpose(1, 0, 2, 3)
