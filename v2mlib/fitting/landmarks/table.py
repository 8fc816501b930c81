"""Tables of the fast road: a model's Gram matrices, and steps by viewing direction."""

import math
import weakref
from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import PAIRS, view_products
from v2mlib.fitting.landmarks.pose import skew

#: Angle between neighbouring directions of the grid, radians.
SPACING = math.radians(8)
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
    """Make a table.

    Parameters
    ----------
    known : Model
        The model and the settings, in double precision.
    weights : tensor, (landmark,)
        Common to all faces.

    Returns
    -------
    Table
        In single precision, without steps yet.
    """
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


def tabulated_step(table, rotation, pull, factor):
    """Step with the matrix of the mean face, seen from the nearest direction.

    Parameters
    ----------
    table : Table
        Of the model.
    rotation : tensor, (face, 3, 3)
        Pose.
    pull : tensor, (face, K + 4)
        Minus half the gradient.
    factor : tensor, (face,)
        Squared scale over squared noise.

    Returns
    -------
    tensor, (face, K + 4)
        Coefficients, turn, logarithm of the scale.
    """
    n = len(table.stacked) - 1
    nearest = (rotation[:, 2] @ table.directions.T).argmax(1)
    sorted_bins, order = torch.sort(nearest)
    bins, counts = torch.unique_consecutive(sorted_bins, return_counts=True)
    right = pull[order]
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
    if is_special or known.contour is not None or not (known.prior > 0).all():
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
