"""Residuals, their derivatives and the normal equations of a fit.

With ``x`` a landmark of the model, ``R`` the rotation, ``s`` the scale and ``t`` the shift,

    three dimensions    ``p = s R x + t``
    weak perspective    ``p = (s R x)_xy + t``
    perspective         ``p = ((s R x)_xy + t) / (1 - k (R x)_z)``,  ``k = s / focal length``,

so that a perspective camera is a weak one with a denominator. The objective is

    ``E = sum_l w_l |y_l - p_l|^2 / noise^2 + sum_k prior_k a_k^2``.

Rotations change in the face's own axes: ``R exp([turn])``. Then for weak perspective the normal
matrix of the coefficients needs no sum over landmarks: ``s^2 (G - sum_ab r_a r_b G_ab)`` with
``r`` the third row of ``R`` and the six Gram matrices of the basis; in three dimensions it is
``s^2 G`` whatever the rotation.
"""

from typing import NamedTuple

import torch

from v2mlib.fitting.landmarks.basis import view_products
from v2mlib.fitting.landmarks.pose import rotate, skew


class Camera(NamedTuple):
    """Which camera, and which of its parameters are fitted."""

    n_axes: int
    perspective: bool = False
    estimate_focal: bool = False
    rigid: bool = False

    @property
    def n_parameters(self):
        """Turn, logarithm of the scale, shift, logarithm of the focal length."""
        return 3 + (not self.rigid) + self.n_axes + self.estimate_focal


class State(NamedTuple):
    """Parameters of many faces, in units of each face's size.

    ``coefficients (face, coefficient)``, ``rotation (face, 3, 3)``, ``log_scale (face,)``,
    ``shift (face, axis)``, ``log_focal (face,)`` or None.
    """

    coefficients: torch.Tensor
    rotation: torch.Tensor
    log_scale: torch.Tensor
    shift: torch.Tensor
    log_focal: torch.Tensor | None

    def rows(self, index):
        """Some of the faces.

        Parameters
        ----------
        index : tensor
            Indices or a mask.

        Returns
        -------
        State
            These.
        """
        return State(*(None if part is None else part[index] for part in self))

    def put(self, index, other):
        """Overwrite some of the faces.

        Parameters
        ----------
        index : tensor
            Indices or a mask.
        other : State
            Their new parameters.
        """
        for mine, theirs in zip(self, other, strict=True):
            if mine is not None:
                mine[index] = theirs

    def chosen(self, condition, other):
        """The other's parameters where a condition holds, else these.

        Parameters
        ----------
        condition : tensor of bool, (face,)
            Which.
        other : State
            Of the same faces.

        Returns
        -------
        State
            A mixture.
        """

        def choose(mine, theirs):
            return torch.where(condition.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)

        pairs = zip(self, other, strict=True)
        return State(*(None if mine is None else choose(mine, theirs) for mine, theirs in pairs))

    def moved(self, step, camera):
        """The parameters after a step.

        Parameters
        ----------
        step : tensor, (face, coefficient + camera parameter)
            Changes.
        camera : Camera
            Which parameters there are.

        Returns
        -------
        State
            Moved.
        """
        n = self.coefficients.shape[1]
        turn, rest = step[:, n : n + 3], step[:, n + 3 :]
        log_scale = self.log_scale
        if not camera.rigid:
            # A step cannot more than double or halve the face.
            log_scale = log_scale + rest[:, 0].clamp(-0.7, 0.7)
            rest = rest[:, 1:]
        shift = self.shift + rest[:, : camera.n_axes]
        log_focal = self.log_focal
        if camera.estimate_focal:
            log_focal = log_focal + rest[:, -1].clamp(-0.7, 0.7)
        rotation = rotate(self.rotation, turn)
        return State(self.coefficients + step[:, :n], rotation, log_scale, shift, log_focal)


class Projection(NamedTuple):
    """Where landmarks are seen, and what their derivatives need.

    ``points (face, landmark, axis)``, ``axes (face, axis, xyz=3)`` the scaled rows of the
    rotation, ``depth (face, landmark)`` the perspective denominators or None,
    ``nearness (face, landmark)`` the term ``k (R x)_z`` or None.
    """

    points: torch.Tensor
    axes: torch.Tensor
    depth: torch.Tensor | None = None
    nearness: torch.Tensor | None = None


def project(model_points, state, camera):
    """Project landmarks.

    Parameters
    ----------
    model_points : tensor, (face, landmark, xyz=3)
        Landmarks of the model.
    state : State
        Pose.
    camera : Camera
        Of which kind.

    Returns
    -------
    Projection
        Where they are seen.
    """
    scale = state.log_scale.exp()
    axes = scale[:, None, None] * state.rotation[:, : camera.n_axes]
    flat = model_points @ axes.mT + state.shift[:, None]
    if not camera.perspective:
        return Projection(flat, axes)
    curvature = (state.log_scale - state.log_focal).exp()
    height = (model_points @ state.rotation[:, 2, :, None])[..., 0]
    nearness = curvature[:, None] * height
    depth = (1 - nearness).clamp(min=0.05)  # a point behind the camera would be seen mirrored
    return Projection(flat / depth[..., None], axes, depth, nearness)


