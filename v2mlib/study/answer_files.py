"""One participant's answers on disk: lines are only ever added, and each is on disk before the
next question is shown.

A process that is killed can leave a torn last line. It is never repaired in place: the next
line says that it follows one, and readers skip it.
"""

import json
import os
from pathlib import Path

from v2mlib.checks import InputError

try:
    import fcntl
except ImportError:  # not on Windows: there two notebooks must not answer for one participant
    fcntl = None

AFTER_TORN = "after_torn_line"


def read_entries(path):
    """Read the whole lines of an answer file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    list of dict
        Without a torn line at a place where a writer was killed; empty if there is no file.

    Raises
    ------
    InputError
        If the file cannot be read, or a line is damaged in any other way.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "see to its rights") from None
    return _entries(path, data)


def append_entry(path, make):
    """Add a line to an answer file, and return when it is on disk.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    make : callable
        Gets the entries so far and returns the new one, a dict; what it raises leaves the file
        as it was. No other process adds a line in between.

    Returns
    -------
    dict
        The entry that was added.

    Raises
    ------
    InputError
        If the file is damaged or cannot be written.
    """
    path = Path(path)
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(
            path, f"cannot be opened ({error.strerror})", "see to its rights"
        ) from None
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        data = path.read_bytes()
        entry = dict(make(_entries(path, data)))
        lead = b"\n" if data and not data.endswith(b"\n") else b""
        last = data.rstrip(b"\n").rpartition(b"\n")[2]
        if last and not _is_whole(last):
            entry[AFTER_TORN] = True
        line = lead + json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        written = os.write(file, line)
        os.fsync(file)
        if not data:
            _sync_folder(path.parent)
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "make room, then answer again"
        ) from None
    finally:
        os.close(file)
    if written < len(line):
        raise InputError(path, "took only part of an answer", "make room, then answer again")
    return entry


def _entries(path, data):
    entries, torn = [], 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line:
            continue
        if not _is_whole(line):
            torn = torn or number
            continue
        entry = json.loads(line)
        if torn and AFTER_TORN not in entry:
            raise InputError(path, f"is damaged in line {torn}", "restore the file from a copy")
        torn = 0
        entries.append(entry)
    return entries


def _is_whole(line):
    """Whether a line is a JSON object: no beginning of one is."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _sync_folder(folder):
    """Put a new file's name on disk too."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
