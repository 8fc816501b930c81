"""Make the predictions that come with the package: `python -m v2mlib.fitting.ship_evaluation`.

Builds the tutorial phantom with photographs, trains what is not shipped, predicts the test
identities' faces with every method, and writes `phantom_evaluation.npz` with its card. What is
there is reused, what was stopped goes on.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import v2mlib
from v2mlib.checks import InputError
from v2mlib.fitting.baselines import mean_face, praat_ridge, sex_mean_face
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.shipped import ShippedPredictions, write_predictions
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.metrics.scoring import score_methods
from v2mlib.metrics.skill import SKILLS, skill_table
from v2mlib.models.voice2mesh import Voice2Mesh
from v2mlib.phantom.sizes import Size

NAME = "phantom_evaluation"
#: The tutorial's people and recordings, with more photographs of those that are learned from.
WORLD_SIZE = Size(960, 480, utterances=6, test_utterances=3, photos=12, test_photos=2)
_DIGITS = 5
_SHUFFLE_SEED = 20_201


def build_world_with_photos(work, *, seed=0, workers=None, progress=True):
    """Make the tutorial phantom with photographs, or find it made.

    Parameters
    ----------
    work : path
        Its folder is `world` in this one.
    seed : int
        Of the world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    World
        Recordings and true faces are those of the tutorial world with the same seed.
    """
    from v2mlib.phantom import make_world

    place = Path(work) / "world"
    return make_world(WORLD_SIZE, place, seed=seed, workers=workers, progress=progress)


def predict_all(world, work, *, workers=None, progress=True):
    """Predict the test identities' faces with every method.

    Parameters
    ----------
    world : World
        The data set.
    work : path
        Folder of the trainings.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    dict of str to DataFrame
        A row per utterance, the identity as index, a column per shape coefficient.
    """
    options = {"workers": workers, "progress": progress}
    pretrained = train_supervised(
        world,
        out=Path(work) / "pretrained",
        config=SupervisedConfig(variant="pretrained"),
        **options,
    )
    return {
        "supervised": predict_world(Voice2Mesh.load("phantom"), world, **options),
        "pretrained": predict_world(pretrained.model, world, **options),
        "ridge": praat_ridge(world, **options),
    }


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
        From `predict_all`.
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
            name: round(float(row[name]), _DIGITS) if np.isfinite(row[name]) else None
            for name in figures
        }
        for method, row in table.iterrows()
    }


def ship_evaluation(out, *, work, seed=0, workers=None, progress=True):
    """Make world, trainings and predictions, and write the file that ships.

    Parameters
    ----------
    out : path
        Folder for `phantom_evaluation.npz` and its card.
    work : path
        Folder for the world and the trainings; what is there is reused.
    seed : int
        Of the world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    dict
        The scores in the card.
    """
    options = {"workers": workers, "progress": progress}
    world = build_world_with_photos(work, seed=seed, **options)
    found = collect(world, predict_all(world, work, **options))
    write_predictions(Path(out) / f"{NAME}.npz", found)
    return found.card["scores"]


def main(arguments=None):
    """Run from the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        Exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="data", help="folder for the file (default: data)")
    parser.add_argument("--work", default="build/evaluation", help="folder for the trainings")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--workers", type=int, help="processes")
    options = parser.parse_args(arguments)
    scores = ship_evaluation(
        options.out, work=options.work, seed=options.seed, workers=options.workers
    )
    print(json.dumps(scores, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
