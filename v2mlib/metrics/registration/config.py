"""Choices of a registration, and what comes out of it."""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError

DIRECTIONS = ("predicted_to_reference", "reference_to_predicted", "both")
"""Whose vertices look for the other's planes; `both` is the root mean square of the two."""


@dataclasses.dataclass(frozen=True)
class RegistrationConfig:
    """Which correspondences count, and when a registration has arrived.

    A vertex of the moving face corresponds to the nearest vertex of the other, unless that is
    too far, faces elsewhere, or lies on the rim of the other surface: there the true partner is
    beyond the rim.

    Attributes
    ----------
    max_distance_mm : float
        Farther apart, two vertices do not correspond; ``inf`` for no limit.
    max_angle_deg : float
        Nor do they if their normals differ by more; 180 for no limit.
    reject_boundary : bool
        Nor does a vertex whose nearest one is on the rim of the mesh, or of the region.
    least_share : float
        Refuse a registration that keeps a smaller share of the vertices: its error would be
        that of another, smaller region.
    scale : bool
        Whether the prediction first takes the size that fits the corresponding vertices best.
        Off: a face that is too large stays too large. The registration itself never scales.
    tolerance_mm : float
        Arrived when no vertex would move farther than this.
    max_iterations : int
        Give up after so many; `Registration.converged` then says so.
    """

    max_distance_mm: float = 10.0
    max_angle_deg: float = 60.0
    reject_boundary: bool = True
    least_share: float = 0.1
    scale: bool = False
    tolerance_mm: float = 1e-7
    max_iterations: int = 100

    def __post_init__(self):
        """Refuse the impossible."""
        for name in ("max_distance_mm", "tolerance_mm", "max_iterations"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} {getattr(self, name)}", "is not positive")
        if not 0 < self.max_angle_deg <= 180:
            raise InputError(f"max_angle_deg {self.max_angle_deg}", "is not in (0, 180]")
        if not 0 <= self.least_share < 1:
            raise InputError(f"least_share {self.least_share}", "is not in [0, 1)")


class Registration(NamedTuple):
    """Rigid motions ``moved = scale * predicted @ rotation.T + translation``, and what is left.

    Arrays (float64) for arrays, tensors for tensors; batch axes as the faces', broadcast.

    Attributes
    ----------
    rotation : (..., 3, 3)
        Proper: it never mirrors.
    translation : (..., 3), mm
        In the reference's frame.
    scale : (...,)
        1 unless the configuration allows it to change.
    rmse_mm : (...,)
        Root-mean-square distance to the planes, over the correspondences that count.
    n_correspondences : (...,)
        How many vertices of the moving face count.
    iterations : (...,)
        Steps made.
    converged : (...,)
        Whether the last step was within the tolerance. If not, partners flip back and forth for
        ever (the motion is the one of the smallest error among those that would be repeated),
        or the steps did not suffice.
    step_mm : (...,)
        How far the last step moved any vertex at most: how exactly the motion is determined.
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray
    rmse_mm: np.ndarray
    n_correspondences: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    step_mm: np.ndarray

    def moved(self, predicted):
        """Apply the motions to the faces they were found for.

        Parameters
        ----------
        predicted : tensor or ndarray, (..., vertex, xyz=3), mm
            Predicted faces, whole.

        Returns
        -------
        tensor or ndarray, (..., vertex, xyz=3), mm
            In the reference's frame.
        """
        if isinstance(predicted, torch.Tensor):
            parts = (part.to(predicted) for part in self[:3])
        else:
            parts = self[:3]
        rotation, translation, scale = parts
        turned = scale[..., None, None] * (predicted @ rotation.swapaxes(-1, -2))
        return turned + translation[..., None, :]
