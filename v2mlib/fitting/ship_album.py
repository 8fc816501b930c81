"""The album: what the same few voices looked like as the networks learned."""

import numpy as np
import torch

from v2mlib.fitting.ship_trainings import GENERATOR
from v2mlib.fitting.shipped_images import Album, draw
from v2mlib.models.generator import Generator
from v2mlib.models.image_to_face import ImageToFace

KEPT = "kept"
"""Folder in a run's folder with states by step: ``000400.pt``."""


def first_of_each(sex, n_people):
    """Choose people without looking at them: the first man, the first woman, and so on.

    Parameters
    ----------
    sex : sequence of str, (identity,)
        "m" or "f".
    n_people : int
        How many.

    Returns
    -------
    ndarray of int, (person,)
        Rows.

    Examples
    --------
    >>> first_of_each(["f", "f", "m", "f", "m"], 4).tolist()
    [2, 0, 4, 1]
    """
    sex = np.asarray(sex)
    rows = [np.flatnonzero(sex == one) for one in "mf"]
    return np.array([rows[number % 2][number // 2] for number in range(n_people)])


def make_album(runs, cascade, joint, embedding, people):
    """Draw the same voices with every kept state of the trainings.

    Parameters
    ----------
    runs : dict of str to Training
        "generator" and "joint"; states that were kept lie in the folder ``kept`` of each.
    cascade : Cascade
        The networks before the joint training: its teacher looks at the generator's images.
    joint : JointNetworks
        The networks after it: their student looks at its own.
    embedding : ndarray, (identity, utterance, embedding=64)
        Of the voices.
    people : ndarray of int, (voice,)
        Whose first utterances.

    Returns
    -------
    Album
        From before the first step to after the last.
    """
    heard, teacher = embedding[people, 0], cascade.image_to_face
    ends = {name: int(run.history["step"].iloc[-1]) for name, run in runs.items()}
    moments = [("generator", 0, fresh_generator(joint.generator), teacher)]
    for step, state in _kept(runs["generator"].folder, ends["generator"]):
        moments.append(("generator", step, _like(joint.generator, state["generator"]), teacher))
    moments.append(("generator", ends["generator"], cascade.voice_to_image.generator, teacher))
    for step, state in _kept(runs["joint"].folder, ends["joint"]):
        networks = [_like(getattr(joint, name), state[name]) for name in ("generator", "student")]
        moments.append(("joint", step, *networks))
    moments.append(("joint", ends["joint"], joint.generator, joint.student))
    images = [draw(drawer, heard) for _, _, drawer, _ in moments]
    with torch.no_grad():
        shape = [moment[3](drawn).shape for drawn, moment in zip(images, moments, strict=True)]
    pixels = ((torch.stack(images) + 1) * 127.5).round().to(torch.uint8)
    stage, step = (np.array([moment[place] for moment in moments]) for place in (0, 1))
    return Album(stage, step, pixels.numpy(), torch.stack(shape).numpy(), people)


def fresh_generator(like, *, seed=None):
    """Make the generator that a training begins with.

    Parameters
    ----------
    like : Generator
        Of the same channels.
    seed : int, optional
        Of the training; the shipped one's by default.

    Returns
    -------
    Generator
        In eval mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(GENERATOR.engine.seed if seed is None else seed)
        channels = [layer.out_channels for layer in like.layers if hasattr(layer, "out_channels")]
        return Generator(channels=channels[:-1]).eval()


def _kept(folder, end):
    """States that were kept, in order, without the last."""
    for path in sorted((folder / KEPT).glob("*.pt")):
        if int(path.stem) < end:
            yield int(path.stem), torch.load(path, map_location="cpu", weights_only=True)


def _like(network, state):
    """A network of the same make with another state."""
    if isinstance(network, ImageToFace):
        other = ImageToFace(**network.settings)
    else:
        other = fresh_generator(network)
    other.load_state_dict(state)
    return other.eval()
