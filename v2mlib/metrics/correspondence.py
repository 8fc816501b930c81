"""Errors by correspondence: both faces share a topology, so every vertex knows its partner."""

import numpy as np
import torch

from v2mlib.checks import InputError
from v2mlib.faces.geometry import align as align_points
from v2mlib.faces.lines import RATIO_LINES, line_lengths
from v2mlib.metrics.pairs import as_pair


def vertex_rmse(predicted, reference, model, region=None, *, align=False):
    r"""Root-mean-square distance between corresponding vertices: the dense-correspondence error.

    :math:`\sqrt{\frac{1}{V} \sum_i \|p_i - r_i\|^2}`, after the rigid motion of the prediction
    that makes it smallest if `align`. Unlike a registered point-to-plane error it sees a vertex
    that slid along the surface.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology, without pose; their batch axes broadcast. Two of one
        kind: both tensors (gradients flow) or both arrays.
    model : MorphableModel
        Names the regions.
    region : str, optional
        Measure, and align, the vertices of this region only; all by default.
    align : bool
        Whether to move the prediction rigidly onto the reference first: never mirrored, never
        resized.

    Returns
    -------
    tensor or ndarray, (...,), mm
        The errors.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the model has no such region or it is empty, or a face is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> face = np.array([[0.0, 0, 0], [40, 0, 0], [0, 40, 0], [0, 0, 40]])
    >>> four = SimpleNamespace(name="made", topology="made", n_vertices=4)
    >>> float(vertex_rmse(face + [2.0, 0.0, 0.0], face, four))
    2.0
    >>> round(float(vertex_rmse(face + [2.0, 0.0, 0.0], face, four, align=True)), 6)
    0.0
    """
    predicted, reference, back = as_pair(predicted, reference, model)
    if region is not None:
        vertices = model.region(region).to(predicted.device)
        if len(vertices) < 3:
            raise InputError(
                f"region {region!r} of face model {model.name!r}",
                f"has {len(vertices)} vertices",
                "choose a region of at least 3",
            )
        predicted, reference = predicted[..., vertices, :], reference[..., vertices, :]
    if align:
        predicted = align_points(predicted, reference).aligned
    n_vertices = reference.shape[-2]
    return back(torch.linalg.vector_norm(predicted - reference, dim=(-2, -1)) / n_vertices**0.5)


def coefficient_rmse(predicted, reference, model, *, align=False):
    r"""`vertex_rmse` of faces given by shape coefficients, without decoding them.

    A face is linear in its coefficients, so sums over vertices are quadratic forms in them: with
    :math:`a` the coefficients after a leading 1 and :math:`B_{vx}` the model's rows,
    :math:`\sum_v p_{vx} r_{vy} = a_p^T (\sum_v B_{vx}^T B_{vy})\, a_r`. The best rigid motion
    follows from these 3 x 3 sums: it leaves :math:`|p|^2 + |r|^2 - 2 (s_1 + s_2 \pm s_3)` of the
    centred faces, :math:`s` their singular values.

    Parameters
    ----------
    predicted, reference : array_like, (face, shape), standard deviations
        Shape coefficients, row by row.
    model : MorphableModel
        What they are coefficients of.
    align : bool
        Whether to move the predictions rigidly first.

    Returns
    -------
    ndarray, (face,), mm
        The errors.

    References
    ----------
    Kabsch, Acta Cryst. A32 (1976), for the residual of the best rotation.
    """
    rows = (model.shape_basis * model.shape_std).double().cpu().numpy()  # (vertex, xyz, shape)
    apart = np.asarray(predicted, dtype=float) - np.asarray(reference, dtype=float)
    if not align:
        gram = np.einsum("vxs,vxt->st", rows, rows, optimize=True)
        squares = np.einsum("fs,st,ft->f", apart, gram, apart, optimize=True)
        return np.sqrt(squares.clip(0) / model.n_vertices)
    rows = np.concatenate([model.mean.double().cpu().numpy()[..., None], rows], axis=2)
    rows -= rows.mean(0)  # a rigid motion moves centres onto one another
    flat = rows.reshape(len(rows), -1)
    sums = (flat.T @ flat).reshape(3, rows.shape[2], 3, rows.shape[2])
    faces = [
        np.concatenate([np.ones((len(c), 1)), np.asarray(c, dtype=float)], axis=1)
        for c in (predicted, reference)
    ]
    spread = [np.einsum("fs,xsxt,ft->f", f, sums, f, optimize=True) for f in faces]
    products = np.einsum("fs,xsyt,ft->fxy", *(faces[0], sums, faces[1]), optimize=True)
    singular = np.linalg.svd(products, compute_uv=False)
    singular[:, 2] *= np.sign(np.linalg.det(products))  # proper: a face is never mirrored
    squares = spread[0] + spread[1] - 2 * singular.sum(1)
    return np.sqrt(squares.clip(0) / model.n_vertices)


def added_lines(model):
    """Names of the measured lines beyond the four that the published evaluation has.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Returns
    -------
    tuple of str
        The lines this face has: heights and depths (menton to sellion, nose length and
        projection, chin), widths of nose, mouth, jaw and cheekbones, and the outer interocular
        distance itself, which no ratio shows.
    """
    return tuple(name for name in model.line_names() if name not in RATIO_LINES)


def line_length_error(predicted, reference, model, names=None):
    r"""Absolute error of measured lines in mm.

    :math:`|\ell - \ell^*|`, the lengths by the corrected definition. Nothing is scaled: a
    voice that tells a face's size, which no ratio shows, is seen here.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes broadcast. Two of one kind.
    model : MorphableModel
        Names the vertices.
    names : sequence of str, optional
        The lines; by default `added_lines`: heights, depths and widths that the published
        evaluation lacks.

    Returns
    -------
    dict of str to tensor or ndarray, (...,), mm
        Error by line name.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the face model lacks one of the lines, or a face is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> face = np.array([[0.0, 60, 90], [0.0, -60, 90], [1, 2, 3], [4, 5, 6]])
    >>> made = SimpleNamespace(
    ...     name="made", topology="made", n_vertices=4, line=lambda name, definition: (0, 1))
    >>> error = line_length_error(1.1 * face, face, made, ["menton_sellion"])
    >>> round(float(error["menton_sellion"]), 6)
    12.0
    """
    names = added_lines(model) if names is None else tuple(names)
    predicted, reference, back = as_pair(predicted, reference, model)
    lengths = [line_lengths(face, model, names=names) for face in (predicted, reference)]
    return {name: back((lengths[0][name] - lengths[1][name]).abs()) for name in names}
