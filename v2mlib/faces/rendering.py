"""Pictures of faces by ray casting: a perspective camera, three studio lights, soft skin.

The picture of a vertex and its projected pixel come from the same camera, so that rendered
photographs and their landmarks agree to sub-pixel accuracy. Pixels are ``(column, row)`` with
the centre of the top left pixel at ``(0, 0)``.
"""

import dataclasses

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from v2mlib.checks import InputError, check_shape
from v2mlib.faces.shading import (
    AMBIENT,
    NO_HIT,
    STUDIO,
    Surface,
    any_tangent,
    illuminate,
    to_bytes,
    to_linear,
    to_srgb,
    tone,
    unit,
)

SKIN = (0.80, 0.64, 0.55)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A perspective camera that looks at a point of the face.

    Parameters
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


def vertex_normals(vertices, triangles):
    """Area-weighted unit normals.

    Parameters
    ----------
    vertices : ndarray, (vertex, xyz=3), mm
        A mesh.
    triangles : ndarray of int, (triangle, 3)
        Counter-clockwise seen from outside.

    Returns
    -------
    ndarray, (vertex, xyz=3)
        Zero for vertices that no triangle uses.
    """
    corner = vertices[triangles]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    index = triangles.ravel()
    weight = np.repeat(normal, 3, axis=0)
    count = len(vertices)
    total = np.stack([np.bincount(index, weight[:, k], count) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def ambient_occlusion(vertices, triangles, *, rays=64, reach=60.0):
    """Share of the sky each vertex sees, so that creases and nostrils go dark.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        A mesh.
    triangles : array_like of int, (triangle, 3)
        Its triangles.
    rays : int
        Cosine-distributed rays per vertex.
    reach : float, mm
        Surfaces farther away do not occlude.

    Returns
    -------
    ndarray, (vertex,)
        From 0 (enclosed) to 1 (open).
    """
    vertices = np.asarray(vertices, dtype=float)
    triangles = np.asarray(triangles)
    normal = vertex_normals(vertices, triangles)
    scene = _scene(vertices, triangles)
    # A Fibonacci disc lifted to the hemisphere is cosine-distributed.
    step = np.arange(rays) + 0.5
    radius, angle = np.sqrt(step / rays), step * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1)
    tangent = any_tangent(normal)
    bitangent = np.cross(normal, tangent)
    direction = np.einsum("rk,kvx->vrx", local, np.stack([tangent, bitangent, normal]))
    origin = np.repeat(vertices + 0.05 * normal, rays, axis=0)
    distance = scene.run(
        origin.astype(np.float32),
        np.ascontiguousarray(direction.reshape(-1, 3), dtype=np.float32),
        query="DISTANCE",
    )
    return (distance > reach).reshape(-1, rays).mean(1)


def render(
    vertices,
    triangles,
    *,
    colours=None,
    camera="front",
    size=(256, 256),
    background=(0.34, 0.36, 0.40),
    lights=STUDIO,
    ambient=AMBIENT,
    occlusion=None,
    gloss=None,
    supersample=2,
    shadow_rays=1,
):
    """Picture of a face.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        The face.
    triangles : array_like of int, (triangle, 3)
        Counter-clockwise seen from outside.
    colours : array_like, (vertex, 3) or (3,), optional
        sRGB albedo from 0 to 1; skin colour by default.
    camera : str or Camera
        Preset or camera; missing framing is completed by `frame`.
    size : tuple of int, (height, width)
        Pixels.
    background : tuple of float, ndarray (height, width, 3) or None
        sRGB colour from 0 to 1, a uint8 picture, or None for a transparent background.
    lights : sequence of Light
        Fixed to the camera.
    ambient : float
        Light from everywhere.
    occlusion : array_like (vertex,), optional
        From `ambient_occlusion`; dims the ambient light.
    gloss : array_like (vertex,), optional
        Strength of the highlight from 0 to 1; 0.2 (skin) by default.
    supersample : int
        Rays per pixel along each axis.
    shadow_rays : int
        Rays per supersample and light with a softness; 0 for no shadows.

    Returns
    -------
    ndarray of uint8, (height, width, 3), or 4 channels where the background is None
        The picture, sRGB.

    Raises
    ------
    ShapeError
        If vertices or triangles do not have three columns.
    InputError
        If no preset has the camera's name.
    """
    vertices = np.asarray(vertices, dtype=float)
    triangles = np.asarray(triangles)
    check_shape(vertices, {"vertex": None, "xyz": 3}, "vertices")
    check_shape(triangles, {"triangle": None, "corner": 3}, "triangles")
    camera = frame(vertices, camera, size=size)
    scene = _scene(vertices, triangles)
    fine = (size[0] * supersample, size[1] * supersample)
    eye, direction = _primary_rays(camera, fine)
    hits = scene.run(np.broadcast_to(eye, direction.shape), direction, output=1)
    seen = np.flatnonzero(hits["primID"] != NO_HIT)

    u, v = hits["u"][seen], hits["v"][seen]
    corners = triangles[hits["primID"][seen]]
    view = -direction[seen]
    flat = unit(hits["Ng"][seen])
    flat *= np.where((flat * view).sum(1) < 0, np.float32(-1), np.float32(1))[:, None]
    # One interpolation for everything: normal, linear colour, sky, gloss.
    per_vertex = np.empty((len(vertices), 8), np.float32)
    per_vertex[:, :3] = vertex_normals(vertices, triangles)
    per_vertex[:, 3:6] = to_linear(SKIN if colours is None else colours)
    per_vertex[:, 6] = 1.0 if occlusion is None else occlusion
    per_vertex[:, 7] = 0.2 if gloss is None else gloss
    value = (1 - u - v)[:, None] * per_vertex[corners[:, 0]]
    value += u[:, None] * per_vertex[corners[:, 1]]
    value += v[:, None] * per_vertex[corners[:, 2]]
    normal = unit(value[:, :3])
    normal *= np.where((normal * flat).sum(1) < 0, np.float32(-1), np.float32(1))[:, None]
    point = eye - hits["tfar"][seen, None] * view
    weights = np.stack([1 - u - v, u, v])
    surface = Surface(
        point=_rounded(point, vertices, per_vertex[:, :3], corners, weights),
        normal=normal, flat=flat, view=view,
        albedo=value[:, 3:6], sky=value[:, 6:7], gloss=value[:, 7:8],
        column=seen % fine[1], row=seen // fine[1],
    )  # fmt: skip
    light = illuminate(
        scene, surface, camera.axes, lights=lights, ambient=ambient, shadow_rays=shadow_rays
    )
    picture = np.zeros((fine[0] * fine[1], 4), np.float32)
    picture[seen, :3] = tone(light)
    picture[seen, 3] = 1.0
    picture = picture.reshape(size[0], supersample, size[1], supersample, 4).mean((1, 3))
    return _compose(picture, background)


def contact_sheet(images, *, columns=4, gap=4, background=(0.34, 0.36, 0.40)):
    """Pictures of one size side by side.

    Parameters
    ----------
    images : sequence of ndarray of uint8, (height, width, 3)
        All of one size.
    columns : int
        Pictures per row.
    gap : int
        Pixels between pictures.
    background : tuple of float
        sRGB colour of gaps and of empty places.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        The sheet.

    Examples
    --------
    >>> contact_sheet([np.zeros((8, 6, 3), np.uint8)] * 3, columns=2, gap=2).shape
    (18, 14, 3)
    """
    images = [np.asarray(image) for image in images]
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    sheet = np.empty(shape, np.uint8)
    sheet[:] = np.round(np.asarray(background) * 255).astype(np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image[..., :3]
    return sheet


def _rounded(point, vertices, normals, corners, weights):
    """Points on the curved surface that the smooth normals suggest.

    Shadow rays that start there do not catch the triangle's own neighbours [1]_.

    References
    ----------
    .. [1] Hanika, "Hacking the shadow terminator", Ray Tracing Gems II (2021).
    """
    lifted = point.copy()
    for k in range(3):
        normal = normals[corners[:, k]]
        below = ((point - vertices[corners[:, k]].astype(np.float32)) * normal).sum(1)
        lifted -= (weights[k] * np.minimum(below, 0))[:, None] * normal
    return lifted


def _require_framed(camera):
    if camera.field is None or camera.target is None:
        raise InputError("camera", "has no field or target", "complete it with frame(vertices)")


def _scene(vertices, triangles):
    scene = EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), triangles.astype(np.int32))
    return scene


def _primary_rays(camera, size):
    """Common origin and unit directions of one ray per pixel, row by row."""
    height, width = size
    step = camera.field / height
    across = (np.arange(width) - (width - 1) / 2) * step
    upward = ((height - 1) / 2 - np.arange(height)) * step
    right, up, back = camera.axes
    direction = across[None, :, None] * right + upward[:, None, None] * up
    direction = unit((direction - camera.distance * back).reshape(-1, 3).astype(np.float32))
    eye = np.asarray(camera.target) + camera.distance * back
    return eye.astype(np.float32), direction


def _compose(picture, background):
    alpha = picture[..., 3:]
    if background is None:
        straight = picture[..., :3] / np.maximum(alpha, 1e-6)
        return to_bytes(np.concatenate([to_srgb(straight), alpha], axis=-1))
    background = np.asarray(background)
    if background.dtype == np.uint8:
        background = background / 255.0
    return to_bytes(to_srgb(picture[..., :3] + (1 - alpha) * to_linear(background)))
