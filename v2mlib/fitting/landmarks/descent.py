"""Gauss-Newton descent of a batch of faces, damped where it would not descend."""

import torch

from v2mlib.fitting.landmarks.energy import (
    Progress,
    add_shape_prior,
    equations,
    evaluate,
    groups_of,
    placed_points,
    row_sets,
)
from v2mlib.fitting.landmarks.normal import State
from v2mlib.fitting.landmarks.pose import similarity_pose, weak_perspective_pose
from v2mlib.fitting.landmarks.solver import solve_alone, solve_shared

#: Relative noise of a warm start, and its steps.
SOFT_NOISE, SOFT_STEPS = 0.01, 10
#: Steps after which the vertices of a sliding contour stay as they are.
SLIDING_STEPS = 10


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
        points = placed_points(progress, model)
        state = State(
            coefficients, *weak_perspective_pose(points, batch.points, batch.weights), None
        )
        progress = progress._replace(state=state)
    return progress, mirrored


def _slide(progress, model):
    choice = model.contour.select(progress.state)
    same = progress.choice is not None and (choice == progress.choice).all(1)
    return progress._replace(choice=choice), same


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
