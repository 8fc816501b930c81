"""A face model as one ``.npz``: plain arrays and one JSON string of names, never a pickle."""

import contextlib
import dataclasses
import json
import zipfile
import zlib

import numpy as np

from v2mlib.checks import InputError, V2MError
from v2mlib.faces.model import DEFINITIONS, MorphableModel
from v2mlib.files import atomic

FORMAT = "v2mlib face model 1"
CARD = "card"
"""The entry of the ``.npz`` that holds the JSON string."""

_NAMES = (*DEFINITIONS.values(), "absences", "topology", "name", "unit", "expression_names")
_GROUPS = ("regions", "extras")
_ARRAYS = tuple(
    field.name
    for field in dataclasses.fields(MorphableModel)
    if field.name not in (*_NAMES, *_GROUPS)
)
_COUNTS = ("n_vertices", "n_shape", "n_expression")
_AGAIN = "convert the original again with `v2m faces add NAME PATH`"


def save(model, path):
    """Write a face model, whole or not at all.

    Parameters
    ----------
    model : MorphableModel
        The model.
    path : path
        The ``.npz`` to write; its folder is created.
    """
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    for group in _GROUPS:
        arrays.update((f"{group}/{name}", value) for name, value in getattr(model, group).items())
    arrays = {name: value.cpu().numpy() for name, value in arrays.items() if value is not None}
    card = {name: getattr(model, name) for name in (*_NAMES, *_COUNTS)}
    card = json.dumps({"format": FORMAT, **card})
    with atomic(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, **arrays, **{CARD: np.array(card)})


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
    card = _card(path, arrays.pop(CARD, None))
    groups = {group: {} for group in _GROUPS}
    for key in [key for key in arrays if "/" in key]:
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = arrays.pop(key)
    try:
        names = {name: card[name] for name in _NAMES}
        return MorphableModel(**arrays, **names, **groups)
    except (V2MError, TypeError, KeyError, ValueError) as error:
        raise InputError(path, f"is not a sound face model ({error})", _AGAIN) from error


def summary(path):
    """What a saved face model is, without reading its arrays.

    Parameters
    ----------
    path : path
        The ``.npz``.

    Returns
    -------
    dict
        ``title``, ``topology``, ``n_vertices``, ``n_shape`` and ``n_expression``.

    Raises
    ------
    InputError
        If the file is absent, damaged or not a face model.
    """
    with _opened(path) as stored:
        card = _card(path, stored[CARD] if CARD in stored.files else None)
    return {"title": card["name"], **{name: card[name] for name in ("topology", *_COUNTS)}}


def _card(path, entry):
    try:
        card = json.loads(str(entry)) if entry is not None else {}
    except ValueError:
        card = {}
    if card.get("format") == FORMAT:
        return card
    problem = f"is not a face model of this version of v2mlib ({FORMAT!r})"
    raise InputError(path, problem, _AGAIN)


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
    with _opened(path) as stored:
        return {name: stored[name] for name in stored.files}


def array_names(path):
    """Names of the arrays of an ``.npz``.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    set of str
        The names.

    Raises
    ------
    InputError
        If the file is absent or damaged.
    """
    with _opened(path) as stored:
        return set(stored.files)


@contextlib.contextmanager
def _opened(path):
    try:
        # Opened here: numpy leaves the file open where the archive is damaged.
        with open(path, "rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if not hasattr(stored, "files"):
                raise ValueError("a single array")
            with stored:
                yield stored
    except V2MError:
        raise
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except IsADirectoryError:
        raise InputError(path, "is a folder", "give the .npz file itself") from None
    # A damaged archive can fail in the zip reader, its decompressor or numpy's header parser.
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
        problem = f"cannot be read as .npz ({error or type(error).__name__})"
        raise InputError(path, problem, "it may be cut short: copy or convert it again") from error
