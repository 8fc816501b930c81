"""Fit a morphable model to landmarks: checks, batches, results."""

import itertools

import numpy as np
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.landmarks.basis import landmark_basis
from v2mlib.fitting.landmarks.config import FitConfig
from v2mlib.fitting.landmarks.contour import build_contour
from v2mlib.fitting.landmarks.descent import descend
from v2mlib.fitting.landmarks.energy import Batch, Model
from v2mlib.fitting.landmarks.normal import Camera
from v2mlib.fitting.landmarks.observations import MIN_LANDMARKS, observe, refuse
from v2mlib.fitting.landmarks.quick import descend_quickly
from v2mlib.fitting.landmarks.results import Results
from v2mlib.fitting.landmarks.table import quick_table

#: A picture whose longer half-side is seen under 22.5 degrees.
FOCAL_OVER_HALF_SIDE = 2.414
#: Above this condition number of the normal equations, "auto" takes double precision.
SINGLE_LIMIT = 1e6


def fit_landmarks(
    landmarks,
    model,
    *,
    config=None,
    identities=None,
    weights=None,
    principal_points=None,
    device=None,
):
    """Fit a morphable model to the landmarks of many faces at once.

    Gives the posterior mode of pose, shape and expression under Gaussian noise of the landmarks
    and the model's Gaussian prior: a start in closed form, then Gauss-Newton steps on everything
    together, damped where they would not descend.

    Parameters
    ----------
    landmarks : array_like, (face, landmark=68, 2 or 3), pixels or mm
        In iBUG order. Two-dimensional: column and row, y down. Three-dimensional: in the
        directions of the model's axes (x to the subject's left, y up, z out of the face), in any
        unit. NaN where a landmark is missing.
    model : MorphableModel
        Landmarks that the model lacks are left out.
    config : FitConfig, optional
        How to fit.
    identities : array_like of int, (face,), optional
        Whose face each is: faces of one identity get one shape, each its own pose and expression.
    weights : array_like, (68,) or (face, 68), optional
        Precision of each landmark relative to the others; 0 leaves it out, 1 by default.
    principal_points : array_like, (2,) or (face, 2), pixels, optional
        Where the optical axis meets the picture, ``((width - 1) / 2, (height - 1) / 2)`` unless
        it was cropped; for the perspective camera.
    device : torch.device or str, optional
        Where to compute; by default where the landmarks are (the CPU, if they are no tensor).

    Returns
    -------
    LandmarkFit
        Coefficients, poses, residuals, convergence, standard errors, on the device.

    Raises
    ------
    ShapeError
        If there are not 68 landmarks of 2 or 3 coordinates per face.
    InputError
        If faces cannot be fitted (too few landmarks, all in one place or on one line, infinite,
        seen from behind as when an axis points the wrong way), naming them; if the model has no
        mesh for a sliding contour; if the perspective camera lacks principal points.

    References
    ----------
    Blanz and Vetter, "Face recognition based on fitting a 3D morphable model", IEEE TPAMI 25
    (2003); Bas and Smith, "What does 2D geometric information really tell us about 3D face
    shape?", IJCV 127 (2019).
    """
    config = FitConfig() if config is None else config
    if device is None:
        device = landmarks.device if isinstance(landmarks, torch.Tensor) else "cpu"
    device = torch.device(device)
    seen = observe(landmarks, model, weights, device)
    camera = _camera(config, seen)
    if len(seen.kept) < MIN_LANDMARKS:
        where = f"face model {model.name!r}"
        raise InputError(where, f"has only {len(seen.kept)} landmarks", "take another model")
    if config.refuse_degenerate:
        refuse(seen.problem)
    rows, names = _identities(identities, len(seen.points), device)
    seen = _about_principal_points(seen, camera, principal_points)
    known = _model(model, seen, camera, config, names is not None)
    batch = _batch(seen, known, config, rows)
    dtype = _precision(batch, known, config)
    known, batch = _cast(known, batch, dtype)
    results = Results(seen, known, rows, names, model)
    table = quick_table(model, batch, known, seen.problem)
    for faces in _chunks(rows, seen.problem, config.chunk):
        part = batch.rows(faces)
        if table is None:
            results.put(faces, part, *descend(part, known))
        else:
            results.put(faces, part, *descend_quickly(part, table, known))
    return results.finish()


def _camera(config, seen):
    n_axes = seen.points.shape[-1]
    perspective = config.camera == "perspective"
    for setting, is_on in (("perspective", perspective), ("slide_contour", config.slide_contour)):
        if is_on and n_axes == 3:
            raise InputError(setting, "is for two-dimensional landmarks", "give columns and rows")
    if config.rigid and n_axes == 2:
        raise InputError("rigid", "is for three-dimensional landmarks in mm", "leave it out")
    return Camera(n_axes, perspective, perspective and config.focal_px is None, config.rigid)


