"""Rigid point-to-plane registration of faces, and the error it leaves."""

from v2mlib.metrics.registration.config import DIRECTIONS, Registration, RegistrationConfig
from v2mlib.metrics.registration.errors import distance_map, point_to_plane_rmse
from v2mlib.metrics.registration.registering import register

__all__ = [
    "DIRECTIONS",
    "Registration",
    "RegistrationConfig",
    "distance_map",
    "point_to_plane_rmse",
    "register",
]
