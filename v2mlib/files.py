"""Files that are either whole or absent: write beside, then rename."""

import contextlib
import hashlib
import os
from pathlib import Path


@contextlib.contextmanager
def atomic(path):
    """Write a file so that a crash leaves either the old file or the new one.

    Parameters
    ----------
    path : path
        The file to appear once the block ends without an error. Its folder is created.

    Yields
    ------
    pathlib.Path
        A name beside it, with the same suffix, to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path):
    """Checksum of a file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
