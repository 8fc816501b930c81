"""Reference faces from several photographs per person: which photographs count, and how sure.

One photograph's shape is hardly better than the mean face. So all photographs of a person are
fitted with one shape; those that do not belong (a blurred face, a profile, a detector's slip,
another person) are rejected with a reason before the last fit; and each coefficient and each
measured line leaves with its standard deviation.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from v2mlib.checks import InputError


@dataclasses.dataclass(frozen=True)
class TruthConfig:
    """When a photograph counts.

    Attributes
    ----------
    max_yaw_deg : float, degrees
        Faces turned further to the side are rejected: half of their landmarks are guesses.
    min_landmarks : int
        Landmarks that must have been found, of 68.
    min_face_px : float, pixels
        Side of the square as large as the box around the landmarks, at least.
    min_sharpness : float
        Least value of the table's column `sharpness`, where it has one; see
        `v2mlib.photos.sharpness`.
    residual_sds : float, standard deviations
        Residuals further above the population's are rejected; a robust z-score (median and
        median absolute deviation) of their logarithm.
    mislabelled_share : float, 0 to 1
        How many photographs are expected to show somebody else. One is rejected as another
        person when, starting from this share, that is the likelier explanation.
    """

    max_yaw_deg: float = 55.0
    min_landmarks: int = 40
    min_face_px: float = 40.0
    min_sharpness: float = 0.0
    residual_sds: float = 5.0
    mislabelled_share: float = 0.01

    def __post_init__(self):
        """Refuse rules that no photograph, or every photograph, would pass."""
        ranges = {
            "max_yaw_deg": (0, 90),
            "min_landmarks": (10, 68),
            "min_face_px": (0, 10_000),
            "min_sharpness": (0, np.inf),
            "residual_sds": (1, np.inf),
            "mislabelled_share": (0, 0.5),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}={value}", "is not possible", f"choose {low} to {high}")


class ReferenceFaces(NamedTuple):
    """Faces fitted to photographs, and how far they can be trusted.

    Attributes
    ----------
    identities : pandas.DataFrame
        One row per identity, in order of first appearance, also those without a usable
        photograph: `identity`, `n_photos`, `n_used`, `usable` (bool), `reason` (why not; empty
        otherwise), `shape_sd` (root mean square standard deviation of the coefficients; 1 would
        be a guess), `determined` (share of the population's shape variance, in mm², that the
        photographs settle: 0 is the mean face, 1 the truth).
    photos : pandas.DataFrame
        The table given, its columns first, with `used` (bool), `reason` (empty where used),
        `rule` (one word per kind of reason: "landmarks", "size", "blur", "yaw", "residual",
        "person", "unfit"), `residual_px` and `residual_relative` (root mean square, of the box),
        `yaw_deg`, `face_px`, `n_landmarks`, `log_odds_same_person`.
    lines : pandas.DataFrame
        One row per usable identity, line and measure: `identity`, `line`, `measure` ("length_mm"
        or "ratio"), `value`, `sd`, `population_sd`, `determined` (1 - sd² / population_sd²).
    shape_coefficients : ndarray, (identity, shape), standard deviations
        Aligned with `identities`; NaN for those not usable.
    shape_covariance : ndarray of float32, (identity, shape, shape)
        Of the posterior; NaN for those not usable.
    fits : v2mlib.fitting.landmarks.LandmarkFit
        The last fit, one row per photograph that was used, in the order of `photos`.
    noise_relative : float
        Standard deviation of a landmark's coordinate that the uncertainties assume, relative to
        the face's size in the picture.
    """

    identities: pd.DataFrame
    photos: pd.DataFrame
    lines: pd.DataFrame
    shape_coefficients: np.ndarray
    shape_covariance: np.ndarray
    fits: object
    noise_relative: float


def reference_faces(photos, landmarks, model, *, config=None, fit_config=None):
    """Fit one face per person to all of the person's photographs that count.

    Parameters
    ----------
    photos : pandas.DataFrame
        One row per photograph: `identity`, and what else it has (`path`); `sharpness`, if given,
        is tested.
    landmarks : array_like, (photo, landmark=68, 2 or 3), pixels or mm
        Aligned with `photos`: column and row, y down (or three axes in the model's directions).
        NaN where a landmark was not found; a photograph without a face is all NaN.
    model : MorphableModel
        The face model.
    config : TruthConfig, optional
        When a photograph counts.
    fit_config : v2mlib.fitting.landmarks.FitConfig, optional
        How faces are fitted.

    Returns
    -------
    ReferenceFaces
        Faces, photographs with the reasons of those rejected, and uncertainties. Nobody is
        dropped: identities without a usable photograph are listed with the reason.

    Raises
    ------
    InputError
        If the table lacks `identity`, or no photograph at all is usable.
    ShapeError
        If the landmarks are not one row of 68 per photograph.
    """
    raise NotImplementedError
