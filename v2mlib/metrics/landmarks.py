"""Normalised mean error: how far the 68 landmarks of a predicted face are off."""

import torch

from v2mlib.checks import InputError
from v2mlib.faces.geometry import align as align_points
from v2mlib.faces.lines import DIVISOR
from v2mlib.metrics.pairs import as_pair

NME_DEFINITIONS = ("mean", "published")
"""Definitions of the normalised mean error; their figures do not compare."""


def normalised_mean_error(predicted, reference, model, definition="mean", align=False):
    r"""Normalised mean error (NME) of the 68 landmarks.

    With landmarks :math:`p_i` and :math:`r_i`, and the width and height of the box that holds
    *all* vertices of the reference in x and y:

    .. math::

        \text{mean} = \frac{\frac{1}{68} \sum_i \|p_i - r_i\|}{\sqrt{\text{width} \cdot
        \text{height}}}, \qquad
        \text{published} = \frac{\sqrt{\sum_i \|s\,p_i - r_i\|^2}}{\sqrt{\text{width} \cdot
        \text{height}}}

    ``mean`` is the usual one. ``published`` is what the released evaluation computes: it takes
    the norm over all landmarks together, which for equal distances is sqrt(68) = 8.2 times
    their mean, and first scales the whole prediction about the origin by *s*, the reference's
    published outer interocular distance over the prediction's. Because of this scaling it
    depends on where the origin lies: moving both faces together changes it.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology, without pose; their batch axes broadcast. Two of one
        kind: both tensors (gradients flow) or both arrays.
    model : MorphableModel
        Names the landmarks.
    definition : {"mean", "published"}
        Which of the two.
    align : bool
        Whether to move the (scaled) landmarks rigidly onto the reference's first, least
        squares: never mirrored, never resized. Off in the published evaluation.

    Returns
    -------
    tensor or ndarray, (...,)
        Errors in units of the face's size.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the model lacks landmarks, or the published line for ``published``; if a face is not
        finite or has no extent.

    References
    ----------
    Wu et al., "Voice2Mesh", Table 2.

    Examples
    --------
    Every landmark 3 mm off, on a face of 200 by 50 mm:

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> face = np.zeros((70, 3))
    >>> face[0] = 200.0, 50.0, 0.0
    >>> points = SimpleNamespace(
    ...     name="made", n_vertices=70, landmark_vertices=lambda: torch.arange(68))
    >>> round(float(normalised_mean_error(face + [0, 0, 3.0], face, points)), 3)
    0.03
    """
    if definition not in NME_DEFINITIONS:
        choices = ", ".join(NME_DEFINITIONS)
        raise InputError(f"definition {definition!r}", "is unknown", f"choose from {choices}")
    vertices = model.landmark_vertices()
    predicted, reference, back = as_pair(predicted, reference, model)
    vertices = vertices.to(predicted.device)
    extent = reference[..., :2].amax(-2) - reference[..., :2].amin(-2)
    size = _positive(extent.prod(-1), "reference faces", "a width or height of 0") ** 0.5
    points, goals = predicted[..., vertices, :], reference[..., vertices, :]
    if definition == "published":
        points = points * _published_scale(predicted, reference, model)[..., None, None]
    if align:
        points = align_points(points, goals).aligned
    # vector_norm, because the derivative of sqrt at 0 would be infinite for identical faces.
    if definition == "published":
        return back(torch.linalg.vector_norm(points - goals, dim=(-2, -1)) / size)
    return back(torch.linalg.vector_norm(points - goals, dim=-1).mean(-1) / size)


def _published_scale(predicted, reference, model):
    """How much larger the reference is, by the released evaluation's ruler."""
    first, second = model.line(DIVISOR, "published")
    lengths = {}
    for name, face in (("predicted", predicted), ("reference", reference)):
        length = torch.linalg.vector_norm(face[..., first, :] - face[..., second, :], dim=-1)
        lengths[name] = _positive(length, f"{name} faces", "an outer interocular distance of 0")
    return lengths["reference"] / lengths["predicted"]


def _positive(values, what, lack):
    if not (values > 0).all():
        raise InputError(
            what,
            f"have {lack} ({int((values <= 0).sum())} of {values.numel()} faces)",
            "leave out the faces that were not made",
        )
    return values
