"""Draw ``figures/01_phantom_face.png``: ``python -m v2mlib.faces.phantom.figure``."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from v2mlib.faces.phantom.loading import EXPRESSIONS, phantom_model
from v2mlib.faces.rendering import Camera, render
from v2mlib.files import atomic

PAPER, INK = (244, 244, 242), (40, 42, 48)
BACKGROUND = (0.36, 0.39, 0.44)
WIDTH, GAP, TITLE = 1560, 6, 34
N_MODES, N_PEOPLE, SEED = 8, 6, 12


def main(path=None):
    """Draw the figure.

    Parameters
    ----------
    path : path, optional
        Where; by default ``figures/01_phantom_face.png`` of the repository.
    """
    path = Path(path) if path else Path(__file__).parents[3] / "figures" / "01_phantom_face.png"
    model = phantom_model()
    rows = [_means(model), _sexes_and_people(model), _modes(model), _expressions(model)]
    height = sum(row.shape[0] for row in rows) + GAP * (len(rows) - 1)
    sheet = np.full((height, WIDTH, 3), PAPER, np.uint8)
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0] + GAP
    with atomic(path) as partial:
        Image.fromarray(sheet).save(partial, optimize=True)
    print(f"{path}: {sheet.shape[1]} x {sheet.shape[0]} pixels")


def _means(model):
    zero = torch.zeros(model.n_shape)
    cells = [(name, _picture(model, zero, (520, 516), yaw=yaw, field=262)) for name, yaw in
             (("front", 0), ("three-quarter", 38), ("profile", 90))]  # fmt: skip
    return _row("The mean face", cells, 3)


def _sexes_and_people(model):
    sex = model.extras["sex_direction"]
    size = (230, 189)
    cells = [("female mean", _picture(model, -sex, size, yaw=22)),
             ("male mean", _picture(model, sex, size, yaw=22))]  # fmt: skip
    people = torch.randn(N_PEOPLE, model.n_shape, generator=torch.Generator().manual_seed(SEED))
    cells += [("", _picture(model, shape, size, yaw=22)) for shape in people]
    return _row("Typical woman and man; six random people", cells, 8)


def _modes(model):
    cells = []
    for sign in "-+":
        for number in range(N_MODES):
            shape = float(f"{sign}2") * torch.eye(model.n_shape)[number]
            picture = _picture(model, shape, (230, 189), yaw=22)
            cells.append((f"mode {number + 1}, {sign}2 sd", picture))
    return _row("The first eight of forty shape modes", cells, 8)


def _expressions(model):
    cells = []
    for number, name in enumerate(EXPRESSIONS):
        expression = torch.eye(len(EXPRESSIONS))[number] / model.expression_std
        shape = torch.zeros(model.n_shape)
        picture = _picture(model, shape, (250, 307), yaw=12, field=190, expression=expression)
        cells.append((name.replace("_", " "), picture))
    return _row("The ten expressions", cells, 5)


def _picture(model, shape, size, *, yaw, field=278, expression=None):
    vertices = model.decode(shape, expression).numpy()
    look = (0.0, -18.0, 14.0) if field > 200 else (0.0, -36.0, 20.0)
    return render(
        vertices,
        model.triangles.numpy(),
        colours=model.colours.numpy(),
        gloss=model.extras["gloss"].numpy(),
        occlusion=model.extras["occlusion"].numpy(),
        camera=Camera(yaw_deg=yaw, field=field, target=look),
        size=size,
        background=BACKGROUND,
        supersample=3,
        shadow_rays=2,
    )


def _row(title, cells, columns):
    """Pictures under a heading, each with its label inside."""
    height, width = cells[0][1].shape[:2]
    lines = -(-len(cells) // columns)
    paper = Image.new("RGB", (WIDTH, TITLE + lines * (height + GAP) - GAP), PAPER)
    draw = ImageDraw.Draw(paper)
    draw.text((GAP, 7), title, fill=INK, font=ImageFont.load_default(19))
    for number, (label, picture) in enumerate(cells):
        left = number % columns * (width + GAP)
        top = TITLE + number // columns * (height + GAP)
        paper.paste(Image.fromarray(picture), (left, top))
        draw.text((left + 7, top + 5), label, fill=(235, 235, 235), font=ImageFont.load_default(14))
    return np.asarray(paper)


if __name__ == "__main__":
    main(*sys.argv[1:2])
