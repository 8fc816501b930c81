"""Reference faces from faces that come fitted: one set of coefficients per photograph.

Such are the public Voxceleb-3D files. Nothing is known of the photographs, so that a face can be
judged by the person's other faces alone.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import check_shape
from v2mlib.faces.readers import standardised
from v2mlib.faces.readers.parameters import N_SHAPE
from v2mlib.fitting.truth import TruthConfig
from v2mlib.fitting.truth_lines import line_uncertainties

_LEAST_SPREAD = 0.1  # of the logarithm of distances, as of residuals in `TruthConfig`
_LEAST_SCALE = 1e-6  # standard deviations; copies of one file do not differ at all
_WILD = 4  # robust standard deviations of one coefficient, beyond which it counts no more
_WEIGHT_OF_ALL = 10  # faces that everybody's spread counts for beside a person's own


class MeanFaces(NamedTuple):
    """People's mean faces, and how far they can be trusted.

    Attributes
    ----------
    identities : pandas.DataFrame
        One row per identity, in order of first appearance: `identity`, `n_photos`, `n_used`,
        `usable`, `reason`, `shape_sd`, `determined`, as of `v2mlib.fitting.truth.ReferenceFaces`.
    photos : pandas.DataFrame
        The table given, with `used`, `reason`, `rule` ("person", "majority", or empty).
    lines : pandas.DataFrame
        As of `ReferenceFaces`.
    shape_coefficients : ndarray, (identity, shape), standard deviations
        Means of the faces used; NaN for those not usable.
    shape_covariance : ndarray, (identity, shape, shape)
        Of the means; NaN for those not usable.
    """

    identities: pd.DataFrame
    photos: pd.DataFrame
    lines: pd.DataFrame
    shape_coefficients: np.ndarray
    shape_covariance: np.ndarray


def mean_faces(photos, coefficients, model, *, config=None):
    """Average each person's faces, without those that do not belong.

    A face's distance is that from the median of the person's others, each coefficient in units
    of its robust spread within people. Where it exceeds the usual one by `residual_sds` robust
    standard deviations of its logarithm, the person's furthest face is rejected and the others
    are judged again. Of two faces that differ so, neither can be believed.

    Parameters
    ----------
    photos : pandas.DataFrame
        One row per face: `identity`, and what else it has.
    coefficients : array_like, (photo, shape=199), raw units
        On the modes of BFM 2009; aligned with `photos`.
    model : MorphableModel
        A Basel face model.
    config : TruthConfig, optional
        `residual_sds` is taken from it.

    Returns
    -------
    MeanFaces
        Means and their uncertainty, from the spread of the person's faces and, as of ten more
        faces, that within everybody. Where nobody has two faces, nothing is known of either and
        each is as uncertain as the population is wide. Errors that all faces of a person share,
        as from a detector, do not show in the spread: these uncertainties are lower limits.

    Raises
    ------
    InputError
        If the model is not a Basel model.
    ShapeError
        If the coefficients are others than 199 per face.
    """
    config = config or TruthConfig()
    coefficients = np.asarray(coefficients, np.float64)
    check_shape(coefficients, {"photo": len(photos), "shape": N_SHAPE}, "coefficients")
    shapes = standardised(model, coefficients).shape.numpy()
    codes, people = pd.factorize(photos["identity"])
    table = _judge(photos.reset_index(drop=True), shapes, codes, config.residual_sds)
    used = table["used"].to_numpy()
    n_used = np.bincount(codes, used, minlength=len(people)).astype(int)
    mean, variance = _averages(shapes[used], codes[used], n_used)
    covariance = variance[:, :, None] * np.eye(shapes.shape[1])
    usable = n_used > 0
    identities = _identities(table, codes, people, n_used, variance, model)
    lines = line_uncertainties(people[usable], mean[usable], covariance[usable], model)
    return MeanFaces(identities, table, lines, mean, covariance)


def refuse_other_modes(model):
    """Refuse a face model on which the coefficients mean nothing.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Raises
    ------
    InputError
        If it is not a Basel model.
    """
    standardised(model, np.zeros(N_SHAPE))


def _judge(table, shapes, codes, limit_sds):
    """Reject faces that are too far from the person's others, the furthest first."""
    distance, rejected = np.full(len(codes), np.nan), np.zeros(len(codes), bool)
    gaps = _from_others(shapes, codes)
    several = np.isfinite(gaps[:, 0])
    usual = limit = np.inf
    if several.any():
        scale = np.maximum(1.4826 * np.median(np.abs(gaps[several]), axis=0), _LEAST_SCALE)
        distance = _distance(gaps, scale)
        log = np.log(np.maximum(distance[several], _LEAST_SCALE))
        spread = 1.4826 * np.median(np.abs(log - np.median(log)))
        usual = np.exp(np.median(log))
        limit = usual * np.exp(limit_sds * max(spread, _LEAST_SPREAD))
    judged = np.flatnonzero(several)
    while len(judged):
        order = judged[np.argsort(-np.nan_to_num(distance[judged]), kind="stable")]
        worst = order[np.unique(codes[order], return_index=True)[1]]
        worst = worst[distance[worst] > limit]
        rejected[worst] = True
        judged = np.flatnonzero(np.isin(codes, codes[worst]) & ~rejected)
        gaps = _from_others(shapes[judged], codes[judged])
        distance[judged] = _distance(gaps, scale)
    kept, gone = np.bincount(codes, ~rejected), np.bincount(codes, rejected)
    tie = ((gone > 0) & (gone >= kept))[codes]
    reason = np.full(len(codes), "", object)
    reason[rejected] = [
        f"{far:.1f} times as far from this person's other faces as usual"
        for far in distance[rejected] / usual
    ]
    reason[tie] = "no majority: this person's faces show different people"
    rule = np.select([tie, rejected], ["majority", "person"], "")
    return table.assign(used=rule == "", reason=reason, rule=rule)


