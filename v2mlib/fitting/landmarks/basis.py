"""A morphable model at its landmarks: points, basis, and the six Gram matrices of the basis."""

from typing import NamedTuple

import torch

#: Pairs of axes of the Gram matrices, in order.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


class LandmarkBasis(NamedTuple):
    """The model at some vertices, in units of `unit_mm`, centred on `origin`.

    Attributes
    ----------
    mean : tensor, (landmark, xyz=3)
        Of the mean face.
    basis : tensor, (coefficient, landmark, xyz=3)
        Displacement by one standard deviation of each coefficient: shape, then expression.
    origin : tensor of float64, (xyz=3,), mm
        Subtracted from all points, so that a rotation hardly moves the face.
    unit_mm : float, mm
        Length that counts as 1.
    n_shape : int
        How many of the coefficients are of shape.
    """

    mean: torch.Tensor
    basis: torch.Tensor
    origin: torch.Tensor
    unit_mm: float
    n_shape: int

    @property
    def n_coefficients(self):
        """Shape and expression coefficients together."""
        return self.basis.shape[0]

    def points(self, coefficients):
        """Landmarks of faces.

        Parameters
        ----------
        coefficients : tensor, (face, coefficient)
            Standard deviations.

        Returns
        -------
        tensor, (face, landmark, xyz=3)
            In units of `unit_mm`, about `origin`.
        """
        moved = coefficients @ self.basis.flatten(1)
        return self.mean + moved.unflatten(1, (-1, 3))

    def to(self, dtype):
        """The same in another precision.

        Parameters
        ----------
        dtype : torch.dtype
            Floating type.

        Returns
        -------
        LandmarkBasis
            Of that type.
        """
        return self._replace(mean=self.mean.to(dtype), basis=self.basis.to(dtype))


def landmark_basis(model, vertices, device):
    """Take a model at some vertices.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    vertices : tensor of int64, (landmark,)
        Which vertices.
    device : torch.device
        Where to compute.

    Returns
    -------
    LandmarkBasis
        In double precision.
    """
    vertices = vertices.to(model.mean.device)
    mean = model.mean[vertices].to(device=device, dtype=torch.float64)
    parts = [
        getattr(model, f"{part}_basis")[vertices].double() * getattr(model, f"{part}_std").double()
        for part in ("shape", "expression")
    ]
    basis = torch.cat(parts, -1).permute(2, 0, 1).to(device)
    origin = mean.mean(0)
    extent = (mean.amax(0) - mean.amin(0))[:2]
    unit = float(extent.prod().sqrt())
    return LandmarkBasis(
        (mean - origin) / unit, basis.contiguous() / unit, origin, unit, model.n_shape
    )


class Grams(NamedTuple):
    """Sums over landmarks of products of the basis, weighted alike in all faces.

    Attributes
    ----------
    total : tensor, (coefficient, coefficient)
        ``sum_l w_l B_l^T B_l`` over all three axes.
    pairs : tensor, (6, coefficient * coefficient)
        ``sum_l w_l B_la^T B_lb`` for the pairs of axes, symmetrised: with these
        ``sum_l w_l B_l^T (I - r r^T) B_l = total - sum_p (r r^T)_p pairs_p``.
    """

    total: torch.Tensor
    pairs: torch.Tensor


def gram_matrices(basis, weights):
    """Gram matrices of the basis at landmarks whose weights all faces share.

    Parameters
    ----------
    basis : LandmarkBasis
        The model at its landmarks.
    weights : tensor, (landmark,)
        Weight of each landmark.

    Returns
    -------
    Grams
        Of shape (6, ...) by pair of axes.
    """
    by_axis = basis.basis.movedim(-1, 0)  # (xyz, coefficient, landmark)
    pairs = []
    for a, b in PAIRS:
        product = (by_axis[a] * weights) @ by_axis[b].T
        pairs.append(product if a == b else product + product.T)
    total = pairs[0] + pairs[1] + pairs[2]
    return Grams(total, torch.stack(pairs).flatten(1))


def view_products(direction):
    """Products of a vector's components, in the order of `PAIRS`.

    Parameters
    ----------
    direction : tensor, (face, xyz=3)
        Vectors.

    Returns
    -------
    tensor, (face, 6)
        One column per pair.
    """
    return torch.stack([direction[:, a] * direction[:, b] for a, b in PAIRS], -1)
