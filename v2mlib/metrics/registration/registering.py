"""Registration of batches of faces, and the point-to-plane distances it leaves.

No code for the published errors after "rigid ICP" was released. The choices made here, each of
which changes the numbers:

- Start: the closed-form rigid alignment of corresponding vertices, which share a topology. So
  the pose of the prediction does not matter, and there is no random start.
- Distance: from a vertex of one face to the plane through the *nearest vertex* of the other,
  along that vertex's normal (as Open3D has it); the error that is minimised is the error that
  is reported.
- What counts: `RegistrationConfig`. Vertices without a partner do not enter the mean.
- Every vertex weighs the same, so densely meshed parts (eyes, lips) weigh more than their area.
- A region is cut out of both faces and registered on its own, so its error is that of its
  shape: where it sits on the face no longer matters.
- Size is kept. A face that is too large by 2 % has an error, and should.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from v2mlib.checks import InputError
from v2mlib.faces.geometry import align
from v2mlib.metrics.registration.compiled import CONVERGED, LOST, SINGULAR
from v2mlib.metrics.registration.config import DIRECTIONS, Registration, RegistrationConfig
from v2mlib.metrics.registration.pairs import face_pairs
from v2mlib.metrics.registration.searching import fit, target_of
from v2mlib.metrics.registration.surfaces import patch_of, surface_of

#: References prepared at a time: three megabytes each at 37,000 vertices.
_BLOCK = 32


class Start(NamedTuple):
    """Where a registration begins: the motion of the prediction onto the reference."""

    rotation: np.ndarray
    translation: np.ndarray
    scale: float


class Found(NamedTuple):
    """What one registration found, as the prediction's motion onto the reference.

    ``distance (vertex,)`` are signed mm at the patch's vertices, NaN without a partner.
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: float
    distance: np.ndarray
    steps: int
    step_mm: float
    end: int


def register(
    predicted,
    reference,
    model,
    region=None,
    *,
    direction="predicted_to_reference",
    config=None,
):
    """Move predicted faces rigidly onto reference faces, point to plane.

    Gauss-Newton on the distances from each vertex to the plane of the nearest vertex of the
    other face, from the alignment of corresponding vertices (the choices are listed in
    `v2mlib.metrics.registration.registering`). Faces are never mirrored, and never resized
    unless the configuration says so. The same faces give the same motion, whatever the number
    of threads.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes broadcast. Two of one kind. On a CUDA
        device the work is done there.
    model : MorphableModel
        Gives triangles and regions.
    region : str or array_like of int, optional
        Register only this region, cut out of both faces; by default all vertices. ``"whole"``
        is the model's face area, without neck and ears where the mesh has them.
    direction : {"predicted_to_reference", "reference_to_predicted"}
        Whose vertices look for the other's planes. Either way the result moves the prediction.
    config : RegistrationConfig, optional
        Which correspondences count, and when to stop.

    Returns
    -------
    Registration
        Motions and what is left; no gradients.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the model has no such region or it is too small; if a face is not finite, has no
        extent, or keeps too few correspondences to determine a motion.

    References
    ----------
    Chen and Medioni, "Object modelling by registration of multiple range images", Image and
    Vision Computing 10 (1992); Rusinkiewicz and Levoy, "Efficient variants of the ICP
    algorithm", 3DIM 2001 (rejection on the rim, by normals and distance).

    Examples
    --------
    A face that was turned and moved comes back:

    >>> import v2mlib as v2m
    >>> model = v2m.load_face_model("phantom")
    >>> face = model.mean.double().numpy()
    >>> turned = face @ [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]] + [5.0, 0, 0]
    >>> found = register(turned, face, model, "nose")
    >>> bool(abs(found.moved(turned) - face).max() < 1e-4), bool(found.rmse_mm < 1e-6)
    (True, True)
    """
    if direction not in DIRECTIONS[:2]:
        choices = ", ".join(DIRECTIONS[:2])
        raise InputError(f"direction {direction!r}", "is not one motion", f"choose from {choices}")
    pairs = face_pairs(predicted, reference, model)
    rows = registrations(pairs, patch_of(model, region), direction, config)
    return Registration(
        rotation=pairs.pack([row.rotation for row in rows]),
        translation=pairs.pack([row.translation for row in rows]),
        scale=pairs.pack([row.scale for row in rows]),
        rmse_mm=pairs.pack([mean_square(row.distance) ** 0.5 for row in rows]),
        n_correspondences=pairs.pack([np.isfinite(row.distance).sum() for row in rows]),
        iterations=pairs.pack([row.steps for row in rows]),
        converged=pairs.pack([row.end == CONVERGED for row in rows]),
        step_mm=pairs.pack([row.step_mm for row in rows]),
    )


