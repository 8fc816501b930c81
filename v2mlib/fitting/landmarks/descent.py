"""Gauss-Newton descent of a batch of faces, damped where it would not descend."""

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
from v2mlib.fitting.landmarks.pose import similarity_pose, weak_perspective_pose
from v2mlib.fitting.landmarks.solver import Groups, solve_alone, solve_shared

#: Standard deviation of the logarithm of an estimated focal length around its first guess.
FOCAL_LOG_SD = 0.47
#: A picture whose longer half-side is seen under 22.5 degrees.
FOCAL_OVER_HALF_SIDE = 2.414
#: Relative noise of a warm start, and its steps.
SOFT_NOISE, SOFT_STEPS = 0.01, 10
#: Steps after which the vertices of a sliding contour stay as they are.
SLIDING_STEPS = 10


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


def start(batch, model):
    """Begin with the mean face, posed in closed form.

    Parameters
    ----------
    batch : Batch
        The faces.
    model : Model
        The model and the settings.

    Returns
    -------
    tuple
        `Progress`, and which faces a mirrored one would fit better.
    """
    n, dtype = len(batch.points), batch.points.dtype
    mean = model.basis.mean.expand(n, -1, -1)
    mirrored = torch.zeros(n, dtype=torch.bool, device=mean.device)
    if model.camera.n_axes == 3:
        known = batch.log_scale if model.camera.rigid else None
        *pose, mirrored = similarity_pose(mean, batch.points, batch.weights, known)
    else:
        pose = weak_perspective_pose(mean, batch.points, batch.weights)
    coefficients = mean.new_zeros((n, model.basis.n_coefficients))
    log_focal = batch.log_focal.clone() if model.camera.perspective else None
    state = State(coefficients, *pose, log_focal)
    flags = torch.zeros((2, n), dtype=torch.bool, device=mean.device)
    steps = torch.zeros(n, dtype=torch.int64, device=mean.device)
    progress = Progress(state, torch.zeros(n, dtype=dtype, device=mean.device), steps, *flags, None)
    if model.contour is not None:
        progress = _slide(progress, model)[0]
        points = _model_points(progress, model)
        state = State(
            coefficients, *weak_perspective_pose(points, batch.points, batch.weights), None
        )
        progress = progress._replace(state=state)
    return progress, mirrored


def _slide(progress, model):
    choice = model.contour.select(progress.state)
    same = progress.choice is not None and (choice == progress.choice).all(1)
    return progress._replace(choice=choice), same


def _model_points(progress, model):
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
    points = _model_points(progress, model)
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


def _step(batch, progress, evaluation, model, sets):
    matrix, pull = equations(batch, progress, evaluation, model, sets)
    state, damping = progress.state, progress.damping
    if not model.shared:
        add_shape_prior(matrix, pull, state, model)
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    extra = diagonal * damping[:, None]
    diagonal += extra
    if not model.shared:
        step, failed = solve_alone(matrix, pull)
        return step, failed, (step * (pull + extra * step)).sum(1)
    groups = groups_of(batch, model)
    n = model.basis.n_shape
    shape = state.coefficients.new_zeros((groups.count, n))
    shape[groups.row] = state.coefficients[:, :n]
    prior = model.prior[:n]
    step, failed = solve_shared(matrix, pull, prior, shape, groups)
    promised = groups.total((step * (pull + extra * step)).sum(1))[groups.row]
    promised = promised - (prior * state.coefficients[:, :n] * step[:, :n]).sum(1)
    return step, failed, promised


def _damped(damping, before, after, promised, better):
    """Damping of the next step: more where less was gained than the quadratic model promised."""
    slack = 50 * torch.finfo(before.dtype).eps * before
    gain = (before - after + slack) / (promised + slack)
    more = torch.where(better, damping * 4, damping * 10).clamp(min=1e-2)
    less = torch.where(damping > 1e-4, damping / 10, torch.zeros_like(damping))
    changed = torch.where(gain > 0.75, less, damping)
    return torch.where(better & (gain > 0.4), changed, more)


def descend(batch, model):
    """Fit a batch of faces.

    Parameters
    ----------
    batch : Batch
        The faces.
    model : Model
        The model and the settings.

    Returns
    -------
    progress : Progress
        Aligned with the batch.
    mirrored : tensor of bool, (face,)
        Whether a mirrored face would fit better.
    """
    begun, mirrored = start(batch, model)
    if (batch.noise < SOFT_NOISE).any():
        # Landmarks that count as almost exact leave many valleys: go down a wide one first.
        soft = batch._replace(noise=batch.noise.clamp(min=SOFT_NOISE))
        warm = _run(soft, begun, model, min(SOFT_STEPS, model.config.max_iterations))
        begun = begun._replace(state=warm.state, choice=warm.choice)
    return _run(batch, begun, model, model.config.max_iterations), mirrored


def _run(batch, begun, model, n_steps):
    """Step until all faces are done, or `n_steps`; faces that are done leave the batch."""
    whole, progress = begun, begun
    active = torch.arange(len(batch.points), device=batch.points.device)
    for number in range(n_steps):
        progress, done = _iterate(batch, progress, model, number)
        if done.any() or number + 1 == n_steps:
            whole = _write(whole, active, progress)
            keep = (~done).nonzero()[:, 0]
            if not len(keep):
                break
            active, batch, progress = active[keep], batch.rows(keep), progress.rows(keep)
    return whole


def _write(whole, active, progress):
    whole.state.put(active, progress.state)
    for mine, theirs in zip(whole[1:], progress[1:], strict=True):
        if mine is not None:
            mine[active] = theirs
    return whole


def _iterate(batch, progress, model, number):
    """One step; also which faces (with all of their identity) are done."""
    settled = True
    if progress.choice is not None and number < SLIDING_STEPS:
        progress, settled = _slide(progress, model)
    now = evaluate(batch, progress, model)
    sets = row_sets(batch, progress, model)
    step, failed, promised = _step(batch, progress, now, model, sets)
    moved = progress._replace(state=progress.state.moved(step, model.camera))
    energy = evaluate(batch, moved, model).energy
    slack = 50 * torch.finfo(energy.dtype).eps
    better = (energy <= now.energy * (1 + slack)) & ~failed
    tolerance = model.config.tolerance or (1e-6 if energy.dtype == torch.float64 else 1e-3)
    n = model.basis.n_coefficients
    is_small = step[:, : n + 3].abs().amax(1) <= tolerance
    done = better & is_small & settled
    if model.shared:
        groups = groups_of(batch, model)
        done = (groups.total((~done).to(energy.dtype)) == 0)[groups.row]
    state = progress.state.chosen(better, moved.state)
    damping = _damped(progress.damping, now.energy, energy, promised, better)
    progress = Progress(state, damping, progress.iterations + 1, done, failed, progress.choice)
    # A face that no damping helps has stalled; it is given up as not converged.
    stalled = damping > 1e8
    return progress, done | stalled
