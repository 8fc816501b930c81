"""Do repeated predictions for one person agree, and do those for different people differ?

A coherent predictor need not be a right one: a constant is perfectly coherent.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError
from v2mlib.stats.reliability import icc


class FaceSpread(NamedTuple):
    """How far two predicted faces lie apart, in the unit of the faces.

    Attributes
    ----------
    same_speaker : float
        Root mean square distance of two utterances' faces of one speaker.
    same_speaker_ci_low, same_speaker_ci_high : float
        Its interval.
    different_speakers : float
        Of two utterances of two speakers (of one group, where groups are given).
    different_speakers_ci_low, different_speakers_ci_high : float
        Its interval.
    icc : float
        ``1 - same_speaker**2 / different_speakers**2``: the share of the spread that tells
        speakers apart. NaN where all faces are the same.
    icc_ci_low, icc_ci_high : float
        Its interval.
    n_identities, n_observations : int
        How many.
    """

    same_speaker: float
    same_speaker_ci_low: float
    same_speaker_ci_high: float
    different_speakers: float
    different_speakers_ci_low: float
    different_speakers_ci_high: float
    icc: float
    icc_ci_low: float
    icc_ci_high: float
    n_identities: int
    n_observations: int


def face_spread(faces, identity, group=None, *, n_resamples=2000, level=0.95, seed=0):
    """Compare the spread of faces within speakers with that between speakers.

    Parameters
    ----------
    faces : array_like, (observation, vertex, xyz) or (observation, feature)
        A face per utterance. Distances are root mean squares over vertices; of features (say,
        coordinates in which they have that meaning), plain Euclidean ones.
    identity : array_like, (observation,)
        Whose it is.
    group : array_like, (observation,), optional
        The sex, say: different speakers are then compared within their group only.
    n_resamples : int
        Bootstrap draws of identities, within groups.
    level : float
        Of the intervals, two-sided.
    seed : int
        Of the draws.

    Returns
    -------
    FaceSpread
        Distances in the unit of the faces, and the share that tells speakers apart.

    Raises
    ------
    ShapeError
        If the arrays differ in length.
    InputError
        If a number is not finite, somebody is in two groups, nobody has two faces, or a group
        has a single person.

    References
    ----------
    Shou et al., "Quantifying the reliability of image replication studies: the image
    intraclass correlation coefficient", 2013.

    Examples
    --------
    Two speakers, each of whom says the same thing twice:

    >>> found = face_spread([[0.0], [0.0], [3.0], [3.0]], ["a", "a", "b", "b"])
    >>> found.same_speaker, found.different_speakers, found.icc
    (0.0, 3.0, 1.0)
    """
    flat, codes, of_group = _checked(faces, identity, group)
    counts, means = _people(flat, codes)
    rng = np.random.default_rng(seed)
    squares = []
    for number in range(of_group.max() + 1):
        here = np.flatnonzero(of_group == number)
        drawn = rng.multinomial(len(here), np.full(len(here), 1 / len(here)), size=n_resamples)
        weights = np.concatenate([np.ones((1, len(here))), drawn])
        squares.append(_squares(flat, codes, counts, means, here, weights))
    within, between, n_within, n_between, moment = np.sum(squares, axis=0)  # (draw,) each
    noise = within / n_within
    person = np.maximum(between / n_between - noise, 0) * n_between / moment
    tiny = 1e-12 * (flat**2).sum(1).mean()  # round-off of equal faces
    noise, person = np.where(noise <= tiny, 0.0, noise), np.where(person <= tiny, 0.0, person)
    with np.errstate(invalid="ignore"):
        columns = {
            "same_speaker": np.sqrt(2 * noise),
            "different_speakers": np.sqrt(2 * (noise + person)),
            "icc": person / (noise + person),
        }
    numbers = {}
    for name, column in columns.items():
        ends = np.quantile(column[1:], [(1 - level) / 2, (1 + level) / 2])
        named = zip((name, f"{name}_ci_low", f"{name}_ci_high"), (column[0], *ends), strict=True)
        numbers |= {key: float(value) for key, value in named}
    return FaceSpread(**numbers, n_identities=len(counts), n_observations=len(flat))


def coherence_table(values, identity, group=None, *, level=0.95):
    """Within- and between-speaker spread of each measure of predicted faces.

    Parameters
    ----------
    values : DataFrame or array_like, (observation,) or (observation, measure)
        Measures of a predicted face per utterance: lengths, ratios, coefficients.
    identity : array_like, (observation,)
        Whose it is.
    group : array_like, (observation,), optional
        The sex, say: each group's mean over its identities is taken off first.
    level : float
        Of the intervals, two-sided.

    Returns
    -------
    DataFrame
        A row per measure: `measure`, `within_sd` (of one speaker's utterances) and
        `between_sd` (of speakers' own values) in the measure's unit, `icc` (one-way, of one
        utterance) with `icc_ci_low` and `icc_ci_high`, `n_identities`, `n_observations`. The
        coefficient is NaN where nothing varies.

    Raises
    ------
    ShapeError
        If the arrays differ in length.
    InputError
        As `face_spread`.

    Examples
    --------
    >>> table = coherence_table([1.0, 1.0, 4.0, 4.0], ["a", "a", "b", "b"])
    >>> table[["within_sd", "icc"]].to_numpy().tolist()
    [[0.0, 1.0]]
    """
    table = values if isinstance(values, pd.DataFrame) else pd.DataFrame(np.asarray(values, float))
    names = [name if isinstance(name, str) else f"measure_{name}" for name in table.columns]
    flat, codes, of_group = _checked(table.to_numpy(dtype=float), identity, group)
    counts, means = _people(flat, codes)
    for number in range(of_group.max() + 1):
        flat = flat - np.where(
            (of_group == number)[codes, None], means[of_group == number].mean(0), 0
        )
    # Equal faces differ by round-off, which would count as spread.
    flat[:, np.abs(flat).max(0) < 1e-9 * np.abs(table.to_numpy(dtype=float)).max(0)] = 0.0
    counts, means = _people(flat, codes)
    freedom = len(flat) - len(counts), len(counts) - 1 - of_group.max()
    noise = ((flat - means[codes]) ** 2).sum(0) / freedom[0]
    between = (counts[:, None] * means**2).sum(0) / freedom[1]
    n0 = (len(flat) - (counts**2).sum() / len(flat)) / (len(counts) - 1)
    found = icc(pd.DataFrame(flat, columns=names), identity, level=level)
    found = found[found["form"] == "icc_1_1"].reset_index(drop=True)
    return pd.DataFrame(
        {
            "measure": names, "within_sd": np.sqrt(noise),
            "between_sd": np.sqrt(np.maximum(between - noise, 0) / n0), "icc": found["icc"],
            "icc_ci_low": found["ci_low"], "icc_ci_high": found["ci_high"],
            "n_identities": found["n_identities"], "n_observations": found["n_observations"],
        }
    )  # fmt: skip


def _squares(flat, codes, counts, means, here, weights):
    """Sums of squares and their divisors within one group, (5, draw).

    Within and between people, degrees of freedom of both, and what the variance of people's own
    faces counts in the second.
    """
    place = np.full(len(counts), -1)
    place[here] = np.arange(len(here))
    rows = np.flatnonzero(place[codes] >= 0)
    own = np.bincount(place[codes[rows]], ((flat[rows] - means[codes[rows]]) ** 2).sum(1))
    middle = means[here] - means[here].mean(0)
    gram, sizes = middle @ middle.T, weights * counts[here]
    total = sizes.sum(1)
    between = sizes @ np.diag(gram) - ((sizes @ gram) * sizes).sum(1) / total
    moment = total - (sizes * counts[here]).sum(1) / total
    return np.stack(
        [weights @ own, between, weights @ (counts[here] - 1), weights.sum(1) - 1, moment]
    )


def _people(flat, codes):
    """Observations of each person, and their means (identity, feature)."""
    counts = np.bincount(codes)
    sums = np.zeros((len(counts), flat.shape[1]))
    np.add.at(sums, codes, flat)
    return counts, sums / counts[:, None]


def _checked(faces, identity, group):
    """Features whose distances are meant, codes of identities, and each identity's group."""
    faces = np.asarray(faces, dtype=float)
    if faces.ndim not in (2, 3) or not len(faces):
        raise ShapeError(f"faces have shape {faces.shape}, expected (observation, vertex, xyz)")
    if not np.isfinite(faces).all():
        raise InputError("faces", "hold NaN or infinity", "leave out predictions that failed")
    labels = np.asarray(identity)
    groups = np.zeros(len(faces), int) if group is None else np.asarray(group)
    for name, array in (("identity", labels), ("group", groups)):
        if array.shape != (len(faces),):
            raise ShapeError(f"{name} has shape {array.shape}, expected ({len(faces)},)")
    codes, people = pd.factorize(labels)
    of_row = pd.factorize(groups)[0]
    if min(codes.min(), of_row.min()) < 0:
        raise InputError("identity or group", "is missing somewhere", "leave such faces out")
    of_group = np.zeros(len(people), int)
    of_group[codes] = of_row
    if (of_group[codes] != of_row).any():
        raise InputError("group", "is not one for each identity", "give everybody one group")
    if len(codes) == len(people) or (np.bincount(of_group) < 2).any():
        raise InputError(
            "faces", "are one for each speaker, or a group has one speaker",
            "coherence needs repeated faces of two speakers or more",
        )  # fmt: skip
    flat = faces.reshape(len(faces), -1)
    return flat / np.sqrt(faces.shape[1]) if faces.ndim == 3 else flat, codes, of_group
