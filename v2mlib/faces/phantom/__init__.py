"""The phantom face: our own procedural morphable face.

A hand-placed control cage (`cage`, `skull`, `eye`, `nose`, `mouth`, `ear`), a subdivision surface
that is linear in it (`subdivision`, `head`), named anthropometric controls (`controls`), the
population whose principal modes are the shape coefficients (`population`) and ten expressions
(`expressions`). ``python -m v2mlib.faces.phantom.build`` writes the artefact that
`phantom_model` loads.
"""

from v2mlib.faces.phantom.loading import CONTROL_NAMES, EXPRESSIONS, phantom_model

__all__ = ["CONTROL_NAMES", "EXPRESSIONS", "phantom_model"]
