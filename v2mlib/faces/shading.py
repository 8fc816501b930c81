"""Light on skin: soft wrapped diffuse light, highlights, soft shadows, colour spaces."""

import dataclasses
from typing import NamedTuple

import numpy as np

NO_HIT = -1
# Light that bleeds past the terminator, most of it red, is what makes skin look soft.
_WRAP = np.array([0.24, 0.15, 0.12], np.float32)


@dataclasses.dataclass(frozen=True)
class Light:
    """A distant light, fixed to the camera.

    Attributes
    ----------
    direction : tuple of float
        Towards the light, in camera axes (right, up, towards the camera).
    intensity : float
        Radiance relative to a white surface facing the light.
    colour : tuple of float
        Linear RGB tint.
    softness : float or None
        Radius of the light's disc in radians, for shadows; None casts none.
    """

    direction: tuple
    intensity: float = 1.0
    colour: tuple = (1.0, 1.0, 1.0)
    softness: float | None = None


STUDIO = (
    Light((-0.55, 0.70, 0.75), 2.10, (1.0, 0.95, 0.89), softness=0.14),
    Light((0.90, 0.05, 0.50), 0.34, (0.88, 0.94, 1.0)),
    Light((0.75, 0.45, -0.75), 0.80, (0.94, 0.97, 1.0)),
    # A weak light beside the camera puts the catch-light into the eyes.
    Light((-0.22, 0.30, 0.92), 0.30),
)
AMBIENT = 0.24


class Surface(NamedTuple):
    """What the camera sees, one row per ray that hit the mesh."""

    point: np.ndarray  # (ray, xyz), mm
    normal: np.ndarray  # (ray, xyz), smooth, towards the viewer
    view: np.ndarray  # (ray, xyz), unit, towards the camera
    albedo: np.ndarray  # (ray, 3), linear
    sky: np.ndarray  # (ray,), share of the surroundings in sight
    gloss: np.ndarray  # (ray,)
    column: np.ndarray  # (ray,), of the supersampled picture
    row: np.ndarray  # (ray,)


def illuminate(scene, surface, axes, *, lights=STUDIO, ambient=AMBIENT, shadow_rays=1):
    """Linear colour of surface points under all lights.

    Parameters
    ----------
    scene : EmbreeScene
        What casts shadows.
    surface : Surface
        What is lit.
    axes : ndarray, (3, xyz)
        Right, up and backward axis of the camera, to which the lights are fixed.
    lights : sequence of Light
        The lamps.
    ambient : float
        Light from everywhere.
    shadow_rays : int
        Rays per point and soft light; 0 for no shadows.

    Returns
    -------
    ndarray, (ray, 3)
        Linear RGB, not clipped.
    """
    axes = axes.astype(np.float32)
    s = surface
    facing = dot(s.normal, s.view)
    level = ambient * s.sky * (0.75 + 0.25 * (s.normal @ axes[1]))
    diffuse = np.repeat(level[None], 3, axis=0)  # (3, ray): long rows keep numpy fast
    specular = np.zeros_like(diffuse)
    sharp = 14 + 160 * np.clip(s.gloss - 0.25, 0, 1)
    sky_squared = s.sky * s.sky
    for light in lights:
        towards = unit(np.asarray(light.direction, np.float32) @ axes)
        cosine = s.normal @ towards
        direct = np.maximum(cosine, 0)
        if shadow_rays and light.softness is not None:
            direct *= _visibility(scene, s, cosine, towards, light.softness, shadow_rays)
        else:
            direct *= s.sky
        # The lobe about the half vector of view and light, without building the vector.
        half = np.sqrt(np.maximum(2 + 2 * (s.view @ towards), 1e-6))
        lobe = np.clip((facing + cosine) / half, 0, 1)
        shining = np.flatnonzero((lobe > 0.7) & (direct > 0))
        highlight = np.zeros_like(lobe)
        power = sharp[shining]
        highlight[shining] = lobe[shining] ** power * (power + 8) / 60 * direct[shining]
        away = np.minimum(cosine, 0)
        for channel in range(3):
            # The part of the wrapped light that bleeds past the terminator casts no shadow, so
            # that nothing jumps where the surface turns away from the lamp.
            wrap, radiance = _WRAP[channel], np.float32(light.intensity * light.colour[channel])
            bleed = np.maximum(away + wrap, 0) * sky_squared
            diffuse[channel] += radiance / (1 + wrap) ** 2 * (direct + bleed)
            specular[channel] += radiance * highlight
    fresnel = 0.35 + 0.65 * (1 - np.clip(facing, 0, 1)) ** 4
    return (s.albedo.T * diffuse + (0.35 * s.gloss * fresnel) * specular).T


