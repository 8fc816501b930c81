"""Landmarks made ready for fitting: y up, centred and divided by the face's size, checked."""

from typing import NamedTuple

import torch

from v2mlib.checks import InputError, ShapeError, check_shape

N_LANDMARKS = 68
#: Fewer landmarks than this leave the pose to the noise.
MIN_LANDMARKS = 6
#: Second largest over largest spread of the landmarks below which they count as on one line.
MIN_SPREAD = 1e-2
_LISTED = 10

_COUNTS = {
    5: "the five points of a face detector say too little of a face's shape",
    98: "WFLW's 98 points would have to be mapped to the 68 of iBUG first",
    106: "JD's 106 points would have to be mapped to the 68 of iBUG first",
    468: "MediaPipe's mesh would have to be mapped to the 68 points of iBUG first",
    478: "MediaPipe's mesh would have to be mapped to the 68 points of iBUG first",
}


class Observations(NamedTuple):
    """Landmarks of many faces, in units of each face's size.

    Attributes
    ----------
    points : tensor, (face, landmark, axis)
        Centred on the middle of the box, y up, over `size`; 0 where missing.
    weights : tensor, (face, landmark)
        0 where missing.
    centre : tensor of float64, (face, axis), pixels
        Middle of the box, y as given.
    size : tensor of float64, (face,), pixels
        Square root of the area of the box in x and y.
    kept : tensor of int64, (landmark,)
        Which of the 68 the rows are: those that the model has.
    problem : list of str, (face,)
        Why a face cannot be fitted; empty where it can.
    """

    points: torch.Tensor
    weights: torch.Tensor
    centre: torch.Tensor
    size: torch.Tensor
    kept: torch.Tensor
    problem: list


def observe(landmarks, model, weights, device):
    """Check landmarks and make them ready.

    Parameters
    ----------
    landmarks : array_like, (face, landmark=68, 2 or 3)
        As given to `fit_landmarks`.
    model : MorphableModel
        Decides which of the 68 are of use.
    weights : array_like, (68,) or (face, 68), or None
        As given to `fit_landmarks`.
    device : torch.device
        Where to compute.

    Returns
    -------
    Observations
        In double precision.

    Raises
    ------
    ShapeError
        If there are not 68 points of 2 or 3 coordinates per face.
    InputError
        If weights are negative or not finite.
    """
    points = torch.as_tensor(landmarks).to(device=device, dtype=torch.float64)
    _check_landmark_shape(points)
    kept = (model.landmarks >= 0).nonzero()[:, 0].to(device)
    weights = _read_weights(weights, points)
    is_infinite = torch.isinf(points).any(-1) & (weights > 0)
    is_there = torch.isfinite(points).all(-1) & (weights > 0)
    low = torch.where(is_there[..., None], points, torch.inf).amin(1)
    high = torch.where(is_there[..., None], points, -torch.inf).amax(1)
    size = (high - low)[:, :2].prod(-1).sqrt()
    centre = (low + high) / 2
    problem = _problems(points, is_there, is_infinite, kept, size)
    is_bad = torch.tensor([bool(text) for text in problem], dtype=torch.bool, device=device)
    size = torch.where(is_bad, 1.0, size)
    centre = torch.where(is_bad[:, None], 0.0, centre)
    scaled = (points - centre[:, None]) / size[:, None, None]
    usable = is_there & ~is_bad[:, None]
    scaled = torch.where(usable[..., None], scaled, 0.0)[:, kept]
    if points.shape[-1] == 2:
        scaled = scaled * scaled.new_tensor([1.0, -1.0])
    weights = torch.where(usable, weights, 0.0)[:, kept]
    return Observations(scaled.contiguous(), weights, centre, size, kept, problem)


def _check_landmark_shape(points):
    count = points.shape[1] if points.ndim == 3 else None
    if points.ndim == 3 and points.shape[-1] in (2, 3) and count in _COUNTS:
        raise ShapeError(
            f"landmarks have shape {tuple(points.shape)}, expected (face, landmark=68, 2 or 3): "
            f"{_COUNTS[count]}"
        )
    if points.ndim == 2 and points.shape[0] == N_LANDMARKS:
        raise ShapeError(
            f"landmarks have shape {tuple(points.shape)}, expected (face, landmark=68, 2 or 3). "
            "One face? landmarks[None]"
        )
    axes = points.shape[-1] if points.ndim and points.shape[-1] in (2, 3) else 2
    if points.ndim == 3 and points.shape[-2] in (2, 3) and points.shape[-1] == N_LANDMARKS:
        axes = points.shape[-2]  # so that the message says "Transposed?"
        points = points[0]
        check_shape(points, {"landmark": N_LANDMARKS, "axis": axes}, "each face's landmarks")
    check_shape(points, {"face": None, "landmark": N_LANDMARKS, "axis": axes}, "landmarks")


def _read_weights(weights, points):
    shape = points.shape[:2]
    if weights is None:
        return points.new_ones(shape)
    weights = torch.as_tensor(weights).to(points)
    if tuple(weights.shape) not in ((N_LANDMARKS,), tuple(shape)):
        raise ShapeError(
            f"weights have shape {tuple(weights.shape)}, expected (landmark=68) or "
            f"(face={shape[0]}, landmark=68)"
        )
    if not (torch.isfinite(weights) & (weights >= 0)).all():
        raise InputError("weights", "hold negative or non-finite values", "give 0 to leave out")
    return weights.expand(shape).clone()


def _problems(points, is_there, is_infinite, kept, size):
    """Say per face what forbids a fit, the worst fault first."""
    count = is_there.sum(1)
    useful = is_there[:, kept].sum(1)
    mean = torch.where(is_there[..., None], points, 0.0).sum(1) / count.clamp(min=1)[:, None]
    centred = torch.where(is_there[..., None], points - mean[:, None], 0.0)
    spread = torch.linalg.eigvalsh(centred.mT @ centred).clamp(min=0).sqrt()
    reach = torch.where(is_there[..., None], points, 0.0).abs().amax((1, 2))
    faults = {
        "holds infinite coordinates": is_infinite.any(1),
        "has no landmark at all (all NaN)": count == 0,
        f"has fewer than {MIN_LANDMARKS} landmarks that the model has too": useful < MIN_LANDMARKS,
        "has all landmarks in one place": spread[:, -1] <= 1e-9 * reach,
        "has all landmarks on one line": (spread[:, -2] <= MIN_SPREAD * spread[:, -1])
        | ~(size > 0),
    }
    problem = [""] * len(points)
    for text, is_faulty in reversed(faults.items()):
        for face in is_faulty.nonzero()[:, 0].tolist():
            problem[face] = text
    return problem


def refuse(problem):
    """Raise for faces that cannot be fitted, naming them.

    Parameters
    ----------
    problem : sequence of str, (face,)
        Why a face cannot be fitted; empty where it can.

    Raises
    ------
    InputError
        If any face has a problem.
    """
    by_text = {}
    for face, text in enumerate(problem):
        if text:
            by_text.setdefault(text, []).append(face)
    if not by_text:
        return
    parts = []
    for text, faces in by_text.items():
        listed = ", ".join(map(str, faces[:_LISTED]))
        more = f" and {len(faces) - _LISTED} more" if len(faces) > _LISTED else ""
        parts.append(f"face {listed}{more} {text}")
    raise InputError(
        "landmarks",
        f"cannot all be fitted: {'; '.join(parts)}",
        "leave these faces out, or FitConfig(refuse_degenerate=False) gives NaN and the reason",
    )
