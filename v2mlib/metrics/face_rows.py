"""Whose faces are these: predictions and references brought to rows of known identities.

A method's faces come as an array, a table or rows read from files. Here they become rows with an
identity each, are averaged over an identity's utterances, and their errors become a tidy table.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces.geometry import require_vertices

_MOST_SD = 100.0  # nobody is that far from the mean; raw coefficients of BFM reach 1e6
_MOST_TIMES = 5.0  # centimetres would be a tenth


class FaceRows(NamedTuple):
    """Faces of identities, row by row; several rows of one identity are its utterances.

    ``identity (row,)``; ``faces (row, shape)`` standardised coefficients, or ``(row, vertex,
    xyz)`` in mm; ``sex (row,)`` "m" or "f", or None.
    """

    identity: np.ndarray
    faces: np.ndarray
    sex: np.ndarray | None = None


class Block(NamedTuple):
    """Faces to be judged: ``faces (row, ...)``, and ``position (row,)`` of their references."""

    method: str
    column: str
    faces: np.ndarray
    position: np.ndarray


def as_rows(given, model, what, identities=None):
    """Bring faces in any of the accepted forms to rows.

    Parameters
    ----------
    given : FaceRows, DataFrame or array_like
        An array is ``(identity, shape)``, ``(identity, utterance, shape)``, ``(identity,
        vertex, xyz)`` or ``(identity, utterance, vertex, xyz)``. A DataFrame has identities as
        its index and a column per coefficient (and perhaps ``sex``).
    model : MorphableModel
        What they are faces of.
    what : str
        What the faces are called in a message.
    identities : array_like, (identity,), optional
        Whose the rows of an array are; numbers from 0 by default.

    Returns
    -------
    FaceRows
        As floats.

    Raises
    ------
    ShapeError
        If the shape fits neither the model's coefficients nor its vertices, or an array has not
        a row for each identity.
    InputError
        If there are no rows, columns are out of order, or faces hold NaN or infinity, are no
        numbers at all, are shrunk to a point, or of a size that another unit would explain.
    """
    sex = None
    if isinstance(given, FaceRows):
        identity, faces, sex = (None if part is None else np.asarray(part) for part in given)
    elif isinstance(given, pd.DataFrame):
        identity = given.index.to_numpy()
        sex = given["sex"].to_numpy() if "sex" in given else None
        given = given.drop(columns="sex", errors="ignore")
        require_ordered(given.columns, what)
        faces = given.to_numpy()
    else:
        faces = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        identity = None
    if not np.issubdtype(faces.dtype, np.number):
        raise InputError(what, f"are {faces.dtype}, not numbers", "give coefficients or vertices")
    n_face_axes = _face_axes(faces, model, what)
    if identity is None:
        people, *utterances = faces.shape[: faces.ndim - n_face_axes]
        identity = np.arange(people) if identities is None else np.asarray(identities)
        if len(identity) != people:
            raise ShapeError(
                f"{what} have {people} rows for {len(identity)} identities, expected one for each"
            )
        if utterances:
            identity = np.repeat(identity, utterances[0])
            faces = faces.reshape(-1, *faces.shape[2:])
    if len(identity) != len(faces) or faces.ndim != 1 + n_face_axes:
        raise ShapeError(f"{what} have shape {faces.shape} for {len(identity)} rows of identities")
    _require_sound(what, identity, faces)
    _require_units(what, identity, faces, model)
    return FaceRows(identity, np.ascontiguousarray(faces), sex)


def _face_axes(faces, model, what):
    """How many trailing axes make one face: 1 (coefficients) or 2 (vertices)."""
    if faces.ndim in (3, 4) and faces.shape[-2:] == (model.n_vertices, 3):
        return 2
    if faces.ndim in (2, 3) and faces.shape[-1] == model.n_shape:
        return 1
    if faces.ndim in (3, 4) and faces.shape[-1] == 3:
        require_vertices(faces, model, what)
    raise ShapeError(
        f"{what} have shape {faces.shape}; face model {model.name!r} expects coefficients "
        f"(identity[, utterance], shape={model.n_shape}) or vertices "
        f"(identity[, utterance], vertex={model.n_vertices}, xyz=3)"
    )


def _require_sound(what, identity, faces):
    if not len(faces):
        raise InputError(what, "are empty", "give a face for each identity")
    rows = faces.reshape(len(faces), -1)
    wrong = {"hold NaN or infinity": ~np.isfinite(rows).all(1)}
    if faces.ndim > 2:  # of vertices; coefficients may well be equal
        wrong["are shrunk to a point"] = (faces == faces[:, :1]).reshape(len(faces), -1).all(1)
    for lack, where in wrong.items():
        if where.any():
            raise InputError(
                what,
                f"{lack} in {where.sum()} of {len(where)} rows ({some(identity[where])})",
                "leave these rows out, or predict them again",
            )


def _require_units(what, identity, faces, model):
    """Refuse raw coefficients and other units of length: ratios alone would not show them."""
    if faces.ndim == 2:
        sizes, least, most = abs(faces).max(1, initial=0), 0, _MOST_SD
        unit, remedy = (
            "standard deviations",
            "standardise raw ones: v2mlib.faces.readers.standardised",
        )
    else:
        mean = model.mean.cpu().numpy()
        sizes = np.ptp(faces, axis=1).max(1) / np.ptp(mean, axis=0).max()
        least, most, unit = 1 / _MOST_TIMES, _MOST_TIMES, "times the size of the mean face"
        remedy = "give vertices in mm"
    wrong = (sizes < least) | (sizes > most)
    if wrong.any():
        raise InputError(
            what,
            f"measure {sizes[wrong][0]:.3g} {unit} and the like in {wrong.sum()} of {len(wrong)} "
            f"rows ({some(identity[wrong])})",
            remedy,
        )


def require_ordered(columns, what):
    """Refuse columns of coefficients whose numbers are not in order.

    A table sorted by name has ``shape_10`` before ``shape_2``; read in that order each
    coefficient would be taken for another one.

    Parameters
    ----------
    columns : sequence
        Names of the columns. Names that do not all end in a number are taken as they come.
    what : str
        Whose they are, for the message.

    Raises
    ------
    InputError
        If their numbers do not rise one by one.

    Examples
    --------
    >>> require_ordered(["shape_2", "shape_10"], "predictions of ours")
    Traceback (most recent call last):
    v2mlib.checks.InputError: predictions of ours have column shape_10 after shape_2: put the \
