"""What a law lets a voice tell, in closed form: shares of lines, and links of whole faces.

Given the sex, faces and voices are jointly normal. The best linear guess is then the best guess,
and a voice heard in `u` noisy sessions tells of each attribute its reliability,
``1 / (1 + noise^2 / u)``.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.faces.lines import RATIO_LINES
from v2mlib.phantom.attributes import session_noise_ratio


class VoiceLink(NamedTuple):
    """How a voice and a face hang together.

    Attributes
    ----------
    correlations : ndarray, (pair,)
        Canonical correlations of face and voice given the sex, largest first.
    sex_distance : float
        Difference of the sexes' mean faces in within-sex standard deviations, along the
        direction that tells them apart best (Mahalanobis); 0 where the voice does not know the
        face's sex.
    """

    correlations: np.ndarray
    sex_distance: float


def hearing_reliability(n_utterances=None):
    """Share of the variance of heard attributes that is the person's.

    Parameters
    ----------
    n_utterances : int, optional
        Sessions that are averaged; None stands for a voice without session noise.

    Returns
    -------
    ndarray, (voice=4,)
        By attribute: an intraclass correlation, ICC(1, u).

    Raises
    ------
    InputError
        If the number is not positive.

    Examples
    --------
    >>> hearing_reliability().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if n_utterances is None:
        return np.ones(len(session_noise_ratio()))
    if n_utterances < 1:
        raise InputError(f"n_utterances={n_utterances}", "is not positive", "give 1 or more")
    return 1 / (1 + session_noise_ratio() ** 2 / n_utterances)


def attainable_shares(law, *, n_utterances=None, reference_reliability=1.0):
    """Largest share of each line's variance within a sex that a voice can explain.

    Parameters
    ----------
    law : Law
        Of the population.
    n_utterances : int, optional
        Sessions that are heard; by default the voice without session noise.
    reference_reliability : float or mapping of str to float, in [0, 1]
        Of the reference lines where these are measured with error; by ``<line>_ratio`` and
        ``<line>_mm`` (others are taken as exact).

    Returns
    -------
    DataFrame
        A row per line and quantity, linearised at the mean face: `measure` (``ear_ratio``,
        ``chin_height_mm`` ...), `line`, `quantity` ("ratio" or "length"), `r_squared` (exact
        voices and faces), `r_squared_heard` (of voices as heard), `r_squared_seen` (the same
        seen through the references' errors).

    Raises
    ------
    InputError
        If a reliability is outside [0, 1] or the number of utterances not positive.
    """
    jacobian = np.vstack([law.frame.ratio_jacobian(), law.frame.length_jacobian()])
    whitened = jacobian @ law.within_root
    squared = (whitened @ law.voice_link) ** 2 / (whitened**2).sum(1, keepdims=True)
    table = pd.DataFrame(
        {
            "measure": [f"{line}_ratio" for line in RATIO_LINES]
            + [f"{line}_mm" for line in law.frame.names],
            "line": [*RATIO_LINES, *law.frame.names],
            "quantity": ["ratio"] * len(RATIO_LINES) + ["length"] * len(law.frame.names),
            "r_squared": squared.sum(1),
            "r_squared_heard": squared @ hearing_reliability(n_utterances),
        }
    )
    if isinstance(reference_reliability, (int, float)):
        seen = np.full(len(table), float(reference_reliability))
    else:
        seen = table["measure"].map(dict(reference_reliability)).fillna(1.0).to_numpy()
    if not ((seen >= 0) & (seen <= 1)).all():
        raise InputError("reference_reliability", "holds what is no share", "give 0 to 1")
    return table.assign(r_squared_seen=table["r_squared_heard"] * seen)


