"""The fast road: Newton-like steps whose matrices are tabulated by viewing direction.

Where all faces weigh their landmarks alike, a fit needs no sum over landmarks at all. With ``Z``
the mean face and the basis, centred, ``W = sum_l Z_l y_l^T`` (once per face) and the Gram
matrices of ``Z`` (once per model) give the exact gradient of coefficients, rotation and scale.

The matrix of the first step is that of the mean face, seen from the nearest of a grid of
directions. Pose eliminated, it is ``prior + k G`` where only ``k`` differs from face to face, so
that one eigendecomposition per direction serves all faces seen from there. Later steps take the
exact normal matrix of a state just passed, several steps one matrix.

Steps are not guarded here: faces that do not settle are left to `descent`.
"""

import math
import weakref
from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import PAIRS, view_products
from v2mlib.fitting.landmarks.descent import Progress, descend
from v2mlib.fitting.landmarks.normal import State
from v2mlib.fitting.landmarks.pose import complete, rotate, skew

#: Angle between neighbouring directions of the grid, radians.
SPACING = math.radians(8)
#: Steps that share one matrix, in turn: the first exact matrix is of a state still moving.
CHORDS = (1, 3, 3, 4)
TOLERANCE = 1e-3
#: A last step that shows that a face was settling.
USABLE = 0.3
#: Fewer faces are not worth a table.
FEWEST = 32


class Table(NamedTuple):
    """What the fast road knows of a model with given weights; K coefficients, prior 1.

    Attributes
    ----------
    stacked : tensor, (K + 1, pair * (K + 1))
        Gram matrices of mean and basis by pair of axes (three dimensions: their trace).
    extended : tensor, (landmark, xyz * (K + 1))
        Mean and basis, centred, times the weights.
    centre : tensor, (K + 1, xyz)
        What was subtracted to centre them.
    root_prior : tensor, (K,)
        Coefficients were multiplied by it.
    pose : tensor, (xyz, landmark)
        Landmarks to the affine map from the mean face.
    share, weights : tensor, (landmark,)
        Weights, and the same with sum 1.
    directions : tensor, (direction, xyz)
        The grid.
    basis : tensor, (K + 1, landmark * xyz)
        Mean and basis, centred.
    inner : tensor, (2 + pair, (K + 4)^2)
        See `_roomy`.
    unfold, twist : tensor
        See `_unfold` and `_twist`.
    double : tuple
        What `_make_steps` needs, in double precision.
    steps : dict of int to Steps
        Filled as directions are met.
    """

    stacked: torch.Tensor
    extended: torch.Tensor
    centre: torch.Tensor
    root_prior: torch.Tensor
    pose: torch.Tensor
    share: torch.Tensor
    directions: torch.Tensor
    basis: torch.Tensor
    weights: torch.Tensor
    inner: torch.Tensor
    unfold: torch.Tensor
    twist: torch.Tensor
    double: tuple
    steps: dict


class Steps(NamedTuple):
    """Of one direction: ``matrix (K + 4, K)``, ``values (K,)``, ``pose (4, 4)``."""

    matrix: torch.Tensor
    values: torch.Tensor
    pose: torch.Tensor


def tabulate(known, weights):
    """Make a table; `known` a `Model` in double precision, `weights (landmark,)`."""
    basis, n_axes = known.basis, known.camera.n_axes
    share = weights / weights.sum()
    mean_point = share @ basis.mean
    root = known.prior.sqrt()
    moved = basis.basis / root[:, None, None]
    drift = share @ moved  # (K, 3), of the centre
    extended = torch.cat([(basis.mean - mean_point)[None], moved - drift[:, None]])  # (K+1, L, 3)
    weighted = extended * weights[:, None]
    by_axis, by_axis_w = extended.movedim(-1, 0), weighted.movedim(-1, 0)
    grams = []
    for a, b in PAIRS:
        product = by_axis[a] @ by_axis_w[b].T
        grams.append(product if a == b else product + product.T)
    grams = torch.stack(grams)
    cross = torch.einsum("alc,bld->cdab", weighted, extended)  # (3, 3, K+1, K+1)
    mean = extended[0]
    used = grams if n_axes == 2 else grams[:3].sum(0, keepdim=True)
    moments = (mean * weights[:, None]).T @ mean
    pose = torch.linalg.inv(moments) @ (mean * weights[:, None]).T  # (3, L)
    dtype = torch.float32
    return Table(
        used.permute(1, 0, 2).flatten(1).to(dtype).contiguous(),
        weighted.permute(1, 2, 0).flatten(1).to(dtype).contiguous(),
        torch.cat([mean_point[None], drift]).to(dtype),
        root.to(dtype),
        pose.to(dtype),
        share.to(dtype),
        _grid(n_axes).to(dtype),
        extended.flatten(1).to(dtype),
        weights.to(dtype),
        _roomy(grams, n_axes).to(dtype),
        _unfold().to(dtype),
        _twist().to(dtype),
        (grams, cross, mean, weights, n_axes),
        {},
    )


