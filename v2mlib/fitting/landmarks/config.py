"""What a fit of a morphable model to landmarks is told, and what it gives back."""

import dataclasses
import math
from typing import NamedTuple

import torch

from v2mlib.checks import InputError

CAMERAS = ("weak_perspective", "perspective")
PRECISIONS = ("auto", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How faces are fitted to landmarks.

    Attributes
    ----------
    camera : {"weak_perspective", "perspective"}
        For two-dimensional landmarks. Perspective needs `principal_points` in the call.
    focal_px : float or None, pixels
        Focal length of the perspective camera; None estimates one for each face, with a wide
        prior: an image whose longer side is seen under 45 degrees, give or take a factor of 1.6.
    noise_relative : float
        Standard deviation of one coordinate of a landmark, relative to the face's size (square
        root of the area of the box around its landmarks). With the prior it decides how far
        coefficients shrink towards 0, and the standard errors.
    noise : float or None, pixels or the landmarks' unit
        The same as a length; takes the place of `noise_relative` where given.
    shape_prior, expression_prior : float
        Weight of the standard normal prior of the coefficients: 1 is the model's own
        distribution, 0 is none, 4 halves the standard deviation.
    slide_contour : bool
        Whether jaw landmarks (0-16) stand for the visible outline, not for fixed vertices, of
        two-dimensional pictures. Needs a model with a mesh. Off for landmarks that are
        projections of a 3D face.
    rigid : bool
        Three-dimensional landmarks are in mm, so that their size tells of the face. Off: scale
        is fitted.
    robust : float or None
        Landmarks further off than this many noise standard deviations weigh less (Huber).
    max_iterations : int
        Gauss-Newton steps at most.
    tolerance : float or None, standard deviations
        Converged when a step changes no coefficient by more (and no angle by more radians); by
        default 1e-3 in single and 1e-6 in double precision.
    precision : {"auto", "float32", "float64"}
        "auto" computes in single precision while the normal equations are well conditioned.
    uncertainty : bool
        Whether to compute standard errors.
    covariance : bool
        Whether to give the full covariance of the shape coefficients too.
    refuse_degenerate : bool
        Whether faces that cannot be fitted raise; else their results are NaN, `converged` is
        False and `problem` says why.
    chunk : int
        Faces computed at once, which bounds memory. Photographs of one person stay together.

    Raises
    ------
    InputError
        If a setting is impossible.
    """

    camera: str = "weak_perspective"
    focal_px: float | None = None
    noise_relative: float = 0.02
    noise: float | None = None
    shape_prior: float = 1.0
    expression_prior: float = 1.0
    slide_contour: bool = False
    rigid: bool = False
    robust: float | None = None
    max_iterations: int = 50
    tolerance: float | None = None
    precision: str = "auto"
    uncertainty: bool = True
    covariance: bool = False
    refuse_degenerate: bool = True
    chunk: int = 512

    def __post_init__(self):
        """Refuse settings that cannot work."""
        for name, choices in (("camera", CAMERAS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                problem = f"is not {' or '.join(map(repr, choices))}"
                raise InputError(f"{name}={getattr(self, name)!r}", problem, "choose one of them")
        for name in ("noise_relative", "noise", "focal_px", "robust", "tolerance"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name}={value}", "is not positive", "give a finite length > 0")
        for name in ("shape_prior", "expression_prior"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise InputError(f"{name}={value}", "is not possible", "give 0 or more")
        for name in ("max_iterations", "chunk"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}", "is too few", "give 1 or more")
        if self.focal_px is not None and self.camera != "perspective":
            raise InputError("focal_px", "needs a camera", 'set camera="perspective" too')
        if self.slide_contour and self.camera == "perspective":
            raise InputError(
                "slide_contour", "works with weak perspective only", "leave one of the two out"
            )


class LandmarkFit(NamedTuple):
    """Faces fitted to landmarks; with `identities`, the shape is one per identity.

    A vertex `x` of the fitted face is seen at pixel
    ``scale * (rotation @ x)[:2] * (1, -1) + translation`` by the weak perspective camera, and at
    ``principal_point + focal_px * (X, -Y) / -Z`` with ``(X, Y, Z) = rotation @ x + translation``
    by the perspective one; three-dimensional landmarks are
    ``scale * rotation @ x + translation``. `projected` does this.

    Attributes
    ----------
    shape_coefficients : tensor, (face or identity, shape), standard deviations
        Posterior mode. With `identities`, one row per identity in the order of `identities`.
    expression_coefficients : tensor, (face, expression), standard deviations
        Posterior mode.
    rotation : tensor, (face, 3, 3)
        From the face's axes to the camera's (x right in the picture, y up, z to the viewer);
        see `pose_angles`.
    scale : tensor, (face,), pixels (or the landmarks' unit) per mm
        Of the face in the picture; at the origin of the face for a perspective camera.
    translation : tensor, (face, 2 or 3), pixels, y down (weak perspective) or mm
        See above.
    focal_px : tensor, (face,), pixels
        Infinite for weak perspective and three-dimensional landmarks.
    residual_px : tensor, (face,), pixels or the landmarks' unit
        Root mean square distance of the fitted from the given landmarks.
    residual_relative : tensor, (face,)
        The same over the face's size, the square root of the area of the box around its
        landmarks (of three-dimensional ones, in x and y).
    converged : tensor of bool, (face,)
        Whether the last step was below the tolerance.
    iterations : tensor of int64, (face,)
        Gauss-Newton steps taken.
    shape_standard_errors : tensor or None, (face or identity, shape), standard deviations
        Posterior, pose and expression being uncertain too. 1 where the landmarks tell nothing.
    expression_standard_errors : tensor or None, (face, expression), standard deviations
        Posterior, the shape being uncertain too.
    shape_covariance : tensor or None, (face or identity, shape, shape)
        Posterior, if asked for.
    identities : tensor of int64 or None, (identity,)
        Which identity each row of shape coefficients is, ascending.
    identity_rows : tensor of int64, (face,)
        Row of `shape_coefficients` that belongs to each face.
    contour_vertices : tensor of int64 or None, (face, 17)
        Vertices that the jaw landmarks were fitted to, where they slide.
    problem : tuple of str, (face,)
        Why a face was not fitted; empty where it was.
    """

    shape_coefficients: torch.Tensor
    expression_coefficients: torch.Tensor
    rotation: torch.Tensor
    scale: torch.Tensor
    translation: torch.Tensor
    focal_px: torch.Tensor
    residual_px: torch.Tensor
    residual_relative: torch.Tensor
    converged: torch.Tensor
    iterations: torch.Tensor
    shape_standard_errors: torch.Tensor | None
    expression_standard_errors: torch.Tensor | None
    shape_covariance: torch.Tensor | None
    identities: torch.Tensor | None
    identity_rows: torch.Tensor
    contour_vertices: torch.Tensor | None
    problem: tuple
