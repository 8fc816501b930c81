"""Pictures of faces by ray casting: a perspective camera, three studio lights, soft skin.

The picture of a vertex and its projected pixel come from the same camera, so that rendered
photographs and their landmarks agree to sub-pixel accuracy. Pixels are ``(column, row)`` with
the centre of the top left pixel at ``(0, 0)``.
"""

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from v2mlib.checks import check_shape
from v2mlib.faces.cameras import CAMERAS, Camera, frame, project
from v2mlib.faces.shading import (
    AMBIENT,
    NO_HIT,
    STUDIO,
    Light,
    Surface,
    any_tangent,
    dot,
    illuminate,
    to_bytes,
    to_linear,
    to_srgb,
    tone,
    unit,
)

__all__ = [
    "CAMERAS",
    "Camera",
    "Light",
    "ambient_occlusion",
    "contact_sheet",
    "frame",
    "project",
    "render",
    "vertex_normals",
    "visible",
]

SKIN = (0.80, 0.64, 0.55)


def vertex_normals(vertices, triangles):
    """Angle-weighted unit normals, which do not depend on how the surface is triangulated.

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
    side = np.stack([corner[:, (k + 1) % 3] - corner[:, k] for k in range(3)], axis=1)
    normal = np.cross(side[:, 0], side[:, 1])
    doubled = np.linalg.norm(normal, axis=1)
    ahead = -np.einsum("tkx,tkx->tk", side, side[:, [2, 0, 1]])
    angle = np.arctan2(doubled[:, None], ahead)
    weight = (angle / np.maximum(doubled, 1e-12)[:, None])[:, :, None] * normal[:, None]
    index, count = triangles.ravel(), len(vertices)
    weight = weight.reshape(-1, 3)
    return unit(np.stack([np.bincount(index, weight[:, k], count) for k in range(3)], axis=1))


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


def visible(vertices, triangles, camera, *, tolerance=1.0):
    """Which vertices a camera sees.

    Parameters
    ----------
    vertices : array_like, (vertex, xyz=3), mm
        A mesh.
    triangles : array_like of int, (triangle, 3)
        Its triangles.
    camera : Camera
        Framed, from `frame`.
    tolerance : float, mm
        A surface this far in front of a vertex is its own.

    Returns
    -------
    ndarray of bool, (vertex,)
        Whether nothing stands between the vertex and the camera.
    """
    vertices = np.asarray(vertices, np.float32)
    eye = np.asarray(camera.target) + camera.distance * camera.axes[2]
    towards = vertices - eye.astype(np.float32)
    far = np.linalg.norm(towards, axis=1)
    origin = np.broadcast_to(eye.astype(np.float32), towards.shape).copy()
    direction = towards / np.maximum(far, 1e-9)[:, None]
    hit = _scene(vertices, np.asarray(triangles)).run(origin, direction, query="DISTANCE")
    return hit > far - tolerance


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
    # One interpolation for everything: normal, linear colour, sky, gloss.
    per_vertex = np.empty((len(vertices), 8), np.float32)
    per_vertex[:, :3] = vertex_normals(vertices, triangles)
    per_vertex[:, 3:6] = to_linear(SKIN if colours is None else colours)
    per_vertex[:, 6] = 1.0 if occlusion is None else occlusion
    per_vertex[:, 7] = 0.2 if gloss is None else gloss
    weights = np.stack([1 - u - v, u, v])
    at_corner = [per_vertex[corners[:, k]] for k in range(3)]
    value = sum(weights[k][:, None] * at_corner[k] for k in range(3))
    point = eye - hits["tfar"][seen, None] * view
    point = _rounded(point, vertices.astype(np.float32), at_corner, corners, weights)
    # Seen from behind, as the inside of the neck is, a surface faces the viewer all the same.
    normal = unit(value[:, :3])
    behind = dot(hits["Ng"][seen], normal) * dot(hits["Ng"][seen], view) < 0
    normal[behind] *= -1
    value = np.ascontiguousarray(value[:, 3:].T)
    surface = Surface(
        point=point, normal=normal, view=view, albedo=value[:3].T, sky=value[3], gloss=value[4],
        column=seen % fine[1], row=seen // fine[1],
    )  # fmt: skip
    light = illuminate(
        scene, surface, camera.axes, lights=lights, ambient=ambient, shadow_rays=shadow_rays
    )
    picture = np.zeros((fine[0] * fine[1], 4), np.float32)
    picture[seen, :3] = tone(light)
    picture[seen, 3] = 1.0
    picture = picture.reshape(size[0], supersample, -1).sum(1)
    picture = picture.reshape(size[0], size[1], supersample, 4).sum(2) / supersample**2
    return _compose(picture, background)


def contact_sheet(images, *, columns=4, gap=4, background=(0.34, 0.36, 0.40)):
    """Pictures of one size side by side.

    Parameters
    ----------
    images : sequence of ndarray of uint8, (height, width, 3)
        All of one size.
    columns, gap : int
        Pictures per row and pixels between them.
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


def _rounded(point, vertices, at_corner, corners, weights):
    """Points on the curved surface that the smooth normals suggest.

    Shadow rays that start there do not catch the triangle's own neighbours [1]_.

    References
    ----------
    .. [1] Hanika, "Hacking the shadow terminator", Ray Tracing Gems II (2021).
    """
    lifted = point.copy()
    for k in range(3):
        normal = at_corner[k][:, :3]
        below = dot(point - vertices[corners[:, k]], normal)
        lifted -= (weights[k] * np.minimum(below, 0))[:, None] * normal
    return lifted


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
    if background.ndim > 1:
        height, width = picture.shape[:2]
        check_shape(background, {"height": height, "width": width, "rgb": 3}, "background")
    if background.dtype == np.uint8:
        background = background / 255.0
    return to_bytes(to_srgb(picture[..., :3] + (1 - alpha) * to_linear(background)))
