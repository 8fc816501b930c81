"""Compiled preparation of a surface: its normals, and its vertices sorted by place."""

import numpy as np

from v2mlib.compiling import compiled


def compiled_sum(function):
    """Compile as `compiled` does, for a sum whose order is free: it becomes vector instructions.

    The same processor always takes the same order.

    Parameters
    ----------
    function : function
        Of numbers and arrays.

    Returns
    -------
    function
        Compiled when first called.
    """
    return compiled(function, {"reassoc", "nsz"})


@compiled
def vertex_normals(points, triangles, n_wanted):
    """Unit normals of the first vertices, area-weighted.

    Parameters
    ----------
    points : ndarray of float64, (vertex, xyz=3)
        Vertices.
    triangles : ndarray of int64, (triangle, 3)
        Vertex indices.
    n_wanted : int
        How many of the vertices.

    Returns
    -------
    ndarray of float64, (wanted, xyz=3)
        0 where there is no area.
    """
    summed = np.zeros((len(points), 3))
    for k in range(len(triangles)):
        a, b, c = triangles[k, 0], triangles[k, 1], triangles[k, 2]
        # Number by number: rows of arrays would be allocated for each triangle.
        x, y, z = points[a, 0], points[a, 1], points[a, 2]
        ux, uy, uz = points[b, 0] - x, points[b, 1] - y, points[b, 2] - z
        vx, vy, vz = points[c, 0] - x, points[c, 1] - y, points[c, 2] - z
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            summed[i, 0] += x
            summed[i, 1] += y
            summed[i, 2] += z
    for i in range(n_wanted):
        x, y, z = summed[i, 0], summed[i, 1], summed[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        scale = 1.0 / length if length > 1e-12 else 0.0
        for j in range(3):
            summed[i, j] *= scale
    return summed[:n_wanted].copy()


@compiled
def cube_sort(points, low, counts, edge):
    """Sort vertices by the cubes they lie in.

    Parameters
    ----------
    points : ndarray of float64, (vertex, xyz=3)
        Vertices.
    low : ndarray of float64, (xyz=3,)
        Corner of the first cube.
    counts : ndarray of int64, (xyz=3,)
        Number of cubes along each axis.
    edge : float
        Of a cube.

    Returns
    -------
    start : ndarray of int32, (cube + 1,)
        Where each cube's vertices begin; cubes run along x, then y.
    order : ndarray of int64, (vertex,)
        The vertices in the order of their cubes.
    """
    n = len(points)
    cube = np.empty(n, np.int64)
    start = np.zeros(counts[0] * counts[1] * counts[2] + 1, np.int32)
    for i in range(n):
        x = int((points[i, 0] - low[0]) / edge)
        y = int((points[i, 1] - low[1]) / edge)
        z = int((points[i, 2] - low[2]) / edge)
        cube[i] = (z * counts[1] + y) * counts[0] + x
        start[cube[i] + 1] += 1
    for k in range(1, len(start)):
        start[k] += start[k - 1]
    order = np.empty(n, np.int64)
    for i in range(n):
        order[start[cube[i]]] = i
        start[cube[i]] += 1
    for k in range(len(start) - 1, 0, -1):
        start[k] = start[k - 1]
    start[0] = 0
    return start, order
