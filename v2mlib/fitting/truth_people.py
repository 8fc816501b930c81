"""Is a photograph of the same person as the others? A likelihood ratio of two explanations.

Each photograph's landmarks are a Gaussian message about a shape: precision ``L``, score ``h``
(`v2mlib.fitting.truth_information`). With the population's prior N(0, 1), a set of photographs
of one person has the log evidence ``E = h' inv(P) h / 2 - log det(P) / 2``, ``P = 1 + sum L``,
``h = sum h``, up to terms that do not depend on who is grouped with whom. A photograph belongs
to the rest with log likelihood ratio ``E(all) - E(rest) - E(alone)``.
"""

import numpy as np
from scipy.stats import chi2


def posterior(precision, score, codes, n_people, constant_share=0.0):
    """Combine photographs' messages into one posterior per person.

    Of noise with variance ``s²``, a share ``r`` may be the same in all of a person's
    photographs. Their mean then has the noise ``s² (1 + (n - 1) r) / n``, so each message
    counts ``1 / (1 + (n - 1) r)``.

    Parameters
    ----------
    precision : ndarray, (photo, shape, shape)
        Of each photograph about its face's shape.
    score : ndarray, (photo, shape)
        Likewise.
    codes : ndarray of int, (photo,)
        Whose photograph it is.
    n_people : int
        How many people there are.
    constant_share : float, 0 to 1
        Share ``r`` of the noise's variance that a person's photographs have in common.

    Returns
    -------
    tuple of ndarray
        Posterior precision (person, shape, shape), the prior's included, and summed score
        (person, shape).
    """
    n_shape = score.shape[1]
    total = np.tile(np.eye(n_shape), (n_people, 1, 1))
    summed = np.zeros((n_people, n_shape))
    n_photos = np.bincount(codes, minlength=n_people)[codes]
    weight = 1 / (1 + (n_photos - 1) * constant_share)
    np.add.at(total, codes, precision * weight[:, None, None])
    np.add.at(summed, codes, score * weight[:, None])
    return total, summed


def log_evidence(total, score):
    """Log evidence of photographs that share a shape, up to constants.

    Parameters
    ----------
    total : ndarray, (..., shape, shape)
        Posterior precision.
    score : ndarray, (..., shape)
        Summed score.

    Returns
    -------
    ndarray, (...,)
        Natural logarithm.
    """
    lower = np.linalg.cholesky(total)
    half = np.linalg.solve(lower, score[..., None])[..., 0]
    log_det = 2 * np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(-1)
    return 0.5 * ((half**2).sum(-1) - log_det)


def log_ratio_same_person(precision, score, codes, n_people):
    """Log likelihood ratio of each photograph showing the same person as the others.

    Parameters
    ----------
    precision : ndarray, (photo, shape, shape)
        Of each photograph about its face's shape.
    score : ndarray, (photo, shape)
        Likewise.
    codes : ndarray of int, (photo,)
        Whose photograph it is said to be.
    n_people : int
        How many people there are.

    Returns
    -------
    ndarray, (photo,)
        Natural logarithm; NaN for somebody's only photograph.

    References
    ----------
    The likelihood ratio of two-covariance speaker verification: Brummer and De Villiers, "The
    speaker partitioning problem", Odyssey 2010.
    """
    total, summed = posterior(precision, score, codes, n_people)
    alone = np.eye(score.shape[1]) + precision
    ratio = (
        log_evidence(total, summed)[codes]
        - log_evidence(total[codes] - precision, summed[codes] - score)
        - log_evidence(alone, score)
    )
    return np.where(np.bincount(codes, minlength=n_people)[codes] > 1, ratio, np.nan)


def find_strangers(precision, score, codes, n_people, mislabelled_share):
    """Reject, one by one, the photographs that are likelier to show somebody else.

    In each round everybody's least likely photograph goes, if its posterior probability of
    showing another person exceeds one half, and the others are judged again without it.

    Parameters
    ----------
    precision : ndarray, (photo, shape, shape)
        Of each photograph about its face's shape.
    score : ndarray, (photo, shape)
        Likewise.
    codes : ndarray of int, (photo,)
        Whose photograph it is said to be.
    n_people : int
        How many people there are.
    mislabelled_share : float
        Prior probability that a photograph shows somebody else.

    Returns
    -------
    tuple of ndarray
        Whether each photograph is a stranger's (photo,), and the natural logarithm of the odds
        that it is not, when it was last judged (photo,).
    """
    stranger, log_odds = np.zeros(len(codes), bool), np.full(len(codes), np.nan)
    if mislabelled_share == 0:
        prior = np.inf
    else:
        prior = np.log1p(-mislabelled_share) - np.log(mislabelled_share)
    judged = np.arange(len(codes))  # photographs of people whose set has changed
    while len(judged):
        log_odds[judged] = prior + log_ratio_same_person(
            precision[judged], score[judged], codes[judged], n_people
        )
        order = judged[np.argsort(np.nan_to_num(log_odds[judged], nan=np.inf), kind="stable")]
        worst = order[np.unique(codes[order], return_index=True)[1]]
        worst = worst[log_odds[worst] < 0]
        stranger[worst] = True
        judged = np.flatnonzero(np.isin(codes, codes[worst]) & ~stranger)
    return stranger, log_odds


def surprise(precision, score):
    """How much more photographs differ from the population than their noise explains.

    With shapes from the prior N(0, 1), a score has the covariance ``L + L²``. A detector that
    errs in ways that look like shape gives larger scores, however small its residuals.

    Parameters
    ----------
    precision : ndarray, (photo, shape, shape)
        Of each photograph about its face's shape.
    score : ndarray, (photo, shape)
        Likewise.

    Returns
    -------
    float
        Observed over expected median of the squared distance; about 1 if the noise is right.
    """
    return _median_distance(score, precision + precision @ precision)


def disagreement(precision, score, codes, n_people):
    """How much more photographs of one person disagree than their noise explains.

    Each photograph is compared with what the person's others predict of it; the squared
    distance, in units of the stated uncertainty, is a chi-square variable of as many degrees of
    freedom as shape coefficients. The median over photographs resists outliers.

    Parameters
    ----------
    precision : ndarray, (photo, shape, shape)
        Of each photograph about its face's shape.
    score : ndarray, (photo, shape)
        Likewise.
    codes : ndarray of int, (photo,)
        Whose photograph it is.
    n_people : int
        How many people there are.

    Returns
    -------
    float
        Observed over expected median; about 1 if the noise is right, NaN without repeats.
    """
    total, summed = posterior(precision, score, codes, n_people)
    several = np.bincount(codes, minlength=n_people)[codes] > 1
    if not several.any():
        return float("nan")
    precision, score, codes = precision[several], score[several], codes[several]
    rest = total[codes] - precision
    mean = np.linalg.solve(rest, (summed[codes] - score)[..., None])
    gap = score - (precision @ mean)[..., 0]
    return _median_distance(gap, precision + precision @ np.linalg.solve(rest, precision))


def _median_distance(gap, spread):
    # Directions that a photograph does not see carry nothing; the small ridge lets the inverse
    # pass them by.
    size = gap.shape[1]
    ridge = 1e-9 * np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(size)
    distance = (gap * np.linalg.solve(spread + ridge, gap[..., None])[..., 0]).sum(-1)
    return float(np.median(distance) / chi2.median(size))
