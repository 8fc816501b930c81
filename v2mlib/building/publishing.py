"""A finished data set takes the place of the one before: all of it, also through kills.

Its files are first written aside. Then a plan says that they are whole; from that moment on,
whoever comes next carries the plan out. In between, the data set's marker says that it is not
complete.
"""

import json
import os
import shutil
from pathlib import Path

from v2mlib import __version__
from v2mlib.datasets.dataset import LANDMARKS, MARKER, PHOTO_COEFFICIENTS
from v2mlib.files import atomic, sha256

WORK = "build"
_ASIDE, _PLAN = "next", "plan.json"


def aside(out):
    """Make an empty folder for the files of the data set to come.

    Parameters
    ----------
    out : path
        The data set.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(out) / WORK / _ASIDE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def begin(out):
    """Say that a data set is under way where there is none yet.

    Parameters
    ----------
    out : path
        The data set.
    """
    marker = Path(out) / MARKER
    if not marker.exists():
        _write(marker, {"complete": False})


def publish(out, marker, kept=None):
    """Put the files that were written aside in their places.

    Parameters
    ----------
    out : path
        The data set.
    marker : dict
        What it was built with.
    kept : dict, optional
        Files that stay as they are, with size and checksum.
    """
    folder = Path(out) / WORK / _ASIDE
    files = dict(kept or {})
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files[name] = {"size_bytes": path.stat().st_size, "sha256": sha256(path)}
    files = dict(sorted(files.items()))
    marker = {"complete": True, "version": __version__, **marker, "files": files}
    _write(Path(out) / WORK / _PLAN, marker)
    carry_out(out)


def carry_out(out):
    """Carry out the plan that is there, if there is one.

    Parameters
    ----------
    out : path
        The data set.
    """
    out = Path(out)
    plan = out / WORK / _PLAN
    if not plan.exists():
        return
    marker = json.loads(plan.read_text("utf-8"))
    _write(out / MARKER, {"complete": False})
    for name in marker["files"]:
        source = out / WORK / _ASIDE / name
        if source.exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, out / name)
    for name in {LANDMARKS, PHOTO_COEFFICIENTS} - set(marker["files"]):
        (out / name).unlink(missing_ok=True)  # of a data set whose faces came otherwise
    _write(out / MARKER, marker)
    plan.unlink()


def clear(out):
    """Remove what only an unfinished build needs.

    Parameters
    ----------
    out : path
        The data set.
    """
    shutil.rmtree(Path(out) / WORK, ignore_errors=True)


def sweep(out):
    """Remove what killed processes left half-written.

    Parameters
    ----------
    out : path
        The data set.
    """
    out = Path(out)
    for torn in [
        *out.glob(".*.partial*"),
        *(out / WORK).rglob(".*.partial*"),
        *out.glob(".probe-*"),
    ]:
        torn.unlink(missing_ok=True)


def _write(path, content):
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
