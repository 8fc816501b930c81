"""Faces: the morphable model and its readers, anatomy, geometry, rendering."""

from v2mlib.faces.model import MISSING_LANDMARK, REGIONS, Coefficients, MorphableModel
from v2mlib.faces.registry import load_face_model

__all__ = ["MISSING_LANDMARK", "REGIONS", "Coefficients", "MorphableModel", "load_face_model"]
