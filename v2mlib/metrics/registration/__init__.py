"""Rigid point-to-plane registration of faces, and the error it leaves."""

from v2mlib.metrics.registration.config import DIRECTIONS, Registration, RegistrationConfig
from v2mlib.metrics.registration.registering import point_to_plane_rmse, register

__all__ = [
    "DIRECTIONS",
    "Registration",
    "RegistrationConfig",
    "point_to_plane_rmse",
    "register",
]
