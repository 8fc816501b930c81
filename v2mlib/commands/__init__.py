"""The subcommands of ``v2m``: each adds its parser and runs one library function."""

import contextlib
import json
import math
import sys


def json_line(value):
    """One line of strict JSON: what is not finite becomes ``null``.

    Parameters
    ----------
    value : dict, list, number, str or None
        Plain data, NumPy scalars and paths included.

    Returns
    -------
    str
        Without a line break inside or at the end.

    Examples
    --------
    >>> json_line({"skill": float("nan"), "n": 3})
    '{"skill": null, "n": 3}'
    """
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and torch
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


@contextlib.contextmanager
def results_on_stdout():
    """Keep stdout for the result: whatever prints inside the block goes to stderr.

    Yields
    ------
    text stream
        The real stdout.
    """
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield stdout


def say(*words):
    """Print progress or a remark where it cannot spoil a result: on stderr.

    Parameters
    ----------
    *words : object
        As for ``print``.
    """
    print(*words, file=sys.stderr, flush=True)
