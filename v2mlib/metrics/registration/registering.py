"""Registration of batches of faces, and the point-to-plane errors it leaves."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError
from v2mlib.faces.geometry import align
from v2mlib.metrics.pairs import as_pair
from v2mlib.metrics.registration.config import DIRECTIONS, Registration, RegistrationConfig
from v2mlib.metrics.registration.icp import fit
from v2mlib.metrics.registration.surfaces import LEAST, normals_on, patch_of


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
        rows.append((rotation, translation, scale, rmse, count, found.iterations, found.converged))
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
    for row, (p, r) in enumerate(pairs.which):
        predicted, reference = pairs.predicted[p], pairs.reference[r]
        cut = [face[patch.vertices] for face in (predicted, reference)]
        start = align(*cut, scale=config.scale)
        cut[0] = cut[0] * start.scale
        normals = [normals_on(patch, face) for face in (predicted, reference)]
        rotation, translation = start.rotation, start.translation
        if direction == "reference_to_predicted":
            cut, normals = cut[::-1], normals[::-1]
            rotation, translation = rotation.T, -rotation.T @ translation
        found = fit(
            cut[0], normals[0], cut[1], normals[1], patch.inner, rotation, translation, config
        )
        kept = int(np.isfinite(found.distance).sum())
        if kept < LEAST:
            raise InputError(
                f"{patch.name} of pair {row}",
                f"keeps {kept} of {len(patch.vertices)} correspondences within "
                f"{config.max_distance_mm:g} mm and {config.max_angle_deg:g} degrees",
                "look at the two faces, or allow more in RegistrationConfig",
            )
        yield float(start.scale), found


def _mean_square(distance, trim):
    squares = np.sort(distance[np.isfinite(distance)] ** 2)
    return squares[: len(squares) - int((trim or 0) * len(squares))].mean()
