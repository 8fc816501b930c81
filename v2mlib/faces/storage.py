"""A face model as one ``.npz``: plain arrays and one JSON string of names, never a pickle."""

import dataclasses
import json
import zipfile

import numpy as np

from v2mlib.checks import InputError, V2MError
from v2mlib.faces.model import DEFINITIONS, MorphableModel
from v2mlib.files import atomic

FORMAT = "v2mlib face model 1"

_TENSORS = ("mean", "shape_basis", "expression_basis", "shape_std", "expression_std")
_OPTIONAL = ("triangles", "landmarks", "colours", "shape_raw_mean", "expression_raw_mean")
_NAMES = (*DEFINITIONS.values(), "absences", "topology", "name", "unit", "expression_names")
_GROUPS = ("regions", "extras")
_CARD = "card"


def save(model, path):
    """Write a face model, whole or not at all.

    Parameters
    ----------
    model : MorphableModel
        The model.
    path : path
        The ``.npz`` to write; its folder is created.
    """
    arrays = {name: getattr(model, name) for name in (*_TENSORS, *_OPTIONAL)}
    for group in _GROUPS:
        arrays.update((f"{group}/{name}", value) for name, value in getattr(model, group).items())
    arrays = {name: value.cpu().numpy() for name, value in arrays.items() if value is not None}
    card = {"format": FORMAT, **{name: getattr(model, name) for name in _NAMES}}
    with atomic(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, **arrays, **{_CARD: np.array(json.dumps(card))})


def load(path):
    """Read a face model that `save` wrote.

    Parameters
    ----------
    path : path
        The ``.npz``.

    Returns
    -------
    MorphableModel
        On the CPU.

    Raises
    ------
    InputError
        If the file is absent, damaged or not a face model, naming the file and the remedy.
    """
    arrays = read_npz(path)
    if _CARD not in arrays:
        raise InputError(
            path,
            "is not a v2mlib face model (no card inside)",
            "convert the original with `v2m faces add KIND PATH`",
        )
    try:
        card = json.loads(str(arrays.pop(_CARD)))
        if card.pop("format", None) != FORMAT:
            raise InputError(path, "was written by another version", "convert the original again")
        groups = {group: {} for group in _GROUPS}
        for key in [key for key in arrays if "/" in key]:
            group, name = key.split("/", 1)
            groups[group][name] = arrays.pop(key)
        known = {field.name for field in dataclasses.fields(MorphableModel)}
        unknown = sorted(set(arrays) | set(card) - known) if not set(arrays) <= known else []
        if unknown:
            raise InputError(path, f"holds unknown arrays {unknown}", "convert the original again")
        return MorphableModel(**arrays, **card, **groups)
    except V2MError as error:
        raise InputError(path, f"is not a sound face model ({error})", "convert it again") from None
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(path, f"is incomplete ({error})", "convert the original again") from error


def read_npz(path):
    """Read every array of an ``.npz``, refusing pickles and damage.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to numpy.ndarray
        Its arrays.

    Raises
    ------
    InputError
        If the file is absent or damaged, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except IsADirectoryError:
        raise InputError(path, "is a folder", "give the .npz file itself") from None
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, AttributeError) as error:
        problem = f"cannot be read as .npz ({error or type(error).__name__})"
        raise InputError(path, problem, "it may be cut short: copy or convert it again") from error
