"""Perspective cameras: presets, framing a face, projecting landmarks.

Pixels are ``(column, row)`` with the centre of the top left pixel at ``(0, 0)``.
"""

import dataclasses

import numpy as np

from v2mlib.checks import InputError


@dataclasses.dataclass(frozen=True)
class Camera:
    """A perspective camera that looks at a point of the face.

    Attributes
    ----------
    yaw_deg : float, degrees
        Camera azimuth, positive towards the subject's left (90 is the profile).
    pitch_deg : float, degrees
        Camera elevation, positive from above.
    roll_deg : float, degrees
        Roll about the viewing axis, positive turns the picture clockwise.
    distance : float, mm
        From the target to the camera.
    field : float or None, mm
        Height of the picture at the target's depth; None frames the face.
    target : tuple of float or None, mm
        Point at the picture's centre; None is the middle of the face.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    distance: float = 1200.0
    field: float | None = None
    target: tuple | None = None

    def __post_init__(self):
        """Refuse a camera that cannot see."""
        if self.distance <= 0 or (self.field is not None and self.field <= 0):
            raise InputError("camera", "has no positive distance or field", "give both in mm")

    @property
    def axes(self):
        """Right, up and backward axis of the camera, (3, xyz)."""
        yaw, pitch, roll = np.radians([self.yaw_deg, self.pitch_deg, self.roll_deg])
        back = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
        up = np.cross(back, right)
        cos, sin = np.cos(roll), np.sin(roll)
        return np.stack([cos * right + sin * up, cos * up - sin * right, back])


CAMERAS = {
    "front": Camera(),
    "three_quarter": Camera(yaw_deg=38.0),
    "profile": Camera(yaw_deg=90.0),
}


def frame(vertices, camera="front", *, margin=1.08, size=(1, 1)):
    """Complete a camera so that it frames a face.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        The face.
    camera : str or Camera
        A preset's name (``front``, ``three_quarter``, ``profile``) or a camera whose ``field``
        or ``target`` may be None.
    margin : float
        Picture size over face size.
    size : tuple of int, (height, width)
        Only its aspect ratio matters here.

    Returns
    -------
    Camera
        With ``field`` and ``target`` set.

    Raises
    ------
    InputError
        If no preset has that name.
    """
    if isinstance(camera, str):
        if camera not in CAMERAS:
            raise InputError(camera, "is not a camera preset", f"use one of {', '.join(CAMERAS)}")
        camera = CAMERAS[camera]
    vertices = np.asarray(vertices, dtype=float)
    low, high = vertices.min(0), vertices.max(0)
    target = camera.target if camera.target is not None else tuple((low + high) / 2)
    field = camera.field
    if field is None:
        seen = (vertices - np.asarray(target)) @ camera.axes.T
        scale = 1 / (1 - seen[:, 2] / camera.distance)
        reach = np.abs(seen[:, :2] * scale[:, None]).max(0)
        field = 2 * margin * max(reach[1], reach[0] * size[0] / size[1])
    return dataclasses.replace(camera, target=tuple(map(float, target)), field=float(field))


def project(points, camera, size):
    """Pixel coordinates of points seen by a framed camera.

    Parameters
    ----------
    points : array_like, (..., xyz=3), mm
        For instance the landmarks of a face.
    camera : Camera
        With ``field`` and ``target`` set (see `frame`).
    size : tuple of int, (height, width)
        Picture size in pixels.

    Returns
    -------
    ndarray, (..., 2), pixels
        Column and row; the centre of the top left pixel is ``(0, 0)``.

    Raises
    ------
    InputError
        If the camera has not been framed.

    Examples
    --------
    >>> camera = Camera(field=100.0, target=(0.0, 0.0, 0.0))
    >>> project([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]], camera, (101, 101)).round(1).tolist()
    [[50.0, 50.0], [60.1, 50.0]]
    """
    _require_framed(camera)
    height, width = size
    seen = (np.asarray(points, dtype=float) - np.asarray(camera.target)) @ camera.axes.T
    scale = height / camera.field / (1 - seen[..., 2] / camera.distance)
    column = seen[..., 0] * scale + (width - 1) / 2
    row = (height - 1) / 2 - seen[..., 1] * scale
    return np.stack([column, row], axis=-1)


def _require_framed(camera):
    if camera.field is None or camera.target is None:
        raise InputError("camera", "has no field or target", "complete it with frame(vertices)")
