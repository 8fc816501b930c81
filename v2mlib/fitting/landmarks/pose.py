"""Pose in closed form, rotations, and the angles of a pose."""

import torch

#: Depth over height of a face below which a mirrored one cannot be told.
FLAT = 0.05


def weak_perspective_pose(model_points, points, weights):
    """Nearest weak perspective camera: an affine one by least squares, made orthogonal.

    Parameters
    ----------
    model_points : tensor, (face, landmark, xyz=3)
        Points of the face model.
    points : tensor, (face, landmark, xy=2)
        Where they are seen, y up.
    weights : tensor, (face, landmark)
        Weight of each landmark.

    Returns
    -------
    rotation : tensor, (face, 3, 3)
        Proper.
    log_scale : tensor, (face,)
        Logarithm of the scale.
    shift : tensor, (face, 2)
        Translation in the picture.
    """
    model_mean, centred = _centre(model_points, weights)
    mean, seen = _centre(points, weights)
    weighted = centred * weights[..., None]
    moments = weighted.mT @ centred  # (face, 3, 3)
    affine = seen.mT @ weighted @ _inverse_3x3(moments)  # (face, 2, 3)
    # (A A^T)^(-1/2) A is the nearest matrix with orthonormal rows; of 2 x 2 it is a closed form.
    square = affine @ affine.mT
    root_det = torch.linalg.det(square).clamp(min=0).sqrt()
    trace = square.diagonal(dim1=1, dim2=2).sum(-1)
    double_scale = (trace + 2 * root_det).sqrt()  # sum of the singular values
    tiny = torch.finfo(points.dtype).tiny
    adjugate = torch.stack(
        [
            torch.stack([square[:, 1, 1], -square[:, 0, 1]], -1),
            torch.stack([-square[:, 1, 0], square[:, 0, 0]], -1),
        ],
        -2,
    )
    eye = torch.eye(2, dtype=points.dtype, device=points.device)
    divisor = (root_det * double_scale).clamp(min=tiny)
    inverse_root = (adjugate + root_det[:, None, None] * eye) / divisor[:, None, None]
    rotation = complete(inverse_root @ affine)
    scale = (double_scale / 2).clamp(min=tiny)
    shift = mean - scale[:, None] * (rotation[:, :2] @ model_mean[..., None])[..., 0]
    return rotation, scale.log(), shift


def similarity_pose(model_points, points, weights, log_scale=None):
    """Nearest similarity (or rigid) motion that never mirrors.

    Parameters
    ----------
    model_points, points : tensor, (face, landmark, xyz=3)
        Corresponding points.
    weights : tensor, (face, landmark)
        Weight of each landmark.
    log_scale : tensor, (face,), optional
        Logarithm of the scale, where it is known.

    Returns
    -------
    rotation : tensor, (face, 3, 3)
        Proper.
    log_scale : tensor, (face,)
        Logarithm of the scale.
    shift : tensor, (face, 3)
        Translation.
    mirrored : tensor of bool, (face,)
        Whether a mirrored face would fit better: an axis points the wrong way.

    References
    ----------
    Umeyama, IEEE TPAMI 13 (1991), Eqs. 34-43.
    """
    model_mean, centred = _centre(model_points, weights)
    mean, seen = _centre(points, weights)
    weighted = centred * weights[..., None]
    left, spread, right = torch.linalg.svd(seen.mT @ weighted)
    sign = torch.linalg.det(left @ right).sign()
    proper = torch.ones_like(spread)
    proper[:, 2] = sign
    rotation = (left * proper[:, None]) @ right
    size = (weighted * centred).sum((1, 2))
    scale = (spread * proper).sum(-1) / size
    log_scale = scale.clamp(min=1e-12).log() if log_scale is None else log_scale
    shift = mean - log_scale.exp()[:, None] * (rotation @ model_mean[..., None])[..., 0]
    # Of an almost flat face (few landmarks) noise decides the sign, and it does not matter.
    return rotation, log_scale, shift, (sign < 0) & (spread[:, 2] > FLAT * spread[:, 1])


