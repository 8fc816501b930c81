"""Trained weights judged on a world, beside every reference that frames them."""

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.metrics.skill import SKILLS

METHODS = {
    "mean_face": "mean face",
    "sex_mean_face": "sex-mean face",
    "ridge": "ridge on pitch and formants",
    "pretrained": "pretrained encoder, frozen",
    "model": "voice encoder, end to end",
    "ceiling": "ceiling",
}
"""Methods in the order of the tables, in words."""

_REFERENCES = ("mean_face", "sex_mean_face", "ridge", "ceiling")


def predict_methods(world, models, *, split="test", workers=None, progress=True):
    """Coefficients that models and references give the identities of a world.

    Parameters
    ----------
    world : World
        The data set.
    models : dict of str to Voice2Mesh
        Trained weights by name.
    split : {"test", "validation"}
        Whose faces to predict. The references learn from the training names.
    workers : int, optional
        Processes for features and Praat.
    progress : bool
        Whether to show progress bars on stderr.

    Returns
    -------
    dict of str to DataFrame
        ``mean_face``, ``sex_mean_face``, ``ridge`` (on Praat's pitch and formants), the models,
        and ``ceiling``: identities as the index, a row per utterance where a method hears.

    Raises
    ------
    InputError
        If a model predicts coefficients of other faces, or has the name of a reference.
    """
    from v2mlib.datasets.world import fingerprint, same_fingerprint
    from v2mlib.faces import load_face_model
    from v2mlib.fitting import baselines, predict_world

    wanted = fingerprint(load_face_model(world.face_model))
    for name, model in models.items():
        if name in _REFERENCES:
            raise InputError(f"model name {name!r}", "is a reference's", "choose another")
        if not same_fingerprint(fingerprint(model.face_model), wanted):
            raise InputError(
                f"model {name}",
                f"predicts faces of {model.face_model.name!r}, not of those in {world.folder}",
                "train on a world with the same face model",
            )
    options = {"split": split, "workers": workers, "progress": progress}
    found = baselines.predict_baselines(world, **options)
    chosen = (world.identities["split"] == split).to_numpy()
    ceiling = pd.DataFrame(
        world.ceiling_coefficients[chosen], index=world.identities.loc[chosen, "identity"]
    )
    found |= {name: predict_world(model, world, **options) for name, model in models.items()}
    return found | {"ceiling": ceiling}


def text_table(skills, *, title="", words=METHODS):
    """Skills of all methods for a terminal.

    Parameters
    ----------
    skills : DataFrame
        From `v2mlib.metrics.skill.skill_table`.
    title : str
        What was judged, for the line above.
    words : dict of str to str
        Methods in words; the others keep their names.

    Returns
    -------
    str
        A line per method, on the mean corrected absolute ratio error.
    """

    def with_interval(row, name):
        value, low, high = row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"]
        return f"{value:5.2f} [{low:5.2f},{high:5.2f}]" if np.isfinite(value) else "-"

    mean = skills[skills["measure"] == "mean"].set_index("method")
    lines = [["method", "ARE", *(name.replace("_", " ") for name in SKILLS)]]
    for method, row in mean.iterrows():
        figures = [with_interval(row, name) for name in SKILLS]
        lines.append([words.get(method, method), f"{row['error']:.4f}", *figures])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    head = (
        f"{title}{'; ' if title else ''}{mean['n_identities'].iloc[0]} identities; ARE: mean "
        "absolute ratio error over four corrected lines; [95 % intervals over identities]"
    )
    return "\n".join([head, rows[0], "-" * len(rows[0]), *rows[1:]])
