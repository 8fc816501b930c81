"""Where the teacher's files lie: in one folder, or spread as in a checkout of 3DDFA-V2."""

from pathlib import Path

from v2mlib.checks import InputError

_PLACES = {  # what -> (file names, folders from that of the weights)
    "weights": (
        ("*120x120.pth", "*.safetensors", "*120x120_state.npz"),
        ("", "weights"),
    ),
    "statistics": (
        ("param_mean_std_62d_120x120.pkl", "param_mean_std_62d_120x120.npz"),
        ("", "../configs"),
    ),
    "face_model": (
        ("bfm_noneck_v3.pkl", "bfm_landmark68_basis.npz"),
        ("", "../configs", "../bfm_derived_noncommercial"),
    ),
    "detector": (("FaceBoxesProd.pth",), ("", "../FaceBoxes/weights")),
}


def find_file(start, what, given=None, *, needed=True):
    """Find one of the teacher's files.

    Parameters
    ----------
    start : path
        The weights or, to find those, also a folder.
    what : {"weights", "statistics", "face_model", "detector"}
        Which file.
    given : path, optional
        The file, or the folder that it lies in under its usual name, if the caller knows.
    needed : bool
        Whether its absence is an error.

    Returns
    -------
    pathlib.Path or None
        The file.

    Raises
    ------
    InputError
        If it is needed and not there, naming what to put where; or if there are several weights.
    """
    if given is not None:
        given = Path(given).expanduser()
        inside = [given / name for name in _PLACES[what][0] if "*" not in name]
        return next((file for file in inside if file.is_file()), given)
    start = Path(start).expanduser()
    if what == "weights" and not start.is_dir():
        if not start.exists():
            raise InputError(
                start, "does not exist", "give mb05_120x120.pth of 3DDFA-V2, or its folder"
            )
        return start
    names, folders = _PLACES[what]
    base = start if start.is_dir() else start.parent
    for name in names:
        found = sorted(
            {file.resolve() for folder in folders for file in (base / folder).glob(name)}
        )
        if len(found) > 1:
            listed = ", ".join(file.name for file in found)
            raise InputError(base, f"holds several networks ({listed})", "name one of the files")
        if found:
            return found[0]
    if not needed:
        return None
    raise InputError(
        base, f"lacks {' or '.join(names)}", "copy it there from 3DDFA-V2, or give its path"
    )
