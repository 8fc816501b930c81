"""Losses over all vertices of a mesh, at the price of its coefficients.

Vertices are linear in a face's coefficients (Eq. 1), so squared distances between meshes are
quadratic forms in the difference of two coefficient vectors. Their matrix, the Gram matrix of
the model's columns, is as wide as there are coefficients (51 with the mean face), whatever the
number of vertices: the same value and the same gradient for a thousandth of the time.
"""

import torch
from torch import nn

from v2mlib.checks import InputError, check_shape


class MeshRoots(nn.Module):
    """Square roots of the Gram matrices of a morphable model, one per coordinate.

    The coefficients of a face become a vector `u` of the mean face's factor (1, or the scale of
    the pose), the shape and the expression; all vertices' x are ``columns[x] @ u``. With
    ``columns[x].T @ columns[x] = root[x].T @ root[x]`` the distance between two faces' x over
    all vertices is ``norm(root[x] @ (u - u'))``. Roots, unlike the Gram matrices themselves,
    can round no square below 0.

    Parameters
    ----------
    model : MorphableModel
        Whose faces are compared.

    Attributes
    ----------
    roots : tensor, (column, 3 x column), mm
        The three roots, transposed, side by side. A last column stands for a shift of all
        vertices by 1 mm.
    n_vertices : int
        Of the mesh.

    References
    ----------
    Wu et al., "Voice2Mesh", Eq. 1.
    """

    def __init__(self, model):
        super().__init__()
        columns = torch.cat(
            [
                model.mean[:, :, None],
                model.shape_basis * model.shape_std,
                model.expression_basis * model.expression_std,
                torch.ones_like(model.mean[:, :, None]),
            ],
            dim=2,
        )
        columns = columns.double().transpose(0, 1)  # (xyz, vertex, column)
        values, vectors = torch.linalg.eigh(columns.mT @ columns)
        roots = values.clamp_min(0).sqrt()[:, :, None] * vectors.mT
        beside = roots.flatten(0, 1).T.contiguous()  # one product instead of three
        self.register_buffer("roots", beside.to(model.mean), persistent=False)
        self.n_vertices = model.n_vertices
        self.sizes = (model.n_shape, model.n_expression)

    def vectors(self, coefficients, scale=None):
        """Write faces as vectors in which vertices are linear.

        Parameters
        ----------
        coefficients : Coefficients of tensor, (batch, shape) and (batch, expression)
            Standardised.
        scale : tensor, (batch,), optional
            Factor on all vertices; 1 by default.

        Returns
        -------
        tensor, (batch, column)
            With a 0 for the shift.

        Raises
        ------
        ShapeError
            If the coefficients are not the model's.
        """
        shape, expression = coefficients
        for part, name, size in zip(
            (shape, expression), ("shape", "expression"), self.sizes, strict=True
        ):
            check_shape(part, {"batch": None, name: size}, f"{name} coefficients")
        one = torch.ones_like(shape[:, :1])
        vector = torch.cat([one, shape, expression], 1)
        if scale is not None:
            vector = vector * scale[:, None]
        return torch.cat([vector, torch.zeros_like(one)], 1)

    def squares(self, gap):
        """Sum squared distances over all vertices, coordinate by coordinate.

        Parameters
        ----------
        gap : tensor, (batch, column)
            Difference of two faces' `vectors`.

        Returns
        -------
        tensor, (batch, xyz=3), mm^2
            Sums over the vertices.
        """
        # Small matrices, and differences of large numbers within them: never in half precision.
        with torch.autocast(gap.device.type, enabled=False):
            moved = gap.to(self.roots) @ self.roots
            return moved.unflatten(1, (3, -1)).square().sum(2)


