"""Checks that a face is sound: a manifold without folds, whose parts do not cross."""

from typing import NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

_PASSES = 6


class Edges(NamedTuple):
    """Edges of a triangle mesh.

    Attributes
    ----------
    ends : ndarray of int, (edge, 2)
        Their vertices.
    pairs : ndarray of int, (inner edge, 2)
        The two triangles of each edge that has two.
    worst : int
        Largest number of triangles at one edge: 2 on a manifold.
    opposed : bool
        Whether neighbours run through their common edge in opposite directions everywhere:
        the winding is consistent.
    """

    ends: np.ndarray
    pairs: np.ndarray
    worst: int
    opposed: bool


def edges(triangles):
    """Edges and their triangles.

    Parameters
    ----------
    triangles : ndarray of int, (triangle, 3)
        A mesh.

    Returns
    -------
    Edges
        Each edge once.

    Examples
    --------
    >>> mesh = edges(np.array([[0, 1, 2], [2, 1, 3]]))
    >>> len(mesh.ends), sorted(mesh.pairs[0].tolist()), mesh.worst, mesh.opposed
    (5, [0, 1], 2, True)
    """
    half = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    owner = np.tile(np.arange(len(triangles)), 3)
    forward = half[:, 0] < half[:, 1]
    ends, inverse, count = np.unique(
        np.sort(half, 1), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(inverse, kind="stable")
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    inner = start[count == 2]
    pairs = np.stack([owner[order[inner]], owner[order[inner + 1]]], 1)
    opposed = bool((forward[order[inner]] != forward[order[inner + 1]]).all())
    return Edges(ends, pairs, int(count.max()), opposed)


def folds(vertices, triangles, *, cosine=-0.5):
    """Quads that are folded: the normals of their two triangles oppose each other.

    Parameters
    ----------
    vertices : ndarray, (vertex, xyz=3), mm
        A face.
    triangles : ndarray of int, (triangle, 3)
        Its triangles; those of one quad follow one another.
    cosine : float
        Normals with a smaller cosine count (-0.5: the quad is bent by more than 120 degrees).

    Returns
    -------
    ndarray of int, (fold,)
        First triangle of each folded quad.
    """
    corner = vertices[triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    same = (triangles[:-1, 0] == triangles[1:, 0]) & (triangles[:-1, 2] == triangles[1:, 1])
    turn = (normal[:-1] * normal[1:]).sum(1)
    return np.flatnonzero(same & (turn < cosine))


def crossings(vertices, triangles, mesh):
    """Places where the surface passes through itself or one part through another.

    If two triangles cross, an edge of one pierces the other: every edge is cast as a ray.

    Parameters
    ----------
    vertices : ndarray, (vertex, xyz=3), mm
        A face.
    triangles : ndarray of int, (triangle, 3)
        Its triangles.
    mesh : Edges
        From `edges`.

    Returns
    -------
    ndarray, (crossing, 2)
        Edge and triangle numbers.
    """
    scene = EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), triangles.astype(np.int32))
    start, stop = vertices[mesh.ends[:, 0]], vertices[mesh.ends[:, 1]]
    length = np.linalg.norm(stop - start, axis=1)
    direction = (stop - start) / np.maximum(length, 1e-9)[:, None]
    travelled = np.full(len(length), 1e-4)
    alive = np.flatnonzero(length > 1e-6)
    found = []
    for _ in range(_PASSES):
        origin = start[alive] + travelled[alive, None] * direction[alive]
        hit = scene.run(origin.astype(np.float32), direction[alive].astype(np.float32), output=1)
        reached = travelled[alive] + hit["tfar"]
        inside = (hit["primID"] >= 0) & (reached < length[alive] - 1e-4)
        alive, other, reached = alive[inside], hit["primID"][inside], reached[inside]
        shares = (triangles[other][:, :, None] == mesh.ends[alive][:, None, :]).any((1, 2))
        found.append(np.stack([alive[~shares], other[~shares]], 1))
        # A triangle at the edge's own end is met by rounding only: look behind it.
        alive, reached = alive[shares], reached[shares]
        travelled[alive] = reached + 1e-4
        if not len(alive):
            break
    return np.concatenate(found)
