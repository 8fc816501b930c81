"""Learning curves that come with the package, and what the encoders made of the test voices."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.files import sha256
from v2mlib.paths import shipped

NAME = "phantom_training"
#: Columns of the truth about a test identity's voice; everything else in the file is embeddings.
PEOPLE = ("identity", "sex")


class ShippedTraining(NamedTuple):
    """How supervised trainings on the tutorial phantom went.

    Attributes
    ----------
    curves : pandas.DataFrame
        A row per state that was kept, see `v2mlib.fitting.ship_curves.learning_curves`, with
        `variant` and `seed`.
    people : pandas.DataFrame
        A row per test identity: `identity`, `sex`, and what is true of the voice, a unit in
        each name.
    heard : dict of str to ndarray of float32, (identity, embedding)
        By encoder ("untrained" has random weights): embeddings averaged over the identity's
        utterances.
    card : dict
        How all of it was made.
    """

    curves: pd.DataFrame
    people: pd.DataFrame
    heard: dict
    card: dict


def shipped_training():
    """Read what comes with the package.

    Returns
    -------
    ShippedTraining
        Of the tutorial phantom with seed 0.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another run.

    Examples
    --------
    >>> found = shipped_training()
    >>> len(found.people), found.heard["end_to_end"].shape
    (480, (480, 64))
    """
    paths = {ending: shipped(f"{NAME}.{ending}") for ending in ("csv", "npz", "json")}
    try:
        card = json.loads(paths["json"].read_text("utf-8"))
        whole = all(card[f"{end}_sha256"] == sha256(paths[end]) for end in ("csv", "npz"))
        if not whole:
            raise ValueError("another run's")
        curves = pd.read_csv(paths["csv"])
        with np.load(paths["npz"], allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            paths["json"], f"and the files beside it do not fit ({error})", "copy all three again"
        ) from None
    heard = {name: array.astype(np.float32) for name, array in arrays.items() if array.ndim == 2}
    people = pd.DataFrame({name: array for name, array in arrays.items() if array.ndim == 1})
    return ShippedTraining(curves, people, heard, card)
