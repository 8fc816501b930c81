"""Make the weights that come with the package: `python -m v2mlib.fitting.ship`.

Builds the tutorial phantom, trains Voice2Mesh on it, scores it on the test identities beside
the mean faces and the ceiling, and writes `phantom.safetensors` with its card.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from v2mlib.fitting.baselines import mean_face, sex_mean_face
from v2mlib.fitting.prediction import predict_world
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised
from v2mlib.metrics.scoring import LINKED, score_methods
from v2mlib.metrics.skill import SKILLS, skill_table
from v2mlib.models.voice2mesh import Voice2Mesh

NAME = "phantom"
_DIGITS = 5


def ship(out, *, work, size="tutorial", seed=0, config=None, workers=None, progress=True):
    """Train and score the weights that come with the package.

    Parameters
    ----------
    out : path
        Folder for `phantom.safetensors` and `phantom.json`.
    work : path
        Folder for the world and the training; what is there is reused.
    size : str
        Of the phantom world.
    seed : int
        Of the world.
    config : SupervisedConfig, optional
        Of the training.
    workers : int, optional
        Processes for speech and features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    dict
        The metrics in the card: of the weights as they are on disk, in half precision.

    Raises
    ------
    InputError
        If a folder cannot be written or holds something else.
    """
    from v2mlib.phantom import make_world

    work, path = Path(work), Path(out) / f"{NAME}.safetensors"
    world = make_world(
        size, work / "world", seed=seed, photos=0, workers=workers, progress=progress
    )
    trained = train_supervised(
        world,
        out=work / "training",
        config=config or SupervisedConfig(),
        workers=workers,
        progress=progress,
    )
    trained.model.save(path)
    model = Voice2Mesh.load(path)
    model.card["metrics"] |= evaluate(model, world, workers=workers, progress=progress)
    model.save(path)
    return model.card["metrics"]


def evaluate(model, world, *, workers=None, progress=True):
    """Score a model on a phantom world's test identities.

    Parameters
    ----------
    model : Voice2Mesh
        What predicts.
    world : World
        A phantom world, whose ceiling is known.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    dict
        Mean absolute ratio error (corrected lines) of the mean face, the sex-mean face, the
        model and the ceiling; the model's skills and gains with 95 % intervals over
        identities; the skill on the squared error of the linked coefficients;
        `n_test_identities`.
    """
    test = (world.identities["split"] == "test").to_numpy()
    predictions = {
        "mean_face": mean_face(world),
        "sex_mean_face": sex_mean_face(world),
        "model": predict_world(model, world, workers=workers, progress=progress),
        "ceiling": np.asarray(world.ceiling_coefficients)[test],
    }
    scores = score_methods(world, predictions, model=model.face_model)
    table = skill_table(scores, world=world.config.get("world", "default"))
    table = table.set_index(["measure", "method"])
    found = {name: float(table.loc[("mean", name), "error"]) for name in predictions}
    for name in SKILLS:
        for end in ("", "_ci_low", "_ci_high"):
            found[name + end] = float(table.loc[("mean", "model"), name + end])
    for name in ("skill", "within_sex_skill"):
        found[f"linked_{name}"] = float(table.loc[(LINKED, "model"), name])
    found = {
        name: round(value, _DIGITS) if np.isfinite(value) else None for name, value in found.items()
    }
    return found | {"n_test_identities": int(test.sum())}


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
    parser.add_argument("--out", default="data", help="folder for the weights (default: data)")
    parser.add_argument("--work", default="build/ship", help="folder for world and training")
    parser.add_argument("--seed", type=int, default=0, help="of the world")
    parser.add_argument("--workers", type=int, help="processes for speech and features")
    options = parser.parse_args(arguments)
    metrics = ship(options.out, work=options.work, seed=options.seed, workers=options.workers)
    print(json.dumps(metrics, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
