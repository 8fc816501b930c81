"""Load the phantom face's artefact as a morphable model."""

import functools

import numpy as np
from scipy import sparse

from v2mlib.checks import InputError
from v2mlib.faces.model import MorphableModel
from v2mlib.faces.phantom.controls import NAMES as CONTROL_NAMES
from v2mlib.faces.phantom.expressions import EXPRESSIONS
from v2mlib.paths import shipped

TOPOLOGY = "phantom"
EXPRESSION_STD = 0.5

__all__ = ["CONTROL_NAMES", "EXPRESSIONS", "phantom_model"]


@functools.cache
def phantom_model():
    """The phantom face.

    Shape coefficients are standardised over the 50/50 mixture of sexes (identity covariance).
    Expressions have standard deviation 0.5: a standardised coefficient of 2 is the full
    expression, 0 the neutral face; only values from 0 to 2 are meant (a jaw cannot open
    backwards).

    Returns
    -------
    MorphableModel
        Cached. Extras: ``sex_direction (shape,)``, half the male minus female difference in
        standardised coefficients; ``controls_to_coefficients (shape, control)``, standardised
        coefficients per within-sex sd of each named length (`CONTROL_NAMES`), the other lengths
        unchanged; ``gloss (vertex,)`` and ``occlusion (vertex,)`` of the mean face, for
        `v2mlib.faces.rendering.render`.

    Raises
    ------
    InputError
        If the artefact is missing or was written by another version.
    """
    path = shipped("phantom_face.npz")
    with np.load(path, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    if str(stored.get("format")) != "v2mlib phantom face 1":
        raise InputError(path, "was written by another version", "run the build module again")
    count = len(stored["matrix_indptr"]) - 1
    cage = stored["cage"]
    matrix = sparse.csr_matrix(
        (stored["matrix_data"], stored["matrix_indices"].astype(np.int32), stored["matrix_indptr"]),
        shape=(count, len(cage)),
    )

    def expand(fields):
        flat = matrix @ fields.reshape(len(fields), -1)
        return flat.reshape(count, *fields.shape[1:])

    def group(prefix):
        return {n.removeprefix(prefix): a for n, a in stored.items() if n.startswith(prefix)}

    return MorphableModel(
        mean=expand(cage),
        shape_basis=expand(stored["shape"]),
        expression_basis=expand(stored["expression"]),
        shape_std=np.ones(stored["shape"].shape[-1], np.float32),
        expression_std=np.full(len(EXPRESSIONS), EXPRESSION_STD, np.float32),
        triangles=stored["triangles"].astype(np.int64),
        landmarks=stored["landmarks"].astype(np.int64),
        lines={name: tuple(pair) for name, pair in group("line/").items()},
        published_lines={name: tuple(pair) for name, pair in group("published/").items()},
        regions={name: members.astype(np.int64) for name, members in group("region/").items()},
        colours=stored["colours"].astype(np.float32) / 255,
        topology=TOPOLOGY,
        name="phantom",
        extras={
            "sex_direction": stored["sex_direction"],
            "controls_to_coefficients": stored["controls_to_coefficients"],
            "gloss": stored["gloss"].astype(np.float32) / 255,
            "occlusion": stored["occlusion"].astype(np.float32) / 255,
        },
    )
