"""Measured lines of fitted faces, and how uncertain lines and vertices are."""

import numpy as np
import pandas as pd
import torch

from v2mlib.faces.lines import DIVISOR, RATIO_LINES, line_jacobian

#: Measures of a line, and the unit each is in.
MEASURES = ("length_mm", "ratio")


def measure_lines(shape_coefficients, model):
    """Measure all lines and ratios of faces.

    Parameters
    ----------
    shape_coefficients : array_like, (face, shape), standard deviations
        The faces.
    model : MorphableModel
        Names the lines.

    Returns
    -------
    DataFrame
        One row per face; columns are pairs (line, measure) of `MEASURES`: lengths of all
        corrected lines in mm, ratios to the outer interocular distance of the four that have one.
        No columns for a model without lines.
    """
    names = model.line_names()
    first, second = np.array([model.line(name) for name in names], dtype=int).reshape(-1, 2).T
    faces = torch.as_tensor(np.asarray(shape_coefficients), dtype=model.mean.dtype)
    gaps = model.decode(faces, vertices=first) - model.decode(faces, vertices=second)
    lengths = gaps.double().norm(dim=-1).cpu().numpy()  # (face, line)
    columns = {(name, MEASURES[0]): lengths[:, k] for k, name in enumerate(names)}
    for name in _ratio_lines(model):
        ratio = lengths[:, names.index(name)] / lengths[:, names.index(DIVISOR)]
        columns[name, MEASURES[1]] = ratio
    return pd.DataFrame(columns, index=range(len(faces)))


def line_uncertainties(identity, shape_coefficients, shape_covariance, model):
    """Lines of faces and their standard deviations, from the posterior of the coefficients.

    ``var = J C J'`` with the lines' derivatives ``J`` at each person's own face.

    Parameters
    ----------
    identity : sequence, (identity,)
        Whose faces.
    shape_coefficients : ndarray, (identity, shape), standard deviations
        Posterior means.
    shape_covariance : ndarray, (identity, shape, shape)
        Posterior covariances.
    model : MorphableModel
        Names the lines.

    Returns
    -------
    DataFrame
        One row per identity, line and measure: `identity`, `line`, `measure` (of `MEASURES`),
        `value`, `sd`, `population_sd` (of the model's population), `determined` (1 - sd² /
        population_sd²: 0 where the photographs say nothing, 1 where they say all).
    """
    values = measure_lines(shape_coefficients, model)
    population = np.sqrt((_jacobian(model) ** 2).sum(1))
    sd = np.empty(values.shape)
    for row, (mean, covariance) in enumerate(
        zip(shape_coefficients, shape_covariance, strict=True)
    ):
        slopes = _jacobian(model, mean)
        sd[row] = np.sqrt(np.einsum("ls,st,lt->l", slopes, covariance, slopes))
    n = len(values)
    table = pd.DataFrame(
        {
            "identity": np.repeat(np.asarray(identity), values.shape[1]),
            "line": [line for line, _ in values.columns] * n,
            "measure": [measure for _, measure in values.columns] * n,
            "value": values.to_numpy().ravel(),
            "sd": sd.ravel(),
            "population_sd": np.tile(population, n),
        }
    )
    return table.assign(determined=1 - (table["sd"] / table["population_sd"]) ** 2)


def vertex_uncertainty(shape_covariance, model):
    """How far each vertex of a fitted face may be off: what the photographs do not see.

    Parameters
    ----------
    shape_covariance : array_like, (shape, shape)
        Posterior of one face; the identity matrix for the population.
    model : MorphableModel
        The face model.

    Returns
    -------
    ndarray, (vertex,), mm
        Root mean square length of the displacement, ``sqrt(trace(B C B'))``.
    """
    basis = (model.shape_basis * model.shape_std).double().cpu().numpy()
    variance = np.einsum("vxs,st,vxt->v", basis, shape_covariance, basis, optimize=True)
    return np.sqrt(variance)


def _ratio_lines(model):
    known = model.line_names()
    return [name for name in RATIO_LINES if name in known] if DIVISOR in known else []


def _jacobian(model, at=None):
    """Derivatives (line and measure, shape) in the order of `measure_lines`."""
    at = None if at is None else torch.as_tensor(at, dtype=model.mean.dtype)
    slopes = [line_jacobian(model, model.line_names(), at=at)]
    if _ratio_lines(model):
        slopes.append(line_jacobian(model, _ratio_lines(model), ratio=True, at=at))
    return torch.cat(slopes).double().cpu().numpy()
