"""Fitting a morphable model to landmarks: batched, with uncertainty, many photos of one face."""

from v2mlib.fitting.landmarks.config import FitConfig, LandmarkFit
from v2mlib.fitting.landmarks.fit import fit_landmarks
from v2mlib.fitting.landmarks.pose import pose_angles
from v2mlib.fitting.landmarks.projection import projected

__all__ = ["FitConfig", "LandmarkFit", "fit_landmarks", "pose_angles", "projected"]