def camera_columns(model_points, projection, state, camera):
    """Derivatives of the projection by the camera's parameters.

    Parameters
    ----------
    model_points : tensor, (face, landmark, xyz=3)
        Landmarks of the model.
    projection : Projection
        Of these points.
    state : State
        Where to differentiate.
    camera : Camera
        Which parameters.

    Returns
    -------
    columns : tensor, (face, landmark, axis, camera parameter)
        The derivatives.
    by_point : tensor, (face, 1 or landmark, axis, xyz=3)
        Derivatives by the model's point.
    """
    points, by_point = projection.points, projection.axes[:, None]
    eye = torch.eye(camera.n_axes, dtype=points.dtype, device=points.device)
    shifted = eye.expand(*points.shape[:2], -1, -1)
    scaled = points - state.shift[:, None]
    if camera.perspective:
        curvature = (state.log_scale - state.log_focal).exp()[:, None, None, None]
        third = state.rotation[:, None, 2:3, :]
        by_point = (by_point + curvature * points[..., None] * third) / projection.depth[
            ..., None, None
        ]
        bent = points * (projection.nearness / projection.depth)[..., None]
        shifted = shifted / projection.depth[..., None, None]
        scaled = points - state.shift[:, None] / projection.depth[..., None] + bent
    columns = [-by_point @ skew(model_points)]
    if not camera.rigid:
        columns.append(scaled[..., None])
    columns.append(shifted)
    if camera.estimate_focal:
        columns.append(-bent[..., None])
    return torch.cat(columns, -1), by_point


class Rows(NamedTuple):
    """Landmarks that enter the normal equations in one way.

    ``index (landmark,)`` which; ``basis (coefficient, landmark * 3)``, shared by all faces, or
    ``(face, coefficient, landmark * 3)``; ``grams`` of landmarks that all faces weigh alike, or
    None where the sum over landmarks is taken face by face.
    """

    index: torch.Tensor
    basis: torch.Tensor
    grams: object


def normal_equations(rows, columns, by_point, residual, weights, precision, state, camera):
    """One set of landmarks' share of the normal matrix and of minus the gradient.

    Parameters
    ----------
    rows : Rows
        Which landmarks, and their basis.
    columns : tensor, (face, landmark, axis, camera parameter)
        Derivatives by the camera's parameters.
    by_point : tensor, (face, 1 or landmark, axis, xyz=3)
        Derivatives by the model's point.
    residual : tensor, (face, landmark, axis)
        Given minus projected landmarks.
    weights : tensor, (face, landmark)
        Weight of each landmark.
    precision : tensor, (face,)
        One over the square of the noise.
    state : State
        Scale and rotation.
    camera : Camera
        Which parameters.

    Returns
    -------
    matrix : tensor, (face, parameter, parameter)
        Coefficients first, then the camera's parameters.
    pull : tensor, (face, parameter)
        Minus half the gradient.
    """
    columns, residual = columns[:, rows.index], residual[:, rows.index]
    weights = weights[:, rows.index] * precision[:, None]
    if by_point.shape[1] > 1:
        by_point = by_point[:, rows.index]
    own = torch.cat([columns, residual[..., None]], -1)  # (face, landmark, axis, P + 1)
    weighted = own * weights[..., None, None]
    blocks = columns.flatten(1, 2).mT @ weighted.flatten(1, 2)  # (face, P, P + 1)
    if rows.grams is None:
        basis = rows.basis.unflatten(-1, (-1, 3))  # (..., coefficient, landmark, 3)
        if basis.ndim == 3:
            basis = basis[None]
        slopes = by_point @ basis.permute(0, 2, 3, 1)  # (face, landmark, axis, coefficient)
        slopes = slopes.flatten(1, 2)
        crossed = slopes.mT @ weighted.flatten(1, 2)  # (face, coefficient, P + 1)
        spread = weights.repeat_interleave(camera.n_axes, 1)[..., None]
        inner = slopes.mT @ (slopes * spread)
    else:
        back = by_point.mT @ weighted  # (face, landmark, 3, P + 1)
        back = back.permute(0, 3, 1, 2).flatten(2)
        crossed = (back @ rows.basis.T).mT
        inner = _inner(rows.grams, precision, state, camera)
    top = torch.cat([inner, crossed[..., :-1]], -1)
    bottom = torch.cat([crossed[..., :-1].mT, blocks[..., :-1]], -1)
    pull = torch.cat([crossed[..., -1], blocks[..., -1]], -1)
    return torch.cat([top, bottom], 1), pull


def _inner(grams, precision, state, camera):
    """Normal matrix of the coefficients from the Gram matrices."""
    factor = precision * (2 * state.log_scale).exp()
    if camera.n_axes == 3:
        return factor[:, None, None] * grams.total
    views = view_products(state.rotation[:, 2]) * -factor[:, None]
    size = grams.total.shape[0]
    flat = torch.cat([factor[:, None], views], 1) @ torch.cat(
        [grams.total.reshape(1, -1), grams.pairs]
    )
    return flat.unflatten(1, (size, size))
