"""List large folders in one pass, without asking the disk about each file."""

import os
from typing import NamedTuple

import pandas as pd

from v2mlib.checks import InputError

REJECTED_COLUMNS = ["kind", "path", "reason"]


class Listing(NamedTuple):
    """Names in a folder, sorted; hidden ones (``.DS_Store``, ``._00001.wav``) left out."""

    folders: list
    files: list


def list_folder(folder):
    """List a folder.

    Parameters
    ----------
    folder : path
        The folder. Links are followed.

    Returns
    -------
    Listing
        Names of the folders and the files in it.

    Raises
    ------
    InputError
        If it does not exist, is not a folder, or may not be read.
    """
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except FileNotFoundError:
        raise InputError(folder, "does not exist", "check the path") from None
    except NotADirectoryError:
        raise InputError(folder, "is not a folder", "give the folder that holds it") from None
    except OSError as error:
        raise InputError(
            folder, f"cannot be read ({error.strerror})", "check its rights"
        ) from error
    return Listing(sorted(folders), sorted(files))


def _is_folder(entry):
    """Whether an entry is a folder; a link that leads to itself is none, and hides no others."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def list_or_reject(folder, rejected):
    """List a folder inside a tree; one that may not be read is rejected, and the rest goes on.

    Parameters
    ----------
    folder : path
        The folder.
    rejected : list of (str, str, str)
        Where to add kind, path and reason.

    Returns
    -------
    Listing
        Empty if the folder cannot be read.
    """
    try:
        return list_folder(folder)
    except InputError as error:
        rejected.append(("identity", os.fspath(folder), error.problem))
        return Listing([], [])


def is_text(name):
    """Whether a file's name is text that can be written to a table.

    Parameters
    ----------
    name : str
        As the operating system gave it.

    Returns
    -------
    bool
        False for names whose bytes are not UTF-8, as old archives unpack them.

    Examples
    --------
    >>> is_text("Zoë.jpg"), is_text(os.fsdecode(b"Zo\\xeb.jpg"))
    (True, False)
    """
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def absolute(folder):
    """Path of a folder that another process can use.

    Parameters
    ----------
    folder : path
        May begin with ``~`` or be relative to the current folder.

    Returns
    -------
    str
        The absolute path; links are kept.
    """
    return os.path.abspath(os.path.expanduser(os.fspath(folder)))


def rejected_table(rows):
    """Make a table of what was left out.

    Parameters
    ----------
    rows : iterable of (str, str, str)
        Kind, path and reason.

    Returns
    -------
    pandas.DataFrame
        `kind`, `path`, `reason`, in the order of the paths; bytes of a name that are not UTF-8
        are spelt out.
    """
    printable = [[text.encode(errors="backslashreplace").decode() for text in row] for row in rows]
    table = pd.DataFrame(printable, columns=REJECTED_COLUMNS, dtype=object)
    return table.sort_values(["kind", "path"], kind="stable", ignore_index=True)


class Found(NamedTuple):
    """What a scan found: a `table` with a row per file, and what it `rejected` and why."""

    table: pd.DataFrame
    rejected: pd.DataFrame
