"""Phantom people without audio or photographs: thousands of worlds in seconds, for proofs.

A voice is here what a perfect analysis of each utterance would give: the four standardised
attributes with that utterance's session noise, and the voice's sex. What a listener can make of
them is the ceiling of what one can make of sound.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.lines import RATIO_LINES
from v2mlib.phantom.attributes import session_noise_ratio


class Sample(NamedTuple):
    """People drawn from a law.

    Attributes
    ----------
    sex : ndarray, (identity,)
        Of the face: +1 male, -1 female.
    voice_sex : ndarray, (identity,)
        Of the voice: the same, but dealt at random in the world "null".
    voice : ndarray, (identity, voice=4)
        Standardised attributes, without noise.
    heard : ndarray, (identity, utterance, voice=4)
        With each utterance's session noise.
    coefficients : ndarray, (identity, shape)
        Faces.
    """

    sex: np.ndarray
    voice_sex: np.ndarray
    voice: np.ndarray
    heard: np.ndarray
    coefficients: np.ndarray

    @property
    def features(self):
        """What a listener has of each person.

        Returns
        -------
        ndarray, (identity, feature=5)
            The four attributes averaged over utterances, and the voice's sex.
        """
        return np.column_stack([self.heard.mean(1), self.voice_sex])


def draw_sample(law, n_identities, *, n_utterances=3, seed=0):
    """Draw people and what is heard of them.

    Parameters
    ----------
    law : Law
        From `v2mlib.phantom.build_law`, or a population's.
    n_identities : int
        Half of them men (one more if odd).
    n_utterances : int
        Per identity.
    seed : int or numpy.random.SeedSequence
        Of the draw; other people than any population's.

    Returns
    -------
    Sample
        About 6 microseconds per person.

    Raises
    ------
    InputError
        If there are fewer than two people or no utterances.
    """
    if n_identities < 2 or n_utterances < 1:
        raise InputError(
            f"n_identities={n_identities}, n_utterances={n_utterances}", "are too few",
            "draw 2 people and 1 utterance or more",
        )  # fmt: skip
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    people, sessions = root.spawn(2)
    sex, voice, coefficients = law.draw(n_identities, people)
    rng = np.random.default_rng(sessions)
    voice_sex = rng.permutation(sex) if law.world == "null" else sex
    noise = rng.standard_normal((n_identities, n_utterances, voice.shape[1]))
    heard = voice[:, None] + session_noise_ratio() * noise
    return Sample(sex, voice_sex, voice, heard, coefficients)


def measured_lines(law, coefficients):
    """The four ratios and all lengths of faces, as a table.

    Parameters
    ----------
    law : Law
        Names the lines.
    coefficients : array_like, (identity, shape)
        Standardised shape coefficients.

    Returns
    -------
    DataFrame
        A row per face: ``ear_ratio`` ... (to the outer interocular distance), then
        ``<line>_mm``.
    """
    ratios = law.frame.ratios(coefficients)
    lengths = law.frame.lengths(coefficients)
    names = [f"{line}_ratio" for line in RATIO_LINES] + [f"{line}_mm" for line in law.frame.names]
    return pd.DataFrame(np.hstack([ratios, lengths]), columns=names)


def fit_listener(features, targets, *, ridge=0.0):
    """Learn to predict measures from what is heard, by linear regression.

    Parameters
    ----------
    features : array_like, (identity, feature)
        Of training people.
    targets : array_like, (identity, target)
        Their faces: lines, or coefficients.
    ridge : float
        Penalty on the slopes, in standardised features, per identity.

    Returns
    -------
    function
        From features ``(identity, feature)`` to predictions ``(identity, target)``.

    Raises
    ------
    ShapeError
        If the two have not a row for each person.

    Examples
    --------
    >>> heard = np.array([[0.0], [1.0], [2.0]])
    >>> predict = fit_listener(heard, 3 * heard + 1)
    >>> predict([[4.0]]).round(6).tolist()
    [[13.0]]
    """
    features, targets = (np.asarray(a, dtype=float) for a in (features, targets))
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise ShapeError(
            f"features have shape {features.shape}, targets {targets.shape}; expected "
            "(identity, feature) and (identity, target)"
        )
    centre, middle, spread = features.mean(0), targets.mean(0), features.std(0)
    scaled = (features - centre) / np.where(spread > 0, spread, 1)
    normal = scaled.T @ scaled + ridge * len(features) * np.eye(scaled.shape[1])
    slopes = np.linalg.lstsq(normal, scaled.T @ (targets - middle), rcond=None)[0]
    slopes /= np.where(spread > 0, spread, 1)[:, None]
    return lambda heard: (np.asarray(heard, dtype=float) - centre) @ slopes + middle
