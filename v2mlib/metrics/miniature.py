"""The few vertices that landmarks and lines need: a thousandth of a face, judged by the same rules.

An evaluation decodes faces by the thousand. Ratios, lengths and landmark errors look at about a
hundred vertices each, and beside them only at the box of the reference face.
"""

from typing import NamedTuple

import torch

from v2mlib.faces.geometry import require_vertices
from v2mlib.faces.model import MISSING_LANDMARK
from v2mlib.faces.named import DEFINITIONS


class Miniature(NamedTuple):
    """Stands in for a face model where errors are measured on a subset of its vertices.

    Its last two vertices are the corners of each reference's box, so that the box of the
    subset is that of the whole face. ``vertices (subset,)`` are those of the model.
    """

    model: object
    vertices: torch.Tensor
    place: dict

    @property
    def name(self):
        """Name of the model."""
        return self.model.name

    @property
    def topology(self):
        """Name of the mesh."""
        return f"{self.model.topology}, landmarks and lines"

    @property
    def n_vertices(self):
        """Vertices of the subset, and two corners."""
        return len(self.vertices) + 2

    @property
    def published_lines(self):
        """Those of the model, renumbered."""
        return {name: self.line(name, "published") for name in self.model.published_lines}

    def line_names(self, definition="corrected"):
        """Names of the lines; see `MorphableModel.line_names`.

        Parameters
        ----------
        definition : str
            Which vertex pairs.

        Returns
        -------
        tuple of str
            In the order of the model.
        """
        return self.model.line_names(definition)

    def line(self, name, definition="corrected"):
        """Vertex pair of a line; see `MorphableModel.line`.

        Parameters
        ----------
        name : str
            The line.
        definition : str
            Which vertex pair.

        Returns
        -------
        tuple of int
            Places in the subset.
        """
        return tuple(self.place[vertex] for vertex in self.model.line(name, definition))

    def landmark_vertices(self):
        """Places of the 68 landmarks; see `MorphableModel.landmark_vertices`.

        Returns
        -------
        tensor of int64, (68,)
            Places in the subset.
        """
        return torch.tensor([self.place[v] for v in self.model.landmark_vertices().tolist()])

    def faces(self, faces, box=None):
        """Faces of the subset.

        Parameters
        ----------
        faces : ndarray, (face, shape) or (face, vertex, xyz=3)
            Standardised coefficients, or vertices in mm.
        box : tensor, (face, corner=2, xyz=3), optional
            Of the whole faces; from their `boxes`. For predictions it does not matter.

        Returns
        -------
        tensor of float64, (face, vertex, xyz=3), mm
            Subset and corners.
        """
        if faces.ndim == 2:
            shape = torch.tensor(faces, dtype=torch.float32, device=self.model.mean.device)
            chosen = self.model.decode(shape, vertices=self.vertices)
        else:
            require_vertices(faces, self.model, "faces")
            chosen = torch.tensor(faces[:, self.vertices.cpu().numpy()])
        # Decoded in float32; sums are not.
        chosen = chosen.double().cpu()
        return torch.cat([chosen, chosen[:, :2] if box is None else box], dim=1)


def miniature(model):
    """Choose the vertices of a face model that its landmarks and lines need.

    Parameters
    ----------
    model : MorphableModel
        The face model.

    Returns
    -------
    Miniature
        For `absolute_ratio_error`, `normalised_mean_error` and `line_length_error`.
    """
    pairs = [model.line(name, d) for d in DEFINITIONS for name in model.line_names(d)]
    landmarks = model.landmarks[model.landmarks != MISSING_LANDMARK].tolist()
    vertices = sorted({*landmarks, *(vertex for pair in pairs for vertex in pair)})
    place = {vertex: number for number, vertex in enumerate(vertices)}
    return Miniature(model, torch.tensor(vertices, dtype=torch.int64), place)


def boxes(faces, model, *, block=64):
    """Corners of the boxes that hold all vertices of faces.

    Parameters
    ----------
    faces : ndarray, (face, shape) or (face, vertex, xyz=3)
        Standardised coefficients, or vertices in mm.
    model : MorphableModel
        What they are faces of.
    block : int
        Faces decoded at once.

    Returns
    -------
    tensor of float64, (face, corner=2, xyz=3), mm
        Lowest and highest coordinates.
    """
    found = []
    for start in range(0, len(faces), block):
        part = torch.tensor(faces[start : start + block])
        if part.ndim == 2:
            part = model.decode(part.float())
        found.append(torch.stack([part.amin(-2), part.amax(-2)], dim=-2).double().cpu())
    return torch.cat(found)
