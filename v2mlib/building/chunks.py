"""Chunks: what one task works on, and the file in which it leaves its results.

A file on disk is known by its path, size and time of change. Whatever is known of it, from a
finished data set or from a chunk of a run that was stopped, is not worked out again; the rest is
dealt into new chunks. What comes of a file does not depend on the chunk it was in.
"""

import errno
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError
from v2mlib.files import atomic

FILES_PER_CHUNK = 128
"""A second or two of work; the whole of Voxceleb-3D gives about 1,700 chunks."""


class Entry(NamedTuple):
    """A file as it was found.

    Attributes
    ----------
    path : str
        Absolute.
    size_bytes : int
        Its size; -1 if it was gone.
    mtime_ns : int
        When it was changed last, in ns.
    """

    path: str
    size_bytes: int
    mtime_ns: int


class Known(NamedTuple):
    """What is known of a file.

    Attributes
    ----------
    row : dict
        Its measurements.
    array : str
        Name of the array that holds its frames or landmarks.
    start : int
        Where they begin in it.
    """

    row: dict
    array: str
    start: int


def entry_of(path):
    """Look at a file without opening it.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Entry
        As it is now.
    """
    try:
        status = os.stat(path)
    except OSError:
        return Entry(path, -1, 0)
    return Entry(path, status.st_size, status.st_mtime_ns)


def deal(entries, folder, size):
    """Deal files into chunks.

    Parameters
    ----------
    entries : sequence of Entry
        The files.
    folder : path
        Where the chunks' results go.
    size : int
        Files per chunk.

    Returns
    -------
    list of dict
        Jobs: `file` (of the results) and `paths`.
    """
    jobs = []
    for first in range(0, len(entries), size):
        some = entries[first : first + size]
        name = hashlib.sha256(json.dumps(some).encode()).hexdigest()[:24]
        jobs.append({"file": str(Path(folder) / f"{name}.npz"), "paths": [e.path for e in some]})
    return jobs


def write_chunk(file, rows, **arrays):
    """Leave the results of a chunk, whole or not at all.

    Parameters
    ----------
    file : path
        The ``.npz`` file.
    rows : list of dict
        Measurements, one per file.
    **arrays : ndarray
        Frames or landmarks.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with atomic(file) as partial, open(partial, "wb") as stream:
        np.savez(stream, rows=np.array(json.dumps(rows)), **arrays)


def read_rows(file):
    """Read the measurements of a chunk.

    Parameters
    ----------
    file : path
        Written by `write_chunk`.

    Returns
    -------
    list of dict
        One per file.
    """
    with np.load(file, allow_pickle=False) as chunk:
        return json.loads(str(chunk["rows"]))


def known_in_chunks(folder, count):
    """Gather what the chunks of a stopped run know.

    Parameters
    ----------
    folder : path
        Where they lie; need not exist.
    count : callable
        Given a row, the number of rows of the array that are its own.

    Returns
    -------
    dict of Entry to Known
        By file as it was when it was read.
    """
    known = {}
    for file in sorted(Path(folder).glob("[!.]*.npz")):
        start = 0
        try:
            rows = read_rows(file)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # after a power cut
            file.unlink()
            continue
        for row in rows:
            entry = Entry(row["path"], row["size_bytes"], row["mtime_ns"])
            known[entry] = Known(row, str(file), start)
            start += count(row)
    return known


def examine(path, measure):
    """Read one file: its checksum and measurements, or why it cannot be used.

    Parameters
    ----------
    path : str
        The file.
    measure : callable
        Called with the path; returns measurements (dict) and an array.

    Returns
    -------
    tuple of (dict, ndarray or None)
        `path`, `size_bytes`, `mtime_ns`, `sha256`, `reason` (empty if all is well) and the
        measurements; the array, or None.
    """
    from v2mlib.files import sha256

    entry = entry_of(path)
    row = {**entry._asdict(), "sha256": "", "reason": ""}
    try:
        row["sha256"] = sha256(path)
        measured, array = measure(path)
    except InputError as error:
        row["reason"] = error.problem + (f": {error.remedy}" if error.remedy else "")
        return row, None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # the machine's fault, not the file's
        row["reason"] = f"cannot be read ({error.strerror or error})"
        return row, None
    return row | measured, array
