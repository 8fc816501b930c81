"""Landmarks under way to a fit: batches, residuals, objective and normal equations."""

from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import LandmarkBasis, gram_matrices
from v2mlib.fitting.landmarks.config import FitConfig
from v2mlib.fitting.landmarks.normal import (
    Camera,
    Rows,
    State,
    camera_columns,
    normal_equations,
    project,
)
from v2mlib.fitting.landmarks.solver import Groups

#: Standard deviation of the logarithm of an estimated focal length around its first guess.
FOCAL_LOG_SD = 0.47


class Batch(NamedTuple):
    """Faces that are fitted together, in units of each face's size.

    ``points (face, landmark, axis)``, ``weights (face, landmark)``, ``noise (face,)``,
    ``log_focal (face,)`` the first guess, ``log_scale (face,)`` of a rigid fit, ``row (face,)``
    the identity.
    """

    points: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor
    log_focal: torch.Tensor
    log_scale: torch.Tensor
    row: torch.Tensor

    def rows(self, index):
        """Some of the faces.

        Parameters
        ----------
        index : tensor
            Indices or a mask.

        Returns
        -------
        Batch
            These.
        """
        return Batch(*(part[index] for part in self))


class Model(NamedTuple):
    """What the descent knows of the model and the settings.

    ``prior (coefficient,)`` precisions; ``contour`` is a `Contour` or None.
    """

    basis: LandmarkBasis
    prior: torch.Tensor
    camera: Camera
    config: FitConfig
    contour: object
    shared: bool


class Progress(NamedTuple):
    """Where a batch stands; tensors over its faces.

    ``damping``, ``iterations``, ``converged``, ``failed (face,)``; ``choice (face, contour)`` of a
    sliding contour, else None.
    """

    state: State
    damping: torch.Tensor
    iterations: torch.Tensor
    converged: torch.Tensor
    failed: torch.Tensor
    choice: torch.Tensor | None

    def rows(self, index):
        """Some of the faces.

        Parameters
        ----------
        index : tensor
            Indices or a mask.

        Returns
        -------
        Progress
            These.
        """
        choice = None if self.choice is None else self.choice[index]
        return Progress(self.state.rows(index), *(part[index] for part in self[1:5]), choice)


class Evaluation(NamedTuple):
    """Residuals and objective at a state.

    ``model_points``, ``projection``, ``residual (face, landmark, axis)``, ``weights`` (with the
    robust ones), ``energy (face,)`` (summed over an identity, the same for all its faces).
    """

    model_points: torch.Tensor
    projection: object
    residual: torch.Tensor
    weights: torch.Tensor
    energy: torch.Tensor


def placed_points(progress, model):
    """Landmarks of the model, the sliding ones at their candidates.

    Parameters
    ----------
    progress : Progress
        Where the faces stand.
    model : Model
        The model and the settings.

    Returns
    -------
    tensor, (face, landmark, xyz=3)
        In units of the basis.
    """
    points = model.basis.points(progress.state.coefficients)
    if progress.choice is not None:
        points = model.contour.place(points, progress.state.coefficients, progress.choice)
    return points


def evaluate(batch, progress, model):
    """Residuals and objective.

    Parameters
    ----------
    batch : Batch
        The faces.
    progress : Progress
        Where they stand.
    model : Model
        The model and the settings.

    Returns
    -------
    Evaluation
        At the present state.
    """
    state, config = progress.state, model.config
    points = placed_points(progress, model)
    projection = project(points, state, model.camera)
    residual = batch.points - projection.points
    squared = (residual**2).sum(-1) / batch.noise[:, None] ** 2
    weights, loss = batch.weights, squared
    if config.robust is not None:
        distance = squared.sqrt()
        ratio = config.robust / distance.clamp(min=config.robust)
        weights = weights * ratio
        loss = torch.where(ratio < 1, config.robust * (2 * distance - config.robust), squared)
    penalty = model.prior * state.coefficients**2
    n = model.basis.n_shape
    energy = (batch.weights * loss).sum(1) + penalty[:, n:].sum(1)
    if model.camera.estimate_focal:
        energy = energy + ((state.log_focal - batch.log_focal) / FOCAL_LOG_SD) ** 2
    if model.shared:
        groups = groups_of(batch, model)
        energy = groups.total(energy)[groups.row]
    energy = energy + penalty[:, :n].sum(1)
    return Evaluation(points, projection, residual, weights, energy)