def _distance(gaps, scale):
    """Root mean square over coefficients; single wild ones do not make a stranger."""
    return np.sqrt(np.square(np.clip(gaps / scale, -_WILD, _WILD)).mean(1))


def _from_others(shapes, codes):
    """Difference of each shape from the median of the person's others; NaN for the only one."""
    gaps = np.full(shapes.shape, np.nan)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        n = len(rows)
        if n < 2:
            continue
        own = shapes[rows]
        place = np.argsort(own, axis=0, kind="stable")
        rank = np.argsort(place, axis=0, kind="stable")
        ranked = np.take_along_axis(own, place, axis=0)
        # In the order without the shape itself, those above it move down by one.
        low, high = (n - 2) // 2, (n - 1) // 2
        middle = [np.take_along_axis(ranked, m + (m >= rank), axis=0) for m in (low, high)]
        gaps[rows] = own - sum(middle) / 2
    return gaps


def _averages(shapes, codes, n_used):
    """Mean of each person's shapes, and the variance of its coefficients."""
    total = np.zeros((len(n_used), shapes.shape[1]))
    np.add.at(total, codes, shapes)
    count = np.where(n_used > 0, n_used, np.nan)[:, None]
    mean = total / count
    squares = np.zeros_like(total)
    np.add.at(squares, codes, np.square(shapes - mean[codes]))
    freedom = np.maximum(n_used - 1, 0)
    everybody = squares.sum(0) / freedom.sum() if freedom.any() else np.ones(shapes.shape[1])
    own = squares + _WEIGHT_OF_ALL * everybody
    return mean, own / (freedom + _WEIGHT_OF_ALL)[:, None] / count


def _identities(table, codes, people, n_used, variance, model):
    rules = (
        table["rule"]
        .groupby(codes)
        .agg(
            lambda some: ", ".join(
                f"{n} by {rule}" for rule, n in some[some != ""].value_counts().items()
            )
        )
    )
    reason = np.where(n_used > 0, "", "all photographs rejected: " + rules.astype(object))
    # What each coefficient moves all vertices by, mm².
    weight = (model.shape_basis * model.shape_std).double().square().sum((0, 1)).cpu().numpy()
    return pd.DataFrame(
        {
            "identity": people, "n_photos": np.bincount(codes), "n_used": n_used,
            "usable": n_used > 0, "reason": reason, "shape_sd": np.sqrt(variance.mean(1)),
            "determined": 1 - variance @ weight / weight.sum(),
        }
    )  # fmt: skip
