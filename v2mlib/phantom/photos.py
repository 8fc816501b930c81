"""Photographs of phantom people: small pose, light, skin tone, background, expression."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from PIL import Image

from v2mlib.checks import InputError
from v2mlib.faces.model import MISSING_LANDMARK
from v2mlib.faces.rendering import Camera, ambient_occlusion, frame, project, render
from v2mlib.faces.shading import STUDIO, to_linear, to_srgb
from v2mlib.phantom.speakers import PHOTO, stream

#: Linear albedo relative to the model's own skin, from dark to light; people lie between.
_TONES = np.array([[0.20, 0.16, 0.14], [0.42, 0.36, 0.32], [0.75, 0.70, 0.66], [1.08, 1.08, 1.10]])


@dataclasses.dataclass(frozen=True)
class PhotoConfig:
    """What photographs are like.

    Attributes
    ----------
    size : int, pixels
        Height and width.
    yaw_sd_deg, pitch_sd_deg, roll_sd_deg : float, degrees
        Spread of the pose, cut at 2.5 sds.
    expression_sd : float
        Spread of the few expressions that are not neutral, in standardised units.
    """

    size: int = 128
    yaw_sd_deg: float = 10.0
    pitch_sd_deg: float = 5.0
    roll_sd_deg: float = 3.0
    expression_sd: float = 0.6

    def __post_init__(self):
        """Refuse pictures too small to show a face."""
        if not 16 <= self.size <= 4096:
            raise InputError(f"size={self.size}", "is not possible", "choose 16 to 4096 pixels")


class PhotoPlan(NamedTuple):
    """All of a photograph but the face.

    Attributes
    ----------
    camera : Camera
        Pose and distance; not framed yet.
    margin : float
        Picture size over the extent of the landmarks (brows, jaw and chin).
    shift : ndarray, (xy=2,), share of the field
        How far the face is off the centre.
    expression : ndarray, (expression,)
        Standardised.
    tone : ndarray, (rgb=3,)
        Linear albedo of the skin relative to the model's.
    light_azimuth_deg : float, degrees
        The studio turned about the vertical axis.
    light_factor : float
        On all intensities.
    light_colour : ndarray, (rgb=3,)
        Tint.
    background : ndarray of uint8, (4, 4, rgb=3)
        Coarse colours of a smooth background.
    """

    camera: Camera
    margin: float
    shift: np.ndarray
    expression: np.ndarray
    tone: np.ndarray
    light_azimuth_deg: float
    light_factor: float
    light_colour: np.ndarray
    background: np.ndarray

    def pose(self):
        """Describe the photograph in a table's row.

        Returns
        -------
        dict
            `yaw_deg`, `pitch_deg`, `roll_deg`, `distance_mm`, `expression` (list).
        """
        return {
            "yaw_deg": self.camera.yaw_deg,
            "pitch_deg": self.camera.pitch_deg,
            "roll_deg": self.camera.roll_deg,
            "distance_mm": self.camera.distance,
            "expression": self.expression.tolist(),
        }


class Photo(NamedTuple):
    """A photograph and what is known about it.

    Attributes
    ----------
    image : PIL.Image.Image
        RGB.
    landmarks : ndarray, (landmark=68, column and row), pixels
        The centre of the top left pixel is (0, 0); NaN where the face model has no vertex.
    plan : PhotoPlan
        Pose, light, expression.
    """

    image: Image.Image
    landmarks: np.ndarray
    plan: PhotoPlan


class Photographer:
    """Takes photographs of one population.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    seed : int
        Of the population.
    config : PhotoConfig, optional
        The camera.
    """

    def __init__(self, model, seed, config=None):
        self.model, self.seed, self.config = model, seed, config or PhotoConfig()
        self._triangles = model.triangles.numpy()
        self._known = model.landmarks[model.landmarks != MISSING_LANDMARK].numpy()

    def plan(self, row, number):
        """Set a photograph up.

        Parameters
        ----------
        row : int
            Row of the identity; its skin is the same in all photographs.
        number : int
            Which photograph, from 0.

        Returns
        -------
        PhotoPlan
            All but the face.
        """
        config, skin = self.config, stream(self.seed, PHOTO, row)
        rng = stream(self.seed, PHOTO, row, 1 + number)
        position = skin.uniform(0, len(_TONES) - 1)
        lower = int(position)
        tone = _TONES[lower] + (position - lower) * (_TONES[lower + 1] - _TONES[lower])
        angles = np.clip(rng.standard_normal(3), -2.5, 2.5) * [
            config.yaw_sd_deg, config.pitch_sd_deg, config.roll_sd_deg
        ]  # fmt: skip
        neutral = self.model.neutral_expression.numpy().astype(float)
        shown = rng.random(len(neutral)) < 0.2
        strength = config.expression_sd * np.abs(rng.standard_normal(len(neutral)))
        return PhotoPlan(
            camera=Camera(*angles.tolist(), distance=float(rng.uniform(900, 1800))),
            margin=float(rng.uniform(1.25, 1.55)),
            shift=rng.uniform(-0.03, 0.03, 2),
            expression=neutral + shown * strength,
            tone=tone * np.exp(0.04 * skin.standard_normal(3)),
            light_azimuth_deg=float(rng.uniform(-50, 50)),
            light_factor=float(np.exp(0.15 * rng.standard_normal())),
            light_colour=np.exp(0.05 * rng.standard_normal(3)),
            background=_backdrop(rng),
        )

    def image(self, coefficients, plan):
        """Render a planned photograph.

        Parameters
        ----------
        coefficients : array_like, (shape,)
            The face.
        plan : PhotoPlan
            The photograph.

        Returns
        -------
        PIL.Image.Image
            RGB.
        """
        vertices = self.model.decode(coefficients, plan.expression).numpy().astype(float)
        camera = self._framed(vertices[self._known], plan)
        size = (self.config.size, self.config.size)
        backdrop = Image.fromarray(plan.background).resize(size, Image.Resampling.BICUBIC)
        gloss = self.model.extras.get("gloss")
        picture = render(
            vertices,
            self._triangles,
            colours=self._skin(plan.tone),
            camera=camera,
            size=size,
            background=np.asarray(backdrop),
            lights=_turned(plan),
            occlusion=self._occlusion,
            gloss=None if gloss is None else gloss.numpy(),
        )
        return Image.fromarray(picture)

    def landmarks(self, coefficients, plan):
        """Project the landmarks into a planned photograph.

        Parameters
        ----------
        coefficients : array_like, (shape,)
            The face.
        plan : PhotoPlan
            The photograph.

        Returns
        -------
        ndarray, (landmark=68, column and row), pixels
            NaN where the face model has no vertex.
        """
        points = self.model.decode(coefficients, plan.expression, vertices=self._known).numpy()
        pixels = np.full((len(self.model.landmarks), 2), np.nan)
        pixels[self.model.landmarks.numpy() != MISSING_LANDMARK] = project(
            points, self._framed(points, plan), (self.config.size, self.config.size)
        )
        return pixels

    def take(self, coefficients, row, number):
        """Plan and take a photograph.

        Parameters
        ----------
        coefficients : array_like, (shape,)
            The face.
        row : int
            Row of the identity.
        number : int
            Which photograph, from 0.

        Returns
        -------
        Photo
            Image, landmarks, plan.
        """
        plan = self.plan(row, number)
        return Photo(self.image(coefficients, plan), self.landmarks(coefficients, plan), plan)

    def _framed(self, landmarks, plan):
        """Put the landmarks near the picture's middle."""
        size = (self.config.size, self.config.size)
        camera = frame(landmarks.astype(float), plan.camera, margin=plan.margin, size=size)
        across = camera.axes[:2].T @ (plan.shift * camera.field)  # right and up, in mm
        return dataclasses.replace(
            camera, target=tuple((np.asarray(camera.target) + across).tolist())
        )

    @functools.cached_property
    def _occlusion(self):
        """Of the mean face, for all: it costs more than a photograph and hardly differs."""
        return ambient_occlusion(self.model.mean.numpy(), self._triangles)

    def _skin(self, tone):
        """Tint what is skin-coloured (red above blue), leaving eyes and teeth as they are."""
        colours = self.model.colours
        if colours is None:
            return np.clip(to_srgb(to_linear(np.array([0.80, 0.64, 0.55])) * tone), 0, 1)
        colours = colours.numpy()
        warmth = (colours[:, :1] - colours[:, 2:]) / np.maximum(colours[:, :1], 1e-3)
        share = np.clip(warmth / 0.15, 0, 1)
        return np.clip(to_srgb(to_linear(colours) * (1 + share * (tone - 1))), 0, 1)


def _backdrop(rng):
    """Coarse picture of a room: one brightness, patches a little lighter, darker, tinted."""
    colour = rng.uniform(40, 210) + 12 * rng.standard_normal(3)
    patches = 22 * rng.standard_normal((4, 4, 1)) + 7 * rng.standard_normal((4, 4, 3))
    return np.clip(colour + patches, 0, 255).astype(np.uint8)


def _turned(plan):
    """Turn and tint the studio's lights."""
    angle = np.radians(plan.light_azimuth_deg)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    return tuple(
        dataclasses.replace(
            light,
            direction=tuple((turn @ light.direction).tolist()),
            intensity=light.intensity * plan.light_factor,
            colour=tuple((np.asarray(light.colour) * plan.light_colour).tolist()),
        )
        for light in STUDIO
    )
