"""Predictions that come with the package: every method on the tutorial phantom's test people."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError
from v2mlib.files import atomic, sha256
from v2mlib.paths import shipped

PREFIX = "predicted_"
TRUTH = ("reference", "ceiling", "sex_mean", "mean_face")


class ShippedPredictions(NamedTuple):
    """What several methods predict for the same people, beside the truth and its references.

    All coefficients are standardised shape coefficients of one face model.

    Attributes
    ----------
    identity : ndarray of str, (identity,)
        Test identities, in the order of the world.
    sex : ndarray of str, (identity,)
        "m" or "f".
    reference : ndarray of float32, (identity, shape)
        The true faces.
    ceiling : ndarray of float32, (identity, shape)
        The best prediction that the law allows, given the voice.
    sex_mean : ndarray of float32, (identity, shape)
        Mean of the training identities of the person's sex.
    mean_face : ndarray of float32, (identity, shape)
        Mean of the training identities, the same for all.
    predicted : dict of str to ndarray of float32, (identity, utterance, shape)
        By method: what each utterance alone gives.
    card : dict
        How the predictions were made, and their scores.
    """

    identity: np.ndarray
    sex: np.ndarray
    reference: np.ndarray
    ceiling: np.ndarray
    sex_mean: np.ndarray
    mean_face: np.ndarray
    predicted: dict
    card: dict

    def averaged(self, method):
        """Average a method's predictions over each identity's utterances.

        Parameters
        ----------
        method : str
            One of `predicted`.

        Returns
        -------
        ndarray of float32, (identity, shape), standard deviations
            What the headline errors are of.

        Raises
        ------
        InputError
            If the method is unknown.
        """
        if method not in self.predicted:
            raise InputError(
                f"method {method!r}", "is unknown", f"choose from {', '.join(self.predicted)}"
            )
        return self.predicted[method].mean(1)


def shipped_predictions(name_or_path="phantom"):
    """Read the predictions that come with the package.

    Parameters
    ----------
    name_or_path : str or path
        A shipped name ("phantom", the tutorial world with seed 0), or an ``.npz`` file with its
        card beside it.

    Returns
    -------
    ShippedPredictions
        Of all test identities of the world.

    Raises
    ------
    InputError
        If the file or its card is missing, damaged or not the other's.

    Examples
    --------
    >>> found = shipped_predictions()
    >>> found.reference.shape, found.predicted["supervised"].shape
    ((480, 40), (480, 3, 40))
    """
    path = Path(name_or_path)
    if path.suffix != ".npz":
        path = shipped(f"{name_or_path}_evaluation.npz")
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
        is_whole = card["data_sha256"] == sha256(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"or its card cannot be read ({type(error).__name__})", "copy both again"
        ) from None
    if not is_whole:
        raise InputError(path, "is damaged, or its card is another's", "copy both again")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"cannot be read ({type(error).__name__})", "copy it and its card again"
        ) from None
    predicted = {
        name.removeprefix(PREFIX): array.astype(np.float32)
        for name, array in arrays.items()
        if name.startswith(PREFIX)
    }
    truth = {name: arrays[name].astype(np.float32) for name in TRUTH}
    return ShippedPredictions(arrays["identity"], arrays["sex"], **truth, predicted=predicted,
                              card=card)  # fmt: skip


def write_predictions(path, predictions):
    """Write predictions and their card.

    Parameters
    ----------
    path : path
        The ``.npz`` file; the card has the same name with ``.json``.
    predictions : ShippedPredictions
        What to write. Predictions are rounded to half precision, an error of at most 0.002
        standard deviations below 4.

    Raises
    ------
    InputError
        If a coefficient is not finite or the file cannot be written.
    """
    path = Path(path)
    arrays = {name: getattr(predictions, name).astype(np.float32) for name in TRUTH}
    arrays |= {
        PREFIX + name: array.astype(np.float16) for name, array in predictions.predicted.items()
    }
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(path, f"would hold NaN or infinity in {name}", "predict it again")
    try:
        with atomic(path) as partial:
            np.savez_compressed(
                partial, identity=predictions.identity, sex=predictions.sex, **arrays
            )
            card = predictions.card | {"data_sha256": sha256(partial)}
        with atomic(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "choose another place"
        ) from None
