"""Pickles of numpy arrays and nothing else.

A pickle is a program: loading one from a stranger runs what the stranger wrote. This unpickler
knows a handful of names, all needed to rebuild an array; any other name is refused when it is
looked up, which is before anything could be called.
"""

import codecs
import pickle

import numpy as np

from v2mlib.checks import InputError

_REMEDY = (
    "a face model's pickle holds arrays only; do not open this file otherwise, and download the "
    "model again from its authors"
)


def _latin1_bytes(text, encoding):
    """Bytes of an array as protocols 0 to 2 write them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not used by arrays")
    return codecs.encode(text, encoding)


def _empty_array(_kind, shape, type_code):
    """What numpy itself calls to rebuild an array; always a plain one."""
    return np.ndarray.__new__(np.ndarray, shape, type_code)


def _array_of_bytes(content, dtype, shape, order):
    """What numpy itself calls to rebuild an array from protocol 5."""
    return np.frombuffer(content, dtype=dtype).reshape(shape, order=order)


def _plain_dtype(code, *flags):
    """Type of numbers or text; objects and records could smuggle in pointers."""
    dtype = np.dtype(code, *flags)
    if dtype.kind not in "fiubcSU":
        raise pickle.UnpicklingError(f"arrays of type {code!r} are not read")
    return dtype


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.numeric", "_frombuffer"): _array_of_bytes,
    ("numpy._core.numeric", "_frombuffer"): _array_of_bytes,
    ("_codecs", "encode"): _latin1_bytes,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenNameError(f"{module}.{name}") from None


class _ForbiddenNameError(pickle.UnpicklingError):
    pass


def read_arrays(path):
    """Read a pickle of one numeric array, or of a dict of them.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    ndarray or dict of str to ndarray
        What it holds; entries of a dict that are not numeric arrays are left out.

    Raises
    ------
    InputError
        If the file is absent, damaged, or would run code when loaded (nothing is run).
    """
    try:
        with open(path, "rb") as stream:
            content = _ArrayUnpickler(stream, encoding="latin1").load()
    except _ForbiddenNameError as error:
        problem = f"is a pickle that asks for {error}, which is more than arrays; nothing was run"
        raise InputError(path, problem, _REMEDY) from None
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    # A damaged pickle can fail anywhere in numpy or in the unpickler's stack machine.
    except Exception as error:
        problem = f"is not a sound pickle ({error or type(error).__name__})"
        raise InputError(path, problem, "it may be cut short: download it again") from error
    if _is_numeric(content):
        return content
    if not isinstance(content, dict):
        raise InputError(path, f"holds a {type(content).__name__}, not arrays", _REMEDY)
    return {str(name): value for name, value in content.items() if _is_numeric(value)}


def _is_numeric(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