def dot(first, second):
    """Inner products of rows.

    Parameters
    ----------
    first, second : ndarray, (row, xyz=3)
        Vectors.

    Returns
    -------
    ndarray, (row,)
        One number per row.
    """
    return np.einsum("rk,rk->r", first, second)


def _visibility(scene, surface, cosine, towards, softness, rays):
    """Share of a soft light that each point sees."""
    tangent = any_tangent(towards[None])[0]
    bitangent = np.cross(towards, tangent)
    # Beyond the terminator the wrapped light has faded anyway; a ray there would only meet the
    # surface it starts from.
    facing = np.flatnonzero(cosine > 0.03)
    origin = surface.point[facing] + np.float32(0.2) * surface.normal[facing]
    total = np.zeros(len(facing), np.float32)
    column, row = surface.column[facing].astype("f4"), surface.row[facing].astype("f4")
    for ray in range(rays):
        # Interleaved gradient noise: the same picture every time, and it averages out locally.
        noise = (column + 5.588238 * ray, row + 3.33337 * ray)
        first = (52.9829189 * ((0.06711056 * noise[0] + 0.00583715 * noise[1]) % 1)) % 1
        second = (0.7548776662 * noise[0] + 0.5698402910 * noise[1]) % 1
        radius, angle = softness * np.sqrt(first), np.float32(2 * np.pi) * second
        across = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        direction = unit(towards + across @ np.stack([tangent, bitangent]))
        if len(facing):
            total += scene.run(origin, direction, query="OCCLUDED") == NO_HIT
    visible = np.ones(len(surface.normal), np.float32)
    visible[facing] = total / rays
    return visible


def tone(linear):
    """Compress highlights with a soft shoulder, so that they never clip to flat white.

    Parameters
    ----------
    linear : ndarray
        Linear radiance.

    Returns
    -------
    ndarray
        Linear display values; 0 stays 0.
    """
    return linear * (1 + linear / 4.0) / (1 + linear)


def to_bytes(values):
    """Round values from 0 to 1 to bytes.

    Parameters
    ----------
    values : ndarray
        Clipped to [0, 1].

    Returns
    -------
    ndarray of uint8
        From 0 to 255.
    """
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def to_linear(colour):
    """Decode sRGB.

    Parameters
    ----------
    colour : array_like
        sRGB from 0 to 1.

    Returns
    -------
    ndarray
        Linear light.

    Examples
    --------
    >>> float(to_srgb(to_linear(0.5)).round(6))
    0.5
    """
    colour = np.asarray(colour, dtype=float)
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def to_srgb(linear):
    """Encode sRGB.

    Parameters
    ----------
    linear : array_like
        Linear light; negative values count as 0.

    Returns
    -------
    ndarray
        sRGB from 0 to 1 (more where the light is above 1).
    """
    linear = np.clip(linear, 0, None)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def unit(vectors):
    """Scale vectors to length one.

    Parameters
    ----------
    vectors : ndarray, (..., xyz=3)
        Zero vectors stay zero.

    Returns
    -------
    ndarray, (..., xyz=3)
        The directions.
    """
    length = np.sqrt(np.einsum("...k,...k->...", vectors, vectors))[..., None]
    return vectors / np.maximum(length, 1e-12)


def any_tangent(normals):
    """Pick a unit vector at right angles to each normal.

    Parameters
    ----------
    normals : ndarray, (direction, xyz=3)
        Unit vectors.

    Returns
    -------
    ndarray, (direction, xyz=3)
        The tangents.
    """
    helper = np.where(np.abs(normals[:, :1]) < 0.6, [[1, 0, 0]], [[0, 1, 0]]).astype(normals.dtype)
    return unit(np.cross(normals, helper))
