"""Synthetic landmarks with known faces and poses, and a literal objective to hold fits against."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from v2mlib.faces.cameras import Camera


class Made(NamedTuple):
    """Faces, poses and the landmarks seen, without noise."""

    shape: torch.Tensor
    expression: torch.Tensor
    rotation: torch.Tensor
    scale: torch.Tensor
    translation: torch.Tensor
    landmarks: torch.Tensor


def make(model, n_faces, n_axes=2, *, n_identities=None, seed=0, turn_deg=20):
    """Random faces under random poses; face k is of identity k % n_identities."""
    random = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=random, dtype=torch.float64)

    shape = normal(n_identities or n_faces, model.n_shape)
    shape = shape[torch.arange(n_faces) % len(shape)]
    expression = normal(n_faces, model.n_expression)
    turns = np.radians(turn_deg) * normal(n_faces, 3).numpy()
    rotation = torch.from_numpy(Rotation.from_rotvec(turns).as_matrix())
    scale = 1 + torch.rand(n_faces, generator=random, dtype=torch.float64)
    translation = 200 + 50 * normal(n_faces, n_axes)
    double, vertices = model.to(dtype=torch.float64), model.landmarks.clamp(min=0)
    points = double.decode(shape, expression, vertices=vertices)
    points[:, model.landmarks < 0] = torch.nan
    seen = scale[:, None, None] * (points @ rotation.mT)[..., :n_axes]
    if n_axes == 2:
        seen[..., 1] *= -1
    return Made(shape, expression, rotation, scale, translation, seen + translation[:, None])


def noisy(made, noise, seed=1):
    """The landmarks with Gaussian noise on every coordinate."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(made.landmarks.shape, generator=random, dtype=torch.float64)
    return made.landmarks + noise * drawn


def literal_energy(model, landmarks, noise, shape, expression, rotation, scale, translation):
    """The objective of one face, landmark by landmark, in float64."""
    total = float((shape**2).sum() + (expression**2).sum())
    for number, vertex in enumerate(model.landmarks.tolist()):
        if np.isnan(landmarks[number]).any():
            continue
        point = model.mean[vertex].double().numpy().copy()
        point += (model.shape_basis[vertex] * model.shape_std).double().numpy() @ shape
        point += (
            model.expression_basis[vertex] * model.expression_std
        ).double().numpy() @ expression
        seen = scale * (rotation @ point)[: len(translation)]
        if len(translation) == 2:
            seen[1] *= -1
        total += float(((landmarks[number] - seen - translation) ** 2).sum()) / noise**2
    return total


def literal_coefficients(model, landmarks, noise, rotation, scale, translation):
    """Best coefficients of faces with one shape under known poses: plain normal equations.

    ``landmarks (face, 68, axis)`` and the poses of all photographs of one person. Gives the shape
    and each photograph's expression.
    """
    n_shape, n_expression = model.n_shape, model.n_expression
    n_faces, n_axes = len(landmarks), landmarks.shape[-1]
    size = n_shape + n_faces * n_expression
    matrix, right = np.eye(size), np.zeros(size)
    flip = np.array([1.0, -1.0]) if n_axes == 2 else np.ones(3)
    for face in range(n_faces):
        begin = n_shape + face * n_expression
        for number, vertex in enumerate(model.landmarks.tolist()):
            camera = flip[:, None] * scale[face] * rotation[face][:n_axes]
            row = np.zeros((n_axes, size))
            shape_basis = (model.shape_basis[vertex] * model.shape_std).double().numpy()
            row[:, :n_shape] = camera @ shape_basis
            basis = (model.expression_basis[vertex] * model.expression_std).double().numpy()
            row[:, begin : begin + n_expression] = camera @ basis
            rest = landmarks[face, number] - translation[face]
            rest = rest - camera @ model.mean[vertex].double().numpy()
            matrix += row.T @ row / noise**2
            right += row.T @ rest / noise**2
    solved = np.linalg.solve(matrix, right)
    return solved[:n_shape], solved[n_shape:].reshape(n_faces, n_expression)


def outline_landmarks(model, n_faces, yaw_deg, *, seed=0, noise=1.5):
    """Landmarks in mm as drawn in a picture: the jaw on the outline that is seen at its level.

    The outline is that of each person's own dense mesh, in front of the jaw line: no line of
    candidates enters. Gives the noisy landmarks (y down), the same with the jaw at its vertices,
    and the shapes.
    """
    random = torch.Generator().manual_seed(seed)
    model = model.to(dtype=torch.float64)
    landmarks = model.landmarks
    jaw, mean = model.mean[landmarks[:17]].numpy(), model.mean.numpy()
    order = np.argsort(jaw[:9, 1])
    depth = np.interp(mean[:, 1], jaw[:9, 1][order], jaw[:9, 2][order])
    low, high = jaw[8, 1] - 5, jaw[0, 1] + 20
    front = (mean[:, 2] >= depth - 1) & (mean[:, 1] >= low) & (mean[:, 1] <= high)
    shape = torch.randn(n_faces, model.n_shape, generator=random, dtype=torch.float64)
    pitch = 5 * torch.randn(n_faces, generator=random)
    drawn, fixed = [], []
    for face, vertices in enumerate(model.decode(shape)):
        camera = Camera(yaw_deg if face % 2 else -yaw_deg, float(pitch[face]))
        seen = vertices.numpy() @ camera.axes[:2].T
        points = seen[landmarks].copy()
        fixed.append(points.copy())
        for number in [*range(8), *range(9, 17)]:
            level = seen[front][np.abs(seen[front][:, 1] - points[number, 1]) < 2]
            if len(level):
                points[number, 0] = level[:, 0].min() if number < 8 else level[:, 0].max()
        drawn.append(points)
    jitter = noise * torch.randn(n_faces, 68, 2, generator=random, dtype=torch.float64).numpy()
    down = np.array([1.0, -1.0])
    return (np.stack(drawn) + jitter) * down, (np.stack(fixed) + jitter) * down, shape
