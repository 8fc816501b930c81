"""The fast road: Gauss-Newton steps without sums over landmarks, in the few modes that matter.

Where all faces weigh their landmarks alike, a fit needs no sum over landmarks at all. With ``Z``
the mean face and the basis, centred, ``W = sum_l Z_l y_l^T`` (once per face) and the Gram
matrices of ``Z`` (once per model) give the exact gradient of coefficients, rotation and scale.

The matrix of a step may be approximate. The basis is turned to the principal axes of what
landmarks tell (and the prior stays a unit matrix): most modes are weak, the prior decides them,
and they enter by their diagonal alone. Only the strong ones and the pose are factorised.

Steps are not guarded here: faces that do not settle are left to `descent`.
"""

from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import PAIRS, view_products
from v2mlib.fitting.landmarks.descent import descend
from v2mlib.fitting.landmarks.energy import Progress
from v2mlib.fitting.landmarks.normal import State
from v2mlib.fitting.landmarks.pose import complete, rotate, similarity_pose, skew

#: Steps before a face is left to the other road.
MOST = 12
TOLERANCE = 1e-3
#: A last step that shows that a face was settling.
USABLE = 0.3


class _Sums(NamedTuple):
    """What the landmarks contribute, summed; fixed while a batch is fitted.

    ``products (face, axis * xyz, coefficient + 1)`` of landmarks and model, ``precision (face,)``.
    """

    products: torch.Tensor
    precision: torch.Tensor


class _Now(NamedTuple):
    """Parameters under way: ``extended (face, 1 + coefficient)`` begins with a 1."""

    extended: torch.Tensor
    rotation: torch.Tensor
    log_scale: torch.Tensor

    def moved(self, step):
        n = self.extended.shape[1] - 1
        extended = self.extended.clone()
        extended[:, 1:] += step[:, :n]
        log_scale = self.log_scale + step[:, -1].clamp(-0.5, 0.5)
        return _Now(extended, rotate(self.rotation, step[:, n : n + 3]), log_scale)


def quick(batch, table, known):
    """Fit faces fast, unguarded.

    Parameters
    ----------
    batch : Batch
        Faces whose landmarks are weighted as in the table, in single precision.
    table : Table
        Of the model.
    known : Model
        The model and the settings.

    Returns
    -------
    state : State
        The parameters.
    settled : tensor of bool, (face,)
        Whether the last step was below the tolerance.
    usable : tensor of bool, (face,)
        Whether there is no use in trying another road.
    iterations : tensor of int64, (face,)
        Steps taken.
    mirrored : tensor of bool, (face,)
        Whether a mirrored face would fit better.
    """
    n_axes = known.camera.n_axes
    tolerance = known.config.tolerance or TOLERANCE
    middle = (table.share[:, None] * batch.points).sum(1)
    points = batch.points - middle[:, None]
    products = (points.mT @ table.extended).unflatten(-1, (3, -1)).flatten(1, 2)
    sums = _Sums(products, batch.noise**-2)
    rotation, log_scale, mirrored = _start(points, table)
    extended = points.new_zeros((len(points), len(table.stacked)))
    extended[:, 0] = 1
    now = _Now(extended, rotation, log_scale)
    whole = _Now(*(part.clone() for part in now))
    steps = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    settled, usable = torch.zeros_like(mirrored), torch.zeros_like(mirrored)
    active = torch.arange(len(points), device=points.device)
    for number in range(1, min(known.config.max_iterations, MOST) + 1):
        step = _step(sums, now, table, n_axes)
        now = now.moved(step)
        last = step[:, :-1].abs().amax(1)
        done = last <= tolerance
        is_last = number in (known.config.max_iterations, MOST)
        if not is_last and done.sum() * 4 < len(done):
            continue  # not worth sorting out
        for mine, theirs in zip(whole, now, strict=True):
            mine[active] = theirs
        settled[active], steps[active], usable[active] = done, number, last <= USABLE
        keep = (~done).nonzero()[:, 0]
        if not len(keep):
            break
        active, now = active[keep], _Now(*(part[keep] for part in now))
        sums = _Sums(*(part[keep] for part in sums))
    # Out of steps: a face that was settling is as good as the other road would make it.
    usable = settled | (usable & (steps >= known.config.max_iterations))
    return _state(whole, middle, table, n_axes), settled, usable, steps, mirrored


def _state(now, middle, table, n_axes):
    """The parameters as `descent` has them, with the shift that was eliminated."""
    extended, rotation, log_scale = now
    origin = table.centre[0] + extended[:, 1:] @ table.centre[1:]
    seen = (rotation[:, :n_axes] @ origin[..., None])[..., 0]
    shift = middle - log_scale.exp()[:, None] * seen
    return State(extended[:, 1:] @ table.mixing, rotation, log_scale, shift, None)


