"""Shapes shared by photographs: Gauss-Newton steps with the nuisances integrated out."""

from typing import NamedTuple

import numpy as np

from v2mlib.fitting.truth_information import linearise, move
from v2mlib.fitting.truth_people import disagreement, find_strangers, posterior, surprise
from v2mlib.fitting.truth_views import Views, landmark_bases, place, residuals, start_views

_STEPS = 4  # more move no line by a hundredth of a millimetre
_BLOCK = 512  # photographs at a time: their Jacobians take some 60 MB
_PEOPLE_FOR_NOISE = 150
_LEAST_SHARE = 0.2  # noise that is independent by construction is found to share up to 0.15
_LEAST_PEOPLE = 20  # to compare with the population
#: Landmarks are never better known than this, relative to the face's size.
LEAST_NOISE = 0.002


class Singles(NamedTuple):
    """Photographs, each fitted on its own.

    Attributes
    ----------
    points : ndarray, (photo, landmark, 2 or 3), pixels
        y up; NaN where there is none.
    views : Views
        Poses and expressions; NaN for photographs that were not fitted.
    coefficients : ndarray, (photo, shape)
        Likewise.
    contour : ndarray of int or None, (photo, 17)
        Vertices that the jaw landmarks stand for, where they slide.
    model : MorphableModel
        The face model.
    offsets : ndarray, (landmark=68, xyz=3), mm
        Where the landmarks' detector sees each, relative to its vertex.
    """

    points: np.ndarray
    views: Views
    coefficients: np.ndarray
    contour: np.ndarray | None
    model: object
    offsets: np.ndarray

    @property
    def face_px(self):
        """Square root of the area of the box around the landmarks, (photo,), pixels."""
        sides = np.nanmax(self.points, axis=1) - np.nanmin(self.points, axis=1)
        return np.sqrt(sides[:, :2].prod(-1))

    @property
    def bases(self):
        """The face model at the photographs' landmarks."""
        return landmark_bases(self.model, self.contour, self.offsets)

    def take(self, rows):
        """Some of the photographs.

        Parameters
        ----------
        rows : ndarray of int
            Which.

        Returns
        -------
        Singles
            Of these.
        """
        contour = None if self.contour is None else self.contour[rows]
        views = Views(*(part[rows] for part in self.views))
        return self._replace(
            points=self.points[rows], views=views, coefficients=self.coefficients[rows],
            contour=contour,
        )  # fmt: skip


class Noise(NamedTuple):
    """How far landmarks are off.

    Attributes
    ----------
    relative : float
        Standard deviation of a coordinate over the face's size.
    constant_share : float
        Share of the variance that all photographs of a person have in common.
    """

    relative: float
    constant_share: float = 0.0