def _roomy(grams, n_axes):
    """Prior, trace and pairs (1 + 1 + pair, (K + 4)^2) of the basis, with room for the pose."""
    inner = torch.cat([grams[:3].sum(0, keepdim=True), grams[: 6 * (n_axes == 2)]])[:, 1:, 1:]
    n = inner.shape[-1]
    roomy = inner.new_zeros((len(inner) + 1, n + 4, n + 4))
    roomy[0, :n, :n] = torch.eye(n, dtype=inner.dtype)
    roomy[1:, :n, :n] = inner
    return roomy.flatten(1)


def _unfold():
    """Map (6, 9) from sums over symmetrised pairs to a symmetric matrix."""
    unfold = torch.zeros(6, 3, 3)
    for pair, (a, b) in enumerate(PAIRS):
        unfold[pair, a, b] = unfold[pair, b, a] = 1.0 if a == b else 0.5
    return unfold.flatten(1)


def _twist():
    """Map (9, 4) from ``sum x f^T`` to the torque ``sum x x f`` and the trace."""
    axes = torch.eye(3)
    turns = skew(axes).mT  # (i, j, k): i of x_j f_k is e_i . (e_j x e_k)
    return torch.cat([turns.flatten(1), axes.reshape(1, 9)]).T


def _grid(n_axes):
    """Directions about evenly spaced over the sphere (Fibonacci); one where none matters."""
    if n_axes == 3:
        return torch.tensor([[0.0, 0.0, 1.0]])
    count = round(4 * math.pi / SPACING**2)
    k = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / count
    angle = k * math.pi * (3 - math.sqrt(5))
    radius = (1 - z**2).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


def _steps(table, number):
    if number not in table.steps:
        table.steps[number] = _make_steps(table, table.directions[number].double())
    return table.steps[number]


def _make_steps(table, direction):
    grams, cross, mean, weights, n_axes = table.double
    plane = torch.eye(3, dtype=torch.float64)
    if n_axes == 2:
        direction = direction / direction.norm()
        plane = plane - torch.outer(direction, direction)
        inner = grams[:3].sum(0) - torch.einsum(
            "p,pab->ab", view_products(direction[None])[0], grams
        )
    else:
        inner = grams[:3].sum(0)
    turned = torch.cat([-skew(mean), mean[..., None]], -1)  # (L, 3, 4): turn, scale
    seen = plane @ turned
    # sum_l w B_l^T P (e_p x m_l) by the products of basis and mean.
    levi = -skew(torch.eye(3, dtype=torch.float64)).permute(1, 2, 0)  # (i, p, c): (e_p x m)_i
    maps = torch.cat([levi, torch.eye(3, dtype=torch.float64)[:, None]], 1)  # (3, 4, 3)
    maps = torch.einsum("ai,ipc->apc", plane, maps)
    coupling = torch.einsum("apc,ack->kp", maps, cross[:, :, 1:, 0].permute(0, 1, 2))
    own = torch.einsum("l,lxp,lxq->pq", weights, seen, seen)
    ratio = torch.linalg.solve(own, coupling.T)  # (4, K)
    values, vectors = torch.linalg.eigh(inner[1:, 1:] - coupling @ ratio)
    matrix = torch.cat([vectors, -ratio @ vectors])
    parts = matrix, values.clamp(min=0), torch.linalg.inv(own)
    return Steps(*(part.to(table.stacked.dtype).contiguous() for part in parts))


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

    A tabulated step from the mean face, then steps with the exact normal matrix of a state just
    passed.

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
    step = _tabulated_step(table, rotation, _pull(sums, now, table, n_axes), sums, log_scale)
    now, whole = now.moved(step), now.moved(step)
    steps = torch.ones(len(points), dtype=torch.int64, device=points.device)
    settled, usable = torch.zeros_like(mirrored), torch.zeros_like(mirrored)
    active = torch.arange(len(points), device=points.device)
    taken = 1
    for n_chords in CHORDS:
        factor = _factor(sums, now, table, n_axes)
        for _ in range(min(n_chords, known.config.max_iterations - taken)):
            pull = _pull(sums, now, table, n_axes)
            step = torch.cholesky_solve(pull[..., None], factor)[..., 0]
            now = now.moved(step)
            taken += 1
        for mine, theirs in zip(whole, now, strict=True):
            mine[active] = theirs
        last = step[:, :-1].abs().amax(1)
        done = last <= tolerance
        settled[active], steps[active], usable[active] = done, taken, last <= USABLE
        keep = (~done).nonzero()[:, 0]
        if not len(keep) or taken >= known.config.max_iterations:
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
    return State(extended[:, 1:] / table.root_prior, rotation, log_scale, shift, None)


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