columns in the order of the model's coefficients
    """
    names = [str(name) for name in columns]
    numbers = [re.search(r"\d+$", name) for name in names]
    if not all(numbers):
        return
    steps = np.diff([int(number.group()) for number in numbers])
    if (steps != 1).any():
        place = int(np.flatnonzero(steps != 1)[0])
        raise InputError(
            what,
            f"have column {names[place + 1]} after {names[place]}",
            "put the columns in the order of the model's coefficients",
        )


def some(names, limit=3):
    """Name the first few of many.

    Parameters
    ----------
    names : iterable
        What to name; duplicates are named once.
    limit : int
        How many.

    Returns
    -------
    str
        For a message.

    Examples
    --------
    >>> some(["id1", "id2", "id1", "id3", "id4"])
    'id1, id2, id3 and 1 more'
    """
    names = list(dict.fromkeys(map(str, names)))
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def require_unique(identity, what):
    """Refuse a list of people that names one twice.

    Parameters
    ----------
    identity : array_like, (identity,)
        The list.
    what : str
        What it is called in the message.

    Raises
    ------
    InputError
        Naming the duplicates, with both counts.
    """
    identity = pd.Index(identity)
    if not identity.is_unique:
        twice = identity[identity.duplicated()]
        raise InputError(
            what,
            f"name {len(identity.unique())} identities in {len(identity)} rows "
            f"(twice or more: {some(twice)})",
            "keep one reference face per identity",
        )


def positions(identity, people, what):
    """Find each row's person.

    Parameters
    ----------
    identity : array_like, (row,)
        Whose the rows are.
    people : array_like, (identity,)
        Everybody who has a reference.
    what : str
        What the rows are called in a message.

    Returns
    -------
    ndarray of int, (row,)
        Place in `people`.

    Raises
    ------
    InputError
        If somebody has a row but no reference, or a reference but no row; with both counts.
    """
    people = pd.Index(people)
    place = people.get_indexer(identity)
    if (place < 0).any():
        strangers = np.asarray(identity)[place < 0]
        raise InputError(
            what,
            f"hold {len(pd.unique(strangers))} identities without a reference among "
            f"{len(people)} ({some(strangers)})",
            "give their reference faces, or leave their rows out",
        )
    absent = people[~np.isin(np.arange(len(people)), place)]
    if len(absent):
        raise InputError(
            what,
            f"lack {len(absent)} of {len(people)} identities ({some(absent)})",
            "predict at least one utterance of each",
        )
    return place


def blocks_of(method, faces, position):
    """Faces to be judged for one method: averages over utterances, and each utterance.

    Parameters
    ----------
    method : str
        Its name.
    faces : ndarray, (row, ...)
        Coefficients or vertices.
    position : ndarray of int, (row,)
        Whose they are; everybody has at least one.

    Returns
    -------
    list of Block
        The block for ``error`` (a row per identity, in order), and where an identity has
        several utterances the block for ``error_per_utterance``.
    """
    flat = pd.DataFrame(faces.reshape(len(faces), -1))
    averaged = flat.groupby(position).mean().to_numpy()
    averaged = averaged.reshape(-1, *faces.shape[1:])
    blocks = [Block(method, "error", averaged, np.arange(len(averaged)))]
    if len(faces) > len(averaged):
        blocks.append(Block(method, "error_per_utterance", faces, position))
    return blocks


def tidy(blocks, errors, people):
    """Long table of errors.

    Parameters
    ----------
    blocks : list of Block
        From `blocks_of`, method by method.
    errors : list of DataFrame
        A row per face of each block and a column per measure; columns may have several levels
        (``measure``, ``definition``), which become columns.
    people : DataFrame
        What is known of each identity, in order: ``identity``, ``sex``.

    Returns
    -------
    DataFrame
        The columns of `people`, ``method``, the names of the measures' levels, ``error`` and
        ``error_per_utterance`` (the mean over the identity's utterances of their errors).
    """
    found = {}
    for block, table in zip(blocks, errors, strict=True):
        per_identity = table.groupby(block.position).mean() if _repeats(block) else table
        found.setdefault(block.method, {})[block.column] = per_identity
    tables = []
    for method, columns in found.items():
        headline = columns["error"]
        each = columns.get("error_per_utterance", headline)
        levels = headline.columns.names if headline.columns.nlevels > 1 else ["measure"]
        for name in headline:
            values = name if isinstance(name, tuple) else (name,)
            tables.append(
                people.assign(
                    method=method,
                    **dict(zip(levels, values, strict=True)),
                    error=headline[name].to_numpy(),
                    error_per_utterance=each[name].to_numpy(),
                )
            )
    return pd.concat(tables, ignore_index=True)


def _repeats(block):
    return block.column == "error_per_utterance"
