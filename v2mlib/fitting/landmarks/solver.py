"""Solving the normal equations: one face at a time, or faces that share a shape.

Faces of one identity have the shape in common and everything else to themselves. The own part of
each face is eliminated (Schur complement), the reduced matrices are added up by identity, and the
own parts follow by substitution: batched, without a loop over identities.
"""

from typing import NamedTuple

import torch


class Groups(NamedTuple):
    """Which faces share a shape: ``row (face,)``, ``count`` identities, ``n_shape`` unknowns."""

    row: torch.Tensor
    count: int
    n_shape: int

    def total(self, values):
        """Sum by identity.

        Parameters
        ----------
        values : tensor, (face, ...)
            One per face.

        Returns
        -------
        tensor, (identity, ...)
            Their sums.
        """
        summed = values.new_zeros((self.count, *values.shape[1:]))
        return summed.index_add_(0, self.row, values)


def factor(matrix):
    """Cholesky factors of positive matrices, after scaling their diagonal to 1.

    Parameters
    ----------
    matrix : tensor, (..., n, n)
        Symmetric.

    Returns
    -------
    lower : tensor, (..., n, n)
        Of the scaled matrix.
    scale : tensor, (..., n)
        ``matrix = diag(1/scale) lower lower^T diag(1/scale)``.
    failed : tensor of bool, (...,)
        Whether a matrix was not positive within rounding; its factor is that of the identity.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    eps = torch.finfo(matrix.dtype).eps
    scale = diagonal.clamp(min=torch.finfo(matrix.dtype).tiny * 1e4).rsqrt()
    scaled = matrix * scale[..., None] * scale[..., None, :]
    lower, info = torch.linalg.cholesky_ex(scaled)
    failed = (info != 0) | ~torch.isfinite(lower).all(-1).all(-1)
    failed |= lower.diagonal(dim1=-2, dim2=-1).amin(-1) < 4 * eps**0.5
    if failed.any():
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        lower = torch.where(failed[..., None, None], eye, lower)
    return lower, scale, failed


def solve(lower, scale, right):
    """Solve with a factor.

    Parameters
    ----------
    lower, scale : tensor
        From `factor`.
    right : tensor, (..., n, column)
        Right-hand sides.

    Returns
    -------
    tensor, (..., n, column)
        The solutions.
    """
    return scale[..., None] * torch.cholesky_solve(scale[..., None] * right, lower)


def solve_alone(matrix, pull):
    """Steps of faces that share nothing.

    Parameters
    ----------
    matrix, pull : tensor
        Each face's equations.

    Returns
    -------
    tuple
        Steps (face, parameter), and which could not be solved.
    """
    lower, scale, failed = factor(matrix)
    return solve(lower, scale, pull[..., None])[..., 0], failed


def reduce_to_shape(matrix, pull, groups):
    """Eliminate the own part of each face and add up by identity.

    Parameters
    ----------
    matrix, pull : tensor
        Each face's equations.
    groups : Groups
        Which faces belong together.

    Returns
    -------
    tuple
        Reduced matrix (identity, shape, shape), reduced pull (identity, shape), coupling
        ``own^-1 own_shape`` (face, own, shape), ``own^-1 own_pull`` (face, own), failed (face,).
    """
    n = groups.n_shape
    lower, scale, failed = factor(matrix[:, n:, n:])
    right = torch.cat([matrix[:, n:, :n], pull[:, n:, None]], -1)
    solved = solve(lower, scale, right)
    coupling, own = solved[..., :n], solved[..., n]
    across = matrix[:, :n, n:]
    reduced = groups.total(matrix[:, :n, :n] - across @ coupling)
    reduced_pull = groups.total(pull[:, :n] - (across @ own[..., None])[..., 0])
    return reduced, reduced_pull, coupling, own, failed


def solve_shared(matrix, pull, shape_prior, shape, groups):
    """Steps of faces that share a shape.

    Parameters
    ----------
    matrix, pull : tensor, (face, parameter, parameter) and (face, parameter)
        Each face's equations, with the prior of all but the shape.
    shape_prior : tensor, (shape,)
        Precision of the shape's prior, which counts once per identity.
    shape : tensor, (identity, shape)
        Present shape.
    groups : Groups
        Which faces belong together.

    Returns
    -------
    step : tensor, (face, parameter)
        The shape's part is the same within an identity.
    failed : tensor of bool, (face,)
        Whether the equations could not be solved.
    """
    reduced, reduced_pull, coupling, own, failed = reduce_to_shape(matrix, pull, groups)
    reduced = reduced + torch.diag(shape_prior)
    lower, scale, bad = factor(reduced)
    shape_step = solve(lower, scale, (reduced_pull - shape_prior * shape)[..., None])[..., 0]
    at_face = shape_step[groups.row]
    own_step = own - (coupling @ at_face[..., None])[..., 0]
    any_failed = groups.total(failed.to(matrix.dtype)) > 0
    return torch.cat([at_face, own_step], 1), (any_failed | bad)[groups.row]