def _pull(sums, now, table, n_axes):
    """Minus half the gradient (face, K + 4): coefficients, turn, scale."""
    extended, rotation, log_scale = now
    axes = log_scale.exp()[:, None, None] * rotation[:, :n_axes]
    grown = (extended @ table.stacked).unflatten(1, (-1, extended.shape[1]))  # (face, pair, K + 1)
    seen = (sums.products @ extended[..., None])[..., 0].unflatten(1, (n_axes, 3))
    force = seen.mT @ axes  # sum x (A^T y)^T
    if n_axes == 2:
        spread = axes.mT @ axes  # (face, 3, 3)
        mix = torch.stack([spread[:, a, b] for a, b in PAIRS], -1)
        moment = (grown @ extended[..., None])[..., 0] @ table.unfold
        force = force - moment.unflatten(1, (3, 3)) @ spread
    else:
        mix = (2 * log_scale).exp()[:, None]
        # A moment turns nothing in three dimensions; of its pull only the trace counts.
        trace = (grown[:, 0] * extended).sum(1) * mix[:, 0]
    inside = (mix[:, None] @ grown)[:, 0]
    pull = (axes.flatten(1)[:, None] @ sums.products)[:, 0] - inside
    pose = force.flatten(1) @ table.twist
    if n_axes == 3:
        pose[:, 3] -= trace
    pull = torch.cat([pull[:, 1:], pose], 1) * sums.precision[:, None]
    pull[:, : extended.shape[1] - 1] -= extended[:, 1:]
    return pull


def _step(sums, now, table, n_axes):
    """Step (face, K + 4): coefficients, turn, scale."""
    pull = _pull(sums, now, table, n_axes)
    extended, rotation, log_scale = now
    n = extended.shape[1] - 1
    n_weak = table.weak.shape[1]
    n_strong = n - n_weak
    points = (extended @ table.basis).unflatten(1, (-1, 3))
    turned = torch.cat([-skew(points), points[..., None]], -1)  # (face, landmark, xyz, 4)
    factor = (sums.precision * (2 * log_scale).exp())[:, None]
    mix = torch.cat([torch.ones_like(factor), factor], 1)
    seen = turned
    if n_axes == 2:
        plane = rotation[:, :2]
        seen = (plane.mT @ plane)[:, None] @ turned
        mix = torch.cat([mix, view_products(rotation[:, 2]) * -factor], 1)
    weighted = seen * (table.weights * factor)[..., None, None]
    strong = table.basis[1 : n_strong + 1]
    crossed = weighted.permute(0, 3, 1, 2).flatten(2) @ strong.T  # (face, 4, D)
    matrix = (mix @ table.inner).unflatten(1, (n_strong + 4, n_strong + 4))
    matrix[:, n_strong:, :n_strong] = crossed
    matrix[:, n_strong:, n_strong:] = weighted.flatten(1, 2).mT @ turned.flatten(1, 2)
    lower = torch.linalg.cholesky_ex(matrix)[0]  # which reads the lower triangle only
    right = torch.cat([pull[:, :n_strong], pull[:, n:]], 1)
    solved = torch.cholesky_solve(right[..., None], lower)[..., 0]
    weak = pull[:, n_strong:n] / (mix @ table.weak)
    return torch.cat([solved[:, :n_strong], weak, solved[:, n_strong:]], 1)


def _start(points, table):
    """Weak perspective pose of the mean face from the affine map."""
    if points.shape[-1] == 3:
        mean = table.basis[:1].unflatten(1, (-1, 3)).expand_as(points)
        weights = table.weights.expand(len(points), -1)
        rotation, log_scale, _, mirrored = similarity_pose(mean, points, weights)
        return rotation, log_scale, mirrored
    affine = (table.pose @ points).mT  # (face, axis, 3)
    square = affine @ affine.mT
    a, b, c = square[:, 0, 0], square[:, 1, 1], square[:, 0, 1]
    root = (a * b - c * c).clamp(min=0).sqrt()
    double = (a + b + 2 * root).sqrt()
    inverse = torch.stack([b + root, -c, -c, a + root], -1).unflatten(-1, (2, 2))
    inverse = inverse / (root * double).clamp(min=1e-12)[:, None, None]
    log_scale = (double / 2).clamp(min=1e-6).log()
    return complete(inverse @ affine), log_scale, torch.zeros_like(root, dtype=torch.bool)


def descend_quickly(batch, table, known):
    """Fit a batch on the fast road, and those that do not settle by `descend`.

    Parameters
    ----------
    batch : Batch
        The faces.
    table : Table
        Of the model.
    known : Model
        The model and the settings.

    Returns
    -------
    progress : Progress
        Aligned with the batch.
    mirrored : tensor of bool, (face,)
        Whether a mirrored face would fit better.
    """
    alike = (batch.weights == table.weights).all(1)
    state, settled, usable, steps, mirrored = quick(batch, table, known)
    damping = torch.zeros_like(batch.noise)
    progress = Progress(state, damping, steps, settled, torch.zeros_like(settled), None)
    rest = (~(usable & alike)).nonzero()[:, 0]
    if len(rest):
        slow, mirrored[rest] = descend(batch.rows(rest), known)
        state.put(rest, slow.state)
        for mine, theirs in zip(progress[1:5], slow[1:5], strict=True):
            mine[rest] = theirs
    return progress, mirrored
