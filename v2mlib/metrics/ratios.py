"""Absolute ratio error: how far the proportions of a predicted face are off."""

import torch

from v2mlib.checks import InputError
from v2mlib.faces.lines import RATIO_LINES, line_jacobian, line_lengths, line_ratios
from v2mlib.metrics.pairs import as_pair

__all__ = [
    "RATIO_LINES",
    "absolute_ratio_error",
    "line_jacobian",
    "line_lengths",
    "line_ratios",
]


def absolute_ratio_error(predicted, reference, model, definition="corrected"):
    """Absolute ratio error (ARE) of predicted faces.

    ``|ratio - ratio*|`` for each of the ear, forehead, midline and cheek lines, where a ratio is
    the line's length over the outer interocular distance. Moving, turning or scaling a face
    changes nothing, so nothing is aligned.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes broadcast, so that one mean face can be
        held against many references. Two of one kind: both tensors or both arrays.
    model : MorphableModel
        Names the vertices.
    definition : {"corrected", "published", "published_substitute"}
        Lines between mirrored anatomical points, or those of the released evaluation, whose
        divisor ends on the cheek and whose midline is slanted. Figures of the two do not
        compare. The last replaces a vertex that the topology lacks by its neighbour.

    Returns
    -------
    dict of str to tensor or ndarray, (...,)
        Error by line name, and their average under ``"mean"``.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology, or their batch axes do not broadcast.
    InputError
        If the face model lacks one of the lines, or a face is not finite or has no extent.

    References
    ----------
    Wu et al., "Voice2Mesh", Table 1.

    Examples
    --------
    A face whose cheek line is a tenth of the divisor longer, all else equal:

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> points = np.zeros((10, 3))
    >>> points[1::2, 0] = 100.0  # five lines of 100 mm
    >>> lines = ("outer_interocular", "ear", "forehead", "midline", "cheek")
    >>> pairs = {name: (2 * i, 2 * i + 1) for i, name in enumerate(lines)}
    >>> face = SimpleNamespace(n_vertices=10, line=lambda name, definition: pairs[name])
    >>> wider = points + 0.0
    >>> wider[9, 0] = 110.0
    >>> error = absolute_ratio_error(wider, points, face)
    >>> {name: round(float(value), 3) for name, value in error.items()}
    {'ear': 0.0, 'forehead': 0.0, 'midline': 0.0, 'cheek': 0.1, 'mean': 0.025}
    """
    predicted, reference, back = as_pair(predicted, reference, model)
    ratios = [
        _finite_ratios(face, model, definition, name)
        for face, name in ((predicted, "predicted"), (reference, "reference"))
    ]
    errors = abs(ratios[0] - ratios[1])
    by_line = {name: back(errors[..., column]) for column, name in enumerate(RATIO_LINES)}
    return {**by_line, "mean": back(errors.mean(-1))}


def _finite_ratios(face, model, definition, name):
    by_line = line_ratios(face, model, definition)
    ratios = torch.stack([by_line[line] for line in RATIO_LINES], -1)
    if not torch.isfinite(ratios).all():
        raise InputError(
            f"{name} faces",
            "have an outer interocular distance of 0",
            "leave out the faces that were not made",
        )
    return ratios
