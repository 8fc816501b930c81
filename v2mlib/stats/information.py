"""Ceilings: what noisy references allow, and how many bits of a person a voice can carry."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from v2mlib.checks import InputError, ShapeError


def attainable_r_squared(r_squared, reliability, *, reliability_predictor=1.0):
    """Largest share of variance that can be seen through noisy measurements.

    Classical attenuation: a correlation shrinks by the root of each side's reliability, so
    ``R^2`` shrinks by the reliabilities themselves.

    Parameters
    ----------
    r_squared : array_like, in [0, 1]
        Share of the error-free measure's variance that the voice explains.
    reliability : array_like, in [0, 1]
        Of the reference (share of its variance that is not measurement error), for instance the
        intraclass correlation of a line over an identity's photographs.
    reliability_predictor : array_like, in [0, 1]
        Of what is predicted from.

    Returns
    -------
    ndarray
        ``r_squared * reliability * reliability_predictor``. With ``r_squared=1`` the ceiling
        that the reference alone sets.

    Raises
    ------
    InputError
        If a share is outside [0, 1].

    References
    ----------
    Spearman, "The proof and measurement of association between two things", 1904.

    Examples
    --------
    >>> float(attainable_r_squared(0.5, 0.8))
    0.4
    """
    shares = {
        "r_squared": r_squared,
        "reliability": reliability,
        "reliability_predictor": reliability_predictor,
    }
    return np.prod(np.broadcast_arrays(*[_share(*item) for item in shares.items()]), axis=0)


def disattenuated_r_squared(r_squared, reliability, *, reliability_predictor=1.0):
    """Share of the error-free measure's variance that an observed share stands for.

    Parameters
    ----------
    r_squared : array_like, in [0, 1]
        As observed with noisy references.
    reliability, reliability_predictor : array_like, in (0, 1]
        As in `attainable_r_squared`.

    Returns
    -------
    ndarray
        ``r_squared / (reliability * reliability_predictor)``; above 1 where sampling error or
        an understated reliability makes it so: it is not clipped.

    Raises
    ------
    InputError
        If a share is outside its range.

    Examples
    --------
    >>> float(disattenuated_r_squared(0.4, 0.8))
    0.5
    """
    both = _share("reliability", reliability) * _share(
        "reliability_predictor", reliability_predictor
    )
    if (both == 0).any():
        raise InputError("reliability", "is 0", "nothing can be said of a measure that is noise")
    return _share("r_squared", r_squared) / both


def gaussian_information_bits(covariance, n_first):
    """Mutual information of two groups of jointly normal variables.

    Parameters
    ----------
    covariance : array_like, (variable, variable)
        Of all variables, the first group's first.
    n_first : int
        How many belong to the first group.

    Returns
    -------
    float, bits
        ``-1/2 sum_k log2(1 - rho_k^2)`` over the canonical correlations.

    Raises
    ------
    ShapeError
        If the matrix is not square or `n_first` leaves a group empty.
    InputError
        If the matrix is not a positive definite covariance.

    References
    ----------
    Cover and Thomas, "Elements of Information Theory", section 8.5.

    Examples
    --------
    One voice measure that explains 3/4 of one line's variance:

    >>> round(gaussian_information_bits([[1, 0.75**0.5], [0.75**0.5, 1]], 1), 12)
    1.0
    """
    covariance = np.asarray(covariance, dtype=float)
    size = len(covariance)
    if covariance.shape != (size, size) or not 0 < n_first < size:
        raise ShapeError(
            f"covariance has shape {covariance.shape}, n_first is {n_first}; expected "
            "(variable, variable) and two groups"
        )
    if not np.allclose(covariance, covariance.T):
        raise InputError("covariance", "is not symmetric", "give a covariance matrix")
    blocks = (covariance[:n_first, :n_first], covariance[n_first:, n_first:], covariance)
    signs, logs = zip(*(np.linalg.slogdet(block) for block in blocks), strict=True)
    if min(signs) <= 0 or np.linalg.eigvalsh(covariance)[0] <= 0:
        raise InputError(
            "covariance", "is not positive definite", "a noise-free link carries infinite bits"
        )
    return max(0.0, float((logs[0] + logs[1] - logs[2]) / (2 * np.log(2))))


def canonical_information_bits(correlations):
    """Mutual information from canonical correlations.

    Parameters
    ----------
    correlations : array_like, (pair,), in (-1, 1)
        Canonical correlations; for a phantom law the singular values of its voice link.

    Returns
    -------
    float, bits
        ``-1/2 sum log2(1 - rho^2)``.

    Raises
    ------
    InputError
        If a correlation is 1 or more in size.

    Examples
    --------
    >>> canonical_information_bits([0.0, 0.0])
    0.0
    """
    correlations = np.asarray(correlations, dtype=float)
    if not (np.abs(correlations) < 1).all():
        raise InputError("correlations", "reach 1", "a noise-free link carries infinite bits")
    return float(-0.5 * np.log2(1 - correlations**2).sum()) + 0.0


def sex_information_bits(d, share_male=0.5):
    """What one normal measure tells of the sex.

    Parameters
    ----------
    d : float
        Difference of the sexes' means in within-sex standard deviations.
    share_male : float, in (0, 1)
        Of the population.

    Returns
    -------
    float, bits
        Mutual information; at most the entropy of the sex, 1 bit for equal shares.

    Raises
    ------
    InputError
        If the share is outside (0, 1), or `d` not finite.

    Examples
    --------
    >>> sex_information_bits(0.0)
    0.0
    >>> round(sex_information_bits(20.0), 6)
    1.0
    """
    if not 0 < share_male < 1:
        raise InputError("share_male", f"is {share_male}", "give a share between 0 and 1")
    if not np.isfinite(d):
        raise InputError("d", f"is {d}", "give a number")
    d = abs(float(d))
    # H(x) - H(x | sex) by the trapezium rule: spectrally accurate for so smooth an integrand.
    x = np.linspace(-d / 2 - 12, d / 2 + 12, 20_001)
    male, female = norm.logpdf(x, d / 2), norm.logpdf(x, -d / 2)
    mixture = np.logaddexp(np.log(share_male) + male, np.log1p(-share_male) + female)
    gain = share_male * np.exp(male) * (male - mixture) + (1 - share_male) * np.exp(female) * (
        female - mixture
    )
    return max(0.0, float(np.trapezoid(gain, x) / np.log(2)))


class VoiceBits(NamedTuple):
    """Bits of a face that a voice carries, by where they come from.

    Attributes
    ----------
    sex : float
        What knowing the speaker's sex tells of the face; at most 1.
    within_sex : float
        What the voice adds when the sex is known.
    total : float
        Their sum: the mutual information of face and voice.
    """

    sex: float
    within_sex: float
    total: float


def voice_information_bits(correlations, sex_distance, *, share_male=0.5):
    """Mutual information of a face and a voice that gives its speaker's sex away.

    By the chain rule, ``I(face; voice) = I(face; sex) + I(face; voice | sex)``.

    Parameters
    ----------
    correlations : array_like, (pair,), in (-1, 1)
        Canonical correlations of face and voice given the sex.
    sex_distance : float
        Mahalanobis distance of the sexes' mean faces; 0 if the voice does not tell the sex.
    share_male : float, in (0, 1)
        Of the population.

    Returns
    -------
    VoiceBits
        Sex, within a sex, and both.

    Raises
    ------
    InputError
        If a correlation reaches 1 or the share is outside (0, 1).

    Examples
    --------
    Four lines, each half explained by an attribute of its own, and faces that show the sex:

    >>> voice_information_bits([0.5**0.5] * 4, 20.0)
    VoiceBits(sex=1.0, within_sex=2.0, total=3.0)
    """
    sex = round(sex_information_bits(sex_distance, share_male), 12)
    within = round(canonical_information_bits(correlations), 12)
    return VoiceBits(sex, within, sex + within)


def identity_bits(n_identities):
    """Bits that name one of so many people.

    Parameters
    ----------
    n_identities : int
        How many, all equally likely.

    Returns
    -------
    float, bits
        ``log2(n_identities)``.

    Raises
    ------
    InputError
        If there is nobody.

    Examples
    --------
    >>> round(identity_bits(301), 2)
    8.23
    """
    if n_identities < 1:
        raise InputError("n_identities", f"is {n_identities}", "give 1 or more")
    return float(np.log2(n_identities))


def _share(name, value):
    value = np.asarray(value, dtype=float)
    if not ((value >= 0) & (value <= 1)).all():
        raise InputError(name, "holds what is no share", "give numbers from 0 to 1")
    return value
