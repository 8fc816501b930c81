"""Photographs: reading them, finding faces and their 68 landmarks, the 3DDFA-V2 teacher.

Pixels are ``(column, row)``: x to the right, y down, the centre of the top left pixel at (0, 0).
"""

import importlib

_HOMES = {
    "ENGINES": "engines",
    "LANDMARK_PARTS": "landmarks",
    "Landmarks": "landmarks",
    "Teacher": "teacher",
    "TeacherFaces": "teacher",
    "contact_sheet": "contact_sheet",
    "landmark_error": "landmarks",
    "load_engine": "engines",
    "read_landmarks": "landmark_files",
    "read_photo": "reading",
    "sharpness": "quality",
}

__all__ = list(_HOMES)


def __getattr__(name):
    """Import on first use: reading a photo needs no networks."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return globals()[name]


def __dir__():
    """List the public names."""
    return sorted(_HOMES)
