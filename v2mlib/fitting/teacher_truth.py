"""What is true of a phantom world's photographs, and how well a network sees it."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.datasets.resident_photos import FaceCrop, ResidentPhotos
from v2mlib.faces import load_face_model
from v2mlib.faces.cameras import Camera
from v2mlib.faces.model import MISSING_LANDMARK
from v2mlib.fitting.data import split_names
from v2mlib.metrics.ratios import RATIO_LINES, line_ratios
from v2mlib.metrics.scoring import score_methods
from v2mlib.models.discriminator import IMAGE_SIZE as DRAWN_SIZE

#: How the teacher's photographs are cut.
TEACHER_CROP = FaceCrop(120, scale_jitter=0.08, shift_jitter=0.04)


class PhotoTruth(NamedTuple):
    """What is known of a phantom world's photographs, in the order of its table.

    Attributes
    ----------
    shape : tensor of float32, (photo, shape)
        Shape coefficients.
    expression : tensor of float32, (photo, expression)
        Expression coefficients.
    rotation : tensor of float32, (photo, 3, xyz=3)
        Rows: the picture's right, up and towards the camera, in the face model's axes.
    scale : tensor of float32, (photo,), pixels per mm
        Of the weak perspective that is nearest to the photograph.
    origin : tensor of float32, (photo, column and row), pixels
        Where the face model's origin lies; the photograph spans from 0 to its size.
    """

    shape: torch.Tensor
    expression: torch.Tensor
    rotation: torch.Tensor
    scale: torch.Tensor
    origin: torch.Tensor

    @classmethod
    def of(cls, world, model):
        """Gather what is known.

        Parameters
        ----------
        world : World
            A phantom world.
        model : MorphableModel
            Its face model.

        Returns
        -------
        PhotoTruth
            Of all photographs.

        Raises
        ------
        InputError
            If there are none.
        """
        table = world.photos
        if not len(table):
            raise InputError(
                world.folder, "has no photographs", "make it again with photos (--photos 3)"
            )
        people = pd.Index(world.identities["identity"])
        owners = people.get_indexer_for(table["identity"])
        shape = np.asarray(world.reference_coefficients, dtype=np.float32)[owners]
        expression = np.stack(table["expression"].to_numpy()).astype(np.float32)
        angles = table[["yaw_deg", "pitch_deg", "roll_deg"]].to_numpy(dtype=float)
        rotation = np.stack([Camera(*row).axes for row in angles])
        known = (model.landmarks != MISSING_LANDMARK).numpy()
        vertices = model.landmarks[model.landmarks != MISSING_LANDMARK].numpy()
        points = model.decode(shape, expression, vertices=vertices).numpy().astype(float)
        seen = np.einsum("pij,plj->pli", rotation, points)[..., :2] * [1, -1]  # rows go down
        pixels = world.landmarks[:, known].astype(float) + 0.5
        middle, place = seen.mean(1, keepdims=True), pixels.mean(1, keepdims=True)
        apart = seen - middle
        scale = (apart * (pixels - place)).sum((1, 2)) / np.square(apart).sum((1, 2))
        origin = (place - scale[:, None, None] * middle)[:, 0]
        parts = (shape, expression, rotation, scale, origin)
        return cls(*(torch.tensor(part, dtype=torch.float32) for part in parts))

    def parameters(self, rows, squares, size):
        """Parameters of faces as they appear in crops.

        Parameters
        ----------
        rows : tensor of int64, (batch,)
            Photographs.
        squares : tensor, (batch, 3), pixels
            Left, top and side of each crop.
        size : int, pixels
            Of the crops once resized.

        Returns
        -------
        tensor of float32, (batch, 62)
            Scaled pose (from mm to pixels right of, above and before the crop's lower left
            corner; 3 x 4 row by row), shape and expression.
        """
        zoom = size / squares[:, 2:]
        turn = self.rotation[rows] * (self.scale[rows, None] * zoom)[:, :, None]
        place = (self.origin[rows] - squares[:, :2]) * zoom
        place = torch.stack([place[:, 0], size - place[:, 1], torch.zeros_like(place[:, 0])], 1)
        pose = torch.cat([turn, place[:, :, None]], 2).flatten(1)
        return torch.cat([pose, self.shape[rows], self.expression[rows]], 1)


def shapes_of(network, photos, *, size=None, batch_size=256):
    """Predict shape coefficients from photographs one by one.

    Parameters
    ----------
    network : ImageToFace
        In eval mode.
    photos : ResidentPhotos
        On the network's device.
    size : int, pixels, optional
        Shrink the crops to this size first.
    batch_size : int
        Photographs at a time.

    Returns
    -------
    tensor of float32, (photo, shape), standard deviations
        Shape coefficients.
    """
    found = []
    with torch.no_grad():
        for part in torch.arange(len(photos), device=photos.pixels.device).split(batch_size):
            images = photos.images(part)
            found.append(network(images if size is None else shrunk(images, size)).shape)
    return torch.cat(found)


def judge_teacher(network, world, *, split="test", size=None, face=None, progress=True):
    """Judge an image-to-face network on people it has not met.

    Parameters
    ----------
    network : ImageToFace
        In eval mode.
    world : World
        A phantom world with photographs.
    split : str
        Whose photographs.
    size : int, pixels, optional
        Shrink the crops to this size first.
    face : FaceCrop, optional
        How faces are cut out; jitter plays no part.
    progress : bool
        Whether to show a progress bar while photographs are read.

    Returns
    -------
    DataFrame
        A row per shape coefficient (``shape_0`` ...) and per corrected ratio (``ear`` ...,
        ``mean``): ``measure``, ``r_squared`` of one photograph and of the average over a
        person's photographs (``r_squared_averaged``); for ratios the absolute error ``error``,
        ``error_averaged`` and ``error_mean_face``.
    """
    face = dataclasses.replace(face or TEACHER_CROP, scale_jitter=0.0, shift_jitter=0.0)
    photos = ResidentPhotos(world, split_names(world, split), crop=face, progress=progress)
    model = load_face_model(world.face_model)
    people = pd.Index(world.identities["identity"]).get_indexer_for(photos.identities)
    owner = photos.identity.numpy()
    single = shapes_of(network, photos, size=size).numpy()
    averaged = pd.DataFrame(single).groupby(owner).mean().to_numpy()
    reference = np.asarray(world.reference_coefficients, dtype=np.float32)[people]
    rows = [
        {"measure": f"shape_{number}", "r_squared": one, "r_squared_averaged": several}
        for number, (one, several) in enumerate(
            zip(_explained(single, reference[owner]), _explained(averaged, reference), strict=True)
        )
    ]
    ratios = [_ratios(part, model) for part in (single, averaged, reference)]
    known = (world.identities["split"] != "test").to_numpy()
    mean = np.asarray(world.reference_coefficients)[known].mean(0, keepdims=True)
    names = [photos.identities[number] for number in owner]
    scores = score_methods(
        world,
        {
            "network": pd.DataFrame(single, index=names),
            "mean_face": pd.DataFrame(mean.repeat(len(names), 0), index=names),
        },
        model=model,
        split=split,
    ).pivot_table(index="measure", columns="method", values=["error", "error_per_utterance"])
    one, several = _explained(ratios[0], ratios[2][owner]), _explained(ratios[1], ratios[2])
    for number, line in enumerate((*RATIO_LINES, "mean")):
        row = {"measure": line, "error": scores.loc[line, ("error_per_utterance", "network")]}
        row["error_averaged"] = scores.loc[line, ("error", "network")]
        row["error_mean_face"] = scores.loc[line, ("error", "mean_face")]
        each = (one, several) if line == "mean" else (one[number], several[number])
        row["r_squared"], row["r_squared_averaged"] = (float(np.mean(value)) for value in each)
        rows.append(row)
    return pd.DataFrame(rows)


def shrunk(images, size=DRAWN_SIZE):
    """Shrink images without aliasing.

    Parameters
    ----------
    images : tensor, (batch, rgb=3, row, column)
        Larger ones.
    size : int, pixels
        Rows and columns of the result.

    Returns
    -------
    tensor, (batch, rgb=3, row, column)
        Averaged bilinearly.
    """
    return nn.functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def _explained(found, truth):
    """Share of the variance over people that is explained, per column."""
    return 1 - np.square(found - truth).mean(0) / np.square(truth - truth.mean(0)).mean(0)


def _ratios(shape, model):
    lines = line_ratios(model.decode(torch.tensor(shape)), model)
    return np.stack([np.asarray(lines[name]) for name in RATIO_LINES], 1)
