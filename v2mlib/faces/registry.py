"""Face models by name: the embedded phantom, models the user added, or a path."""

import functools
from pathlib import Path

from v2mlib.checks import InputError
from v2mlib.faces.model import MorphableModel

EMBEDDED = ("phantom",)


def load_face_model(name_or_path):
    """Load a face model.

    Parameters
    ----------
    name_or_path : str or path
        ``"phantom"``, or the ``.npz`` of a converted model.

    Returns
    -------
    MorphableModel
        On the CPU; the same object for the same unchanged file.

    Raises
    ------
    InputError
        If there is no such model, naming those there are.
    """
    if name_or_path == "phantom":
        return _phantom()
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return MorphableModel.load(path)
    raise InputError(f"face model {name_or_path}", "is unknown", f"known: {', '.join(EMBEDDED)}")


@functools.cache
def _phantom():
    from v2mlib.faces.phantom import phantom_model

    return phantom_model()
