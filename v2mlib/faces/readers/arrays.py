"""Arrays from ``.npy`` and MATLAB files, with one clear error for each fault."""

import numpy as np
import scipy.io

from v2mlib.checks import InputError

_AGAIN = "it may be cut short: download it again"


def read_npy(path):
    """Read a ``.npy``, refusing pickles and damage.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    ndarray
        Its array.

    Raises
    ------
    InputError
        If the file is absent or damaged, or holds Python objects.
    """
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(path, "does not exist", "this form of BFM needs it") from None
    except (OSError, EOFError, ValueError) as error:
        if "allow_pickle" in str(error):
            problem = "is not an array of numbers; loading it could run code, nothing was run"
            raise InputError(path, problem, "save the numbers alone: numpy.save") from error
        raise InputError(path, f"is not a sound .npy file ({error})", _AGAIN) from error


def read_mat(path, names, *, optional=()):
    """Read numeric variables of a MATLAB file.

    Parameters
    ----------
    path : path
        The file, up to version 7.
    names : sequence of str
        The variables.
    optional : sequence of str
        Variables that may be absent.

    Returns
    -------
    dict of str to ndarray
        The variables by name.

    Raises
    ------
    InputError
        If the file is absent or damaged, or lacks a variable.
    """
    try:
        # Given a name, scipy would hide that a file is absent, and try others.
        with open(path, "rb") as stream:
            stored = scipy.io.loadmat(stream, variable_names=[*names, *optional])
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except NotImplementedError:
        raise InputError(path, "is a MATLAB 7.3 file", "save it again with -v7") from None
    # A damaged file can fail anywhere in the reader.
    except Exception as error:
        problem = f"is not a sound .mat file ({error or type(error).__name__})"
        raise InputError(path, problem, _AGAIN) from error
    lacking = [name for name in names if stored.get(name, np.empty(0)).dtype.kind not in "fiu"]
    lacking += [name for name in names if name not in stored]
    if lacking:
        raise InputError(path, f"lacks {', '.join(dict.fromkeys(lacking))}", _AGAIN)
    numeric = {name for name in optional if _is_numeric(stored.get(name))}
    return {name: stored[name] for name in (*names, *numeric)}


def _is_numeric(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
