"""Population means and standard deviations of 3DDFA's parameters, as they are passed on.

The 62 numbers are 12 of the pose, 40 of the shape and 10 of the expression; longer vectors go on
with texture, which is not used.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.readers.pickles import read_arrays
from v2mlib.faces.storage import read_npz

N_POSE, N_SHAPE, N_EXPRESSION = 12, 40, 10

_FILES = (
    "param_mean_std_62d_120x120.pkl",
    "param_mean_std_62d_120x120.npz",
    "param_whitening.pkl",
    "param_mean_v2.txt",
)
_FOLDERS = ("", "../configs", "../train.configs")


class Statistics(NamedTuple):
    """Raw parameters over the population: ``shape_* (40,)``, ``expression_* (10,)``."""

    shape_mean: np.ndarray
    shape_std: np.ndarray
    expression_mean: np.ndarray
    expression_std: np.ndarray


def find_statistics(model_path, given=None):
    """Read the statistics that belong to a Basel face model.

    Parameters
    ----------
    model_path : path
        The model's file; statistics are looked for beside it and in the folders of a checkout.
    given : path, optional
        The statistics' file, where it lies elsewhere.

    Returns
    -------
    Statistics
        In the model's raw units.

    Raises
    ------
    InputError
        If there are none, or they are damaged.
    """
    if given is not None:
        return read_statistics(given)
    folder = Path(model_path).parent
    for place in _FOLDERS:
        for name in _FILES:
            if (folder / place / name).is_file():
                return read_statistics(folder / place / name)
    raise InputError(
        model_path,
        "comes without the means and standard deviations of its coefficients",
        f"put {_FILES[0]} of 3DDFA-V2 (or {_FILES[2]} of 3DDFA) beside it",
    )


def read_statistics(path):
    """Read a file of parameter statistics.

    Parameters
    ----------
    path : path
        A ``.pkl`` or ``.npz`` with ``mean`` and ``std`` (or ``param_mean`` and ``param_std``), or
        ``param_mean_v2.txt``, beside which lies ``param_std_v2.txt``.

    Returns
    -------
    Statistics
        Pose and texture left out.

    Raises
    ------
    InputError
        If the file is absent, damaged or too short.
    """
    mean, std = read_whitening(path)
    shape, expression = slice(N_POSE, N_POSE + N_SHAPE), slice(N_POSE + N_SHAPE, None)
    return Statistics(mean[shape], std[shape], mean[expression], std[expression])


def read_whitening(path):
    """Read means and standard deviations of all 62 parameters, the pose included.

    Parameters
    ----------
    path : path
        As for `read_statistics`.

    Returns
    -------
    mean, std : ndarray, (parameter=62,)
        12 of the scaled pose, 40 of the shape, 10 of the expression.

    Raises
    ------
    InputError
        If the file is absent, damaged or too short.
    """
    path = Path(path)
    if path.suffix == ".txt":
        other = path.with_name(path.name.replace("mean", "std"))
        stored = {"mean": _read_numbers(path), "std": _read_numbers(other)}
    else:
        stored = read_npz(path) if path.suffix == ".npz" else read_arrays(path)
    for prefix in ("", "param_"):
        if isinstance(stored, dict) and {f"{prefix}mean", f"{prefix}std"} <= stored.keys():
            mean, std = (np.ravel(stored[f"{prefix}{name}"]) for name in ("mean", "std"))
            break
    else:
        raise InputError(path, "lacks mean and std", f"give {_FILES[0]} of 3DDFA-V2")
    needed = N_POSE + N_SHAPE + N_EXPRESSION
    if mean.size < needed or mean.size != std.size:
        problem = f"holds {mean.size} means and {std.size} standard deviations"
        raise InputError(path, problem, f"expected {needed} each")
    return mean[:needed], std[:needed]


def _read_numbers(path):
    try:
        return np.loadtxt(path)
    except OSError:
        raise InputError(path, "does not exist", "it belongs to the means beside it") from None
    except ValueError as error:
        raise InputError(path, f"is not a list of numbers ({error})", "copy it again") from error
