"""Faces: the morphable model and its readers, anatomy, geometry, rendering."""

from v2mlib.faces.geometry import require_same_topology
from v2mlib.faces.model import MISSING_LANDMARK, REGIONS, Coefficients, MorphableModel
from v2mlib.faces.registry import (
    add_face_model,
    describe_face_model,
    list_face_models,
    load_face_model,
)

__all__ = [
    "MISSING_LANDMARK",
    "REGIONS",
    "Coefficients",
    "MorphableModel",
    "add_face_model",
    "describe_face_model",
    "list_face_models",
    "load_face_model",
    "require_same_topology",
]