class Shapes(NamedTuple):
    """Faces of people and views of their photographs.

    Attributes
    ----------
    coefficients : ndarray, (person, shape)
        Posterior means, standardised; NaN for people without photographs.
    covariance : ndarray, (person, shape, shape)
        Of the posterior.
    views : Views
        Of each photograph.
    residual : ndarray, (photo,), pixels
        Root mean square distance of the landmarks.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    views: Views
    residual: np.ndarray


def singles_from(landmarks, fit, model, rows):
    """Complete a landmark fit by the camera's distance, scale and translation.

    Parameters
    ----------
    landmarks : ndarray, (photo, landmark=68, 2 or 3), pixels
        As they were fitted: y down where they are two-dimensional.
    fit : v2mlib.fitting.landmarks.LandmarkFit
        One row per photograph.
    model : MorphableModel
        The face model.
    rows : ndarray of int
        Photographs that were fitted.

    Returns
    -------
    Singles
        Ready to be refined.
    """
    points = landmarks[rows]
    if points.shape[-1] == 2:
        points = points * [1.0, -1.0]
    shape, expression, rotation = (
        part.double().cpu().numpy()[rows]
        for part in (fit.shape_coefficients, fit.expression_coefficients, fit.rotation)
    )
    contour = fit.contour_vertices
    contour = None if contour is None else contour.cpu().numpy()[rows]
    views = start_views(points, rotation, expression, shape, landmark_bases(model, contour))
    return Singles(points, views, shape, contour, model, np.zeros((points.shape[1], 3)))


def refine(singles, coefficients, codes, noise, *, n_steps=_STEPS):
    """Improve shapes that photographs share, by Gauss-Newton steps.

    Parameters
    ----------
    singles : Singles
        Where to start, but for the shapes.
    coefficients : ndarray, (person, shape)
        Where to start.
    codes : ndarray of int, (photo,)
        Whose photograph it is: row of `coefficients`.
    noise : Noise
        Of the landmarks.
    n_steps : int
        How many.

    Returns
    -------
    tuple
        Coefficients (person, shape), views, and the `Information` of the last step.
    """
    points, views, bases = singles.points, singles.views, singles.bases
    noise_px, information = noise.relative * singles.face_px, None
    for _ in range(n_steps):
        information = linearise(points, views, coefficients[codes], bases, noise_px)
        total, score = posterior(
            information.precision, information.score, codes, len(coefficients),
            noise.constant_share,
        )  # fmt: skip
        coefficients = np.linalg.solve(total, score[..., None])[..., 0]
        views = move(views, information, coefficients[codes])
        views = place(points, views, coefficients[codes], bases)
    return coefficients, views, information


def refine_singly(singles, noise, *, n_steps=_STEPS):
    """Improve each photograph's own shape.

    Parameters
    ----------
    singles : Singles
        Where to start.
    noise : Noise
        Of the landmarks.
    n_steps : int
        How many.

    Returns
    -------
    tuple
        The improved `Singles`, the `Information` of the last step, and the root mean square
        distance of the landmarks (photo,), pixels.
    """
    own = np.arange(len(singles.points))
    coefficients, views, information = refine(
        singles, singles.coefficients, own, noise, n_steps=n_steps
    )
    better = singles._replace(coefficients=coefficients, views=views)
    return better, information, _distance(better, coefficients)


def fit_shared(singles, codes, n_people, noise):
    """Fit one shape per person.

    Parameters
    ----------
    singles : Singles
        Photographs to use.
    codes : ndarray of int, (photo,)
        Whose photograph it is.
    n_people : int
        How many people there are; those without photographs stay NaN.
    noise : Noise
        Of the landmarks.

    Returns
    -------
    Shapes
        Of all people and photographs.
    """
    n_shape = singles.coefficients.shape[1]
    shapes = np.full((n_people, n_shape), np.nan)
    covariance = np.full((n_people, n_shape, n_shape), np.nan)
    residual = np.full(len(codes), np.nan)
    found = Views(*(np.full(part.shape, np.nan) for part in singles.views))
    for rows in blocks(codes):
        some = singles.take(rows)
        people, local = np.unique(codes[rows], return_inverse=True)
        start = np.zeros((len(people), n_shape))
        np.add.at(start, local, some.coefficients)
        start /= np.bincount(local)[:, None]
        shape, views, information = refine(some, start, local, noise)
        total, _ = posterior(
            information.precision, information.score, local, len(people), noise.constant_share
        )
        shapes[people], covariance[people] = shape, np.linalg.inv(total)
        residual[rows] = _distance(some._replace(views=views), shape[local])
        for whole, part in zip(found, views, strict=True):
            whole[rows] = part
    return Shapes(shapes, covariance, found, residual)


def estimate_noise(singles, codes, *, seed=0):
    """Estimate the landmarks' noise from a sample of people.

    Three views of it, each raising the last where it must: the residuals of each photograph's
    own fit, corrected for the parameters it spends; how much photographs of one person disagree
    (neighbouring landmarks err together, and residuals alone promise too much); how much
    photographs differ from the population (errors that look like shape leave no residual). How
    little photographs of one person disagree at this noise says how much they have in common.

    Parameters
    ----------
    singles : Singles
        Photographs.
    codes : ndarray of int, (photo,)
        Whose photograph it is.
    seed : int
        Of the sample.

    Returns
    -------
    Noise
        Of a landmark's coordinate.
    """
    chosen = np.random.default_rng(seed).permutation(np.unique(codes))[:_PEOPLE_FOR_NOISE]
    rows = np.flatnonzero(np.isin(codes, chosen))[: 4 * _BLOCK]
    codes, sample = np.unique(codes[rows], return_inverse=True)[1], singles.take(rows)
    n_people = codes.max() + 1
    n_known = (~np.isnan(sample.points)).sum((1, 2))
    noise, size = 0.01, sample.face_px
    for _ in range(4):
        sample, information, _ = refine_singly(sample, Noise(noise), n_steps=2)
        spent = np.minimum(information.n_effective, 0.8 * n_known)
        variance = np.median(information.squares / (n_known - spent) / size**2)
        noise = max(float(np.sqrt(variance)), LEAST_NOISE)
    for _ in range(3):
        _, information, _ = refine_singly(sample, Noise(noise), n_steps=1)
        factor = disagreement(information.precision, information.score, codes, n_people)
        if np.isfinite(factor):
            noise *= float(np.sqrt(np.clip(factor, 1.0, 100.0)))
    random = noise
    if n_people >= _LEAST_PEOPLE:
        for _ in range(6):
            sample, information, _ = refine_singly(sample, Noise(noise), n_steps=1)
            noise *= float(np.sqrt(np.clip(surprise(*information[:2]), 1.0, 4.0)))
    _, information, _ = refine_singly(sample, Noise(noise), n_steps=1)
    factor = disagreement(information.precision, information.score, codes, n_people)
    share = 1 - (factor if np.isfinite(factor) else (random / noise) ** 2)
    return Noise(noise, float(share) if share > _LEAST_SHARE else 0.0)


def judge_people(singles, codes, noise, mislabelled_share):
    """Find photographs that show somebody else.

    Parameters
    ----------
    singles : Singles
        Photographs.
    codes : ndarray of int, (photo,)
        Whose photograph it is said to be.
    noise : Noise
        Of the landmarks.
    mislabelled_share : float
        Prior probability of somebody else.

    Returns
    -------
    tuple of ndarray
        Whether each photograph is a stranger's, and the log odds that it is not (photo,).
    """
    stranger, log_odds = np.zeros(len(codes), bool), np.full(len(codes), np.nan)
    for rows in blocks(codes):
        people, local = np.unique(codes[rows], return_inverse=True)
        _, information, _ = refine_singly(singles.take(rows), noise)
        stranger[rows], log_odds[rows] = find_strangers(
            information.precision, information.score, local, len(people), mislabelled_share
        )
    return stranger, log_odds


def blocks(codes):
    """Row numbers in blocks that hold whole people.

    Parameters
    ----------
    codes : ndarray of int, (photo,)
        Whose photograph it is.

    Yields
    ------
    ndarray of int
        Rows of one block: some 500, or all of one person.

    Examples
    --------
    >>> [rows.tolist() for rows in blocks(np.array([1, 0, 1]))]
    [[1, 0, 2]]
    """
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order], append=-1)) + 1  # after each person's last
    start = 0
    while start < len(order):
        far = np.searchsorted(ends, start + _BLOCK, side="right")
        first = np.searchsorted(ends, start, side="right")
        end = ends[max(far - 1, first)]
        yield order[start:end]
        start = end


def _distance(singles, coefficients):
    gaps = residuals(singles.points, singles.views, coefficients, singles.bases)
    return np.sqrt(np.nanmean((gaps**2).sum(-1), axis=1))
