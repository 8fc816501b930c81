"""The Surrey face model, 3,448 vertices, from an ``.npz`` of its public shape-only form."""

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces.readers.assembly import assemble
from v2mlib.faces.storage import read_npz

N_VERTICES = 3_448
_REMEDY = "give the .npz with mean, basis, sd, triangles, landmarks68 and expression"


def read_surrey(path):
    """Read the Surrey face model.

    The source's modes are orthonormal and its raw coefficients are in mm (``x = mean + basis @
    raw``, standard deviation `sd`). Expressions are blendshape weights; 0 is neutral.

    Parameters
    ----------
    path : path
        The ``.npz``.

    Returns
    -------
    MorphableModel
        Topology ``surrey-3448``. The source maps 50 of the 68 landmarks (not the jaw line nor the
        inner corners of the mouth), and the mesh ends in front of the ears.

    Raises
    ------
    InputError
        If the file is absent, damaged or lacks arrays, naming the file and the remedy.

    References
    ----------
    Huber et al., "A Multiresolution 3D Morphable Face Model and Fitting Framework", VISAPP 2016.
    """
    stored = read_npz(path)
    lacking = {"mean", "basis", "sd", "triangles", "landmarks68", "expression"} - stored.keys()
    if lacking:
        raise InputError(path, f"lacks {', '.join(sorted(lacking))}", _REMEDY)
    vertex = len(stored["mean"])
    if vertex != N_VERTICES or stored["basis"].shape[0] != 3 * vertex:
        problem = f"has {vertex} vertices and a basis of {stored['basis'].shape}"
        raise InputError(path, problem, f"the Surrey model has {N_VERTICES} vertices")
    return assemble(
        path,
        topology=f"surrey-{N_VERTICES}",
        name="Surrey face model",
        neutral=stored["mean"],
        shape_basis=stored["basis"].reshape(vertex, 3, -1),
        shape_std=stored["sd"],
        expression_basis=np.moveaxis(stored["expression"], 0, -1),
        expression_names=stored.get("expression_names", ()),
        triangles=stored["triangles"],
        landmarks=stored["landmarks68"],
    )
