"""Make the shipped predictions of the world whose voices tell nothing.

`python -m v2mlib.fitting.ship_evaluation --null` runs it.
"""

from pathlib import Path

from v2mlib.fitting.ship_predictions import collect
from v2mlib.fitting.ship_trainings import predict_voices
from v2mlib.fitting.shipped import write_predictions
from v2mlib.fitting.supervised import SupervisedConfig, train_supervised

NAME = "phantom_null_evaluation"


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
    write_predictions(Path(out) / f"{NAME}.npz", found)
    return found.card["scores"]
