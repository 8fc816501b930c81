"""Point-to-plane errors after registration: one number per face, or one per vertex."""

import numpy as np

from v2mlib.checks import InputError
from v2mlib.metrics.registration.config import DIRECTIONS
from v2mlib.metrics.registration.pairs import face_pairs
from v2mlib.metrics.registration.registering import mean_square, registrations
from v2mlib.metrics.registration.surfaces import patch_of


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
    r"""Root-mean-square point-to-plane distance after rigid registration.

    .. math::

        \sqrt{\frac{1}{|C|} \sum_{i \in C} \bigl( (T p_i - r_{c(i)}) \cdot n_{c(i)} \bigr)^2}

    over the vertices *C* of the prediction that have a partner: :math:`r_{c(i)}` is the
    reference vertex nearest to :math:`T p_i`, :math:`n` its normal, and *T* the rigid motion
    that `v2mlib.metrics.registration.register` finds. Faces are never mirrored or resized.
    Being measured along normals, it does not see a vertex that slid along the surface: for that
    there is `vertex_rmse`. A prediction is registered anew for each region and direction.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes broadcast, and a reference that several
        predictions share is prepared once. Two of one kind.
    model : MorphableModel
        Gives triangles and regions.
    region : str or array_like of int, optional
        Register and measure only this region, cut out of both faces; by default all vertices.
        ``"whole"`` is the model's face area.
    direction : {"predicted_to_reference", "reference_to_predicted", "both"}
        Whose vertices are measured against the other's planes; "both" is the root mean square
        of the two, each after its own registration, and symmetric.
    trim : float, optional
        Share of the largest distances to leave out of the mean, 0.1 for a tenth. The
        registration remains that of all.
    config : RegistrationConfig, optional
        Which correspondences count, and when to stop.

    Returns
    -------
    tensor or ndarray of float64, (...,), mm
        The errors; no gradients.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        If the model has no such region or it is too small; if a face is not finite, has no
        extent, or keeps too few correspondences to determine a motion; if an option is unknown.

    References
    ----------
    Wu et al., "Voice2Mesh", Tables 3 and 4, whose registration was not released: the choices
    made here are listed in `v2mlib.metrics.registration.registering`.

    Examples
    --------
    Moving a face leaves no error, making it 1 % larger does:

    >>> import v2mlib as v2m
    >>> model = v2m.load_face_model("phantom")
    >>> face = model.mean.double().numpy()
    >>> point_to_plane_rmse(face[None] + [[[7.0, 0, 0]], [[0, -9, 2]]], face, model, "nose") < 1e-5
    array([ True,  True])
    >>> round(float(point_to_plane_rmse(1.01 * face, face, model, "whole")), 2)
    0.24
    """
    if direction not in DIRECTIONS:
        choices = ", ".join(DIRECTIONS)
        raise InputError(f"direction {direction!r}", "is unknown", f"choose from {choices}")
    if trim is not None and not 0 <= trim < 1:
        raise InputError(f"trim {trim}", "is not a share in [0, 1)", "0.1 leaves out a tenth")
    pairs, patch = face_pairs(predicted, reference, model), patch_of(model, region)
    ways = DIRECTIONS[:2] if direction == "both" else (direction,)
    squares = [
        [mean_square(row.distance, trim) for row in registrations(pairs, patch, way, config)]
        for way in ways
    ]
    return pairs.pack(np.sqrt(np.mean(squares, axis=0)))


def distance_map(
    predicted,
    reference,
    model,
    region=None,
    *,
    direction="predicted_to_reference",
    registered=True,
    config=None,
):
    """Signed point-to-plane distance at every vertex, for pictures.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology; their batch axes broadcast. Two of one kind.
    model : MorphableModel
        Gives triangles and regions.
    region : str or array_like of int, optional
        Register and measure only this region; by default all vertices.
    direction : {"predicted_to_reference", "reference_to_predicted"}
        Whose vertices are measured.
    registered : bool
        Whether to register first, or to measure the faces where they are.
    config : RegistrationConfig, optional
        Which correspondences count.

    Returns
    -------
    tensor or ndarray of float64, (..., vertex), mm
        Positive where the measured face lies outside the other; NaN outside the region and
        where a vertex has no partner.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology.
    InputError
        As `point_to_plane_rmse`.

    Examples
    --------
    >>> import v2mlib as v2m
    >>> model = v2m.load_face_model("phantom")
    >>> nose = distance_map(model.mean, model.mean, model, "nose")
    >>> int(nose.isfinite().sum()) < len(model.region("nose")), bool(nose.nan_to_num().max() < 1e-6)
    (True, True)
    """
    if direction not in DIRECTIONS[:2]:
        choices = ", ".join(DIRECTIONS[:2])
        raise InputError(f"direction {direction!r}", "is not one map", f"choose from {choices}")
    pairs, patch = face_pairs(predicted, reference, model), patch_of(model, region)
    rows = registrations(pairs, patch, direction, config, motion=registered)
    distances = np.full((len(rows), model.n_vertices), np.nan)
    distances[:, patch.vertices] = [row.distance for row in rows]
    return pairs.pack(distances)
