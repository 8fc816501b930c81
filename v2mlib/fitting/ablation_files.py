"""An ablation in one small file: errors of all runs, and a card that says how they were made."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic, sha256
from v2mlib.fitting.ablation import Ablation
from v2mlib.paths import shipped

_VALUES = ("error", "error_per_utterance")
_AXES = ("line", "definition")


def shipped_ablation(name_or_path="phantom"):
    """Read the ablation that comes with the package.

    Parameters
    ----------
    name_or_path : str or path
        A shipped name ("phantom": the tutorial world with seed 0), or an ``.npz`` file with its
        card beside it.

    Returns
    -------
    ablation : Ablation
        As `run_ablation` gives it; its folder is that of the file.
    card : dict
        How it was made: ``ablation`` (the configuration), ``start``, ``world``, ``runs``.

    Raises
    ------
    InputError
        If the file or its card is missing, damaged or not the other's.

    Examples
    --------
    >>> found, card = shipped_ablation()
    >>> sorted(found.runs["method"].unique())
    ['attention', 'correlation', 'crd', 'pkt', 'rkd', 'similarity', 'vanilla', 'vid']
    """
    path = Path(name_or_path)
    if path.suffix != ".npz":
        path = shipped(f"{name_or_path}_ablation.npz")
    try:
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
        is_whole = card["data_sha256"] == sha256(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            path, f"or its card cannot be read ({type(error).__name__})", "copy both again"
        ) from None
    if not is_whole:
        raise InputError(path, "is damaged, or its card is another's", "copy both again")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Ablation(_long(arrays), pd.DataFrame(card["runs"]), path.parent), card


def write_ablation(path, ablation, *, card=None):
    """Write an ablation's errors and card.

    Parameters
    ----------
    path : path
        The ``.npz`` file; the card has the same name with ``.json``.
    ablation : Ablation
        What to write; errors are rounded to half precision, to within 0.05 percent.
    card : dict, optional
        What else to say of it, as plain data.

    Returns
    -------
    dict
        The card as written.
    """
    path, errors = Path(path), ablation.errors
    whose = errors[["identity", "sex"]].drop_duplicates()
    runs = errors[["method", "seed"]].drop_duplicates()
    kinds = errors[list(_AXES)].drop_duplicates()
    arrays = {
        "identity": whose["identity"].to_numpy(str),
        "sex": whose["sex"].to_numpy(str),
        "method": runs["method"].to_numpy(str),
        "seed": runs["seed"].to_numpy(np.int32),
    } | {name: kinds[name].to_numpy(str) for name in _AXES}
    for value in _VALUES:
        wide = errors.pivot(index="identity", columns=["method", "seed", *_AXES], values=value)
        order = [(*run, *kind) for run in runs.to_numpy() for kind in kinds.to_numpy()]
        grid = wide.loc[whose["identity"], order].to_numpy(np.float16)
        arrays[value] = grid.reshape(len(whose), len(runs), len(kinds))
    made = {"kind": "ablation", "version": v2mlib.__version__, **(card or {})}
    made["runs"] = json.loads(ablation.runs.round(6).to_json(orient="records"))
    with atomic(path) as partial:
        np.savez_compressed(partial, **arrays)
        made["data_sha256"] = sha256(partial)
    with atomic(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return made


def _long(arrays):
    """A row per identity, run and kind of error."""
    shape = arrays["error"].shape
    person, run, kind = (place.ravel() for place in np.indices(shape))
    table = {name: arrays[name][run] for name in ("method", "seed")}
    table |= {name: arrays[name][person] for name in ("identity", "sex")}
    table |= {name: arrays[name][kind] for name in _AXES}
    table |= {name: arrays[name].astype(float).ravel() for name in _VALUES}
    return pd.DataFrame(table)