class VertexLoss(MeshRoots):
    """Mean squared distance between the vertices of two faces of a model.

    Examples
    --------
    >>> from v2mlib.faces import load_face_model
    >>> model = load_face_model("phantom")
    >>> loss = VertexLoss(model)
    >>> one = (torch.zeros(1, model.n_shape), torch.zeros(1, model.n_expression))
    >>> other = (torch.ones(1, model.n_shape), torch.zeros(1, model.n_expression))
    >>> apart = model.decode(one[0]) - model.decode(other[0])
    >>> torch.isclose(loss(one, other), apart.square().sum(2).mean())
    tensor(True)
    """

    def forward(self, predicted, reference, *, predicted_scale=None, reference_scale=None):
        """Compare faces.

        Parameters
        ----------
        predicted, reference : Coefficients of tensor, (batch, shape) and (batch, expression)
            Standardised.
        predicted_scale, reference_scale : tensor, (batch,), optional
            Factors on all vertices; the released code's vertices carry the scale of the pose.

        Returns
        -------
        tensor, (), mm^2
            The mean over vertices and faces; a third of it is the mean over all coordinates.

        Raises
        ------
        ShapeError
            If the coefficients are not the model's.
        """
        gap = self.vectors(predicted, predicted_scale) - self.vectors(reference, reference_scale)
        return self.squares(gap).sum(1).mean() / self.n_vertices


class MeshTripletLoss(MeshRoots):
    """Meshes of one speaker shall be nearer to each other than to another speaker's.

    The released loss: the distance is that of all vertices' x (then y, then z), a margin per
    coordinate, the mean over coordinates and faces.

    Parameters
    ----------
    model : MorphableModel
        Whose faces are compared.
    margin : float
        How much nearer, in the unit of the distances.
    shift : float, mm
        Added to every difference, as torch.nn.PairwiseDistance does, lest the root of 0 be
        differentiated.

    Raises
    ------
    InputError
        If the margin is not positive.

    References
    ----------
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional
    neural networks", BMVC 2016.
    """

    def __init__(self, model, *, margin=1.0, shift=1e-6):
        super().__init__(model)
        if not margin > 0:
            raise InputError(f"margin={margin}", "is not positive", "raise it")
        self.margin, self.shift = margin, shift

    def forward(self, anchor, positive, negative, *, scales=None, has_positive=None):
        """Compare three faces each.

        Parameters
        ----------
        anchor, positive, negative : Coefficients of tensor, (batch, ...)
            Standardised; positives are of the anchor's speaker, negatives of another.
        scales : tuple of three tensors, (batch,), optional
            Factors on all vertices of the three.
        has_positive : tensor of bool, (batch,), optional
            Which anchors have a positive; the others do not count.

        Returns
        -------
        tensor, ()
            The mean of ``max(distance to positive - distance to negative + margin, 0)``; 0 if
            no anchor counts.

        Raises
        ------
        ShapeError
            If the coefficients are not the model's.
        """
        faces = (anchor, positive, negative)
        own, near, far = (
            self.vectors(face, scale)
            for face, scale in zip(faces, scales or (None,) * 3, strict=True)
        )
        loss = torch.relu(self.distances(own - near) - self.distances(own - far) + self.margin)
        if has_positive is None:
            return loss.mean()
        counts = has_positive.to(loss)
        return (loss.mean(1) * counts).sum() / counts.sum().clamp_min(1)

    def distances(self, gap):
        """Distance over all vertices, coordinate by coordinate.

        Parameters
        ----------
        gap : tensor, (batch, column)
            Difference of two faces' `vectors`.

        Returns
        -------
        tensor, (batch, xyz=3), mm
            Not divided by the number of vertices.
        """
        shift = torch.zeros_like(gap)
        shift[:, -1] = self.shift
        return self.squares(gap + shift).sqrt()


def pose_scale(pose):
    """Scale of a scaled pose.

    Parameters
    ----------
    pose : tensor, (batch, 12)
        3 x 4 row by row; its first three columns are a rotation times the scale.

    Returns
    -------
    tensor, (batch,)
        Mean length of the first two rows: the third is not seen in an image.

    Examples
    --------
    >>> pose = torch.tensor([[2.0, 0, 0, 9, 0, 2, 0, 9, 0, 0, 2, 9]])
    >>> pose_scale(pose)
    tensor([2.])
    """
    return pose.unflatten(1, (3, 4))[:, :2, :3].norm(dim=2).mean(1)
