"""The part of a mesh that is registered: its vertices, its rim, and normals on it."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError
from v2mlib.metrics.registration.preparing import vertex_normals

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
    around : ndarray of int64, (vertex + neighbour,)
        The same, then the vertices next to the region.
    triangles : ndarray of int64, (triangle, 3)
        All triangles of the mesh that touch the region, as positions in `around`: normals at
        the rim of a region are those of the whole surface.
    inner : ndarray of bool, (vertex,)
        Off the rim of the region and of the mesh.
    """

    name: str
    vertices: np.ndarray
    around: np.ndarray
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
    if len(vertices) and (vertices[0] < 0 or vertices[-1] >= n_vertices):
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
    touching = triangles[corners.any(1)]
    beside = np.zeros(n_vertices, dtype=bool)
    beside[touching] = True
    beside[vertices] = False
    around = np.concatenate([vertices, beside.nonzero()[0]])
    place = np.empty(n_vertices, dtype=np.int64)
    place[around] = np.arange(len(around))
    return Patch(name, vertices, around, place[touching], ~rim[vertices])


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


class Surface(NamedTuple):
    """Vertices of a patch of one face and their unit normals (0 where there is no area)."""

    points: np.ndarray
    normals: np.ndarray


def surface_of(patch, face, move=None):
    """Cut a patch out of a face.

    Parameters
    ----------
    patch : Patch
        The part of the mesh.
    face : ndarray of float64, (vertex, xyz=3), mm
        The whole mesh.
    move : function, optional
        Moves points before normals are taken.

    Returns
    -------
    Surface
        Of the patch's vertices.
    """
    around = face[patch.around]
    if move:
        around = move(around)
    n_vertices = len(patch.vertices)
    normals = vertex_normals(around, patch.triangles, n_vertices)
    return Surface(around[:n_vertices].copy(), normals)
