"""How much of a face's 3D geometry does a voice carry? See the notebooks for the answer."""

import importlib

__version__ = "0.1.0"

# Names are imported when first used: `v2m --help` and `import v2mlib` stay instant.
_HOMES = {
    "Face": "v2mlib.models",
    "InputError": "v2mlib.checks",
    "MeshView": "v2mlib.widgets",
    "MorphableModel": "v2mlib.faces",
    "ShapeError": "v2mlib.checks",
    "Voice2Mesh": "v2mlib.models",
    "VoiceToFace": "v2mlib.widgets",
    "compare": "v2mlib.widgets",
    "load_face_model": "v2mlib.faces",
    "load_world": "v2mlib.datasets",
    "log_mel": "v2mlib.voices",
    "read_audio": "v2mlib.voices",
}
_ROOMS = (
    "building",
    "datasets",
    "faces",
    "fitting",
    "metrics",
    "models",
    "phantom",
    "photos",
    "plots",
    "stats",
    "study",
    "voices",
    "widgets",
)

__all__ = [*sorted(_HOMES), *_ROOMS]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"v2mlib.{name}")
    raise AttributeError(f"v2mlib has no name {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*__all__, "__version__"])