def _centre(points, weights):
    total = weights.sum(1, keepdim=True).clamp(min=torch.finfo(points.dtype).tiny)
    mean = ((weights / total)[:, None] @ points)[:, 0]
    return mean, points - mean[:, None]


def _inverse_3x3(matrix):
    """Inverse by cofactors: for batches of 3 x 3 far faster than a factorisation."""
    rows = torch.stack(
        [
            torch.linalg.cross(matrix[:, 1], matrix[:, 2]),
            torch.linalg.cross(matrix[:, 2], matrix[:, 0]),
            torch.linalg.cross(matrix[:, 0], matrix[:, 1]),
        ],
        -1,
    )
    determinant = (matrix[:, 0] * rows[..., 0]).sum(-1)
    return rows / determinant[:, None, None].clamp(min=torch.finfo(matrix.dtype).tiny)


def complete(rows):
    """Complete rotations.

    Parameters
    ----------
    rows : tensor, (face, 2, 3)
        Two orthonormal rows.

    Returns
    -------
    tensor, (face, 3, 3)
        With their cross product.
    """
    return torch.cat([rows, torch.linalg.cross(rows[:, :1], rows[:, 1:])], 1)


def skew(vectors):
    """Matrices of cross products.

    Parameters
    ----------
    vectors : tensor, (..., 3)
        Vectors ``a``.

    Returns
    -------
    tensor, (..., 3, 3)
        With ``skew(a) @ b = a x b``.
    """
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    flat = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    return flat.unflatten(-1, (3, 3))


def rotate(rotation, turn):
    """Turn by rotation vectors given in the face's own axes.

    Rodrigues' formula, then one step of Newton's iteration towards orthogonality, so that
    rounding does not add up.

    Parameters
    ----------
    rotation : tensor, (face, 3, 3)
        Before.
    turn : tensor, (face, 3)
        Rotation vectors.

    Returns
    -------
    tensor, (face, 3, 3)
        After.
    """
    angle = torch.linalg.vector_norm(turn, dim=-1).clamp(min=1e-12)[:, None, None]
    matrix = skew(turn)
    eye = torch.eye(3, dtype=turn.dtype, device=turn.device)
    half = torch.sin(angle / 2) / angle
    step = eye + torch.sin(angle) / angle * matrix + 2 * half**2 * (matrix @ matrix)
    turned = rotation @ step
    return 1.5 * turned - 0.5 * turned @ (turned.mT @ turned)


def pose_angles(rotation):
    """Yaw, pitch and roll of a fitted face, in the convention of `v2mlib.faces.cameras.Camera`.

    Parameters
    ----------
    rotation : tensor or ndarray, (..., 3, 3)
        From the face's axes to the camera's.

    Returns
    -------
    tensor of float64, (..., 3), degrees
        Yaw: where the camera stands, positive towards the subject's left, so that the subject
        is seen to look to the left of the picture. Pitch: the camera's elevation, positive from
        above. Roll: of the camera, positive turns the picture clockwise.

    Examples
    --------
    >>> pose_angles(torch.eye(3)).tolist()
    [0.0, 0.0, 0.0]
    """
    rotation = torch.as_tensor(rotation).double()
    x, y, z = rotation[..., 2, :].unbind(-1)
    yaw, pitch = torch.atan2(x, z), torch.asin(y.clamp(-1, 1))
    # The level right axis of that camera, and the one it would call up.
    level = torch.stack([z, torch.zeros_like(z), -x], -1)
    level = torch.nn.functional.normalize(level, dim=-1)
    up = torch.linalg.cross(rotation[..., 2, :], level)
    right = rotation[..., 0, :]
    roll = torch.atan2((right * up).sum(-1), (right * level).sum(-1))
    return torch.rad2deg(torch.stack([yaw, pitch, roll], -1)) + 0.0
