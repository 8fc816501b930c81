"""Landmarks in files, one file per photograph."""

from pathlib import Path

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.datasets.mat_files import read_fitted_face
from v2mlib.faces.readers.arrays import read_npy
from v2mlib.faces.storage import read_npz
from v2mlib.files import atomic

SUFFIXES = (".npy", ".npz", ".pts", ".mat", ".csv")
"""In the order in which they are looked for."""

_NAMES = ("landmarks", "points")  # in an .npz
_AXES = ("x", "y", "z")


def read_landmarks(path):
    """Read the landmarks of one photograph.

    Parameters
    ----------
    path : path
        ``.npy`` or ``.npz`` (the array ``landmarks`` or ``points``, or the only one) of shape
        (68, 2 or 3) or transposed; ``.csv`` with columns ``x``, ``y`` and perhaps ``z`` and 68
        rows; all of these count pixels from 0. iBUG's ``.pts`` and the ``.mat`` of 300W-LP and
        AFLW2000-3D count from 1 and are converted.

    Returns
    -------
    ndarray of float32, (landmark=68, xy or xyz), pixels
        The centre of the top left pixel at (0, 0); NaN for what is marked as unknown.

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds something else than 68 points.
    """
    path = Path(path)
    readers = {".npy": read_npy, ".npz": _npz, ".pts": _pts, ".mat": _mat, ".csv": _csv}
    if path.suffix not in readers:
        raise InputError(path, "is not a file of landmarks", f"use one of {', '.join(SUFFIXES)}")
    points = np.asarray(readers[path.suffix](path))
    if points.ndim == 2 and points.shape[1] == 68 and points.shape[0] in (2, 3):
        points = points.T
    if points.shape not in ((68, 2), (68, 3)) or points.dtype.kind not in "fiu":
        raise InputError(
            path,
            f"holds an array of shape {points.shape} ({points.dtype})",
            "expected (landmark=68, xy or xyz) in pixels",
        )
    points = points.astype(np.float32)
    if np.isinf(points).any() or not np.isfinite(points[:, :2]).any():
        raise InputError(path, "holds no finite points", "mark unknown ones as NaN")
    return points


def write_landmarks(path, points):
    """Write the landmarks of one photograph.

    Parameters
    ----------
    path : path
        Ending in ``.npy``, ``.npz``, ``.pts`` (x and y only) or ``.csv``; see `read_landmarks`.
    points : array_like, (landmark=68, xy or xyz), pixels
        The centre of the top left pixel at (0, 0).

    Raises
    ------
    InputError
        If the ending is another one.
    """
    path, points = Path(path), np.asarray(points, dtype=np.float32)
    if path.suffix not in (".npy", ".npz", ".pts", ".csv"):
        raise InputError(path, "is not a file of landmarks", "end it with .npy, .npz, .pts or .csv")
    with atomic(path) as partial:
        if path.suffix == ".npy":
            np.save(partial, points)
        elif path.suffix == ".npz":
            np.savez(partial, landmarks=points)
        elif path.suffix == ".csv":
            columns = list(_AXES[: points.shape[1]])
            pd.DataFrame(points, columns=columns).to_csv(partial, index=False)
        else:
            rows = "".join(f"{x + 1:.4f} {y + 1:.4f}\n" for x, y in points[:, :2].tolist())
            partial.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n", "ascii")


def _npz(path):
    stored = read_npz(path)
    for name in _NAMES:
        if name in stored:
            return stored[name]
    if len(stored) == 1:
        return next(iter(stored.values()))
    raise InputError(path, "holds several arrays, none named landmarks", "name it landmarks")


def _pts(path):
    try:
        words = path.read_text("ascii").split("{", 1)[1].split("}", 1)[0].split()
        return np.array([float(word) for word in words]).reshape(-1, 2) - 1
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except (OSError, ValueError, IndexError):
        raise InputError(
            path, "is not a sound .pts file", "expected 68 lines of x and y within braces"
        ) from None


def _mat(path):
    face = read_fitted_face(path)
    if face.landmarks_3d is not None:
        return face.landmarks_3d
    if face.landmarks_2d is not None and len(face.landmarks_2d) == 68:
        return face.landmarks_2d
    raise InputError(path, "holds no 68 landmarks", "expected pt3d_68, or pt2d of 68 points")


def _csv(path):
    try:
        table = pd.read_csv(path)
        present = [axis for axis in _AXES if axis in table]
        if present[:2] != ["x", "y"]:
            raise ValueError(f"columns {', '.join(map(str, table.columns))}")
        return table[present].to_numpy(dtype=float)
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        reason = " ".join(str(error).split())
        raise InputError(
            path, f"cannot be read as landmarks ({reason})", "expected columns x, y and 68 rows"
        ) from None
