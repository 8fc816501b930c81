"""Catmull-Clark subdivision as sparse matrices: the surface is linear in its cage.

References
----------
Catmull and Clark, "Recursively generated B-spline surfaces on arbitrary topological meshes",
Computer-Aided Design 10 (1978). Halstead, Kass and DeRose, "Efficient, fair interpolation using
Catmull-Clark surfaces", SIGGRAPH 1993 (limit positions).
"""

import numpy as np
from scipy import sparse


def subdivide(polygons, count):
    """One Catmull-Clark step.

    Parameters
    ----------
    polygons : sequence of tuple of int
        Consistently wound; any number of corners, boundaries allowed.
    count : int
        Number of vertices.

    Returns
    -------
    matrix : csr_matrix, (new vertex, vertex)
        New positions are ``matrix @ old``. Old vertices keep their index; then come one vertex
        per polygon and one per edge.
    quads : ndarray of int, (quad, 4)
        Corner, edge, polygon centre, edge: the first column is an old vertex.
    parent : ndarray of int, (quad,)
        The polygon each quad came from.
    edges : ndarray of int, (edge, 2)
        In the order of their vertices.
    """
    edge_number, edge_users = {}, []
    for number, polygon in enumerate(polygons):
        for a, b in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            key = (a, b) if a < b else (b, a)
            if key not in edge_number:
                edge_number[key] = len(edge_users)
                edge_users.append([])
            edge_users[edge_number[key]].append(number)
    edges = np.array(list(edge_number))
    corner = np.concatenate([np.asarray(p) for p in polygons])
    owner = np.repeat(np.arange(len(polygons)), [len(p) for p in polygons])
    size = np.array([len(p) for p in polygons])
    centre = sparse.csr_matrix(
        (1 / size[owner], (owner, corner)), shape=(len(polygons), count)
    )  # (polygon, vertex)

    ends = _incidence(edges.ravel(), np.repeat(np.arange(len(edges)), 2), (len(edges), count))
    users = _incidence(
        np.concatenate(edge_users),
        np.repeat(np.arange(len(edges)), [len(u) for u in edge_users]),
        (len(edges), len(polygons)),
    )
    inner = np.array([len(u) == 2 for u in edge_users])
    middle = ends / 2
    edge_point = sparse.diags(np.where(inner, 0.5, 1.0)) @ middle + sparse.diags(
        np.where(inner, 0.25, 0.0)
    ) @ (users @ centre)

    around = _incidence(owner, corner, (count, len(polygons)))
    at_vertex = ends.T.tocsr()
    valence = np.asarray(at_vertex.sum(1)).ravel()
    on_boundary = np.asarray(at_vertex @ (~inner)).ravel() > 0
    n = np.maximum(valence, 1)
    smooth = (
        sparse.diags(1 / n**2) @ (around @ centre)
        + sparse.diags(2 / n**2) @ (at_vertex @ middle)
        + sparse.diags((n - 3) / n)
    )
    rim = sparse.diags(np.full(count, 0.5)) + 0.25 * (
        at_vertex @ sparse.diags(1.0 * ~inner) @ middle
    )
    vertex_point = sparse.diags(1.0 * ~on_boundary) @ smooth + sparse.diags(1.0 * on_boundary) @ rim
    matrix = sparse.vstack([vertex_point, centre, edge_point]).tocsr()

    quads, parent = [], []
    for number, polygon in enumerate(polygons):
        sides = len(polygon)
        around_edges = [
            edge_number[tuple(sorted((polygon[k], polygon[(k + 1) % sides])))] for k in range(sides)
        ]
        for k in range(sides):
            first = count + len(polygons) + around_edges[k]
            last = count + len(polygons) + around_edges[k - 1]
            quads.append((polygon[k], first, count + number, last))
            parent.append(number)
    return matrix, np.array(quads), np.array(parent), edges


def limit(quads, count):
    """Matrix that moves the vertices of a quad mesh to the limit surface.

    Parameters
    ----------
    quads : ndarray of int, (quad, 4)
        Consistently wound.
    count : int
        Number of vertices.

    Returns
    -------
    csr_matrix, (vertex, vertex)
        Rows sum to one.
    """
    pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    unique, users = np.unique(np.sort(pairs, 1), axis=0, return_counts=True)
    near = _incidence(unique[:, 0], unique[:, 1], (count, count))
    near = (near + near.T).tocsr()
    opposite = sum(_incidence(quads[:, (k + 2) % 4], quads[:, k], (count, count)) for k in range(4))
    n = np.maximum(np.asarray(near.sum(1)).ravel(), 1)
    edge = unique[users == 1]
    rim_near = _incidence(edge[:, 0], edge[:, 1], (count, count))
    rim_near = (rim_near + rim_near.T).tocsr()
    on_rim = np.asarray(rim_near.sum(1)).ravel() > 0
    weight = 1 / (n * (n + 5))
    smooth = sparse.diags(weight) @ (sparse.diags(1.0 * n**2) + 4 * near + opposite)
    rim = sparse.diags(np.full(count, 4 / 6)) + rim_near / 6
    return (sparse.diags(1.0 * ~on_rim) @ smooth + sparse.diags(1.0 * on_rim) @ rim).tocsr()


def surface(polygons, count, coarse):
    """Mesh of a cage: two subdivision steps, one where detail is not needed.

    Parameters
    ----------
    polygons : sequence of tuple of int
        The cage, consistently wound.
    count : int
        Number of cage vertices.
    coarse : ndarray of bool, (polygon,)
        Polygons that are subdivided once only.

    Returns
    -------
    matrix : csr_matrix, (vertex, cage vertex)
        Vertices are ``matrix @ cage``, on the limit surface. Cage vertices keep their index.
    triangles : ndarray of int, (triangle, 3)
        Counter-clockwise seen from outside.
    """
    first, quads, parent, _ = subdivide(polygons, count)
    second, fine, origin, edges = subdivide([tuple(quad) for quad in quads], first.shape[0])
    matrix = limit(fine, second.shape[0]) @ second @ first
    is_coarse = np.asarray(coarse)[parent]
    kept = [_split(fine[~is_coarse[origin]])]
    fine_edges = np.zeros(len(edges), bool)
    lookup = {tuple(edge): number for number, edge in enumerate(map(tuple, edges))}
    lookup.update({edge[::-1]: number for edge, number in list(lookup.items())})
    for quad in quads[~is_coarse]:
        for k in range(4):
            fine_edges[lookup[quad[k], quad[(k + 1) % 4]]] = True
    base = first.shape[0] + len(quads)
    for quad in quads[is_coarse]:
        outline, start = [], 0
        for k in range(4):
            outline.append(quad[k])
            number = lookup[quad[k], quad[(k + 1) % 4]]
            if fine_edges[number]:
                start = len(outline)
                outline.append(base + number)
        kept.append(_fan(outline[start:] + outline[:start]))
    triangles = np.concatenate(kept)
    used = np.zeros(matrix.shape[0], bool)
    used[triangles] = True
    used[:count] = True
    renumber = np.cumsum(used) - 1
    matrix = matrix[used]
    matrix.eliminate_zeros()
    return matrix.tocsr(), renumber[triangles]


def _incidence(columns, rows, shape):
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _split(quads):
    """Triangles of quads, along the diagonal through corner and polygon centre; in pairs."""
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def _fan(outline):
    """Triangles of a coarse quad whose sides may carry a middle vertex (then it comes first)."""
    return np.array([(outline[0], outline[k], outline[k + 1]) for k in range(1, len(outline) - 1)])
