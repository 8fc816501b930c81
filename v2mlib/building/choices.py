"""What to do where the reader did not say: which landmarks, which face model."""

from pathlib import Path

from v2mlib.building.config import FITTED, WORLD_LANDMARKS
from v2mlib.checks import InputError
from v2mlib.datasets.world import face_model_path, read_marker

REAL_FACE_MODEL = "ict"
BASEL_FACE_MODEL = "bfm"


def phantom_world(*folders):
    """Find the phantom world that folders belong to.

    Parameters
    ----------
    *folders : path or None
        As the reader gave them: the world, or its ``faces``.

    Returns
    -------
    pathlib.Path or None
        The world; None if they are of real people.
    """
    for folder in folders:
        if folder is None:
            continue
        folder = Path(folder).expanduser().absolute()
        for place in (folder, folder.parent):
            if (place / WORLD_LANDMARKS).is_file() and read_marker(place) is not None:
                return place
    return None


def choose_landmarks(name, folder, world, *, fitted=False):
    """Choose landmarks: a phantom's own, or MediaPipe's; none where faces come fitted.

    Parameters
    ----------
    name : str, optional
        The engine, if the reader named one.
    folder : path, optional
        Of landmark files, if the reader named one.
    world : pathlib.Path, optional
        From `phantom_world`.
    fitted : bool
        Whether the faces come fitted.

    Returns
    -------
    tuple of (str, str or None)
        Fields `landmarks` and `landmark_folder` of `BuildConfig`.

    Raises
    ------
    InputError
        If landmarks are asked for of faces that come fitted.
    """
    if fitted:
        if name or folder:
            raise InputError("landmarks", "are not looked for in fitted faces", "leave them out")
        return FITTED, None
    name = name or ("files" if folder or world else "mediapipe")
    if name == "files":
        folder = folder or world
    return name, str(Path(folder).expanduser().absolute()) if folder else None


def choose_face_model(name, world, *, fitted=False):
    """Choose the face model: a phantom's own, or ICT-FaceKit's; Basel's where faces come fitted.

    Parameters
    ----------
    name : str, optional
        If the reader named one.
    world : pathlib.Path, optional
        From `phantom_world`.
    fitted : bool
        Whether the faces come fitted, as coefficients of the Basel model.

    Returns
    -------
    str
        Name or path.

    Raises
    ------
    InputError
        If real people are to be fitted and no model of real faces was added.
    """
    from v2mlib.faces import list_face_models

    if name:
        path = Path(name).expanduser()
        return str(path.absolute()) if path.exists() else name
    if world is not None and not fitted:
        return face_model_path(world, read_marker(world)["config"]["face_model"])
    known = list_face_models()["name"].tolist()
    if fitted:
        if BASEL_FACE_MODEL not in known:
            raise InputError(
                "the Basel face model, on which the faces are fitted,",
                "was not added",
                "run `v2m faces add bfm PATH`, or name it with --face-model",
            )
        return BASEL_FACE_MODEL
    if REAL_FACE_MODEL not in known:
        raise InputError(
            "no face model of real people",
            "was added",
            "download ICT-FaceKit (MIT) and run `v2m faces add ict PATH`, or name another "
            f"with --face-model (known: {', '.join(known)})",
        )
    return REAL_FACE_MODEL
