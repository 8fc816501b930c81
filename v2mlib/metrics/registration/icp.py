"""Point-to-plane ICP of one surface onto another."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation


class Fit(NamedTuple):
    """Where one registration arrived; ``distance (vertex,)`` is NaN where nothing corresponds."""

    rotation: np.ndarray
    translation: np.ndarray
    distance: np.ndarray
    iterations: int
    converged: bool


def fit(points, normals, target, target_normals, inner, rotation, translation, config):
    """Gauss-Newton on the distances to the planes of the nearest vertices.

    Parameters
    ----------
    points, normals : ndarray, (vertex, xyz=3)
        The moving surface, mm, and its unit normals.
    target, target_normals : ndarray, (vertex, xyz=3)
        The surface that stays.
    inner : ndarray of bool, (vertex,)
        Whether a vertex of the target may be a partner.
    rotation, translation : ndarray, (3, 3) and (3,)
        The start.
    config : RegistrationConfig
        Which correspondences count.

    Returns
    -------
    Fit
        The motion, and the signed distances there, mm.
    """
    tree = cKDTree(target)
    least_cosine = np.cos(np.radians(config.max_angle_deg))

    def residuals():
        moved = points @ rotation.T + translation
        apart, nearest = tree.query(moved)
        kept = (apart <= config.max_distance_mm) & inner[nearest]
        kept &= ((normals @ rotation.T) * target_normals[nearest]).sum(1) >= least_cosine
        planes = target_normals[nearest]
        distance = ((moved - target[nearest]) * planes).sum(1)
        return moved, planes, np.where(kept, distance, np.nan), kept

    converged = False
    for iteration in range(1, config.max_iterations + 1):
        moved, planes, distance, kept = residuals()
        if kept.sum() < 6:
            break
        centre = moved[kept].mean(0)
        rows = np.hstack([np.cross(moved[kept] - centre, planes[kept]), planes[kept]])
        step = np.linalg.solve(rows.T @ rows, -rows.T @ distance[kept])
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, before = turn @ rotation, (rotation, translation)
        translation = turn @ (translation - centre) + centre + step[3:]
        far = points @ (rotation - before[0]).T + translation - before[1]
        if np.linalg.norm(far, axis=1).max() <= config.tolerance_mm:
            converged = True
            break
    _, _, distance, _ = residuals()
    return Fit(rotation, translation, distance, iteration, converged)
