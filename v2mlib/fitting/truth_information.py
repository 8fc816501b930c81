"""What one photograph's landmarks say about a shape, as a Gaussian: precision and score.

Landmarks are linearised in the shape ``c`` and in what differs from photograph to photograph:
expression, rotation, scale, translation and the camera's inverse distance. These nuisances are
integrated out (a Schur complement), which leaves ``exp(-c' L c / 2 + h' c)`` per photograph.
Photographs of one person then simply add, and with the population's prior N(0, 1) the posterior
has precision ``P = 1 + sum L`` and mean ``inv(P) sum h``.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from v2mlib.fitting.truth_views import INVERSE_DISTANCE, jacobians, residuals


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
    system = whitened(points, views, coefficients, bases, noise)
    a, n, target, prior = system.shape_side, system.nuisance, system.target, system.prior
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
        system.squares,
    )  # fmt: skip


class System(NamedTuple):
    """Linearised landmarks in units of their noise; rows are coordinates.

    Attributes
    ----------
    shape_side : ndarray, (photo, row, shape)
        Derivatives by the shape.
    nuisance : ndarray, (photo, row, nuisance)
        Derivatives by expression, pose and distance.
    place_side : ndarray, (photo, landmark, xy, xyz)
        Derivatives by the place of each landmark on the face, mm.
    target : ndarray, (photo, row)
        Landmarks as they would be at shape 0 and at the nuisances' prior means.
    prior : ndarray, (nuisance,)
        Precision of the nuisances' priors.
    squares : ndarray, (photo,), pixels²
        Sum of squared residuals.
    """

    shape_side: np.ndarray
    nuisance: np.ndarray
    place_side: np.ndarray
    target: np.ndarray
    prior: np.ndarray
    squares: np.ndarray


def whitened(points, views, coefficients, bases, noise):
    """Linearise landmarks and divide them by their noise.

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
    System
        Missing landmarks are rows of 0.
    """
    gaps = residuals(points, views, coefficients, bases)
    shape_side, nuisance, place_side = jacobians(points, views, coefficients, bases)
    kept = ~np.isnan(gaps)
    n_photos, n_expression = len(points), views.expression.shape[1]
    weight = kept / noise[:, None, None]
    flat = (n_photos, kept[0].size, -1)
    a, n, d = (
        np.nan_to_num(side) * weight[..., None] for side in (shape_side, nuisance, place_side)
    )
    a, n = a.reshape(flat), n.reshape(flat)
    target = (np.nan_to_num(gaps) * weight).reshape(flat[:2])
    target = target + _times(a, coefficients) + _times(n[..., :n_expression], views.expression)
    prior = np.zeros(n.shape[2])
    prior[:n_expression] = 1.0
    if points.shape[-1] == 2:
        mean, sd = INVERSE_DISTANCE
        target = target + n[..., -1] * (views.inverse_distance - mean)[:, None]
        prior[-1] = sd**-2
    return System(a, n, d, target, prior, np.nansum(gaps**2, (1, 2)))


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


def _times(matrices, vectors):
    return (matrices @ vectors[..., None])[..., 0]
