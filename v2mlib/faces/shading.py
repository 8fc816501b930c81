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
    flat: np.ndarray  # (ray, xyz), of the triangle, towards the viewer
    view: np.ndarray  # (ray, xyz), unit, towards the camera
    albedo: np.ndarray  # (ray, 3), linear
    sky: np.ndarray  # (ray, 1), share of the surroundings in sight
    gloss: np.ndarray  # (ray, 1)
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
    diffuse = ambient * s.sky * (0.75 + 0.25 * (s.normal @ axes[1]))[:, None] * np.ones(3, "f4")
    specular = 0.0
    fresnel = 0.35 + 0.65 * (1 - np.clip((s.normal * s.view).sum(1), 0, 1))[:, None] ** 4
    sharp = 14 + 160 * np.clip(s.gloss - 0.25, 0, 1)
    for light in lights:
        towards = unit(np.asarray(light.direction, np.float32) @ axes)
        cosine = (s.normal @ towards)[:, None]
        # The part of the wrapped light that bleeds past the terminator casts no shadow, so that
        # nothing jumps where the surface turns away from the lamp.
        direct = np.clip(cosine, 0, None) / (1 + _WRAP) ** 2
        bleed = np.clip(np.minimum(cosine, 0) + _WRAP, 0, None) / (1 + _WRAP) ** 2
        if shadow_rays and light.softness is not None:
            visible = _visibility(scene, s, towards, light.softness, shadow_rays)[:, None]
            direct = direct * visible
            cosine = cosine * visible
        else:
            direct = direct * s.sky
        lit = direct + bleed * s.sky**2
        radiance = light.intensity * np.asarray(light.colour, np.float32)
        diffuse += radiance * lit
        lobe = np.clip((s.normal * unit(s.view + towards)).sum(1), 0, 1)[:, None]
        highlight = lobe**sharp * (sharp + 8) / 60 * np.clip(cosine, 0, 1)
        specular = specular + highlight * radiance
    return s.albedo * diffuse + 0.35 * s.gloss * fresnel * specular


def _visibility(scene, surface, towards, softness, rays):
    """Share of a soft light that each point sees."""
    tangent = any_tangent(towards[None])[0]
    bitangent = np.cross(towards, tangent)
    origin = surface.point + 0.2 * surface.normal
    # Beyond the terminator the wrapped light has faded anyway; a ray there would only meet the
    # surface it starts from.
    facing = np.flatnonzero(surface.normal @ towards > 0.03)
    origin = origin[facing]
    total = np.zeros(len(facing), np.float32)
    column, row = surface.column[facing], surface.row[facing]
    for ray in range(rays):
        # Interleaved gradient noise: the same picture every time, and it averages out locally.
        noise = (column + 5.588238 * ray, row + 3.33337 * ray)
        first = (52.9829189 * ((0.06711056 * noise[0] + 0.00583715 * noise[1]) % 1)) % 1
        second = (0.7548776662 * noise[0] + 0.5698402910 * noise[1]) % 1
        radius = (softness * np.sqrt(first)).astype(np.float32)[:, None]
        angle = (2 * np.pi * second).astype(np.float32)[:, None]
        offset = np.cos(angle) * tangent + np.sin(angle) * bitangent
        direction = unit(towards + radius * offset)
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