def groups_of(batch, model):
    """Find the identities of a batch.

    Parameters
    ----------
    batch : Batch
        The faces.
    model : Model
        The model and the settings.

    Returns
    -------
    Groups
        Which faces belong together.
    """
    names, row = torch.unique(batch.row, return_inverse=True)
    return Groups(row, len(names), model.basis.n_shape)


def row_sets(batch, progress, model):
    """Sort landmarks by how they enter the normal equations.

    Parameters
    ----------
    batch : Batch
        The faces.
    progress : Progress
        Where they stand.
    model : Model
        The model and the settings.

    Returns
    -------
    list of Rows
        Those weighted alike, and the others; not the sliding ones.
    """
    alike = (batch.weights == batch.weights[:1]).all(0)
    if model.camera.perspective or model.config.robust is not None:
        alike = torch.zeros_like(alike)
    slides = torch.zeros_like(alike)
    if progress.choice is not None:
        slides[model.contour.rows] = True
    sets = []
    for chosen, use_grams in ((alike & ~slides, True), (~alike & ~slides, False)):
        index = chosen.nonzero()[:, 0]
        if len(index):
            part = model.basis._replace(
                mean=model.basis.mean[index], basis=model.basis.basis[:, index]
            )
            grams = gram_matrices(part, batch.weights[0, index]) if use_grams else None
            sets.append(Rows(index, part.basis.flatten(1), grams))
    return sets


def equations(batch, progress, evaluation, model, sets):
    """Normal equations of each face, with all priors but the shape's.

    Parameters
    ----------
    batch : Batch
        The faces.
    progress : Progress
        Where they stand.
    evaluation : Evaluation
        At the present state.
    model : Model
        The model and the settings.
    sets : list of Rows
        From `row_sets`.

    Returns
    -------
    tuple of tensor
        Matrix (face, parameter, parameter) and minus half the gradient.
    """
    state, camera = progress.state, model.camera
    columns, by_point = camera_columns(
        evaluation.model_points, evaluation.projection, state, camera
    )
    precision = batch.noise**-2
    sets = list(sets)
    if progress.choice is not None:
        basis = model.contour.basis_of(progress.choice)
        sets.append(Rows(model.contour.rows, basis, None))
    parts = [
        normal_equations(
            rows, columns, by_point, evaluation.residual, evaluation.weights, precision, state,
            camera,
        )
        for rows in sets
    ]  # fmt: skip
    matrix = sum(part[0] for part in parts)
    pull = sum(part[1] for part in parts)
    n_shape, n = model.basis.n_shape, model.basis.n_coefficients
    matrix.diagonal(dim1=1, dim2=2)[:, n_shape:n] += model.prior[n_shape:]
    pull[:, n_shape:n] -= model.prior[n_shape:] * state.coefficients[:, n_shape:]
    if camera.estimate_focal:
        matrix[:, -1, -1] += FOCAL_LOG_SD**-2
        pull[:, -1] -= (state.log_focal - batch.log_focal) / FOCAL_LOG_SD**2
    return matrix, pull


def add_shape_prior(matrix, pull, state, model):
    """Add the shape's prior to the equations of faces that share nothing, in place.

    Parameters
    ----------
    matrix, pull : tensor
        From `equations`.
    state : State
        The present one.
    model : Model
        The model and the settings.
    """
    n_shape = model.basis.n_shape
    matrix.diagonal(dim1=1, dim2=2)[:, :n_shape] += model.prior[:n_shape]
    pull[:, :n_shape] -= model.prior[:n_shape] * state.coefficients[:, :n_shape]