def _factor(sums, now, table, n_axes):
    """Cholesky factor (face, K + 4, K + 4) of the normal matrix, prior 1."""
    extended, rotation, log_scale = now
    n = extended.shape[1] - 1
    points = (extended @ table.basis).unflatten(1, (-1, 3))
    turned = torch.cat([-skew(points), points[..., None]], -1)  # (face, landmark, xyz, 4)
    factor = sums.precision * (2 * log_scale).exp()
    mix = factor[:, None]
    seen = turned
    if n_axes == 2:
        plane = rotation[:, :2]
        seen = (plane.mT @ plane)[:, None] @ turned
        mix = torch.cat([mix, view_products(rotation[:, 2]) * -mix], 1)
    weighted = seen * (table.weights * factor[:, None])[..., None, None]
    crossed = weighted.permute(0, 3, 1, 2).flatten(2) @ table.basis[1:].T  # (face, 4, K)
    own = weighted.flatten(1, 2).mT @ turned.flatten(1, 2)
    # The table's matrices have room for the pose; its first is the prior.
    flat = torch.cat([torch.ones_like(mix[:, :1]), mix], 1) @ table.inner
    matrix = flat.unflatten(1, (n + 4, n + 4))
    matrix[:, n:, :n] = crossed
    matrix[:, n:, n:] = own
    return torch.linalg.cholesky_ex(matrix)[0]  # which reads the lower triangle only


def _tabulated_step(table, rotation, right, sums, log_scale):
    """Steps (face, K + 4) with the matrix of the mean face from the nearest direction."""
    factor = sums.precision * (2 * log_scale).exp()
    n = len(table.stacked) - 1
    nearest = (rotation[:, 2] @ table.directions.T).argmax(1)
    sorted_bins, order = torch.sort(nearest)
    bins, counts = torch.unique_consecutive(sorted_bins, return_counts=True)
    right = right[order]
    factor = factor[order]
    out = torch.empty_like(right)
    begin = 0
    for number, count in zip(bins.tolist(), counts.tolist(), strict=True):
        part = slice(begin, begin + count)
        steps = _steps(table, number)
        inner = right[part] @ steps.matrix
        inner /= 1 + factor[part, None] * steps.values
        torch.mm(inner, steps.matrix.T, out=out[part])
        out[part, n:] += right[part, n:] @ steps.pose / factor[part, None]
        begin += count
    result = torch.empty_like(out)
    result[order] = out
    return result


def _start(points, table):
    """Weak perspective pose of the mean face from the affine map."""
    affine = (table.pose @ points).mT  # (face, axis, 3)
    if affine.shape[1] == 3:
        left, spread, right = torch.linalg.svd(affine)
        sign = torch.linalg.det(left @ right).sign()
        proper = torch.ones_like(spread)
        proper[:, 2] = sign
        scale = (spread * proper).mean(1).clamp(min=1e-6)
        return (left * proper[:, None]) @ right, scale.log(), sign < 0
    square = affine @ affine.mT
    a, b, c = square[:, 0, 0], square[:, 1, 1], square[:, 0, 1]
    root = (a * b - c * c).clamp(min=0).sqrt()
    double = (a + b + 2 * root).sqrt()
    inverse = torch.stack([b + root, -c, -c, a + root], -1).unflatten(-1, (2, 2))
    inverse = inverse / (root * double).clamp(min=1e-12)[:, None, None]
    log_scale = (double / 2).clamp(min=1e-6).log()
    return complete(inverse @ affine), log_scale, torch.zeros_like(root, dtype=torch.bool)


#: Tables of models that are still in use; the last of each.
_TABLES = weakref.WeakKeyDictionary()


def quick_table(model, batch, known, problem):
    """Make the table where the fast road serves, or take the last one; else None.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    batch : Batch
        All faces.
    known : Model
        The model and the settings.
    problem : sequence of str
        Faces with a text are left out.

    Returns
    -------
    Table or None
        None where faces weigh landmarks differently, share a shape, slide, are few, need double
        precision or a perspective camera.
    """
    camera, config = known.camera, known.config
    is_special = camera.perspective or camera.rigid or known.shared or config.robust is not None
    if is_special or known.contour is not None or known.prior.min() <= 0:
        return None
    fine = torch.tensor([not text for text in problem], device=batch.points.device)
    if batch.points.dtype != torch.float32 or fine.sum() < FEWEST:
        return None
    weights = batch.weights[fine]
    common = weights.median(0).values
    # Faces that lack landmarks go the other road; not worth it if most do.
    if (common <= 0).any() or (weights == common).all(1).sum() < FEWEST:
        return None
    key = (camera.n_axes, tuple(common.tolist()))
    key = (*key, config.shape_prior, config.expression_prior, common.device)
    tables = _TABLES.setdefault(model, {})
    if key not in tables:
        basis = known.basis.to(torch.float64)
        known = known._replace(basis=basis, prior=known.prior.double())
        tables.clear()
        tables[key] = tabulate(known, common.double())
    return tables[key]


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