def _identities(identities, count, device):
    """Row of each face among the identities, and the identities (None without sharing)."""
    if identities is None:
        return torch.arange(count, device=device), None
    if not isinstance(identities, torch.Tensor):
        identities = np.asarray(identities)
        if identities.dtype.kind not in "iufb":
            problem = f"are {identities.dtype}, not integers"
            raise InputError("identities", problem, "number them: pandas.factorize(names)[0]")
        identities = torch.from_numpy(identities)
    if tuple(identities.shape) != (count,) or identities.is_floating_point():
        raise ShapeError(
            f"identities have shape {tuple(identities.shape)} and type {identities.dtype}, "
            f"expected ({count},) integers, one per face"
        )
    names, rows = torch.unique(identities.to(device), return_inverse=True)
    return rows, names


def _about_principal_points(seen, camera, principal_points):
    """Landmarks relative to where the optical axis meets the picture."""
    if not camera.perspective:
        return seen
    if principal_points is None:
        raise InputError(
            "a perspective camera",
            "needs to know where the optical axis meets the picture",
            "give principal_points=((width - 1) / 2, (height - 1) / 2)",
        )
    given = torch.as_tensor(principal_points).to(seen.centre)
    if tuple(given.shape) not in ((2,), tuple(seen.centre.shape)):
        raise ShapeError(
            f"principal_points have shape {tuple(given.shape)}, expected (2,) or "
            f"{tuple(seen.centre.shape)}"
        )
    given = given.expand_as(seen.centre)
    flip = given.new_tensor([1.0, -1.0])
    off = (seen.centre - given) * flip / seen.size[:, None]
    return seen._replace(points=seen.points + off[:, None], centre=given)


def _model(model, seen, camera, config, shared):
    vertices = model.landmarks[seen.kept.to(model.landmarks.device)]
    basis = landmark_basis(model, vertices, seen.points.device)
    prior = basis.mean.new_full((basis.n_coefficients,), config.expression_prior)
    prior[: basis.n_shape] = config.shape_prior
    contour = None
    if config.slide_contour:
        contour = build_contour(model, seen.kept, basis, seen.points.device)
    return Model(basis, prior, camera, config, contour, shared)


def _batch(seen, known, config, rows):
    noise = torch.full_like(seen.size, config.noise_relative)
    if config.noise is not None:
        noise = config.noise / seen.size
    if config.focal_px is not None:
        log_focal = (config.focal_px / seen.size).log()
    else:
        half = seen.centre[:, :2].abs().amax(1).clamp(min=1e-6)
        log_focal = (FOCAL_OVER_HALF_SIDE * half / seen.size).log()
    log_scale = (known.basis.unit_mm / seen.size).log()
    return Batch(seen.points, seen.weights, noise, log_focal, log_scale, rows)


def _precision(batch, known, config):
    """Single precision unless the normal equations would lose too much of it."""
    if config.precision != "auto":
        return getattr(torch, config.precision)
    if not len(batch.noise) or not len(known.prior):
        return torch.float32
    if known.prior.min() == 0:
        return torch.float64
    flat = known.basis.basis.flatten(1)
    largest = torch.linalg.matrix_norm(flat @ flat.T, 2)
    condition = 1 + largest / batch.noise.min() ** 2 / known.prior.min()
    return torch.float32 if condition < SINGLE_LIMIT else torch.float64


def _cast(known, batch, dtype):
    contour = None if known.contour is None else known.contour.to(dtype)
    known = known._replace(
        basis=known.basis.to(dtype), prior=known.prior.to(dtype), contour=contour
    )
    parts = (part.to(dtype) if part.is_floating_point() else part for part in batch)
    return known, Batch(*parts)


def _chunks(rows, problem, size):
    """Faces that can be fitted, by identity, cut into batches between identities."""
    fine = torch.tensor([not text for text in problem], dtype=torch.bool, device=rows.device)
    order = torch.argsort(rows, stable=True)
    order = order[fine[order]]
    if not len(order):
        return []
    sorted_rows = rows[order]
    starts = (sorted_rows[1:] != sorted_rows[:-1]).nonzero()[:, 0] + 1
    starts = [0, *starts.tolist(), len(order)]
    cuts, last = [0], 0
    for begin, end in itertools.pairwise(starts):
        if end - last > size and begin > last:
            cuts.append(begin)
            last = begin
    return [order[a:b] for a, b in itertools.pairwise([*cuts, len(order)])]
