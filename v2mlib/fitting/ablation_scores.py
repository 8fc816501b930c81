"""Scores of an ablation's runs, and the null control."""

import numpy as np
import pandas as pd

from v2mlib.metrics.scoring import ARE_MEASURES, PUBLISHED

NO_SEED = -1
"""In the column ``seed``: a method that was not trained here."""

_NULL_SEED = 20_207


def tidy_errors(scores):
    """Keep the absolute ratio errors of a table of scores, by line and definition.

    Parameters
    ----------
    scores : DataFrame
        From `v2mlib.metrics.scoring.score_methods`.

    Returns
    -------
    DataFrame
        ``line`` and ``definition`` instead of ``measure``.

    Examples
    --------
    >>> scores = pd.DataFrame({"measure": ["ear", "published_mean", "vertex_rmse_mm"], "error": 1})
    >>> tidy_errors(scores)[["line", "definition"]].values.tolist()
    [['ear', 'corrected'], ['mean', 'published']]
    """
    is_published = scores["measure"].str.startswith(PUBLISHED)
    line = scores["measure"].str.removeprefix(PUBLISHED)
    table = scores.assign(
        line=line, definition=np.where(is_published, "published", "corrected")
    ).drop(columns="measure")
    return table[line.isin(ARE_MEASURES)].reset_index(drop=True)


def deal_within_sex(table, world, *, seed=0):
    """Give each identity the predictions of another one of the same sex: the null control.

    Parameters
    ----------
    table : DataFrame
        A row per utterance, the identity as index.
    world : World
        Whose identities.
    seed : int
        Of the dealing.

    Returns
    -------
    DataFrame
        The same rows under other names; nobody keeps the own ones, unless alone in a sex.
    """
    sexes = world.identities.set_index("identity")["sex"]
    people = pd.Index(table.index.unique())
    rng, dealt = np.random.default_rng([_NULL_SEED, seed]), {}
    for sex in np.unique(sexes.loc[people]):
        members = rng.permutation(people[(sexes.loc[people] == sex).to_numpy()])
        dealt |= dict(zip(members, np.roll(members, 1), strict=True))  # along one random cycle
    return table.set_axis(pd.Index(table.index.map(dealt), name="identity"))
