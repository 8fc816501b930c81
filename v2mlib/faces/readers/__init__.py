"""Readers of the face models people have: ICT-FaceKit, the Basel model's forms, Surrey.

Every reader gives a `MorphableModel` in mm, x to the subject's left, y up, z out of the face, with
triangles wound outwards, standardised coefficients and anatomy by name.
"""

from v2mlib.faces.readers.bfm import read_bfm
from v2mlib.faces.readers.ict import read_ict
from v2mlib.faces.readers.parameters import read_parameters, standardised
from v2mlib.faces.readers.surrey import read_surrey

__all__ = ["read_bfm", "read_ict", "read_parameters", "read_surrey", "standardised"]