def mean_square(distance, trim=None):
    """Mean square of the distances that count.

    Parameters
    ----------
    distance : ndarray, (vertex,), mm
        NaN where nothing corresponds.
    trim : float, optional
        Share of the largest distances to leave out.

    Returns
    -------
    float, mm^2
        The mean square.
    """
    squares = distance[np.isfinite(distance)] ** 2
    if trim:
        n_kept = len(squares) - int(trim * len(squares))
        squares = np.partition(squares, n_kept - 1)[:n_kept]
    return float(squares.mean())


def registrations(pairs, patch, direction, config=None, *, motion=True, engine=None):
    """Register every pair.

    Parameters
    ----------
    pairs : FacePairs
        The faces.
    patch : Patch
        What is registered.
    direction : str
        The first or second of `DIRECTIONS`.
    config : RegistrationConfig, optional
        Which correspondences count.
    motion : bool
        Whether to move at all, or only measure the faces where they are.
    engine : {"compiled", "tensors"}, optional
        By default compiled code for faces on the CPU, tensors for any other device.

    Returns
    -------
    list of Found
        One per pair.

    Raises
    ------
    InputError
        If a registration cannot be determined.
    """
    config = config or RegistrationConfig()
    if pairs.predicted.device.type != "cpu" or engine == "tensors":
        from v2mlib.metrics.registration.tensors import fit_batch as fit_all
    else:
        fit_all = _fit_compiled
    found = [None] * len(pairs.which)
    order = np.argsort(pairs.which[:, 1], kind="stable")
    first = np.unique(pairs.which[order, 1], return_index=True)[1]
    for part in np.split(order, first[_BLOCK::_BLOCK]):
        starts = _starts(pairs, patch, pairs.which[part], config, motion)
        fits = fit_all(pairs, patch, pairs.which[part], starts, direction, config, motion)
        for row, start, one in zip(part, starts, fits, strict=True):
            _require_sound(one, patch, pairs.which[row, 0], config)
            if direction == "predicted_to_reference":
                rotation = one.rotation @ start.rotation
                translation = one.rotation @ start.translation + one.translation
            else:  # the reference moved, in the prediction's frame
                rotation = start.rotation @ one.rotation.T
                translation = start.translation - rotation @ one.translation
            found[row] = Found(rotation, translation, start.scale, *one[2:])
    return found


def _starts(pairs, patch, which, config, motion):
    if not motion:
        return [Start(np.eye(3), np.zeros(3), 1.0)] * len(which)
    starts = []
    for p, r in which:
        predicted, reference = pairs.predicted[p], pairs.reference[r]
        start = align(predicted[patch.vertices], reference[patch.vertices], scale=config.scale)
        starts.append(
            Start(start.rotation.cpu().numpy(), start.translation.cpu().numpy(), float(start.scale))
        )
    return starts


def _fit_compiled(pairs, patch, which, starts, direction, config, motion):
    """Fits on the CPU, pairs shared among threads; the order of the work changes nothing."""
    predicted, reference = pairs.predicted.numpy(), pairs.reference.numpy()
    partners = patch.inner | (not config.reject_boundary)
    forwards = direction == "predicted_to_reference"
    n_steps = config.max_iterations if motion else 0

    def prepare(r):
        return target_of(surface_of(patch, reference[r]), partners)

    def one(pair, start):
        p, r = pair
        if forwards:

            def onto(points):
                return start.scale * (points @ start.rotation.T) + start.translation

            return fit(surface_of(patch, predicted[p], onto), targets[r], config, n_steps)

        def back(points):
            return (points - start.translation) @ start.rotation

        target = target_of(surface_of(patch, start.scale * predicted[p]), partners)
        return fit(surface_of(patch, reference[r], back), target, config, n_steps)

    needed = np.unique(which[:, 1]) if forwards else []
    threads = torch.get_num_threads()
    if threads == 1 or len(which) == 1:
        targets = {r: prepare(r) for r in needed}
        return [one(pair, start) for pair, start in zip(which, starts, strict=True)]
    with ThreadPoolExecutor(threads) as pool:
        targets = dict(zip(needed, pool.map(prepare, needed), strict=True))
        return list(pool.map(one, which, starts))


def _require_sound(found, patch, number, config):
    what = f"{patch.name} of predicted face {number}"
    kept = int(np.isfinite(found.distance).sum())
    if found.end == LOST or kept < config.least_share * len(patch.vertices):
        raise InputError(
            what,
            f"keeps {kept} of {len(patch.vertices)} correspondences within "
            f"{config.max_distance_mm:g} mm and {config.max_angle_deg:g} degrees, off the rim: "
            "too few",
            "look at the two faces, or allow more in RegistrationConfig",
        )
    if found.end == SINGULAR:
        raise InputError(
            what,
            "can slide on the reference without a change of its error (is it flat?)",
            "choose a larger region",
        )
