"""Errors of predicted faces, one row per identity, method and measure."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from v2mlib.checks import ShapeError
from v2mlib.faces.lines import DIVISOR
from v2mlib.metrics.face_rows import blocks_of, positions, tidy
from v2mlib.metrics.ratios import RATIO_LINES, absolute_ratio_error, line_jacobian

ARE_MEASURES = (*RATIO_LINES, "mean")
PUBLISHED = "published_"
LINKED = "linked_squared_error"
RMSE = "vertex_rmse_mm"


def linked_directions(model):
    """Directions of coefficient space in which the four corrected ratios change.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Returns
    -------
    ndarray, (shape, direction=4)
        Orthonormal columns that span the gradients of the ratios at the mean face.
    """
    gradients = line_jacobian(model, ratio=True).double().numpy()
    return np.linalg.svd(gradients, full_matrices=False)[2].T


def coefficient_errors(predicted, reference, model):
    """Every measure of predicted shape coefficients against the true ones.

    Parameters
    ----------
    predicted, reference : array_like, (face, shape), standard deviations
        Shape coefficients, row by row.
    model : MorphableModel
        What they are coefficients of.

    Returns
    -------
    DataFrame
        A row per face. Columns: the absolute ratio errors ``ear``, ``forehead``, ``midline``,
        ``cheek`` and their ``mean`` (corrected lines), the same after ``published_`` (where the
        face model has the published lines), ``linked_squared_error``, the squared distance
        within `linked_directions`, and ``vertex_rmse_mm``, the root-mean-square distance between
        corresponding vertices of the whole face, nothing aligned.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    """
    predicted, reference = (np.asarray(c, dtype=float) for c in (predicted, reference))
    if predicted.shape != reference.shape or predicted.ndim != 2:
        raise ShapeError(
            f"predicted has shape {predicted.shape}, reference {reference.shape}, "
            "expected the same (face, shape)"
        )
    definitions = {"": "corrected"}
    if all(line in model.published_lines for line in (DIVISOR, *RATIO_LINES)):
        definitions[PUBLISHED] = "published"
    # Only the lines' ends are decoded: a thousandth of the face.
    vertices, ends = _ends_of_lines(model, definitions.values())
    faces = [
        model.decode(torch.tensor(c, dtype=torch.float32), vertices=vertices)
        for c in (predicted, reference)
    ]
    columns = {}
    for prefix, definition in definitions.items():
        found = absolute_ratio_error(*faces, ends, definition)
        columns |= {prefix + line: found[line].double().numpy() for line in ARE_MEASURES}
    apart = predicted - reference
    columns[LINKED] = ((apart @ linked_directions(model)) ** 2).sum(axis=1)
    # |B z|**2 / V is a quadratic form in the coefficients: no face need be decoded.
    basis = (model.shape_basis * model.shape_std).double().flatten(0, 1).numpy()
    gram = basis.T @ basis / model.n_vertices
    columns[RMSE] = np.sqrt(np.einsum("fs,st,ft->f", apart, gram, apart).clip(0))
    return pd.DataFrame(columns)


def _ends_of_lines(model, definitions):
    """The vertices that the ratios need, and the model's lines among them."""
    pairs = {
        (name, definition): model.line(name, definition)
        for definition in definitions
        for name in (DIVISOR, *RATIO_LINES)
    }
    vertices = sorted({vertex for pair in pairs.values() for vertex in pair})
    place = {vertex: number for number, vertex in enumerate(vertices)}
    ends = SimpleNamespace(
        name=model.name,
        topology=f"{model.topology}, ends of lines",
        n_vertices=len(vertices),
        line=lambda name, definition: tuple(place[vertex] for vertex in pairs[name, definition]),
    )
    return vertices, ends


def score_methods(world, predictions, *, model=None, split="test"):
    """Errors of several methods on the identities of a world.

    Parameters
    ----------
    world : World
        The data set, with its true coefficients.
    predictions : mapping of str to array_like or DataFrame
        Shape coefficients by method. An array ``(identity, shape)`` has a row per identity of
        the split, in the order of ``world.identities``. A DataFrame has identities as its
        index, and several rows for an identity are its utterances.
    model : MorphableModel, optional
        The face model; the world's by default.
    split : str
        Which identities.

    Returns
    -------
    DataFrame
        ``identity``, ``sex``, ``method``, ``measure`` (the columns of `coefficient_errors`),
        ``error`` (of the coefficients averaged over the identity's utterances: the headline)
        and ``error_per_utterance`` (the mean of the utterances' errors, as the paper has it).

    Raises
    ------
    InputError
        If an identity of the split has no prediction.
    ShapeError
        If an array does not have a row for each identity.
    """
    if model is None:
        from v2mlib.faces import load_face_model

        model = load_face_model(world.face_model)
    chosen = (world.identities["split"] == split).to_numpy()
    identities = world.identities.loc[chosen, ["identity", "sex"]].reset_index(drop=True)
    reference = np.asarray(world.reference_coefficients, dtype=float)[chosen]
    blocks = []
    for method, coefficients in predictions.items():
        rows, position = _aligned(coefficients, identities["identity"], method)
        blocks += blocks_of(method, rows, position)
    errors = [coefficient_errors(b.faces, reference[b.position], model) for b in blocks]
    return tidy(blocks, errors, identities)


def _aligned(coefficients, identities, method):
    """Rows of coefficients of the wanted identities, and whose each is."""
    what = f"coefficients of {method}"
    if not isinstance(coefficients, pd.DataFrame):
        rows = np.asarray(coefficients, dtype=float)
        if rows.ndim != 2 or len(rows) != len(identities):
            raise ShapeError(
                f"{what} have shape {rows.shape}, expected (identity={len(identities)}, shape)"
            )
        return rows, np.arange(len(rows))
    wanted = coefficients.index.isin(identities)
    place = positions(coefficients.index[wanted], identities, what)
    return coefficients.to_numpy(dtype=float)[wanted], place
