"""Where the vertices of fitted faces are seen."""

import torch

from v2mlib.checks import ShapeError


def projected(fit, model, *, vertices=None, principal_points=None):
    """Project fitted faces into their pictures.

    Parameters
    ----------
    fit : LandmarkFit
        Of two- or three-dimensional landmarks.
    model : MorphableModel
        The model that was fitted.
    vertices : tensor or array_like of int, (vertex,), optional
        Which vertices; all by default.
    principal_points : array_like, (2,) or (face, 2), pixels, optional
        As given to `fit_landmarks`, for the perspective camera.

    Returns
    -------
    tensor, (face, vertex, 2 or 3), pixels (y down) or the unit of the landmarks
        To be drawn over the picture or compared with landmarks.

    Raises
    ------
    ShapeError
        If a perspective fit comes without principal points.
    """
    shape = fit.shape_coefficients[fit.identity_rows]
    model = model.to(device=shape.device, dtype=shape.dtype)
    faces = model.decode(shape, fit.expression_coefficients, vertices=vertices)
    turned = faces @ fit.rotation.mT
    n_axes = fit.translation.shape[-1]
    if torch.isfinite(fit.focal_px).any():
        if principal_points is None:
            raise ShapeError("a perspective fit needs the principal_points it was fitted with")
        centre = torch.as_tensor(principal_points).to(shape).expand(len(shape), 2)
        placed = turned + fit.translation[:, None]
        flat = placed[..., :2] * placed.new_tensor([1.0, -1.0]) / -placed[..., 2:]
        return fit.focal_px[:, None, None] * flat + centre[:, None]
    seen = fit.scale[:, None, None] * turned[..., :n_axes]
    if n_axes == 2:
        seen = seen * seen.new_tensor([1.0, -1.0])
    return seen + fit.translation[:, None]
