"""Attributes of a voice (and the body's stature): their scales, moments and session noise.

The table `phantom_law_attributes.csv` holds the numbers and their sources. Internally an
attribute is a standardised latent: mean 0 and sd 1 within each sex.
"""

import functools

import numpy as np
import pandas as pd

from v2mlib import paths

#: What can be heard, in the order of every array with a `voice` axis.
VOICE_ATTRIBUTES = ("pitch", "vocal_tract_length", "speaking_rate", "breathiness")
#: What can be seen or measured on the body, heard only through its correlates.
STATURE = "stature"


@functools.cache
def attribute_table():
    """Moments of the attributes within each sex.

    Returns
    -------
    pandas.DataFrame
        One row per attribute (index `name`): `column` (name with unit), `unit`, `scale`
        ("log" or "linear"; means of log attributes are geometric), `male`, `female` (means),
        `sd` (within a sex, on the scale), `session_sd` (of one utterance), `source`.
    """
    table = pd.read_csv(paths.shipped("phantom_law_attributes.csv")).set_index("name")
    return table.loc[[*VOICE_ATTRIBUTES, STATURE]]


def to_physical(latents, male, names=VOICE_ATTRIBUTES):
    """Turn standardised latents into physical values.

    Parameters
    ----------
    latents : ndarray, (..., attribute)
        Standardised within each sex.
    male : ndarray of bool, (...)
        Whose moments to use.
    names : tuple of str
        The attributes, in the order of the last axis.

    Returns
    -------
    ndarray, (..., attribute)
        In the units of `attribute_table`.

    Examples
    --------
    >>> to_physical(np.zeros((2, 4)), np.array([True, False])).round(1).tolist()
    [[120.0, 170.0, 4.8, -24.0], [210.0, 145.0, 4.6, -20.0]]
    """
    logarithmic, centres, sd = _moments(names)
    values = centres[np.asarray(male).astype(int)] + np.asarray(latents) * sd
    return np.where(logarithmic, np.exp(np.where(logarithmic, values, 0.0)), values)


@functools.cache
def _moments(names):
    """Which attributes are logarithmic; centres of (women, men) and sds on their scales."""
    table = attribute_table().loc[list(names)]
    logarithmic = (table["scale"] == "log").to_numpy()
    means = table[["female", "male"]].to_numpy(dtype=float).T  # (sex, attribute)
    centres = np.where(logarithmic, np.log(np.abs(means)), means)
    return logarithmic, centres, table["sd"].to_numpy(dtype=float)


@functools.cache
def session_noise_ratio():
    """Session noise of one utterance relative to the spread between people.

    Returns
    -------
    ndarray, (voice=4,)
        `session_sd / sd`, the noise in standardised units.
    """
    table = attribute_table().loc[list(VOICE_ATTRIBUTES)]
    return (table["session_sd"] / table["sd"]).to_numpy()


@functools.cache
def sex_directions():
    """Which sex has more of each voice attribute.

    Returns
    -------
    ndarray, (voice=4,)
        1 where men have more, -1 where women do.

    Examples
    --------
    >>> sex_directions().tolist()
    [-1.0, 1.0, 1.0, -1.0]
    """
    table = attribute_table().loc[list(VOICE_ATTRIBUTES)]
    return np.sign(table["male"] - table["female"]).to_numpy(dtype=float)
