"""What a trained network must beat: the mean face, the sex-mean face, ridge on a few measures."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets.shards import NO_SPLIT
from v2mlib.fitting.praat_features import COLUMNS, praat_features

PENALTIES = tuple(np.logspace(-3, 5, 33).tolist())


class Ridge(NamedTuple):
    """A ridge regression on standardised features.

    Attributes
    ----------
    centre, scale : ndarray, (feature,)
        Of the features.
    weights : ndarray, (feature, target)
        On standardised features.
    intercept : ndarray, (target,)
        The targets' mean.
    penalty : float
        The chosen one.
    """

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    penalty: float

    def predict(self, features):
        """Predict targets.

        Parameters
        ----------
        features : array_like, (row, feature)
            Finite numbers.

        Returns
        -------
        ndarray, (row, target)
            Predictions.
        """
        return (np.asarray(features) - self.centre) / self.scale @ self.weights + self.intercept


def fit_ridge(features, targets, *, penalties=PENALTIES):
    """Ridge regression, its penalty chosen by leaving out one row at a time.

    The errors of all these fits follow from one singular value decomposition.

    Parameters
    ----------
    features : array_like, (row, feature)
        Finite numbers.
    targets : array_like, (row, target)
        What to predict.
    penalties : sequence of float
        Among which to choose, in units of squared standard deviations.

    Returns
    -------
    Ridge
        Fitted to all rows.

    Raises
    ------
    InputError
        If there are fewer than three rows.

    Examples
    --------
    >>> line = np.arange(20.0)[:, None]
    >>> fitted = fit_ridge(line, 3 * line + 1, penalties=(1e-9, 1e3))
    >>> fitted.penalty, fitted.predict([[100.0]]).round(3).tolist()
    (1e-09, [[301.0]])
    """
    features, targets = np.asarray(features, float), np.asarray(targets, float)
    if len(features) < 3:
        raise InputError(f"{len(features)} rows", "are too few for a ridge", "use a larger world")
    centre, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    intercept = targets.mean(0)
    left, singular, right = np.linalg.svd((features - centre) / scale, full_matrices=False)
    inside = left.T @ (targets - intercept)  # (component, target)
    errors = []
    for penalty in penalties:
        shrink = singular**2 / (singular**2 + penalty)
        residual = targets - intercept - left @ (shrink[:, None] * inside)
        leverage = 1 / len(features) + (left**2) @ shrink
        errors.append(np.square(residual / (1 - leverage)[:, None]).mean())
    penalty = penalties[int(np.argmin(errors))]
    weights = right.T @ ((singular / (singular**2 + penalty))[:, None] * inside)
    return Ridge(centre, scale, weights, intercept, float(penalty))


def mean_face(world, *, split="test"):
    """Predict the mean face of the training names for everybody.

    Parameters
    ----------
    world : World
        The data set.
    split : str
        For whom.

    Returns
    -------
    pandas.DataFrame
        A row per identity (the index) and a column per shape coefficient.
    """
    coefficients, people, known, wanted = _parts(world, split)
    mean = coefficients[known].mean(0)
    return _table(np.tile(mean, (wanted.sum(), 1)), people[wanted])


def sex_mean_face(world, *, split="test"):
    """Predict the mean face of the training names of a person's sex.

    Parameters
    ----------
    world : World
        The data set; the sexes are those of its metadata.
    split : str
        For whom.

    Returns
    -------
    pandas.DataFrame
        A row per identity (the index) and a column per shape coefficient.
    """
    coefficients, people, known, wanted = _parts(world, split)
    sexes = people["sex"].to_numpy()
    means = {sex: coefficients[known & (sexes == sex)].mean(0) for sex in np.unique(sexes[known])}
    overall = coefficients[known].mean(0)
    rows = [means.get(sex, overall) for sex in sexes[wanted]]
    return _table(np.array(rows), people[wanted])


def praat_ridge(world, *, split="test", workers=None, progress=True):
    """Predict faces from pitch and formants by ridge regression.

    Trained on the training names' measures, averaged over each identity's utterances.

    Parameters
    ----------
    world : World
        The data set.
    split : str
        For whom.
    workers : int, optional
        Processes for the measuring.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    pandas.DataFrame
        A row per utterance, the identity as index, a column per shape coefficient.

    Raises
    ------
    V2MError
        If Praat's package is not installed.
    """
    coefficients, people, known, _ = _parts(world, split)
    measured = praat_features(world, workers=workers, progress=progress)
    measured = measured[measured["split"] != NO_SPLIT].set_index("identity")
    own = measured.loc[measured["split"] == split, list(COLUMNS)]
    names = people.loc[known, "identity"]
    averaged = measured[list(COLUMNS)].groupby(level=0).mean().reindex(names)
    fill = averaged.mean()
    ridge = fit_ridge(averaged.fillna(fill), coefficients[known])
    return _table(ridge.predict(own.fillna(fill)), own.reset_index())


def predict_baselines(world, *, split="test", workers=None, progress=True):
    """All baselines by name.

    Parameters
    ----------
    world : World
        The data set.
    split : str
        For whom.
    workers : int, optional
        Processes for the measuring.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    dict of str to pandas.DataFrame
        `mean_face`, `sex_mean_face`, `ridge`: what `score_methods` takes. No `ridge` where
        log-mel matrices came in place of recordings: they tell no pitch.
    """
    found = {
        "mean_face": mean_face(world, split=split),
        "sex_mean_face": sex_mean_face(world, split=split),
    }
    if world.utterances["path"].str.lower().str.endswith(".npy").all():
        return found
    return found | {"ridge": praat_ridge(world, split=split, workers=workers, progress=progress)}


def _parts(world, split):
    """Reference coefficients, people, and who is known (training names) and wanted."""
    people = world.identities
    known = (people["split"] != "test").to_numpy()
    wanted = (people["split"] == split).to_numpy()
    for chosen, what in ((known, "training"), (wanted, split)):
        if not chosen.any():
            raise InputError(world.folder, f"has no {what} identities", "use a larger world")
    return np.asarray(world.reference_coefficients, dtype=float), people, known, wanted


def _table(rows, people):
    return pd.DataFrame(rows, index=pd.Index(people["identity"], name="identity"))
