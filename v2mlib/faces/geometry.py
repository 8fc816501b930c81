"""Geometry of meshes: topology checks, normals, areas, alignment, mirror symmetry.

Everything takes tensors or numpy arrays with any batch axes and gives back the same kind. Axes of
a face: x to the subject's left, y up, z out; triangles wind anticlockwise seen from outside.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree

from v2mlib.checks import InputError, ShapeError, check_shape
from v2mlib.faces.topologies import map_between, topology_of


class Alignment(NamedTuple):
    """A similarity transform ``aligned = scale * source @ rotation.T + translation``.

    ``rotation (..., 3, 3)`` is proper (it never mirrors), ``scale (...,)`` is 1 for a rigid
    alignment, ``translation (..., 3)`` and ``aligned (..., point, 3)`` are in the unit of the
    points.
    """

    rotation: torch.Tensor
    scale: torch.Tensor
    translation: torch.Tensor
    aligned: torch.Tensor


class MirrorMap(NamedTuple):
    """Nearest vertex to each mirrored one: ``index (vertex,)``, ``distance (vertex,)`` in mm."""

    index: np.ndarray
    distance: np.ndarray


def require_vertices(vertices, model, name="vertices"):
    """Refuse vertices that are not of a model's topology.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3)
        Faces.
    model : MorphableModel
        The model they are to belong to.
    name : str
        What the vertices are called in the message.

    Raises
    ------
    ShapeError
        With both vertex counts, and the map between the topologies if one is known.
    """
    shape = tuple(vertices.shape)
    if len(shape) >= 2 and shape[-1] == 3 and shape[-2] not in (3, model.n_vertices):
        raise ShapeError(
            f"{name} have {shape[-2]} vertices, face model {model.name!r} has {model.n_vertices} "
            f"(topology {model.topology!r}). {map_between(topology_of(shape[-2]), model.topology)}"
        )
    check_shape(vertices, {"...": None, "vertex": model.n_vertices, "xyz": 3}, name)


def require_same_topology(a, b):
    """Refuse two faces, or face models, that do not share one topology.

    Parameters
    ----------
    a, b : objects with ``topology`` and ``vertices`` or ``n_vertices``
        Face models, or predicted faces.

    Raises
    ------
    ShapeError
        With both vertex counts, and the map between the topologies if one is known.
    """
    counts = [_n_vertices(face) for face in (a, b)]
    if a.topology == b.topology and counts[0] == counts[1]:
        return
    raise ShapeError(
        f"the faces differ in topology: {a.topology!r} with {counts[0]} vertices, "
        f"{b.topology!r} with {counts[1]}. {map_between(a.topology, b.topology)}"
    )


def _n_vertices(face):
    return face.n_vertices if hasattr(face, "n_vertices") else face.vertices.shape[-2]


def triangle_normals(vertices, triangles):
    """Normals of triangles, as long as twice their area.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces.
    triangles : tensor or ndarray of int, (triangle, 3)
        Vertex indices.

    Returns
    -------
    tensor or ndarray, (..., triangle, xyz=3), mm^2
        Out of the surface where triangles wind anticlockwise seen from outside.

    Examples
    --------
    >>> triangle_normals(np.eye(3), np.array([[0, 1, 2]]))
    array([[1., 1., 1.]])
    """
    a, b, c = (vertices[..., triangles[:, corner], :] for corner in range(3))
    cross = torch.linalg.cross if isinstance(vertices, torch.Tensor) else np.cross
    return cross(b - a, c - a)


def triangle_areas(vertices, triangles):
    """Areas of triangles.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces.
    triangles : tensor or ndarray of int, (triangle, 3)
        Vertex indices.

    Returns
    -------
    tensor or ndarray, (..., triangle), mm^2
        The areas.

    Examples
    --------
    >>> corners = np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]])
    >>> triangle_areas(corners, np.array([[0, 1, 2]]))
    array([6.])
    """
    return (triangle_normals(vertices, triangles) ** 2).sum(-1) ** 0.5 / 2


def vertex_normals(vertices, triangles):
    """Unit normals at vertices, the area-weighted mean of the triangles around.

    Parameters
    ----------
    vertices : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces.
    triangles : tensor or ndarray of int, (triangle, 3)
        Vertex indices.

    Returns
    -------
    tensor or ndarray, (..., vertex, xyz=3)
        Unit normals; 0 at a vertex without triangles.
    """
    points = torch.as_tensor(vertices)
    corners = torch.as_tensor(triangles, device=points.device).long()
    normals = triangle_normals(points, corners)
    summed = torch.zeros_like(points)
    for corner in range(3):
        summed.index_add_(-2, corners[:, corner], normals)
    units = torch.nn.functional.normalize(summed, dim=-1)
    return units if isinstance(vertices, torch.Tensor) else units.numpy()


def align(source, target, *, scale=False, weights=None):
    """Move points onto corresponding points: least squares, rigid unless scaling is asked for.

    Minimises ``sum_i w_i |scale * R source_i + t - target_i|**2`` over proper rotations ``R``:
    a face is never mirrored, even where a mirrored one would fit better.

    Parameters
    ----------
    source, target : tensor or ndarray, (..., point, xyz=3), mm
        Corresponding points; batch axes broadcast.
    scale : bool
        Whether the size may change. Off: a face that is too large stays too large.
    weights : tensor or ndarray, (point,), optional
        Non-negative weight of each point; equal by default.

    Returns
    -------
    Alignment
        The transform and the moved source.

    Raises
    ------
    ShapeError
        If the points do not correspond.
    InputError
        If the points hold NaN, or lie on one line so that the rotation is not determined.

    References
    ----------
    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13 (1991), Eqs. 34-43; Kabsch, Acta Cryst. A32 (1976).

    Examples
    --------
    >>> square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    >>> align(square, 2 * square + 5).scale, align(square, 2 * square + 5, scale=True).scale
    (array(1.), array(2.))
    """
    is_tensor = isinstance(source, torch.Tensor)
    points, goals = torch.as_tensor(source), torch.as_tensor(target)
    check_shape(goals, {"...": None, "point": points.shape[-2], "xyz": 3}, "target")
    check_shape(points, {"...": None, "point": None, "xyz": 3}, "source")
    dtype = points.dtype
    points, goals = points.double(), goals.to(points.device).double()
    n_points = points.shape[-2]
    if weights is None:
        weights = torch.ones(n_points, dtype=torch.float64)
    weights = torch.as_tensor(weights).to(points)
    weights = (weights / weights.sum())[:, None]

    centres = [(weights * cloud).sum(-2, keepdim=True) for cloud in (points, goals)]
    centred, centred_goals = points - centres[0], goals - centres[1]
    covariance = centred_goals.mT @ (weights * centred)  # (..., 3, 3)
    if not torch.isfinite(covariance).all():
        raise InputError("points to align", "hold NaN or infinity", "leave them out")
    left, spread, right = torch.linalg.svd(covariance)
    if (spread[..., 1] <= 1e-9 * spread[..., 0]).any():
        raise InputError("points to align", "lie on one line", "give at least 3 points off a line")
    proper = torch.ones_like(spread)
    proper[..., 2] = torch.sign(torch.linalg.det(left @ right))
    rotation = (left * proper[..., None, :]) @ right
    if scale:
        size = (spread * proper).sum(-1) / (weights * centred**2).sum((-2, -1))
    else:
        size = torch.ones_like(spread[..., 0])
    translation = centres[1] - size[..., None, None] * (centres[0] @ rotation.mT)
    aligned = size[..., None, None] * (points @ rotation.mT) + translation
    parts = (rotation, size, translation.squeeze(-2), aligned)
    return Alignment(*(part.to(dtype) if is_tensor else part.numpy() for part in parts))


def mirror_map(vertices):
    """For each vertex, the one nearest to its mirror image in the plane x = 0.

    Parameters
    ----------
    vertices : tensor or ndarray, (vertex, xyz=3), mm
        One face.

    Returns
    -------
    MirrorMap
        Index of the nearest vertex, and how far the mirror image is from it.
    """
    points = np.asarray(vertices, dtype=np.float64)
    check_shape(points, {"vertex": None, "xyz": 3}, "vertices")
    distance, index = cKDTree(points).query(points * (-1.0, 1.0, 1.0))
    return MirrorMap(index, distance)


def triangulate(polygons):
    """Triangles of quads, by cutting each along its first diagonal.

    Parameters
    ----------
    polygons : array_like of int, (polygon, 4)
        Vertex indices in order; -1 in the last place marks a triangle.

    Returns
    -------
    ndarray of int64, (triangle, 3)
        In the order of the polygons, with their winding.

    Examples
    --------
    >>> triangulate([[0, 1, 2, 3], [4, 5, 6, -1]])
    array([[0, 1, 2],
           [0, 2, 3],
           [4, 5, 6]])
    """
    polygons = np.asarray(polygons, dtype=np.int64)
    check_shape(polygons, {"polygon": None, "corner": 4}, "polygons")
    halves = polygons[:, [[0, 1, 2], [0, 2, 3]]]  # (polygon, half, corner)
    exists = np.ones(halves.shape[:2], dtype=bool)
    exists[:, 1] = polygons[:, 3] >= 0
    return halves[exists]


def wind_outward(vertices, triangles):
    """Turn all triangles over if the face, as a whole, winds inwards.

    An open face area encloses no volume, so the test is whether normals point along z, out of
    the face, on balance; for a closed head it is the signed volume.

    Parameters
    ----------
    vertices : ndarray, (vertex, xyz=3), mm
        The mean face, in the frame x left, y up, z out.
    triangles : ndarray of int, (triangle, 3)
        Vertex indices.

    Returns
    -------
    ndarray of int64, (triangle, 3)
        Winding anticlockwise seen from outside.
    """
    triangles = np.ascontiguousarray(triangles, dtype=np.int64)
    vertices = np.asarray(vertices, dtype=np.float64)
    normals = triangle_normals(vertices, triangles)
    # Relative to a point well inside the head, so that an open front counts as outside too.
    inside = vertices.mean(0) - (0.0, 0.0, np.ptp(vertices[:, 2]))
    centres = vertices[triangles].mean(1) - inside
    outward = (normals * centres).sum() > 0
    return triangles if outward else triangles[:, ::-1].copy()
