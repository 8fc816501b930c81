"""What the fast road knows of a model whose landmarks all faces weigh alike."""

import weakref
from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import PAIRS
from v2mlib.fitting.landmarks.pose import skew

#: Fewer faces are not worth a table.
FEWEST = 8
#: Modes whose landmarks tell less than this share of what the prior does count as weak.
WEAK = 0.1


class Table(NamedTuple):
    """A model in its landmarks' own modes; K coefficients, the prior's precision 1, D strong.

    Attributes
    ----------
    stacked : tensor, (K + 1, pair * (K + 1))
        Gram matrices of mean and basis by pair of axes (three dimensions: their trace).
    extended : tensor, (landmark, xyz * (K + 1))
        Mean and basis, centred, times the weights.
    centre : tensor, (K + 1, xyz)
        What was subtracted to centre them.
    mixing : tensor, (K, coefficient)
        From these modes to the model's coefficients.
    pose : tensor, (xyz, landmark)
        Landmarks to the affine map from the mean face.
    share, weights : tensor, (landmark,)
        Weights, and the same with sum 1.
    basis : tensor, (K + 1, landmark * xyz)
        Mean and basis, centred.
    inner : tensor, (2 + pair, (D + 4)^2)
        Prior, trace and pairs of the strong modes' Gram matrices, with room for the pose.
    weak : tensor, (2 + pair, K - D)
        Prior, trace and pairs of the weak modes, diagonals only.
    unfold : tensor, (6, 9)
        From sums over symmetrised pairs to a symmetric matrix.
    twist : tensor, (9, 4)
        From ``sum x f^T`` to the torque and the trace.
    """

    stacked: torch.Tensor
    extended: torch.Tensor
    centre: torch.Tensor
    mixing: torch.Tensor
    pose: torch.Tensor
    share: torch.Tensor
    weights: torch.Tensor
    basis: torch.Tensor
    inner: torch.Tensor
    weak: torch.Tensor
    unfold: torch.Tensor
    twist: torch.Tensor


def tabulate(known, weights, precision):
    """Make a table.

    Parameters
    ----------
    known : Model
        The model and the settings, in double precision.
    weights : tensor, (landmark,)
        Common to all faces.
    precision : float
        One over the squared noise of a typical face: decides which modes are weak.

    Returns
    -------
    Table
        In single precision.
    """
    basis, n_axes = known.basis, known.camera.n_axes
    share = weights / weights.sum()
    centre = share @ basis.mean
    root = known.prior.sqrt()
    moved = basis.basis / root[:, None, None]
    centred = moved - (share @ moved)[:, None]
    flat = (centred * weights[:, None].sqrt()).flatten(1)
    strength, modes = torch.linalg.eigh(flat @ flat.T)
    strength, modes = strength.flip(0), modes.flip(1)  # (K, mode), the strongest first
    extended = torch.cat([(basis.mean - centre).flatten()[None], modes.T @ centred.flatten(1)])
    extended = extended.unflatten(1, (-1, 3))  # (K + 1, landmark, xyz)
    weighted = extended * weights[:, None]
    grams = _grams(extended, weighted)
    mean = extended[0]
    moments = (mean * weights[:, None]).T @ mean
    used = grams if n_axes == 2 else grams[:3].sum(0, keepdim=True)
    parts = Table(
        stacked=used.permute(1, 0, 2).flatten(1),
        extended=weighted.permute(1, 2, 0).flatten(1),
        centre=torch.cat([centre[None], modes.T @ (share @ moved)]),
        mixing=modes.T / root,
        pose=torch.linalg.inv(moments) @ (mean * weights[:, None]).T,
        share=share,
        weights=weights,
        basis=extended.flatten(1),
        **_inner(grams, n_axes, int((strength * precision > WEAK).sum())),
        unfold=_unfold().to(share),
        twist=_twist().to(share),
    )
    return Table(*(part.float().contiguous() for part in parts))


def _grams(extended, weighted):
    """Gram matrices (pair, K + 1, K + 1), symmetrised as in `basis.gram_matrices`."""
    by_axis, by_axis_w = extended.movedim(-1, 0), weighted.movedim(-1, 0)
    grams = []
    for a, b in PAIRS:
        product = by_axis[a] @ by_axis_w[b].T
        grams.append(product if a == b else product + product.T)
    return torch.stack(grams)


def _inner(grams, n_axes, n_strong):
    """Matrices of the strong modes with room for the pose, and diagonals of the weak ones."""
    total = grams[:3].sum(0, keepdim=True)
    inner = torch.cat([torch.zeros_like(total), total, grams[: 6 * (n_axes == 2)]])[:, 1:, 1:]
    inner[0] = torch.eye(inner.shape[1]).to(inner)
    room = inner.new_zeros((len(inner), n_strong + 4, n_strong + 4))
    room[:, :n_strong, :n_strong] = inner[:, :n_strong, :n_strong]
    weak = inner.diagonal(dim1=1, dim2=2)[:, n_strong:]
    return {"inner": room.flatten(1), "weak": weak}


def _unfold():
    unfold = torch.zeros(6, 3, 3)
    for pair, (a, b) in enumerate(PAIRS):
        unfold[pair, a, b] = unfold[pair, b, a] = 1.0 if a == b else 0.5
    return unfold.flatten(1)


def _twist():
    axes = torch.eye(3)
    turns = skew(axes).mT  # (i, j, k): component i of e_j x e_k
    return torch.cat([turns.flatten(1), axes.reshape(1, 9)]).T


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
    if not len(known.prior) or batch.points.dtype != torch.float32:
        return None
    fine = torch.tensor([not text for text in problem], device=batch.points.device)
    if fine.sum() < FEWEST:
        return None
    common = batch.weights[fine].median(0).values
    # Faces that lack landmarks go the other road; not worth it if most do.
    if (common <= 0).any() or (batch.weights == common).all(1).sum() < FEWEST:
        return None
    precision = float(batch.noise[fine].median()) ** -2
    key = camera.n_axes, tuple(common.tolist()), round(precision, 3), common.device
    key = (*key, config.shape_prior, config.expression_prior)
    tables = _TABLES.setdefault(model, {})
    if key not in tables:
        basis = known.basis.to(torch.float64)
        known = known._replace(basis=basis, prior=known.prior.double())
        tables.clear()
        tables[key] = tabulate(known, common.double(), precision)
    return tables[key]