def voice_link(law, *, n_utterances=None, measures=None):
    """Canonical correlations of faces and voices given the sex, and the sexes' distance.

    Parameters
    ----------
    law : Law
        Of the population.
    n_utterances : int, optional
        Sessions that are heard; by default the voice without session noise.
    measures : sequence of str, optional
        Which lines make up the face (``ear_ratio``, ``chin_height_mm`` ...; linearised); by
        default all of its shape.

    Returns
    -------
    VoiceLink
        For `v2mlib.stats.voice_information_bits`.

    Raises
    ------
    InputError
        If a measure is unknown or the lines are not distinct.
    """
    jacobian = np.eye(law.n_shape)
    if measures is not None:
        known = attainable_shares(law)["measure"].tolist()
        if unknown := [name for name in measures if name not in known]:
            raise InputError(f"measures {unknown}", "are unknown", f"choose from {known}")
        every = np.vstack([law.frame.ratio_jacobian(), law.frame.length_jacobian()])
        jacobian = every[[known.index(name) for name in measures]]
    axes, size, rest = np.linalg.svd(jacobian @ law.within_root, full_matrices=False)
    if size[-1] < 1e-9 * size[0]:
        raise InputError("measures", "follow from each other", "leave one of them out")
    # Rows of `rest` are the whitened face's directions that the measures see.
    heard = law.voice_link * np.sqrt(hearing_reliability(n_utterances))
    correlations = np.linalg.svd(rest @ heard, compute_uv=False)
    apart = 2 * (axes.T @ (jacobian @ law.half_difference)) / size
    distance = 0.0 if law.world == "null" else float(np.linalg.norm(apart))
    return VoiceLink(correlations, distance)


def identification_rate(law, n_candidates=301, *, n_utterances=None, n_rounds=20, seed=0):
    """How often the best listener finds a voice's face among so many.

    Every voice of a round of simulated people is given to the face under which it is most
    likely. Bits become plain words: what share of people a voice would point out, beside the
    ``1 / n`` of a guess.

    Parameters
    ----------
    law : Law
        Of the population.
    n_candidates : int
        Faces to choose from, half of them men.
    n_utterances : int, optional
        Sessions that are heard; by default the voice without session noise.
    n_rounds : int
        Rounds of people.
    seed : int
        Of the simulation.

    Returns
    -------
    rate, standard_error : float
        Share of voices given to their own faces, and its error from the spread of the rounds.

    Raises
    ------
    InputError
        If there are fewer than 2 candidates or rounds.
    """
    if min(n_candidates, n_rounds) < 2:
        raise InputError(
            f"n_candidates={n_candidates}, n_rounds={n_rounds}", "are too few", "2 of each"
        )
    heard_link = law.voice_link * np.sqrt(hearing_reliability(n_utterances))  # (shape, voice)
    left = np.linalg.inv(np.eye(heard_link.shape[1]) - heard_link.T @ heard_link)
    noise = session_noise_ratio() / np.sqrt(n_utterances or np.inf)
    rates = []
    for key in np.random.SeedSequence(seed).spawn(n_rounds):
        sex, voice, faces = law.draw(n_candidates, key)
        rng = np.random.default_rng(key.spawn(1)[0])
        voice_sex = rng.permutation(sex) if law.world == "null" else sex
        heard = voice + noise * rng.standard_normal(voice.shape)
        heard = heard * np.sqrt(hearing_reliability(n_utterances))  # standardised again
        whitened = np.linalg.solve(law.within_root, faces.T).T
        shift = np.linalg.solve(law.within_root, law.half_difference)
        score = np.zeros((n_candidates, n_candidates))
        for side in (-1.0, 1.0):
            rows = voice_sex == side
            gap = heard[rows][:, None] - ((whitened - side * shift) @ heard_link)[None]
            score[rows] = -0.5 * np.einsum("ijk,kl,ijl->ij", gap, left, gap)
            if law.world != "null":  # how well each face fits the voice's sex
                score[rows] -= np.logaddexp(0, -2 * side * (whitened @ shift))
        own = np.diag(score)
        ties = (score >= own[:, None] - 1e-9).sum(1)
        rates.append(np.mean((score.max(1) <= own + 1e-9) / ties))
    return float(np.mean(rates)), float(np.std(rates, ddof=1) / np.sqrt(n_rounds))
