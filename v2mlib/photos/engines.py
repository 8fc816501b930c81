"""Landmark engines behind one interface.

An engine has a ``name`` and two methods. ``detect_all(images, boxes=None)`` gives, per image, a
list of `Landmarks`, the largest face first; ``detect(images, boxes=None)`` gives, per image, the
largest face or None. Images are paths or uint8 arrays ``(row, column, rgb)``; boxes, where given,
are ``(face, x_low y_low x_high y_high)`` per image, or None for an image in which to look.
"""

import importlib

from v2mlib.checks import InputError

ENGINES = {
    "mediapipe": "MediaPipe's face mesh, 478 points of which 68 are kept; offline",
    "fan": "face-alignment (3D-FAN); its weights are fetched once, by command",
    "teacher": "3DDFA-V2's own landmarks, from its weights and the Basel face model",
    "files": "landmarks computed before, beside the photographs or in a folder",
}
"""Names of the engines, and what they are."""

_TAKES = {
    "mediapipe": (),
    "fan": ("device",),
    "teacher": ("weights", "face_model", "runtime", "device"),
    "files": ("folder",),
}


def load_engine(name, *, weights=None, face_model=None, folder=None, runtime=None, device=None):
    """Load a landmark engine.

    Parameters
    ----------
    name : {"mediapipe", "fan", "teacher", "files"}
        See `ENGINES`. They agree on what the 68 points are but for the jaw: 3D-FAN and the
        teacher mark the same places of the head from any side, MediaPipe's points lie where the
        mesh has its border.
    weights : path, optional
        For ``teacher``, needed: the checkpoint, or a folder of 3DDFA-V2; see `Teacher.load`.
    face_model : path or MorphableModel, optional
        For ``teacher``, needed unless it lies beside the weights: the Basel face model, whole
        or at the 68 landmarks.
    folder : path, optional
        For ``files``: where to look; beside each photograph by default. A phantom world's
        folder serves its true landmarks.
    runtime : {"onnx", "torch"}, optional
        For ``teacher``: what computes; ``onnx`` where it is installed.
    device : str, optional
        For ``fan`` and ``teacher`` with ``torch``: ``"cpu"`` by default.

    Returns
    -------
    engine
        With ``name``, ``detect`` and ``detect_all``; see above.

    Raises
    ------
    InputError
        If there is no such engine, it does not take an option that was given, it is not
        installed (naming the extra that installs it), or its files are missing or damaged.

    Examples
    --------
    >>> engine = load_engine("files")
    >>> engine.name
    'files'
    """
    if name not in ENGINES:
        raise InputError(f"landmark engine {name!r}", "is unknown", f"choose {', '.join(ENGINES)}")
    given = {
        option: value
        for option, value in (
            ("weights", weights),
            ("face_model", face_model),
            ("folder", folder),
            ("runtime", runtime),
            ("device", device),
        )
        if value is not None
    }
    strange = [option for option in given if option not in _TAKES[name]]
    if strange:
        raise InputError(
            f"landmark engine {name!r}",
            f"takes no {' and no '.join(strange)}",
            f"it takes {' and '.join(_TAKES[name]) or 'no options'}",
        )
    module = importlib.import_module(f"v2mlib.photos.engine_{name}")
    return module.Engine(**given)
