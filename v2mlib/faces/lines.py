"""Measured lines of a face: lengths, ratios, and their derivatives by the shape coefficients.

A line joins two named vertices. The four ratios divide a line by the outer interocular distance,
so they do not change when a face is moved, turned or scaled.
"""

import torch

from v2mlib.faces.geometry import require_vertices

DIVISOR = "outer_interocular"
"""The line that every ratio is divided by."""

RATIO_LINES = ("ear", "forehead", "midline", "cheek")
"""The lines whose ratios make up the mean absolute ratio error."""


def line_lengths(vertices, model, definition="corrected", *, names=None):
    """Lengths of the measured lines.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology.
    model : MorphableModel
        Names the vertices.
    definition : {"corrected", "published", "published_substitute"}
        Which vertex pairs; see `MorphableModel.line`.
    names : sequence of str, optional
        The lines to measure; by default all that the definition has on this face.

    Returns
    -------
    dict of str to tensor or ndarray, (...,), mm
        Length by line name, of the same kind as `vertices`.

    Raises
    ------
    ShapeError
        If the vertices are not of the model's topology.
    InputError
        If the face lacks a line that was asked for.
    """
    require_vertices(vertices, model, "vertices")
    names = model.line_names(definition) if names is None else names
    return dict(zip(names, _columns(_lengths(vertices, model, names, definition)), strict=True))


def line_ratios(vertices, model, definition="corrected", *, names=RATIO_LINES):
    """Lines divided by the outer interocular distance.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), any unit
        Faces in the model's topology.
    model : MorphableModel
        Names the vertices.
    definition : {"corrected", "published", "published_substitute"}
        Which vertex pairs; see `MorphableModel.line`.
    names : sequence of str
        The lines to divide; the four of the published evaluation by default.

    Returns
    -------
    dict of str to tensor or ndarray, (...,)
        Ratio by line name, of the same kind as `vertices`.

    Raises
    ------
    ShapeError
        If the vertices are not of the model's topology.
    InputError
        If the face lacks a line that was asked for.
    """
    require_vertices(vertices, model, "vertices")
    lengths = _lengths(vertices, model, (*names, DIVISOR), definition)
    return dict(zip(names, _columns(lengths[..., :-1] / lengths[..., -1:]), strict=True))


def line_jacobian(model, names=None, definition="corrected", *, ratio=False, at=None):
    """Derivative of lines by the standardised shape coefficients, in closed form.

    With ``d`` the vector from one end to the other and ``D`` its derivative, the length changes
    by ``d @ D / |d|``; a ratio ``q = length / o`` by ``(dlength - q do) / o``.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    names : sequence of str, optional
        The lines; by default all that the definition has (the four ratios if `ratio`).
    definition : {"corrected", "published", "published_substitute"}
        Which vertex pairs; see `MorphableModel.line`.
    ratio : bool
        Whether to differentiate the line's ratio to the outer interocular distance.
    at : tensor or array_like, (shape,), standard deviations, optional
        Coefficients to differentiate at; the mean face by default.

    Returns
    -------
    tensor, (line, shape), mm (or 1, for ratios) per standard deviation
        One row per name, in the order given.

    Raises
    ------
    InputError
        If the face lacks a line that was asked for.
    """
    if names is None:
        names = RATIO_LINES if ratio else model.line_names(definition)
    asked = (*names, DIVISOR) if ratio else tuple(names)
    first, second = _ends(model, asked, definition)
    at = torch.zeros(model.n_shape) if at is None else at
    joining = model.decode(at, vertices=second) - model.decode(at, vertices=first)  # (line, xyz)
    turning = (model.shape_basis[second] - model.shape_basis[first]) * model.shape_std
    lengths = torch.linalg.vector_norm(joining, dim=-1, keepdim=True)
    slopes = torch.einsum("lx,lxs->ls", joining / lengths, turning)
    if not ratio:
        return slopes
    ratios = lengths[:-1] / lengths[-1]
    return (slopes[:-1] - ratios * slopes[-1]) / lengths[-1]


def _ends(model, names, definition):
    pairs = [model.line(name, definition) for name in names]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _lengths(vertices, model, names, definition):
    first, second = _ends(model, names, definition)
    # Written in operations that numpy and torch share.
    return ((vertices[..., first, :] - vertices[..., second, :]) ** 2).sum(-1) ** 0.5


def _columns(table):
    return [table[..., column] for column in range(table.shape[-1])]
