"""Contour landmarks that slide: which vertex of the mesh is on the outline, by pose.

In a picture the jaw landmarks (0-16) are annotated on the visible outline of the face. When the
head turns, the outline runs over other points of the skin: on the far side it moves from the jaw
onto the cheek. Each landmark therefore has a line of candidate vertices, at the landmark's level
of the mean face, from the landmark forwards; the candidate furthest out in the picture is the one
that is seen on the outline.
"""

from typing import NamedTuple

import torch

from v2mlib.checks import InputError

JAW = 17
#: Candidates per line.
_CANDIDATES = 32


class Contour(NamedTuple):
    """Candidate vertices of the sliding landmarks.

    Attributes
    ----------
    rows : tensor of int64, (contour,)
        Their places among the landmarks that are fitted.
    vertices : tensor of int64, (contour, candidate)
        The lines, from the landmark's own vertex inwards; short ones repeat their last vertex.
    mean : tensor, (contour, candidate, xyz=3)
        Of the mean face, in the units of the basis.
    basis : tensor, (coefficient, contour, candidate, xyz=3)
        Displacement by one standard deviation.
    outward : tensor, (contour, xyz=3)
        Which way is out, in the face's axes.
    """

    rows: torch.Tensor
    vertices: torch.Tensor
    mean: torch.Tensor
    basis: torch.Tensor
    outward: torch.Tensor

    def to(self, dtype):
        """The same in another precision.

        Parameters
        ----------
        dtype : torch.dtype
            Floating type.

        Returns
        -------
        Contour
            Of that type.
        """
        names = ("mean", "basis", "outward")
        return self._replace(**{name: getattr(self, name).to(dtype) for name in names})

    def select(self, state):
        """Find the candidates that lie furthest out in the picture.

        Parameters
        ----------
        state : State
            Faces and poses.

        Returns
        -------
        tensor of int64, (face, contour)
            Candidate of each sliding landmark.
        """
        moved = (state.coefficients @ self.basis.flatten(1)).unflatten(1, self.mean.shape)
        points = self.mean + moved  # (face, contour, candidate, 3)
        plane = state.rotation[:, :2]  # (face, 2, 3)
        seen = points.flatten(1, 2) @ plane.mT
        out = torch.nn.functional.normalize(self.outward @ plane.mT, dim=-1)
        reach = (seen.unflatten(1, points.shape[1:3]) * out[:, :, None]).sum(-1)
        return reach.argmax(-1)

    def place(self, points, coefficients, choice):
        """Put the sliding landmarks at the chosen candidates.

        Parameters
        ----------
        points : tensor, (face, landmark, xyz=3)
            All landmarks at their own vertices.
        coefficients : tensor, (face, coefficient)
            Of the faces.
        choice : tensor of int64, (face, contour)
            Candidate of each sliding landmark.

        Returns
        -------
        tensor, (face, landmark, xyz=3)
            A copy.
        """
        basis = self.basis_of(choice).unflatten(-1, (-1, 3))  # (face, coefficient, contour, 3)
        contour = torch.arange(choice.shape[1], device=choice.device)
        moved = torch.einsum("fk,fkcx->fcx", coefficients, basis)
        placed = points.clone()
        placed[:, self.rows] = self.mean[contour, choice] + moved
        return placed

    def basis_of(self, choice):
        """Basis at the chosen candidates.

        Parameters
        ----------
        choice : tensor of int64, (face, contour)
            Candidate of each sliding landmark.

        Returns
        -------
        tensor, (face, coefficient, contour * 3)
            Displacements by one standard deviation.
        """
        contour = torch.arange(choice.shape[1], device=choice.device)
        return self.basis.permute(1, 2, 0, 3)[contour, choice].permute(0, 2, 1, 3).flatten(2)


def contour_lines(model):
    """Vertices that each jaw landmark may slide to.

    Parameters
    ----------
    model : MorphableModel
        A face model with a mesh.

    Returns
    -------
    list of tensor of int64
        17 lines, each from the landmark's own vertex to the midline of the face.

    Raises
    ------
    InputError
        If the model has no mesh, or lacks jaw landmarks.
    """
    where = f"face model {model.name!r}"
    if not len(model.triangles):
        raise InputError(
            where,
            "has no mesh, only landmarks: its contour cannot slide",
            "take a whole face model, or FitConfig(slide_contour=False)",
        )
    if (model.landmarks[:JAW] < 0).any():
        raise InputError(
            where,
            "lacks landmarks of the jaw: its contour cannot slide",
            "FitConfig(slide_contour=False)",
        )
    mean = model.mean.double().cpu()
    landmarks = model.landmarks.cpu()
    lines = [None] * JAW
    for k in range(JAW // 2):
        right, left = landmarks[k], landmarks[JAW - 1 - k]
        near = _near_plane(mean, model, mean[right], mean[left])
        middle = (mean[right] + mean[left])[0] / 2
        lines[k] = _half(mean, near, right, middle, -1)
        lines[JAW - 1 - k] = _half(mean, near, left, middle, 1)
    lines[JAW // 2] = landmarks[JAW // 2][None]
    return lines


def _near_plane(mean, model, a, b):
    """Vertices along the cut of the mean face with the plane through two points and along z."""
    normal = torch.linalg.cross(b - a, mean.new_tensor([0.0, 0.0, 1.0]))
    height = (mean - a) @ (normal / normal.norm())
    corners = model.triangles.cpu()
    edges = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    crossing = edges[height[edges].prod(1) <= 0]
    closer = height[crossing].abs().argmin(1)
    return crossing.gather(1, closer[:, None])[:, 0].unique()


def _half(mean, near, landmark, middle, side):
    """The plane's vertices between a landmark and the midline, in front of the landmark."""
    points, own = mean[near], mean[landmark]
    on_side = side * (points[:, 0] - middle) > 0
    ahead = points[:, 2] >= own[2] - 1.0
    within = side * (points[:, 0] - own[0]) <= 12.0
    line = near[on_side & ahead & within]
    order = (mean[line] - own).norm(dim=1).argsort()
    line = torch.cat([landmark[None], line[order]])
    picked = torch.linspace(0, len(line) - 1, min(_CANDIDATES, len(line))).round().long()
    return line[picked.unique()]


def build_contour(model, kept, basis, device):
    """Candidates of the sliding landmarks; a `Contour` in double precision.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    kept : tensor of int64, (landmark,)
        Which of the 68 are fitted.
    basis : LandmarkBasis
        Gives origin and unit.
    device : torch.device
        Where to compute.
    """
    lines = contour_lines(model)
    longest = max(map(len, lines))
    vertices = torch.stack([torch.cat([v, v[-1:].expand(longest - len(v))]) for v in lines])
    vertices = vertices.to(device)
    at = vertices.to(model.mean.device)
    mean = (model.mean[at].double().to(device) - basis.origin) / basis.unit_mm
    parts = [
        getattr(model, f"{part}_basis")[at].double() * getattr(model, f"{part}_std").double()
        for part in ("shape", "expression")
    ]
    moved = torch.cat(parts, -1).movedim(-1, 0).to(device) / basis.unit_mm
    outward = mean[:, 0] - mean[:, 0].mean(0)
    outward = outward * outward.new_tensor([1.0, 1.0, 0.0])
    rows = (kept < JAW).nonzero()[:, 0]
    return Contour(rows, vertices, mean, moved.contiguous(), outward)
