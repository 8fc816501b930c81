"""Registration of batches of faces, and the point-to-plane errors it leaves."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError
from v2mlib.faces.geometry import align
from v2mlib.metrics.pairs import as_pair
from v2mlib.metrics.registration.compiled import CONVERGED, LOST, SINGULAR
from v2mlib.metrics.registration.config import DIRECTIONS, Registration, RegistrationConfig
from v2mlib.metrics.registration.searching import fit, target_of
from v2mlib.metrics.registration.surfaces import patch_of, surface_of


class _Pairs(NamedTuple):
    """Faces to register: which prediction goes with which reference, and how results go back."""

    predicted: np.ndarray  # (prediction, vertex, xyz)
    reference: np.ndarray  # (reference, vertex, xyz)
    which: np.ndarray  # (pair, 2) rows of the two
    pack: object  # array (pair, ...) -> tensor or array (*batch, ...)


def point_to_plane_rmse(
    predicted,
    reference,
    model,
    region=None,
    *,
    direction="predicted_to_reference",
    trim=None,
    config=None,
):
    """Root-mean-square point-to-plane distance after rigid registration."""
    config = config or RegistrationConfig()
    if direction not in DIRECTIONS:
        choices = ", ".join(DIRECTIONS)
        raise InputError(f"direction {direction!r}", "is unknown", f"choose from {choices}")
    if trim is not None and not 0 <= trim < 1:
        raise InputError(f"trim {trim}", "is not a share in [0, 1)", "0.1 leaves out a tenth")
    pairs, patch = _pairs(predicted, reference, model), patch_of(model, region)
    ways = DIRECTIONS[:2] if direction == "both" else (direction,)
    squares = np.zeros(len(pairs.which))
    for way in ways:
        for row, (_, found) in enumerate(_fits(pairs, patch, way, config)):
            squares[row] += _mean_square(found.distance, trim) / len(ways)
    return pairs.pack(np.sqrt(squares))


def register(
    predicted,
    reference,
    model,
    region=None,
    *,
    direction="predicted_to_reference",
    config=None,
):
    """Rigid point-to-plane registration of predicted faces onto reference faces."""
    config = config or RegistrationConfig()
    if direction not in DIRECTIONS[:2]:
        choices = ", ".join(DIRECTIONS[:2])
        raise InputError(f"direction {direction!r}", "is not one motion", f"choose from {choices}")
    pairs, patch = _pairs(predicted, reference, model), patch_of(model, region)
    rows = []
    for scale, found in _fits(pairs, patch, direction, config):
        rotation, translation = found.rotation, found.translation
        if direction == "reference_to_predicted":
            rotation, translation = rotation.T, -rotation.T @ translation
        rmse = np.sqrt(_mean_square(found.distance, None))
        count = np.isfinite(found.distance).sum()
        ended = found.steps, found.end == CONVERGED, found.step_mm
        rows.append((rotation, translation, scale, rmse, count, *ended))
    columns = (np.stack(column) for column in zip(*rows, strict=True))
    return Registration(*(pairs.pack(column) for column in columns))


def _pairs(predicted, reference, model):
    predicted, reference, back = as_pair(predicted, reference, model)
    batch = torch.broadcast_shapes(predicted.shape[:-2], reference.shape[:-2])
    faces, rows = [], []
    for face in (predicted, reference):
        faces.append(face.detach().flatten(0, -3) if face.ndim > 2 else face.detach()[None])
        number = torch.arange(len(faces[-1])).reshape(face.shape[:-2])
        rows.append(number.expand(batch).reshape(-1).numpy())

    def pack(results):
        tensor = torch.as_tensor(results.reshape(batch + results.shape[1:]))
        return back(tensor.to(predicted.device))

    arrays = (face.double().cpu().numpy() for face in faces)
    return _Pairs(*arrays, np.stack(rows, axis=1), pack)


def _fits(pairs, patch, direction, config):
    """The scale of each prediction and its fit, pair by pair."""
    forwards, known, target = direction == "predicted_to_reference", -1, None
    partners = patch.inner | (not config.reject_boundary)
    for p, r in pairs.which:
        faces = pairs.predicted[p], pairs.reference[r]
        cut = [face[patch.vertices] for face in faces]
        start = align(*cut, scale=config.scale)
        rotation, translation = start.rotation, start.translation
        if forwards:
            moving = surface_of(patch, faces[0], start.scale)
            if r != known:
                target, known = target_of(surface_of(patch, faces[1]), partners), r
        else:
            moving = surface_of(patch, faces[1])
            target = target_of(surface_of(patch, faces[0], start.scale), partners)
            rotation, translation = rotation.T, -rotation.T @ translation
        found = fit(moving, target, rotation, translation, config)
        _require_sound(found, patch, p, config)
        yield float(start.scale), found


def _require_sound(found, patch, number, config):
    if found.end == LOST:
        kept = int(np.isfinite(found.distance).sum())
        raise InputError(
            f"{patch.name} of predicted face {number}",
            f"keeps {kept} of {len(patch.vertices)} correspondences within "
            f"{config.max_distance_mm:g} mm and {config.max_angle_deg:g} degrees",
            "look at the two faces, or allow more in RegistrationConfig",
        )
    if found.end == SINGULAR:
        raise InputError(
            f"{patch.name} of predicted face {number}",
            "does not determine a motion: it slides on the reference without a change (flat?)",
            "choose a larger region",
        )


def _mean_square(distance, trim):
    squares = np.sort(distance[np.isfinite(distance)] ** 2)
    return squares[: len(squares) - int((trim or 0) * len(squares))].mean()
