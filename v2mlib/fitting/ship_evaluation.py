"""Make the predictions that come with the package: `python -m v2mlib.fitting.ship_evaluation`.

Builds the tutorial phantom with photographs, trains what is not shipped (heads on a pretrained
encoder, generator, teacher, joint model, the classifier that checks images), predicts the test
identities' faces with every method, and writes `phantom_evaluation.npz`, the networks of the
image pipeline and `phantom_images.npz`, each with its card. What is there is reused, what was
stopped goes on. With ``--null`` the predictions in a world in which voices tell nothing.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from v2mlib.fitting.cascade import fit_shrinkage, predict_cascade
from v2mlib.fitting.ship_images import ship_images, ship_networks
from v2mlib.fitting.ship_null import ship_null
from v2mlib.fitting.ship_predictions import DIGITS, collect
from v2mlib.fitting.ship_trainings import build_world_with_photos, predict_voices, train_images
from v2mlib.fitting.shipped import write_predictions
from v2mlib.models.voice2mesh import Voice2Mesh

NAME = "phantom_evaluation"
NOTES = {
    "cascade": "the two networks as they are, trained apart and never joined",
    "cascade_shrunk": "the cascade's deviations from its mean scaled by one factor and moved to "
    "the mean face, both fitted to the reference faces of the validation identities",
    "unsupervised": "generator and student trained jointly, from the cascade's generator on; no "
    "reference face was looked at, and the last state is taken; the teacher reads photographs",
    "unsupervised_drawn": "the same with what the teacher reads off drawn images (Eq. 3)",
}


def ship_evaluation(out, *, work, seed=0, workers=None, progress=True):
    """Make world, trainings and predictions, and write the file that ships.

    Parameters
    ----------
    out : path
        Folder for `phantom_evaluation.npz`, `phantom_images.npz`, the networks, and their cards.
    work : path
        Folder for the worlds and the trainings; what is there is reused.
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
    trained = train_images(world, encoder, work, **options)
    networks = ship_networks(trained, world, out, progress=progress)
    cascade, joint, _ = networks
    tables["cascade"] = predict_cascade(cascade, world, **options)
    known = predict_cascade(cascade, world, split="validation", **options)
    shrinkage = fit_shrinkage(known, world)
    tables["cascade_shrunk"] = shrinkage(tables["cascade"])
    tables["unsupervised"] = predict_cascade(joint.cascade(), world, **options)
    tables["unsupervised_drawn"] = predict_cascade(trained.joint_drawn.cascade, world, **options)
    card = {
        "methods": NOTES,
        "cascade_factor": round(shrinkage.factor, DIGITS),
        "threads": torch.get_num_threads(),
    }
    found = collect(world, tables, card=card)
    found.card["result"] = [
        _verdict(found.card["scores"], name) for name in NOTES if name != "cascade_shrunk"
    ]
    write_predictions(Path(out) / f"{NAME}.npz", found)
    ship_images(trained, world, networks, out, **options)
    return found.card["scores"]


def _verdict(scores, method):
    """Say where a method stands, whichever way it falls."""
    own, words = scores[method]["error"], []
    for name in ("mean_face", "sex_mean_face"):
        other = scores[name]["error"]
        relation = "better" if own < other else "worse"
        words.append(f"{relation} than the {name.replace('_', ' ')} ({other:.4f})")
    return f"on the test identities {method} ({own:.4f}) is " + " and ".join(words)


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
