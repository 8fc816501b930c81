"""The part of a mesh that is registered: its vertices, its rim, and normals on it."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError

#: A rigid motion has six unknowns: fewer correspondences leave it undetermined.
LEAST = 6


class Patch(NamedTuple):
    """A region of a topology.

    Attributes
    ----------
    name : str
        For messages.
    vertices : ndarray of int64, (vertex,)
        Indices in the whole mesh.
    triangles : ndarray of int64, (triangle, 3)
        All triangles of the mesh that touch the region, as indices in the whole mesh: normals
        at the rim of a region are those of the whole surface.
    inner : ndarray of bool, (vertex,)
        Off the rim of the region and of the mesh.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    inner: np.ndarray


def patch_of(model, region=None):
    """The vertices to register, with the triangles around them.

    Parameters
    ----------
    model : MorphableModel
        Gives triangles and regions.
    region : str or array_like of int, optional
        A named region, or vertex indices; every vertex by default.

    Returns
    -------
    Patch
        The part of the mesh.

    Raises
    ------
    InputError
        If the model has no such region, or it is too small to be registered.
    """
    n_vertices = model.n_vertices
    if region is None:
        name, vertices = "the whole mesh", np.arange(n_vertices)
    elif isinstance(region, str):
        name, vertices = f"region {region!r}", np.unique(_array(model.region(region)))
    else:
        name, vertices = "the given region", np.unique(_array(region))
    what = f"{name} of face model {model.name!r}"
    if len(vertices) and not (0 <= vertices[0] and vertices[-1] < n_vertices):
        raise InputError(
            what,
            f"has vertex numbers from {vertices[0]} to {vertices[-1]}, the mesh has {n_vertices}",
            "take the vertices of this model's topology",
        )
    if len(vertices) < LEAST:
        raise InputError(
            what,
            f"has {len(vertices)} vertices, which do not determine a rigid motion",
            f"choose a region of at least {LEAST}",
        )
    triangles = _array(model.triangles)
    inside = np.zeros(n_vertices, dtype=bool)
    inside[vertices] = True
    corners = inside[triangles]
    rim = _rim(triangles[corners.all(1)], n_vertices)
    return Patch(name, vertices, triangles[corners.any(1)], ~rim[vertices])


def _array(indices):
    if isinstance(indices, torch.Tensor):
        indices = indices.cpu().numpy()
    return np.asarray(indices).astype(np.int64)


def _rim(triangles, n_vertices):
    """Vertices on an edge of only one triangle, and those without any triangle."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys, counts = np.unique(edges[:, 0] * n_vertices + edges[:, 1], return_counts=True)
    rim = np.ones(n_vertices, dtype=bool)
    rim[triangles] = False
    alone = keys[counts == 1]
    rim[alone // n_vertices] = rim[alone % n_vertices] = True
    return rim


def normals_on(patch, vertices):
    """Unit normals at the vertices of a patch, area-weighted over the triangles around.

    Parameters
    ----------
    patch : Patch
        The part of the mesh.
    vertices : ndarray, (vertex, xyz=3), mm
        The *whole* mesh.

    Returns
    -------
    ndarray of float64, (patch vertex, xyz=3)
        0 where there is no triangle, or only triangles without area.
    """
    a, b, c = (vertices[patch.triangles[:, corner]] for corner in range(3))
    crossed = np.cross(b - a, c - a)
    summed = np.empty((len(vertices), 3))
    for axis in range(3):
        weights = np.repeat(crossed[:, axis], 3)
        summed[:, axis] = np.bincount(patch.triangles.ravel(), weights, len(vertices))
    summed = summed[patch.vertices]
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.divide(summed, length, out=np.zeros_like(summed), where=length > 1e-12)
