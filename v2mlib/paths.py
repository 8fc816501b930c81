"""Where shipped files, caches and real test data live on this machine."""

import os
from pathlib import Path

from v2mlib.checks import InputError

_PACKAGE = Path(__file__).resolve().parent


def shipped(name):
    """Path of a small table or weight file that comes with the package.

    Parameters
    ----------
    name : str
        File name below ``data/`` of the repository, for instance ``"phantom_face.npz"``.

    Returns
    -------
    pathlib.Path
        The file, in a checkout (``data/``) or in an installed wheel (``v2mlib/data/``).

    Raises
    ------
    InputError
        If the installation lacks the file.
    """
    for folder in (_PACKAGE.parent / "data", _PACKAGE / "data"):
        if (folder / name).exists():
            return folder / name
    raise InputError(name, "is not part of this installation", "reinstall v2mlib, or restore data/")


def cache_dir():
    """Folder for files that can be made again (base speech corpora, converted models).

    Returns
    -------
    pathlib.Path
        ``$V2M_CACHE`` if set, else ``$XDG_CACHE_HOME/v2mlib``, else ``~/.cache/v2mlib``; created.

    Raises
    ------
    InputError
        If it cannot be created.
    """
    if "V2M_CACHE" in os.environ:
        folder = Path(os.environ["V2M_CACHE"]).expanduser()
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "v2mlib"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            folder, f"cannot be created ({error.strerror})", "set V2M_CACHE to a folder of yours"
        ) from None
    return folder
