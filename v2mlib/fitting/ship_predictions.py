"""Arrange and score the predictions that come with the package."""

import numpy as np
import pandas as pd

import v2mlib
from v2mlib.checks import InputError
from v2mlib.fitting.baselines import mean_face, sex_mean_face
from v2mlib.fitting.shipped import ShippedPredictions
from v2mlib.metrics.scoring import score_methods
from v2mlib.metrics.skill import SKILLS, skill_table

DIGITS = 5
"""Decimals of the figures on cards."""

_SHUFFLE_SEED = 20_201


def deal_again(values, groups=None, *, seed=_SHUFFLE_SEED):
    """Give each identity another identity's predictions: the null control.

    Parameters
    ----------
    values : ndarray, (identity, ...)
        A row per identity.
    groups : array_like, (identity,), optional
        Whose rows may be dealt to whom; among all by default.
    seed : int
        Of the dealing.

    Returns
    -------
    ndarray, (identity, ...)
        The same rows in another order, nobody keeping the own one (unless alone in a group).

    Examples
    --------
    >>> deal_again(np.arange(4), ["m", "f", "m", "f"]).tolist()
    [2, 3, 0, 1]
    """
    groups = np.zeros(len(values)) if groups is None else np.asarray(groups)
    rng, order = np.random.default_rng(seed), np.arange(len(values))
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        order[members] = np.roll(members, 1)  # along one random cycle
    return np.asarray(values)[order]


def collect(world, tables, *, card=None):
    """Arrange predictions by identity and utterance, and score them.

    Parameters
    ----------
    world : World
        The data set.
    tables : dict of str to DataFrame
        By method, a row per utterance, the identity as index.
    card : dict, optional
        What else to say of them.

    Returns
    -------
    ShippedPredictions
        With the null controls `shuffled` and `shuffled_within_sex`: the first method's
        predictions dealt to others.

    Raises
    ------
    InputError
        If identities differ in their number of predicted utterances.
    """
    test = (world.identities["split"] == "test").to_numpy()
    people = world.identities[test]
    identity, sex = (people[name].to_numpy(dtype=str) for name in ("identity", "sex"))
    predicted = {name: _by_identity(table, identity, name) for name, table in tables.items()}
    first = next(iter(predicted.values()))
    predicted["shuffled"] = deal_again(first)
    predicted["shuffled_within_sex"] = deal_again(first, sex)
    found = ShippedPredictions(
        identity=identity,
        sex=sex,
        reference=np.asarray(world.reference_coefficients)[test],
        ceiling=np.asarray(world.ceiling_coefficients)[test],
        sex_mean=sex_mean_face(world).loc[identity].to_numpy(),
        mean_face=mean_face(world).loc[identity].to_numpy(),
        # As they are on disk, in half precision: the scores are of these.
        predicted={name: rows.astype(np.float16) for name, rows in predicted.items()},
        card={},
    )
    made = {"kind": "predictions", "version": v2mlib.__version__, "world": world.config}
    return found._replace(card={**made, **(card or {}), "scores": _scores(world, found)})


def _by_identity(table, identity, name):
    counts = table.groupby(level=0).size().reindex(identity, fill_value=0)
    if counts.nunique() != 1 or counts.iloc[0] == 0:
        raise InputError(
            f"predictions of {name}",
            f"are {counts.min()} to {counts.max()} per identity",
            "predict every utterance",
        )
    rows = table.loc[identity].to_numpy()
    return rows.reshape(len(identity), int(counts.iloc[0]), -1)


def _scores(world, found):
    """Mean corrected absolute ratio error and skills of every method, with intervals."""
    tables = {"mean_face": found.mean_face, "sex_mean_face": found.sex_mean}
    for name, rows in found.predicted.items():
        index = np.repeat(found.identity, rows.shape[1])
        tables[name] = pd.DataFrame(rows.reshape(len(index), -1).astype(float), index=index)
    tables["ceiling"] = found.ceiling
    table = skill_table(score_methods(world, tables), world=world.config.get("world", "default"))
    table = table[table["measure"] == "mean"].set_index("method")
    figures = [f"{name}{end}" for name in ("error", *SKILLS) for end in ("", "_ci_low", "_ci_high")]
    return {
        method: {
            name: round(float(row[name]), DIGITS) if np.isfinite(row[name]) else None
            for name in figures
        }
        for method, row in table.iterrows()
    }
