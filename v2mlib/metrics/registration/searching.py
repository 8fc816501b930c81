"""Registrations on the CPU: prepared targets, and the compiled loop."""

from typing import NamedTuple

import numpy as np

from v2mlib.metrics.registration.compiled import register_pair
from v2mlib.metrics.registration.preparing import cube_sort

#: Mean number of vertices in the cubes that a surface crosses: where searches were fastest.
_PER_CUBE = 14.0
#: Of a cube of edge 1.
_CORNERS = np.array([[corner >> axis & 1 for axis in range(3)] for corner in range(8)])


class Grid(NamedTuple):
    """Vertices sorted by the cubes they lie in; rows of cubes run along x.

    Attributes
    ----------
    points, normals : ndarray of float64, (vertex, xyz=3)
        Sorted; points relative to the surface's centre, mm.
    inner : ndarray of bool, (vertex,)
        Whether a vertex may be a partner.
    order : ndarray of int64, (vertex,)
        The vertex that each sorted one was.
    start : ndarray of int32, (cube + 1,)
        Where each cube's vertices begin.
    low : ndarray of float64, (xyz=3,)
        Corner of the first cube.
    counts : ndarray of int64, (xyz=3,)
        Number of cubes.
    edge : float
        Of a cube, mm.
    blocks : ndarray of int64, (block + 1,)
        Where the vertices of each cube that is not empty begin, and their number.
    """

    points: np.ndarray
    normals: np.ndarray
    inner: np.ndarray
    order: np.ndarray
    start: np.ndarray
    low: np.ndarray
    counts: np.ndarray
    edge: float
    blocks: np.ndarray


class Fit(NamedTuple):
    """Where one registration arrived.

    ``rotation (3, 3)`` and ``translation (3,)`` move the moving surface; ``distance (vertex,)``
    in mm is NaN where nothing corresponds; ``step_mm`` is the length of the last step, `end`
    one of the ends in `v2mlib.metrics.registration.compiled`.
    """

    rotation: np.ndarray
    translation: np.ndarray
    distance: np.ndarray
    steps: int
    step_mm: float
    end: int


class Target(NamedTuple):
    """A surface to register to: its grid, and its centre in the caller's coordinates."""

    grid: Grid
    centre: np.ndarray


def target_of(surface, partners):
    """Sort a surface into cubes, once for all that are registered to it.

    Parameters
    ----------
    surface : Surface
        It stays.
    partners : ndarray of bool, (vertex,)
        Whether a vertex may be a partner; one without a normal never is.

    Returns
    -------
    Target
        For `fit`.
    """
    centre = surface.points.mean(0)
    points = surface.points - centre
    low, extent = points.min(0), np.ptp(points, axis=0)
    # As many square mm as the two larger extents span, shared by all vertices.
    area = np.prod(np.sort(extent)[1:])
    edge = max(np.sqrt(_PER_CUBE * area / len(points)), extent.max() / 250, 1e-9)
    counts = (extent / edge).astype(np.int64) + 1
    start, order = cube_sort(points, low, counts, edge)
    partners = (partners & surface.normals.any(axis=1))[order]
    blocks = np.append(start[:-1][np.diff(start) > 0], len(points)).astype(np.int64)
    grid = Grid(
        points[order], surface.normals[order], partners, order, start, low, counts, edge, blocks
    )
    return Target(grid, centre)


def fit(moving, target, config, n_steps):
    """Register one surface to another of the same vertices.

    Parameters
    ----------
    moving : Surface
        It moves, from where it is.
    target : Target
        It stays.
    config : RegistrationConfig
        Which correspondences count.
    n_steps : int
        The most to make; with 0 the surface is measured where it starts.

    Returns
    -------
    Fit
        Where it arrived.
    """
    grid, centre = target
    # In the target's order the vertices of a cube, and their partners, lie side by side.
    points = np.ascontiguousarray((moving.points - centre).T[:, grid.order])
    pose, distance, steps, step, end = register_pair(
        points,
        np.ascontiguousarray(moving.normals.T[:, grid.order]),
        _CORNERS * np.ptp(points, axis=1) + points.min(1),
        *grid,
        centre,
        float(config.max_distance_mm),
        float(np.cos(np.radians(config.max_angle_deg)) - 1e-12),
        float(config.tolerance_mm),
        n_steps,
    )
    turn, shift = pose[:, :3], pose[:, 3]
    ordered = np.empty_like(distance)
    ordered[grid.order] = distance
    return Fit(turn, shift + centre - turn @ centre, ordered, int(steps), float(step), int(end))
