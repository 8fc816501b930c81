"""Make the predictions that come with the package: `python -m v2mlib.fitting.ship_evaluation`.

Builds the tutorial phantom with photographs, trains what is not shipped (the heads on a
pretrained encoder, the cascade's two networks), predicts the test identities' faces with every
method, and writes `phantom_evaluation.npz` with its card. What is there is reused, what was
stopped goes on. With ``--null`` the same for a world in which voices tell nothing.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import v2mlib
from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial import AdversarialConfig, train_adversarial
from v2mlib.fitting.baselines import mean_face, praat_ridge, sex_mean_face
from v2mlib.fitting.cascade import Cascade, fit_shrinkage, predict_cascade
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.shipped import ShippedPredictions, write_predictions
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.teacher_training import train_teacher
from v2mlib.fitting.teacher_truth import judge_teacher
from v2mlib.metrics.scoring import score_methods
from v2mlib.metrics.skill import SKILLS, skill_table
from v2mlib.models.discriminator import IMAGE_SIZE
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice2mesh import Voice2Mesh
from v2mlib.models.voice_to_image import VoiceToImage
from v2mlib.phantom.sizes import Size

NAME, NULL_NAME = "phantom_evaluation", "phantom_null_evaluation"
#: The tutorial's people and recordings, with more photographs of those that are learned from.
WORLD_SIZE = Size(960, 480, utterances=6, test_utterances=3, photos=12, test_photos=2)
#: Other people, many of them: who teaches must not have seen the people of the test.
TEACHER_SIZE = Size(4800, 800, utterances=1, test_utterances=1, photos=3, test_photos=3)
TEACHER_SEED = 4711
#: The paper's training made small: narrow networks, the phantom's short clips, fewer steps.
GENERATOR = AdversarialConfig(
    generator_width=0.25,
    critic_width=0.5,
    batch_size=64,
    crop=CropConfig(),
    engine=EngineConfig(n_steps=12_000, validate_every=200, checkpoint_every=200),
)
CASCADE_NOTE = (
    "cascade: the two networks as they are, trained apart and never joined; cascade_shrunk: its "
    "deviations from its mean scaled by one factor and moved to the mean face, both fitted to "
    "the reference faces of the validation identities"
)
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


def train_cascade(world, encoder, work, *, workers=None, progress=True):
    """Train the cascade's two networks apart, or find them trained.

    Parameters
    ----------
    world : World
        Voices and photographs for the generator.
    encoder : VoiceEncoder
        Pretrained on the world's training names.
    work : path
        Folder of the trainings and of the teacher's world.
    workers : int, optional
        Processes.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    cascade : Cascade
        As it ships: the weights in half precision.
    judged : dict of str to list of dict
        By size of the images: rows of `judge_teacher`, of people the teacher has not met.
    """
    from v2mlib.phantom import make_world

    work, options = Path(work), {"workers": workers, "progress": progress}
    drawer = train_adversarial(world, encoder, out=work / "generator", config=GENERATOR, **options)
    others = make_world(TEACHER_SIZE, work / "teacher_world", seed=TEACHER_SEED, **options)
    teacher = train_teacher(others, out=work / "teacher", progress=progress)

    path = work / "phantom_voice_to_image.safetensors"
    card = {
        "data": {"kind": "phantom", "world": world.config},
        "training": {"adversarial": dataclasses.asdict(GENERATOR)},
    }
    VoiceToImage(drawer.encoder, drawer.generator).save(path, card=card)
    cascade = [VoiceToImage.load(path)]
    path = work / "phantom_image_to_face.safetensors"
    card = {"data": {"kind": "phantom", "world": others.config}, "metrics": {}}
    teacher.network.save(path, card=card)
    cascade.append(ImageToFace.load(path))
    for size in (None, IMAGE_SIZE):
        table = judge_teacher(cascade[1], others, size=size, progress=progress).round(_DIGITS)
        card["metrics"][f"{size or teacher.network.settings['image_size']}_pixels"] = [
            {name: value for name, value in row.items() if value == value}
            for row in table.to_dict("records")
        ]
    teacher.network.save(path, card=card)
    return Cascade(*cascade), card["metrics"]


def predict_voices(world, model, work, *, workers=None, progress=True):
    """Predict the test identities' faces with the methods that are not images.

    Parameters
    ----------
    world : World
        The data set.
    model : Voice2Mesh
        Supervised, end to end.
    work : path
        Folder of the trainings.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    tables : dict of str to DataFrame
        A row per utterance, the identity as index, a column per shape coefficient.
    encoder : VoiceEncoder
        Pretrained on the training names.
    """
    options = {"workers": workers, "progress": progress}
    config = SupervisedConfig(variant="pretrained")
    pretrained = train_supervised(world, out=Path(work) / "pretrained", config=config, **options)
    tables = {
        "supervised": predict_world(model, world, **options),
        "pretrained": predict_world(pretrained.model, world, **options),
        "ridge": praat_ridge(world, **options),
    }
    return tables, pretrained.model.encoder


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
        Folder for the worlds and the trainings; what is there is reused. The weights of the
        cascade are left there.
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
    tables, encoder = predict_voices(world, Voice2Mesh.load("phantom"), work, **options)
    cascade, _ = train_cascade(world, encoder, work, **options)
    tables["cascade"] = predict_cascade(cascade, world, **options)
    known = predict_cascade(cascade, world, split="validation", **options)
    shrinkage = fit_shrinkage(known, world)
    tables["cascade_shrunk"] = shrinkage(tables["cascade"])
    card = {"cascade": CASCADE_NOTE, "cascade_factor": round(shrinkage.factor, _DIGITS)}
    found = collect(world, tables, card=card)
    found.card["cascade"] += f"; {_verdict(found.card['scores'])}"
    write_predictions(Path(out) / f"{NAME}.npz", found)
    return found.card["scores"]


def _verdict(scores):
    """Say where the cascade stands, whichever way it falls."""
    words = []
    for name in ("mean_face", "sex_mean_face"):
        own, other = scores["cascade"]["error"], scores[name]["error"]
        relation = "better" if own < other else "worse"
        words.append(f"{relation} than the {name.replace('_', ' ')} ({other:.4f})")
    return f"on the test identities the plain cascade ({scores['cascade']['error']:.4f}) is " + (
        " and ".join(words)
    )


def ship_null(out, *, work, seed=0, workers=None, progress=True):
    """The same where voices tell nothing: the tutorial's null world, with trainings of its own.

    Parameters
    ----------
    out : path
        Folder for `phantom_null_evaluation.npz` and its card.
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
    from v2mlib.phantom import make_world

    work, options = Path(work) / "null", {"workers": workers, "progress": progress}
    place = work / "world"
    world = make_world("tutorial", place, world="null", seed=seed, photos=0, **options)
    trained = train_supervised(world, out=work / "end_to_end", config=SupervisedConfig(), **options)
    tables, _ = predict_voices(world, trained.model, work, **options)
    found = collect(world, tables)
    write_predictions(Path(out) / f"{NULL_NAME}.npz", found)
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
    parser.add_argument("--null", action="store_true", help="of the world without a link")
    options = parser.parse_args(arguments)
    ship = ship_null if options.null else ship_evaluation
    scores = ship(options.out, work=options.work, seed=options.seed, workers=options.workers)
    print(json.dumps(scores, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
